"""Exchanges: what a message means to the central store, what an answer means to a book, and that both mean it only once."""

import pytest

from creditmeter.core.credit.accounts import Account, AccountState
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.messages import Answer, Message, Need
from creditmeter.core.credit.requests import ChargeNow, Receipt
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import RequestId, SidecarId
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant, Span
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.composing import (
    MAX_CHARGES_PER_MESSAGE,
    Envelope,
    accept,
    compose,
    has_idle,
    has_unfinished,
)
from creditmeter.core.metering.offline import with_later_resets
from creditmeter.core.settlement.answering import answer
from creditmeter.core.settlement.balance_summary import balance_summary
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.values import replace
from tests.core.builders import (
    ACCOUNT,
    ALWAYS,
    ELSEWHERE,
    HERE,
    Central,
    account,
    at,
    book,
    charge,
    clocks,
    daily,
    grant,
    lease,
    mc,
    message,
    monthly,
    part,
    plan,
    refund_of,
    report,
    reservation,
)

MORNING, NOON, EVENING = at("10 09:00"), at("10 12:00"), at("10 18:00")
MIDNIGHT, NEXT_DAY = at("11 00:00"), at("11 09:00")


def central_with(amount: int, of: Account | None = None) -> Central:
    """A central store with one grant of this amount."""
    return Central(of or account(), grants=[grant("g", amount)])


def send(central: Central, sent: Message, now: Instant = MORNING) -> Answer:
    """Send a message that is answered."""
    replied = central.exchange(sent, now)
    assert replied is not None
    return replied


# Needs.


@pytest.mark.parametrize(
    ("free", "required", "wanted", "smallest", "granted", "short"),
    [
        (10, 4, 4, 4, 4, 0),
        (10, 10, 10, 10, 10, 0),
        (10, 11, 11, 11, 0, 11),
        (10, 11, 11, 1, 10, 1),
        (10, 11, 11, 10, 10, 1),
        (10, 4, 40, 4, 5, 0),
        (10, 6, 40, 6, 6, 0),
        (10, 0, 40, 0, 5, 0),
        (10, 0, 3, 0, 3, 0),
        (0, 1, 9, 1, 0, 1),
    ],
)
def test_a_need_is_met_or_not(free: int, required: int, wanted: int, smallest: int, granted: int, short: int) -> None:
    """What is required, if any of it is of use; of what is merely wanted no more than half of what there is."""
    sent = replace(message(1), need=Need(mc(required), mc(wanted), mc(smallest)))
    replied = send(central_with(free) if free else Central(account()), sent)
    assert (replied.granted, replied.short, replied.free) == (granted, short, free - granted)


def test_a_lease_is_the_days() -> None:
    """One for each sidecar and day, grown by further needs, ending at the day's midnight."""
    central = central_with(30)
    send(central, message(1, need=5))
    second = send(central, message(2, leases=[report(MORNING, 5, held=5)], need=3), NOON)
    send(central, message(1, need=4, sidecar_id=ELSEWHERE), NOON)
    third = send(central, message(3, leases=[report(MORNING, 8, held=8)], need=2), NEXT_DAY)
    assert [(each.opened_at, each.ends_at, each.limit) for each in second.leases] == [(MORNING, MIDNIGHT, 8)]
    assert [(each.opened_at, each.ends_at, each.limit) for each in third.leases] == [
        (MORNING, MIDNIGHT, 8),
        (NEXT_DAY, at("12 00:00"), 2),
    ]
    assert central.lease(NOON, ELSEWHERE).limit == 4


def test_a_lease_has_no_more_in_all_than_can_be_stored() -> None:
    """What is spent and given again makes its total grow; where that has no room, another lease is opened beside it."""
    large = 4 * 10**18
    central = Central(account())
    for number, moment in enumerate((MORNING, NOON, EVENING)):
        central.give(grant(f"g{number}", large), moment)
        opened = max((each.opened_at for each in central.leases.values()), default=moment)
        limit = central.lease(opened).limit if central.leases else 0
        known = [report(opened, limit)] if central.leases else []
        granted = send(central, message(2 * number + 1, leases=known, need=large), moment).leases[-1]
        spent = charge(f"c{number}", part(large, moment, opened=granted.opened_at), committed=moment)
        send(central, message(2 * number + 2, spent, leases=[report(granted.opened_at, granted.limit)]), moment)
    assert [each.limit for each in central.leases.values()] == [2 * large, large]
    assert all(central.posting(f"c{number}").covered == large for number in range(3))


@pytest.mark.parametrize("state", [AccountState.SUSPENDED, AccountState.CLOSED])
def test_an_account_that_is_not_active_is_leased_nothing(state: AccountState) -> None:
    """The sidecar is told the state; what it has still to post is taken."""
    central = central_with(10)
    send(central, message(1, need=6))
    central.account = account(state=state)
    sent = message(2, charge("c1", part(4, MORNING)), leases=[report(MORNING, 6)], need=2)
    replied = send(central, sent, NOON)
    assert (replied.granted, replied.short, replied.account.state) == (0, 2, state)
    assert central.posting("c1").covered == 4


def test_excess_and_debt_come_before_a_new_lease() -> None:
    """The message's own excess is drawn, and its debt repaid, before anything is leased."""
    central = Central(account(overdraft_limit=9), grants=[grant("g", 10)])
    replied = send(central, message(1, charge("c1", excess=7, committed=MORNING), need=5))
    assert (replied.granted, replied.free) == (0, 3)
    central.post(charge("c2", excess=8, committed=NOON), NOON)
    refunded = refund_of("c1", 7, when=NOON)
    replied = send(central, message(2, refunds=[refunded], need=2), NOON)
    assert (central.posting("c2").debt, replied.granted, replied.free) == (0, 2, 0)


# What a message says of leases.


def test_what_is_given_back_is_free() -> None:
    """The report's limit is what the sidecar keeps."""
    central = central_with(10)
    send(central, message(1, need=8))
    send(central, message(2, leases=[report(MORNING, 3, held=2, unposted=1)]), NOON)
    it = central.lease(MORNING)
    assert (it.limit, it.held, it.unposted, it.idle, it.renewed_at) == (3, 2, 1, 0, NOON)
    assert central.available(NOON) == 7


def test_a_sidecar_cannot_raise_its_limit() -> None:
    """Nor lower it below what was posted."""
    central = central_with(10)
    send(central, message(1, need=5))
    send(central, message(2, charge("c1", part(3, MORNING)), leases=[report(MORNING, 9)]))
    assert (central.lease(MORNING).limit, central.lease(MORNING).posted) == (5, 3)
    send(central, message(3, leases=[report(MORNING, 1)]))
    assert (central.lease(MORNING).limit, central.lease(MORNING).out) == (3, 0)


def test_a_lease_that_is_not_named_is_given_back() -> None:
    """A message names all that the sidecar has; the others' leases stay as they are."""
    central = central_with(10)
    send(central, message(1, need=5))
    send(central, message(1, need=4, sidecar_id=ELSEWHERE))
    send(central, message(2))
    assert (central.lease(MORNING).out, central.lease(MORNING, ELSEWHERE).out) == (0, 4)
    assert central.available(MORNING) == 6


def test_what_a_lost_answer_brought_is_taken_back() -> None:
    """The sidecar does not know that its limit was raised, says the old one, and is given what it asks for now."""
    central = central_with(20)
    send(central, message(1, need=5))
    send(central, message(2, leases=[report(MORNING, 5)], need=6))
    replied = send(central, message(3, leases=[report(MORNING, 5)], need=4))
    assert [each.limit for each in replied.leases] == [9]
    assert central.available(MORNING) == 11


@pytest.mark.parametrize(
    ("refunded_at", "drawn", "left"),
    [
        (at("10 10:00"), ("daily-2026-03-10", 6), [4, 20]),
        (NOON, ("monthly-2026-03-01", 6), [10, 14]),
        (at("10 15:00"), ("monthly-2026-03-01", 6), [10, 14]),
    ],
)
def test_what_a_refund_brought_back_is_there_for_later_charges(
    refunded_at: Instant, drawn: tuple[str, int], left: list[int]
) -> None:
    """Also if all of it is posted together, in whatever order the message has it: by the times at which it was decided."""
    central = Central(account(), grants=[daily(10, 10), monthly(20)])
    send(central, message(1, need=16))
    early, late = charge("c1", part(10, MORNING)), charge("c2", part(6, NOON, opened=MORNING))
    sent = message(2, late, early, leases=[report(MORNING, 16)], refunds=[refund_of("c1", 10, when=refunded_at)])
    send(central, sent, EVENING)
    assert central.drawn("c2") == [drawn]
    assert list(central.remaining().values()) == left


def _messages() -> list[Message]:
    first = charge("c1", part(4, MORNING), excess=1)
    duplicate = charge("c2", part(2, MORNING), request="c1/charge")
    return [
        message(2, leases=[report(MORNING, 8)]),
        message(2, leases=[report(MORNING, 8)], need=5),
        message(2, leases=[report(MORNING, 2, held=1)], need=5),
        message(2, need=5),
        message(2, first, leases=[report(MORNING, 8)], refunds=[refund_of("c1", 3, when=NOON)], need=5),
        message(2, first, duplicate, leases=[report(MORNING, 8)]),
    ]


@pytest.mark.parametrize("sent", _messages())
@pytest.mark.parametrize("now", [NOON, NEXT_DAY])
def test_a_message_means_the_same_if_it_is_applied_again(sent: Message, now: Instant) -> None:
    """By its content alone, even if nobody had counted it: totals, not differences."""
    central = central_with(30)
    send(central, message(1, need=8))
    first = send(central, sent, now)
    after = (central.remaining(), central.lines(), dict(central.leases))
    again = send(central, replace(sent, seq=3), now)
    assert (central.remaining(), central.lines(), dict(central.leases)) == after
    assert replace(again, seq=2) == first


def test_a_message_is_applied_once_and_in_order() -> None:
    """Repeated it gets its stored answer; an older one, or one of an earlier start, has no effect."""
    central = central_with(20)
    first = send(central, message(1, need=5))
    second = send(central, message(2, leases=[report(MORNING, 5)], need=5))
    before = dict(central.leases)
    assert central.exchange(message(2, leases=[report(MORNING, 5)], need=5), NEXT_DAY) == second
    assert central.exchange(message(1, need=5), NOON) is None
    assert first.leases[0].limit == 5
    central.register(HERE)
    assert central.exchange(message(9, need=5), NOON) is None
    assert dict(central.leases) == before


# The end of a day.


def test_a_lease_closes_when_its_day_has_ended_and_nothing_is_out() -> None:
    """Not before the day has ended, and not while something is held or unposted."""
    central = central_with(10)
    send(central, message(1, need=5))
    send(central, message(2, leases=[report(MORNING, 0)]), EVENING)
    assert not central.lease(MORNING).closed
    send(central, message(3, need=5), EVENING)
    send(central, message(4, leases=[report(MORNING, 5, held=5)]), MIDNIGHT)
    assert not central.lease(MORNING).closed
    replied = send(central, message(5, leases=[report(MORNING, 0)]), NEXT_DAY)
    assert central.lease(MORNING).closed
    assert replied.leases == ()


def test_a_sidecar_that_has_nothing_more_to_say_holds_nothing_up() -> None:
    """Its lease of an ended day, with nothing out, closes with anybody's message, and the day's credit lapses."""
    central = Central(account(), grants=[daily(10, 5)])
    send(central, message(1, need=5))
    send(central, message(2, charge("c1", part(3, MORNING)), leases=[report(MORNING, 3)]))
    send(central, message(1, sidecar_id=ELSEWHERE), NEXT_DAY)
    assert central.lease(MORNING).closed
    assert central.lines()[-1] == (EntryType.LAPSED, -2)


def test_what_is_out_on_an_ended_day_keeps_its_lease_and_its_grants() -> None:
    """However many days go by; the charge that comes then is covered, and what it leaves lapses."""
    central = Central(account(), grants=[daily(10, 5), grant("g", 9)])
    send(central, message(1, need=5))
    for day in ("11", "12", "13"):
        send(central, message(1, sidecar_id=SidecarId(f"s{day}")), at(f"{day} 09:00"))
    assert central.remaining() == {"daily-2026-03-10": 5, "g": 9}
    send(central, message(2, charge("c1", part(4, MORNING)), leases=[report(MORNING, 4)]), at("13 10:00"))
    assert central.drawn("c1") == [("daily-2026-03-10", 4)]
    assert central.remaining() == {"daily-2026-03-10": 0, "g": 9}


# What the answer says.


def test_what_is_idle_elsewhere_is_told() -> None:
    """As much as would be free if it returned: not what is held there, not what this sidecar has."""
    central = central_with(20)
    send(central, message(1, need=6, sidecar_id=ELSEWHERE))
    send(central, message(2, leases=[report(MORNING, 6, held=2, sidecar_id=ELSEWHERE)], sidecar_id=ELSEWHERE))
    replied = send(central, message(1, need=14))
    assert (replied.granted, replied.free, replied.elsewhere) == (14, 0, 4)


def test_what_is_idle_elsewhere_on_an_ended_day_is_told_if_it_helps() -> None:
    """Permanent credit leased yesterday comes back to today; yesterday's daily credit does not."""
    cases = (([grant("g", 6)], 6), ([daily(10, 4), grant("g", 2)], 2), ([daily(10, 6)], 0))
    for grants, expected in cases:
        central = Central(account(), grants=grants)
        send(central, message(1, need=6, sidecar_id=ELSEWHERE))
        replied = send(central, message(1, need=1), NEXT_DAY)
        assert (replied.granted, replied.elsewhere) == (0, expected)


def test_a_standing_counts_idle_credit_as_available() -> None:
    """Wherever it is; what is held and unposted is not, and debt is taken off."""
    central = central_with(20)
    send(central, message(1, need=8))
    send(central, message(2, leases=[report(MORNING, 8, held=3, unposted=1)]))
    it = balance_summary(central.ledger(MORNING), max_grants=1)
    assert (it.available, it.held, it.unposted, it.leased, it.debt) == (16, 3, 1, 8, 0)
    assert [each.grant_id for each in it.grants] == ["g"]
    owing = Central(account(overdraft_limit=5))
    owing.post(charge("c1", excess=4, committed=MORNING), MORNING)
    assert (balance_summary(owing.ledger(MORNING)).available, balance_summary(owing.ledger(MORNING)).debt) == (0, 4)


def test_a_standing_shows_the_buckets() -> None:
    """What was granted and is left of each kind, and when the plan refills it."""
    central = Central(account(plan_id="p"), plan("p", 5, 20), grants=[grant("g", 10), grant("soon", 9, begins=EVENING)])
    send(central, message(1, charge("c1", excess=7, committed=MORNING)))
    it = balance_summary(central.ledger(MORNING))
    assert [(each.kind, each.granted, each.remaining, each.next_reset_at) for each in it.buckets] == [
        (GrantKind.DAILY, 5, 0, MIDNIGHT),
        (GrantKind.MONTHLY, 20, 18, at("31 00:00") + DAY),
        (GrantKind.PERMANENT, 10, 10, None),
    ]
    assert it.next_reset_at == MIDNIGHT


APRIL = Instant(at("31 00:00") + DAY)


@pytest.mark.parametrize("state", AccountState)
@pytest.mark.parametrize(
    ("daily_credit", "monthly_credit", "resets"),
    [(5, 20, (MIDNIGHT, APRIL)), (5, 0, (MIDNIGHT, None)), (0, 20, (None, APRIL)), (0, 0, (None, None)), (-1, 0, (None, None))],
)
def test_a_reset_is_when_the_plan_next_gives_credit_of_the_kind(
    daily_credit: int, monthly_credit: int, resets: tuple[Instant | None, Instant | None], state: AccountState
) -> None:
    """None for a kind that the plan does not give, none without a plan (-1 here), whatever other grants there are."""
    plans = () if daily_credit < 0 else (plan("p", daily_credit, monthly_credit),)
    central = Central(account(plan_id="p" if plans else None, state=state), *plans, grants=[daily(10, 4), grant("g", 10)])
    it = balance_summary(central.ledger(MORNING))
    assert tuple(each.next_reset_at for each in it.buckets) == (*resets, None)
    assert it.next_reset_at == min((each for each in resets if each is not None), default=None)


@pytest.mark.parametrize(
    ("before", "after", "resets"),
    [((5, 0), (0, 20), (None, APRIL)), ((0, 20), (5, 0), (MIDNIGHT, None)), ((5, 20), (0, 0), (None, None))],
)
def test_a_reset_goes_by_what_the_plan_gives_then(
    before: tuple[int, int], after: tuple[int, int], resets: tuple[Instant | None, Instant | None]
) -> None:
    """A plan that was changed counts from the coming period on: what it gives in the running one is no reset."""
    central = Central(account(plan_id="p"), plan("p", *before))
    central.touch(MORNING)
    central.put_plan(plan("p", *after), NOON)
    shown = balance_summary(central.ledger(EVENING)).buckets
    assert tuple(each.next_reset_at for each in shown) == (*resets, None)


@pytest.mark.parametrize(
    ("later", "resets"),
    [
        (EVENING, (MIDNIGHT, APRIL)),
        (MIDNIGHT, (Instant(MIDNIGHT + DAY), APRIL)),
        (Instant(APRIL + 9 * HOUR), (Instant(APRIL + DAY), Instant(APRIL + 30 * DAY))),
    ],
)
def test_an_older_standing_names_no_reset_that_is_over(later: Instant, resets: tuple[Instant, Instant]) -> None:
    """It says what comes next by the calendar that it knows."""
    central = Central(account(plan_id="p"), plan("p", 5, 20))
    shown = with_later_resets(balance_summary(central.ledger(MORNING)), Calendar(), later)
    assert tuple(each.next_reset_at for each in shown.buckets) == (*resets, None)


# The sidecar's side: composing a message.

FIRST = Envelope(HERE, 1, 1)


def test_a_message_states_totals() -> None:
    """What is held, and what is committed and does not go along; it is for all leases with anything left to say."""
    held = reservation("r1", (part(3, MORNING),), created=MORNING, expires=EVENING)
    it = book(lease(MORNING, 10, spent=2), reservations=[held])
    it.apply(Change(ACCOUNT, charges=(charge("c1", part(2, MORNING)),)))
    sent, change = compose(it, FIRST, NOON, None, give_back=False)
    assert sent.leases == (report(MORNING, 10, held=3, unposted=0),)
    assert [(each.charge_id, each.sent) for each in sent.charges] == [("c1", True)]
    assert change == Change(ACCOUNT, charges=sent.charges)


@pytest.mark.parametrize(
    ("now", "give_back", "limit"),
    [(NOON, False, 10), (NOON, True, 5), (Instant(MIDNIGHT - 1), False, 10), (MIDNIGHT, False, 5)],
)
def test_idle_credit_goes_back_when_asked_or_when_the_day_has_ended(now: Instant, give_back: bool, limit: int) -> None:
    """What goes back may not be used from then on, whatever becomes of the message."""
    held = reservation("r1", (part(3, MORNING),), created=MORNING, expires=EVENING)
    it = book(lease(MORNING, 10, spent=2), reservations=[held])
    sent, change = compose(it, FIRST, now, None, give_back=give_back)
    it.apply(change)
    assert sent.leases[0].limit == limit
    assert (it.idle(clocks(NOON)), has_idle(it)) == (limit - 5, limit > 5)
    assert bool(change) is (limit == 5)


def test_a_lease_with_nothing_left_to_say_is_not_named() -> None:
    """Its day has ended and all that was spent on it is posted."""
    it = book(lease(MORNING, 4, spent=4))
    assert compose(it, FIRST, EVENING, None, give_back=False)[0].leases == (report(MORNING, 4),)
    assert compose(it, FIRST, MIDNIGHT, None, give_back=False)[0].leases == ()
    it.apply(Change(ACCOUNT, charges=(charge("c1", part(4, MORNING)),)))
    assert compose(it, FIRST, MIDNIGHT, None, give_back=False)[0].leases == (report(MORNING, 4),)


def test_a_message_is_bounded() -> None:
    """The oldest charges go first; the others are stated as unposted, and their refunds wait with them."""
    count = MAX_CHARGES_PER_MESSAGE + 2
    it = book(lease(MORNING, 2 * count, spent=2 * count))
    charges = tuple(charge(f"c{number}", part(2, MORNING)) for number in range(count))
    early = refund_of("c0", 1, name="early", when=NOON)
    late = refund_of(f"c{count - 1}", 1, name="late", when=NOON)
    it.apply(Change(ACCOUNT, charges=charges, refunds=(late, early)))
    sent, _ = compose(it, FIRST, NOON, None, give_back=False)
    assert [each.charge_id for each in sent.charges] == [each.charge_id for each in charges[:MAX_CHARGES_PER_MESSAGE]]
    assert sent.leases[0].unposted == 4
    assert sent.refunds == (early,)


# The sidecar's side: accepting an answer.


def test_an_answer_renews_posts_and_grants() -> None:
    """The lease is as the central store has it, with what was spent meanwhile; charges and refunds are posted."""
    central = central_with(30)
    it = book()
    sent, change = compose(it, FIRST, MORNING, Need(mc(8), mc(8), mc(8)), give_back=False)
    it.apply(change + accept(it, sent, send(central, sent), Span(100)))
    assert it.idle(clocks(MORNING, 99)) == 8
    assert it.idle(clocks(MORNING, 100)) == 0
    paid = charge("c1", part(5, MORNING))
    spent = replace(lease(MORNING, 8, spent=5), trusted_until=Span(100))
    it.apply(Change(ACCOUNT, charges=(paid,), leases=(spent,), refunds=(refund_of("c1", 2, when=MORNING),)))
    sent, change = compose(it, Envelope(HERE, 1, 2), NOON, Need(mc(4), mc(4), mc(4)), give_back=False)
    it.apply(change)
    while_under_way = charge("c2", part(3, NOON))
    it.apply(Change(ACCOUNT, charges=(while_under_way,), leases=(replace(spent, spent=mc(8)),)))
    it.apply(accept(it, sent, send(central, sent, NOON), Span(200)))
    known = it.leases[spent.lease_id]
    assert (known.limit, known.spent, known.trusted_until) == (12, 8, 200)
    assert it.charges[paid.charge_id].posting == central.posting("c1")
    assert [each.posting.restored for each in it.refunds.values() if each.posting] == [2]
    assert list(it.unposted_charges) == [while_under_way]
    assert it.has_unposted


def test_a_lease_that_the_sidecar_does_not_know_has_only_what_was_posted_spent() -> None:
    """It was forgotten here, or the answer that brought it was lost: what was posted on it cannot be used again."""
    central = central_with(30)
    send(central, message(1, need=8))
    send(central, message(2, charge("c1", part(5, MORNING)), leases=[report(MORNING, 8)]))
    it = book()
    sent, _ = compose(it, Envelope(HERE, 1, 3), NOON, Need(mc(4), mc(4), mc(4)), give_back=False)
    it.apply(accept(it, sent, send(central, sent, NOON), ALWAYS))
    known = it.leases[central.lease(MORNING).lease_id]
    assert (known.limit, known.spent, it.idle(clocks(NOON))) == (9, 5, 4)


def test_the_central_stores_word_on_a_limit_is_the_last() -> None:
    """A book that believes in more than was leased to it believes so no longer."""
    central = central_with(30)
    send(central, message(1, need=5))
    it = book(lease(MORNING, 9))
    sent, _ = compose(it, Envelope(HERE, 1, 2), NOON, None, give_back=False)
    it.apply(accept(it, sent, send(central, sent, NOON), ALWAYS))
    assert it.idle(clocks(NOON)) == 5


def test_a_sidecar_that_restarts_says_everything_again() -> None:
    """The answer was lost: nothing is charged twice, the credit it does not know of returns, and work goes on."""
    central = central_with(30)
    it = book(of=account())
    first, change = compose(it, FIRST, MORNING, Need(mc(8), mc(8), mc(8)), give_back=False)
    it.apply(change + accept(it, first, send(central, first), ALWAYS))
    paid = charge("c1", part(5, MORNING))
    it.apply(Change(ACCOUNT, charges=(paid,), leases=(lease(MORNING, 8, spent=5),)))
    lost, change = compose(it, Envelope(HERE, 1, 2), NOON, Need(mc(9), mc(9), mc(9)), give_back=False)
    it.apply(change)
    send(central, lost, NOON)
    it.distrust_leases()
    assert it.idle(clocks(NOON)) == 0
    epoch = central.register(HERE)
    again, change = compose(it, Envelope(HERE, epoch, 1), NOON, None, give_back=False)
    it.apply(change + accept(it, again, send(central, again, NOON), ALWAYS))
    assert central.exchange(lost, NOON) is None
    assert (it.idle(clocks(NOON)), central.available(NOON), central.remaining()) == (3, 22, {"g": 25})


@pytest.mark.parametrize(
    ("what", "change", "now", "expected"),
    [
        ("nothing", Change(ACCOUNT), NOON, False),
        ("idle credit of today", Change(ACCOUNT, leases=(lease(MORNING, 5),)), NOON, False),
        ("idle credit at the day's end", Change(ACCOUNT, leases=(lease(MORNING, 5),)), MIDNIGHT, True),
        ("a used up lease of an ended day", Change(ACCOUNT, leases=(lease(MORNING, 5, spent=5),)), NEXT_DAY, False),
        ("a charge", Change(ACCOUNT, charges=(charge("c1", excess=1, committed=MORNING),)), NOON, True),
        ("a free charge", Change(ACCOUNT, charges=(charge("c1", excess=0, committed=MORNING),)), NOON, True),
        ("a refund", Change(ACCOUNT, refunds=(refund_of("c1", 1, when=MORNING),)), NOON, True),
    ],
)
def test_what_the_central_store_should_hear_of(what: str, change: Change, now: Instant, expected: bool) -> None:
    """Also if nobody uses the account any more."""
    it = book()
    it.apply(change)
    assert has_unfinished(it, now) is expected, what


# What leaves a book.


def _posted(made: Charge) -> Charge:
    central = central_with(30)
    return central.post(made, MORNING)


def _ended(of: Charge) -> Reservation:
    made = reservation("r1", (), created=MORNING, expires=MORNING, state=ReservationState.COMMITTED)
    return replace(made, ended_at=MORNING, charge_ids=(of.charge_id,))


def test_what_has_ended_leaves_a_book_once_it_is_on_disk() -> None:
    """Reservation and receipt with the commit, the charge once it is posted, a lease when its day is over."""
    it = book(lease(MORNING, 5, spent=5))
    unposted = charge("c1", excess=1, committed=MORNING)
    ended = _ended(unposted)
    receipt = Receipt(ChargeNow(RequestId("c1/request"), ACCOUNT), ended, unposted)
    committed = Change(ACCOUNT, reservations=(ended,), charges=(unposted,), receipts=(receipt,))
    it.apply(committed)
    it.let_go(committed)
    assert (len(it.reservations), len(it.receipts), list(it.unposted_charges)) == (0, 0, [unposted])
    posted = Change(ACCOUNT, charges=(_posted(unposted),))
    it.apply(posted)
    it.let_go(posted)
    assert not it.charges
    it.drop_ended_leases(EVENING)
    assert len(it.leases) == 1
    it.drop_ended_leases(Instant(MIDNIGHT + HOUR))
    assert not it.leases
    assert it.has_nothing_but_its_account


def test_what_changed_again_before_it_was_on_disk_stays() -> None:
    """An older version that reaches the disk drops nothing that is newer."""
    it = book()
    late = _ended(charge("c1", excess=1, committed=MORNING))
    expired = replace(late, state=ReservationState.EXPIRED, charge_ids=())
    it.apply(Change(ACCOUNT, reservations=(expired,)))
    it.apply(Change(ACCOUNT, reservations=(late,)))
    it.let_go(Change(ACCOUNT, reservations=(expired,)))
    assert list(it.reservations.values()) == [late]


@pytest.mark.parametrize(
    ("what", "keep"),
    [
        ("an open reservation", Change(ACCOUNT, reservations=(reservation("r1", (), created=MORNING, expires=EVENING),))),
        ("a charge that waits", Change(ACCOUNT, charges=(charge("c1", excess=1, committed=MORNING),))),
        ("a refund that waits", Change(ACCOUNT, refunds=(refund_of("c1", 1, when=MORNING),))),
        ("a lease with something on it", Change(ACCOUNT, leases=(lease(at("08 09:00"), 5, spent=4),))),
        (
            "a lease with something to post",
            Change(ACCOUNT, leases=(lease(at("08 09:00"), 5, spent=5),), charges=(charge("c1", part(5, at("08 09:00"))),)),
        ),
    ],
)
def test_a_book_keeps_what_may_still_change(what: str, keep: Change) -> None:
    """However old it is, and although it is on disk."""
    it = book()
    it.apply(keep)
    before = it.live
    it.let_go(keep)
    it.drop_ended_leases(EVENING)
    assert it.live == before, what
    assert not it.has_nothing_but_its_account


def test_the_ledger_is_left_alone_by_a_preview() -> None:
    """Answering decides on a ledger in memory: nothing is kept unless it is saved."""
    central = central_with(10)
    ledger = central.ledger(MORNING)
    assert isinstance(ledger, Ledger)
    assert answer(ledger, message(1, need=5), Span(0)).granted == 5
    assert (central.available(MORNING), central.lines()) == (10, [(EntryType.GRANTED, 10)])
    assert central.ledger(Instant(MORNING + MINUTE)).available == 10
