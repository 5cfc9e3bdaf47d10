"""A share of the tests: `TESTS_SHARE=2/3` runs the second third of those that a run would have.

Which tests a share has is decided by their names alone, so it is the same in each process and on each machine. The cases of one
test are in different shares.
"""

import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import pytest


class Share(NamedTuple):
    """Part `number`, from 1 on, of `parts`."""

    number: int
    parts: int

    @classmethod
    def of(cls, text: str) -> "Share":
        """A share as it is written: 2/3.

        Raises:
            UsageError: it is written in another way.
        """
        found = re.fullmatch(r"(\d{1,3})/(\d{1,3})", text)
        share = cls(*map(int, found.groups())) if found else cls(0, 0)
        if not 1 <= share.number <= share.parts:
            raise pytest.UsageError(f"TESTS_SHARE is {text!r}: write 2/3 for the second third of the tests")
        return share

    def has(self, name: str) -> bool:
        """Whether a test of this name is in it."""
        return zlib.crc32(name.encode()) % self.parts == self.number - 1


ALL = Share(1, 1)


def leave(share: Share, items: list[pytest.Item]) -> Sequence[pytest.Item]:
    """Leave what is in a share. Returns the others."""
    others = [each for each in items if not share.has(each.nodeid)]
    items[:] = [each for each in items if share.has(each.nodeid)]
    return others
