"""What is compressed, kept.

Each sidecar of a test writes the rate card to a journal of its own. To compress it took a tenth of the time of a start. What is
written is the same.
"""

import zlib
from functools import lru_cache
from typing import Any

_compressed = lru_cache(maxsize=8)(zlib.compress)
_compress = zlib.compress

_LARGE = 50_000
"""Bytes from which on they are kept: a rate card with its price list has more than twice as many."""


def _kept(data: Any, /, *arguments: int, **named: int) -> bytes:
    if isinstance(data, bytes) and len(data) > _LARGE:
        return _compressed(data, *arguments, **named)
    return _compress(data, *arguments, **named)


vars(zlib)["compress"] = _kept
