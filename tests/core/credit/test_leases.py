"""Leases: when they authorise, and how much of an account may be leased.

The rule of ended days is what keeps yesterday's open holds from eating today's credit without ever promising credit twice,
so each of its limits has a case here that would overspend without it.
"""

import pytest

from creditmeter.core.credit.grants import Grant, GrantKind
from creditmeter.core.credit.leases import OutLease, available
from creditmeter.core.instants import Instant, Span
from creditmeter.core.values import replace
from tests.core.builders import ELSEWHERE, at, clocks, daily, grant, lease, monthly, out_lease

YESTERDAY, TODAY = at("10 09:00"), at("11 09:00")
MIDNIGHT = at("11 00:00")


@pytest.mark.parametrize(
    ("now", "boot", "expected"),
    [
        (TODAY, 99, True),
        (TODAY, 100, False),
        (TODAY, 101, False),
        (Instant(at("12 00:00") - 1), 0, True),
        (at("12 00:00"), 0, False),
    ],
)
def test_a_lease_authorises_until_its_day_or_its_trust_ends(now: Instant, boot: int, expected: bool) -> None:
    """The day's end is judged by the wall clock, the trust by the boot-time clock; both ends are exclusive."""
    assert lease(TODAY, 10, trusted_until=Span(100)).authorises(clocks(now, boot)) is expected


def test_what_is_out_is_held_or_unposted_or_idle() -> None:
    """Idle is what neither a hold nor a charge claims by the sidecar's last word, and never below 0."""
    it = out_lease(TODAY, 10, posted=3, held=2, unposted=1)
    assert (it.out, it.idle) == (7, 4)
    assert replace(it, held=it.out).idle == 0
    with pytest.raises(AssertionError, match="less than nothing"):
        out_lease(TODAY, 10, posted=11)


@pytest.mark.parametrize(
    ("case", "grants", "leases", "expected"),
    [
        ("nothing leased: all that is left and usable", [daily(11, 20), grant("g", 5, drawn=2)], [], 23),
        ("ended and not yet begun grants back nothing", [daily(10, 20), daily(12, 20), grant("g", 5)], [], 5),
        ("what is out is not available", [daily(11, 20)], [out_lease(TODAY, 12, posted=4)], 12),
        ("whoever has it", [daily(11, 9)], [out_lease(TODAY, 4), out_lease(TODAY, 3, sidecar_id=ELSEWHERE)], 2),
        ("yesterday's hold does not eat today's 20", [daily(10, 5), daily(11, 20)], [out_lease(YESTERDAY, 5)], 20),
        ("beyond what yesterday left it does", [daily(10, 3), daily(11, 20)], [out_lease(YESTERDAY, 5)], 18),
        ("yesterday's credit counts for a lease of today no more", [daily(10, 5), daily(11, 9)], [out_lease(TODAY, 5)], 4),
        (
            "two leases share what yesterday left",
            [daily(10, 5), daily(11, 20)],
            [out_lease(YESTERDAY, 4), out_lease(YESTERDAY, 4, sidecar_id=ELSEWHERE)],
            17,
        ),
        (
            "permanent credit that ended does not count",
            [grant("g", 5, ends=MIDNIGHT), daily(11, 9)],
            [out_lease(YESTERDAY, 5)],
            4,
        ),
        (
            "nor does daily credit given besides the plan's",
            [grant("g", 5, kind=GrantKind.DAILY, begins=at("10 00:00"), ends=MIDNIGHT), daily(11, 9)],
            [out_lease(YESTERDAY, 5)],
            4,
        ),
        ("what an earlier day left is none of it", [daily(9, 5), daily(11, 9)], [out_lease(YESTERDAY, 5)], 4),
        ("never negative", [daily(11, 3)], [out_lease(YESTERDAY, 5)], 0),
        ("nothing at all", [], [], 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_availability(case: str, grants: list[Grant], leases: list[OutLease], expected: int) -> None:
    """What is left of the grants usable now, less what is out; ended days are charged to what they left first."""
    assert available(grants, leases, TODAY) == expected
    assert available(reversed(grants), reversed(leases), TODAY) == expected


def test_at_midnight_a_lease_belongs_to_the_ended_day() -> None:
    """At its end to the microsecond: until then it claims today's credit like any other."""
    grants = [daily(10, 5), daily(11, 20)]
    before = Instant(MIDNIGHT - 1)
    assert available(grants, [out_lease(YESTERDAY, 5)], before) == 0
    assert available(grants, [out_lease(YESTERDAY, 5)], MIDNIGHT) == 20


def test_ended_grants_are_counted_in_the_order_of_deduction() -> None:
    """Each lease counts on its own day first: so the month's rest is left for the day that has nothing else."""
    first, second = at("30 09:00"), at("31 09:00")
    april = Instant(at("31 00:00") + (at("11 00:00") - at("10 00:00")))
    grants = [monthly(5), daily(30, 5), grant("g", 20)]
    leases = [out_lease(first, 5), out_lease(second, 5)]
    assert available(grants, leases, april) == 20
    assert available(reversed(grants), leases, april) == 20


def test_a_running_grant_that_is_drawn_on_first_is_claimed_first() -> None:
    """Daily credit given for several days goes before the month's, so the ended month does not stand in for it."""
    april = Instant(at("31 00:00") + (at("11 00:00") - at("10 00:00")))
    lasting = grant("lasting", 3, kind=GrantKind.DAILY, begins=at("31 10:00"), ends=Instant(april + 10**12))
    assert available([lasting, monthly(5), grant("g", 20)], [out_lease(at("31 09:00"), 5)], april) == 20
    assert available([lasting, monthly(1), grant("g", 20)], [out_lease(at("31 09:00"), 5)], april) == 19
