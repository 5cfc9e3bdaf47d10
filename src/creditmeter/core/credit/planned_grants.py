"""How much a plan's grants count of what the plan gives for their period."""

from collections.abc import Collection, Iterator

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.grants import Grant, draw_key
from creditmeter.core.ids import GrantId

GIVEN_AHEAD = "given by a clock that was ahead, and not by the plan as it is now"
"""The note of the line of history by which credit of a period to come is taken back."""


def counted(grant: Grant) -> Microcredits:
    """What a plan's grant counts of what the plan gives for its period, in microcredits.

    What an operator voided counts. What was taken back because the plan gives less, or because the period is none any more,
    does not: it may be given again.
    """
    return grant.given if grant.voided_at is None else grant.amount


def beyond(planned: int, named: Collection[Grant], waited: Collection[GrantId]) -> Iterator[tuple[Grant, Microcredits]]:
    """Of a plan's grants for one period, the parts that are more than it gives, in microcredits: of those that `waited` for the
    period since a clock was ahead, the last one first. What was drawn stays.
    """
    excess = sum(counted(each) for each in named) - planned
    for grant in sorted(named, key=draw_key, reverse=True):
        amount = Microcredits(min(excess, grant.remaining))
        if amount > 0 and grant.grant_id in waited and grant.voided_at is None:
            excess -= amount
            yield grant, amount
