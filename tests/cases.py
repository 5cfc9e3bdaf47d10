"""Cases of a test that is the same for many: a short run tries some of them, and the long tests try all."""

from typing import Any

import pytest


def more(*cases: object) -> list[Any]:
    """Cases that the long tests try as well. A tuple is a case of several parameters."""
    return [pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=pytest.mark.long) for each in cases]
