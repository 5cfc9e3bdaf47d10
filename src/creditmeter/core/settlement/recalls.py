"""Recalls: who waits for credit that other sidecars may have idle, and whose word is still missing.

A need that cannot be met while credit is out elsewhere stands as a recall until it is met, refused or its deadline is past.
Those who have that credit are told, and answer by saying what they really hold and giving back the rest. Only when all of
them have spoken is it known that there is nothing more to come. First come, first served; cost that no lease stands behind
comes before any new lease.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant

NOBODY = SidecarId("")
"""Stands for the central store itself, which waits for nothing but wants to be heard."""


class Purpose(Enum):
    """What credit is recalled for."""

    EXCESS = "EXCESS"
    LEASE = "LEASE"
    STATE = "STATE"


@dataclass(frozen=True, slots=True)
class Recall:
    """A need that waits at the central store. Amounts in microcredits.

    Less than `smallest` is of no use to its sidecar. `number` is its place among the recalls of the account. `awaited` are the
    sidecars that may have idle credit and have not answered yet. It `is_ready` once the credit is there or nothing more can
    come. Its sidecar is notified then, and asks again.
    """

    sidecar_id: SidecarId
    purpose: Purpose
    number: int
    amount: Microcredits
    smallest: Microcredits
    asked_at: Instant
    deadline: Instant
    awaited: tuple[SidecarId, ...]
    is_ready: bool = False

    @property
    def key(self) -> tuple[SidecarId, Purpose]:
        """A sidecar has at most one recall for each purpose."""
        return self.sidecar_id, self.purpose

    def stands(self, now: Instant) -> bool:
        """Whether anybody still waits."""
        return now < self.deadline

    def comes_before(self, other: "Recall | None") -> bool:
        """Whether it is served before another one; before a need that does not stand yet it always is."""
        return other is None or _place(self) < _place(other)


def _place(recall: Recall) -> tuple[bool, int]:
    return recall.purpose is not Purpose.EXCESS, recall.number


def next_number(recalls: Iterable[Recall]) -> int:
    """The place of one more."""
    return max((each.number for each in recalls), default=0) + 1
