"""How many permanent grants a decision looks at: few, and yet what it decides is as if it had looked at all.

That it is as if, `Central.exchange` checks with every message of every test and of the search in `test_lease_search`.
"""

import pytest

from creditmeter.core.credit.grants import Grant
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant
from creditmeter.core.settlement.alert_thresholds import CreditLevel
from creditmeter.core.settlement.balance_summary import balance_summary
from creditmeter.core.settlement.ledger import Contents, Ledger
from creditmeter.core.settlement.loading import DrawBound, covers_draws, draw_bound
from creditmeter.core.settlement.posting import post
from tests.core.builders import HERE, Central, account, at, charge, grant, mc, message, part, report

MORNING, NOON = at("10 09:00"), at("10 12:00")


def many(count: int, *, begins: Instant | None = None, prefix: str = "g") -> list[Grant]:
    """Permanent grants of one microcredit each, drawn on in the order of their names."""
    return [grant(f"{prefix}{number:04}", 1, begins=begins) for number in range(count)]


# What may be drawn.


def test_nothing_is_drawn_without_charges_or_debt() -> None:
    """An exchange that posts nothing needs no grant."""
    assert draw_bound((), (), {}, NOON) == DrawBound(mc(0), NOON)


def test_what_charges_cost_and_what_others_owe_may_be_drawn() -> None:
    """Their leases need not stand behind all of it. It may be drawn as of the first moment at which a part was authorised."""
    central = Central(account(overdraft_limit=10), grants=[grant("g", 8)])
    central.exchange(message(1, need=8), MORNING)
    owing = central.post(charge("owing", excess=3, committed=MORNING), MORNING)
    posts = (charge("a", part(5, NOON, opened=MORNING)), charge("b", part(3, Instant(NOON - HOUR), opened=MORNING), excess=2))
    leases = {lease.lease_id: lease for lease in central.leases.values()}
    assert draw_bound(posts, [owing], leases, at("10 13:00")) == DrawBound(mc(10 + 3), Instant(NOON - HOUR))


# What is enough.


@pytest.mark.parametrize(
    ("first", "amount", "enough"),
    [
        ([], 0, False),
        (many(1), 0, True),
        (many(2), 2, True),
        (many(2), 3, False),
        # One that began after the earliest draw may be passed over for those behind it.
        ([*many(1), *many(1, begins=NOON, prefix="late")], 1, True),
        ([*many(1), *many(1, begins=NOON, prefix="late")], 2, False),
        # What has ended is all looked at, for it may have to lapse; today's credit is not what it has.
        ([grant("over", 9, ends=at("10 00:00"))], 0, False),
        ([grant("over", 9, ends=at("10 00:00")), *many(2)], 2, True),
        ([grant("over", 9, ends=at("10 00:00")), *many(2)], 3, False),
    ],
)
def test_what_is_enough(first: list[Grant], amount: int, *, enough: bool) -> None:
    """As much as may be drawn, of what every draw may use."""
    assert covers_draws(first, DrawBound(mc(amount), MORNING), at("10 13:00")) is enough


# A decision on a part of the grants.


def test_a_thousand_grants_are_one_to_look_at() -> None:
    """And the sums of the rest count in all that is available, and in what is shown."""
    central = Central(account(), grants=many(1_000))
    ledger = central.ledger(NOON)
    assert (len(ledger.grants), ledger.rest.remaining, ledger.available) == (1, 999, 1_000)
    assert ledger.credit_level == CreditLevel(left=mc(1_000), plan_given=mc(0), others_left=mc(1_000))
    shown = balance_summary(ledger)
    assert (shown.available, shown.buckets[2].granted, shown.buckets[2].remaining) == (1_000, 1_000, 1_000)


def test_a_charge_is_drawn_on_as_many_as_it_needs() -> None:
    """In their order; those behind stay as they are, and what is counted of them follows."""
    central = Central(account(), grants=many(1_000))
    central.exchange(message(1, need=10), MORNING)
    told = message(2, charge("c", part(7, NOON, opened=MORNING), excess=5), leases=[report(MORNING, 10)])
    assert len(central.ledger(NOON, told.charges).grants) == 12
    central.exchange(told, NOON)
    assert central.drawn("c") == [(f"g{number:04}", 1) for number in range(12)]
    assert (central.balance, central.available(NOON)) == (988, 988 - 3)


def test_a_refund_far_down_the_order_is_counted_once() -> None:
    """What it gives back to is looked at, though the grants before it are not."""
    central = Central(account(), grants=[*many(3), grant("z", 5)])
    central.exchange(message(1, need=8), MORNING)
    central.exchange(message(2, charge("c", part(8, NOON, opened=MORNING)), leases=[report(MORNING, 8)]), NOON)
    for each in many(20, begins=NOON, prefix="h"):
        central.give(each, NOON)
    ledger = central.ledger(NOON, refunded=list(central.charges))
    assert set(ledger.grants) >= {"z", "g0000"}
    assert ledger.available == 20


def test_credit_that_ended_lapses_however_much_it_is() -> None:
    """All of it, in one go, and no more."""
    ending = [grant(f"e{number:04}", 1, ends=at("11 00:00")) for number in range(50)]
    central = Central(account(), grants=[*ending, *many(50)])
    central.touch(Instant(at("11 00:00") + MINUTE))
    assert (central.balance, central.available(at("11 01:00"))) == (50, 50)


def test_drawing_past_what_is_known_is_an_error() -> None:
    """A decision that nobody loaded enough for stops, rather than that it calls credit spent that is there."""
    contents = Contents(
        account(), balance=mc(10), grants=(grant("g", 4),), rest=Central(account(), grants=many(6)).ledger(NOON).rest
    )
    with pytest.raises(AssertionError, match="what may be drawn is loaded"):
        post(Ledger(contents, NOON), charge("c", excess=8, committed=NOON), HERE)


def test_a_day_later_nothing_else_is_looked_at() -> None:
    """What begins later is no part of the rest until it begins."""
    central = Central(account(), grants=[*many(5), *many(5, begins=Instant(NOON + DAY), prefix="later")])
    assert (central.ledger(NOON).available, central.ledger(Instant(NOON + DAY)).available) == (5, 10)
