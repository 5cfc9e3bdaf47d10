"""Recalls: who waits for credit that others may have idle, who is asked for it, and when it is known that no more comes."""

import pytest

from creditmeter.core.amounts import MAX_BALANCE, Microcredits
from creditmeter.core.awaited import Awaited
from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.grants import Grant
from creditmeter.core.credit.messages import REPEAT_GRACE
from creditmeter.core.instants import DAY, MINUTE, SECOND, Instant, Span
from creditmeter.core.settlement.answering import SKEW_MARGIN
from creditmeter.core.settlement.recalling import LEAST_PATIENCE, MAX_AWAITED, recall_everything
from creditmeter.core.settlement.recalls import CENTRAL_STORE, Purpose
from creditmeter.core.values import replace
from tests.core.builders import Central, account, at, daily, grant
from tests.core.peers import PATIENCE, Peer, central_with, need, outcome, sidecars

MORNING = at("10 09:00")
NEXT_DAY = at("11 09:00")
TRUSTED = Span(10 * MINUTE + SKEW_MARGIN)
"""How long after its message a sidecar is trusted to authorise."""


def later(moment: Instant, span: int) -> Instant:
    """A moment so many microseconds after another."""
    return Instant(moment + span)


# Who is asked, and whether more may come.


@pytest.mark.parametrize(
    ("what", "held", "unposted", "keeps", "required", "pending"),
    [
        ("what it has idle is enough", 0, 0, True, 10, True),
        ("what it has idle is not enough", 0, 0, True, 11, False),
        ("all is held, and may have been let go since", 6, 0, False, 10, True),
        ("all waits to be posted", 0, 6, False, 5, False),
        ("what is not waiting to be posted is enough", 3, 3, False, 7, True),
        ("what is not waiting to be posted is not enough", 3, 3, False, 8, False),
        ("nothing is out", 0, 0, False, 11, False),
    ],
)
def test_others_are_asked_if_what_they_may_have_is_enough(
    what: str, held: int, unposted: int, keeps: bool, required: int, pending: bool
) -> None:
    """6 of 10 are leased: a need that they can still meet waits, and they are notified; any other is refused for good."""
    central = central_with(10)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(6))
    holder.exchange(MORNING, held=held, unposted=unposted, keeps=keeps)
    answered = asker.exchange(MORNING, asks=need(required))
    assert outcome(answered) == (0, required, pending), what
    assert (asker.recall() is not None, holder.is_notified()) == (pending, pending)


def test_a_recall_says_who_waits_for_what() -> None:
    """Its deadline is the asker's patience from now; awaited are all who have credit out, beside the asker."""
    central = central_with(20)
    asker, *holders, bystander = sidecars(central, "abcd")
    for each in (asker, *holders):
        each.exchange(MORNING, asks=need(5))
    bystander.exchange(MORNING)
    now = later(MORNING, MINUTE)
    asker.exchange(now, asks=need(9, smallest=6), keeps=True)
    recall = asker.recall()
    assert recall is not None
    assert (recall.amount, recall.smallest, recall.number, recall.is_ready) == (9, 6, 1, False)
    assert (recall.asked_at, recall.deadline) == (now, now + PATIENCE)
    assert recall.awaited == ("b", "c")
    assert central.notified == {"b", "c"}


@pytest.mark.parametrize(
    ("silent_for", "held", "pending"),
    [
        (TRUSTED - 1, 6, True),
        (TRUSTED, 6, False),
        (TRUSTED, 5, True),
        (10 * TRUSTED, 5, True),
    ],
)
def test_what_a_silent_sidecar_held_is_held(silent_for: int, held: int, pending: bool) -> None:
    """Once it can authorise nothing more it is not waited for; what it had idle at its last report still counts."""
    central = central_with(10)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(6))
    holder.exchange(MORNING, held=held, keeps=True)
    answered = asker.exchange(later(MORNING, silent_for), asks=need(5))
    assert outcome(answered) == (0, 5, pending)


def test_who_can_have_nothing_idle_is_not_awaited() -> None:
    """All it has waits to be posted, or it held all of it and is silent for too long; the one that is asked is enough."""
    central = central_with(12)
    silent, posting, holder, asker = sidecars(central, "abcd")
    silent.exchange(MORNING, asks=need(3))
    silent.exchange(MORNING, held=3)
    now = later(MORNING, TRUSTED)
    for each in (posting, holder):
        each.exchange(now, asks=need(3))
    posting.exchange(now, unposted=3)
    holder.exchange(now, held=3)
    asker.exchange(now, asks=need(5))
    recall = asker.recall()
    assert recall is not None
    assert recall.awaited == ("c",)
    assert central.notified == {"c"}


def test_a_sidecar_that_falls_silent_while_it_is_awaited_is_waited_for_no_longer() -> None:
    """The need is refused as soon as the silent one can authorise nothing more, whatever it held."""
    central = central_with(10)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(6))
    holder.exchange(MORNING, held=6)
    patient = need(5, patience=Span(2 * TRUSTED))
    assert outcome(asker.exchange(later(MORNING, TRUSTED - 1), asks=patient)) == (0, 5, True)
    assert outcome(asker.exchange(later(MORNING, TRUSTED), asks=patient)) == (0, 5, False)


def test_all_must_have_spoken_before_a_need_is_refused() -> None:
    """One by one they say that they hold everything; with the last word it is known that nothing more comes."""
    central = central_with(9)
    asker, *holders = sidecars(central, "abcd")
    for each in holders:
        each.exchange(MORNING, asks=need(3))
    assert outcome(asker.exchange(MORNING, asks=need(2))) == (0, 2, True)
    for number, each in enumerate(holders, start=1):
        each.exchange(MORNING, held=3)
        assert asker.is_notified() == (number == len(holders))
    assert outcome(asker.exchange(MORNING, asks=need(2))) == (0, 2, False)
    assert asker.recall() is None


def test_whoever_keeps_idle_credit_is_asked_again() -> None:
    """Its message may have been on the way when it was asked."""
    central = central_with(5)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(5))
    asker.exchange(MORNING, asks=need(3))
    holder.exchange(MORNING, held=1, keeps=True)
    assert (asker.is_notified(), holder.is_notified()) == (False, True)
    holder.exchange(MORNING, held=1)
    assert (asker.is_notified(), holder.is_notified()) == (True, False)
    assert outcome(asker.exchange(MORNING, asks=need(3))) == (3, 0, False)


def test_credit_leased_since_may_come_back_too() -> None:
    """Who was given credit before a need could be met is asked for it, and the need waits for the answer."""
    central = central_with(2)
    holder, first, second = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(2))
    first.exchange(MORNING, asks=need(2))
    second.exchange(MORNING, asks=need(2))
    holder.exchange(MORNING)
    assert (first.is_notified(), second.is_notified()) == (True, False)
    assert outcome(first.exchange(MORNING, asks=need(2))) == (2, 0, False)
    assert (first.is_notified(), second.is_notified()) == (True, False)
    first.exchange(MORNING, held=2)
    assert second.is_notified()
    assert outcome(second.exchange(MORNING, asks=need(2))) == (0, 2, False)


# Notifying those who wait.


def test_a_waiter_is_told_once_when_credit_has_come() -> None:
    """Not while what came is too little, and not again before it has sent a message."""
    central = central_with(9)
    asker, *holders = sidecars(central, "abcd")
    for each in holders:
        each.exchange(MORNING, asks=need(3))
    asker.exchange(MORNING, asks=need(5))
    notified = []
    for each in holders:
        each.exchange(MORNING)
        notified.append(asker.is_notified())
    assert notified == [False, True, False]
    assert outcome(asker.exchange(MORNING, asks=need(5))) == (5, 0, False)


def test_a_ready_recall_that_comes_to_nothing_waits_anew() -> None:
    """Credit that came went to one who came before; the waiter is notified again when more comes."""
    central = central_with(6)
    holder, first, second, last = sidecars(central, "abcd")
    holder.exchange(MORNING, asks=need(3))
    last.exchange(MORNING, asks=need(3))
    first.exchange(MORNING, asks=need(4))
    second.exchange(MORNING, asks=need(2))
    holder.exchange(MORNING)
    assert not second.is_notified(), "3 are promised to the first, who lacks 4"
    first.exchange(MORNING)
    assert second.is_notified(), "the first gave up"
    assert outcome(last.exchange(MORNING, held=1, asks=need(2))) == (2, 0, False), "what is not promised"
    assert not second.is_notified(), "it was notified already, and has to ask"
    assert outcome(second.exchange(MORNING, asks=need(2))) == (2, 0, False)


def test_a_grant_is_usable_while_everything_is_out() -> None:
    """It is leased at once, and a sidecar that waits for credit is notified."""
    central = central_with(5)
    asker, holder, other = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(5))
    asker.exchange(MORNING, asks=need(4))
    central.give(grant("small", 3, begins=MORNING), MORNING)
    assert not asker.is_notified()
    central.give(grant("more", 3, begins=MORNING), MORNING)
    assert asker.is_notified()
    assert outcome(other.exchange(MORNING, asks=need(2))) == (2, 0, False), "4 of 6 are promised"
    assert outcome(asker.exchange(MORNING, asks=need(4))) == (4, 0, False)


# What others get meanwhile.


def test_while_a_need_waits_refills_get_nothing() -> None:
    """Nor more than exactly what is required, of what is not promised."""
    cases = (
        ("nobody waits", False, need(0, wanted=30, smallest=0), 15),
        ("a refill", True, need(0, wanted=30, smallest=0), 0),
        ("nobody waits", False, need(3, wanted=30), 15),
        ("a need that wants more", True, need(3, wanted=30), 3),
        ("a need beyond what is not promised", True, need(19), 0),
        ("a part of what is not promised", True, need(19, smallest=1), 18),
    )
    for what, waits, asked, granted in cases:
        central = central_with(50)
        holder, waiter, other = sidecars(central, "abc")
        holder.exchange(MORNING, asks=need(40))
        if waits:
            waiter.exchange(MORNING, asks=need(12))
            holder.exchange(MORNING, held=20)
        else:
            holder.exchange(MORNING, held=20)
        assert other.exchange(MORNING, asks=asked).granted == granted, what


def test_the_waiter_itself_may_get_more_than_it_lacks() -> None:
    """When plenty has come back and nobody else waits."""
    central = central_with(50)
    holder, waiter = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(50))
    waiter.exchange(MORNING, asks=need(2, wanted=20))
    holder.exchange(MORNING)
    assert waiter.exchange(MORNING, asks=need(2, wanted=20)).granted == 20


# Kinds of needs.


def test_a_need_without_patience_stands_for_a_moment() -> None:
    """It is answered that more may come and from whom, and they are asked: it may be there when it is needed again."""
    central = central_with(5)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(5))
    impatient = need(3, patience=Span(0))
    answered = asker.exchange(MORNING, asks=impatient)
    assert outcome(answered) == (0, 3, True)
    assert [(each.sidecar_id, each.amount) for each in answered.awaited] == [("b", 5)]
    recall = asker.recall()
    assert recall is not None
    assert (recall.deadline, central.notified) == (later(MORNING, LEAST_PATIENCE), {"b"})
    holder.exchange(MORNING, held=5)
    assert asker.is_notified()
    assert outcome(asker.exchange(later(MORNING, SECOND), asks=impatient)) == (0, 3, False)
    assert asker.recall() is None


def test_a_need_without_patience_is_answered_when_it_is_repeated() -> None:
    """It lingers after its moment. An answer that comes then counts, and nobody is told of it."""
    central = central_with(5)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(5))
    impatient = need(3, patience=Span(0))
    asker.exchange(MORNING, asks=impatient)
    heard = later(MORNING, LEAST_PATIENCE)
    holder.exchange(heard, held=5)
    assert not asker.is_notified()
    assert outcome(asker.exchange(later(heard, REPEAT_GRACE - 1), asks=impatient)) == (0, 3, False)
    assert asker.recall() is None


def test_a_need_that_is_repeated_without_patience_stands_for_a_moment_anew() -> None:
    """It is told again who has not answered, and keeps its place."""
    central = central_with(5)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(5))
    impatient = need(3, patience=Span(0))
    asker.exchange(MORNING, asks=impatient)
    first = asker.recall()
    again = asker.exchange(later(MORNING, SECOND), asks=impatient)
    recall = asker.recall()
    assert first is not None
    assert recall == replace(first, deadline=later(MORNING, SECOND + LEAST_PATIENCE))
    assert (again.pending_for, [each.sidecar_id for each in again.awaited]) == (LEAST_PATIENCE, ["b"])


def test_an_answer_names_who_is_awaited_and_how_much_may_come_from_whom() -> None:
    """The one that may bring most first. One that answered is named no more, and what waits to be posted never comes."""
    central = central_with(20)
    asker, small, large = sidecars(central, "abc")
    small.exchange(MORNING, asks=need(8))
    small.exchange(MORNING, held=3, unposted=5, keeps=True)
    large.exchange(MORNING, asks=need(12))
    large.exchange(MORNING, held=12)
    trusted = later(MORNING, TRUSTED)
    assert asker.exchange(MORNING, asks=need(15)).awaited == (
        Awaited(large.sidecar_id, Microcredits(12), trusted),
        Awaited(small.sidecar_id, Microcredits(3), trusted),
    )
    small.exchange(MORNING, held=3, unposted=5)
    assert [each.sidecar_id for each in asker.exchange(MORNING, asks=need(12)).awaited] == ["c"]


def test_what_is_idle_is_waited_for_until_it_is_reclaimed() -> None:
    """Longer than what is held, which counts as held once its sidecar was silent for as long as its lease may be used."""
    central = central_with(5)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(5))
    (awaited,) = asker.exchange(MORNING, asks=need(3)).awaited
    assert awaited.until == max(each.reclaim_at for each in central.ledger(MORNING).leases.values())


def test_nobody_is_awaited_where_credit_is_only_promised_to_others() -> None:
    """The store has it; the need waits because another one came first."""
    central = central_with(10)
    holder, first, second = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(6))
    holder.exchange(MORNING, held=0, unposted=0)
    holder.exchange(MORNING, asks=need(10))
    first.exchange(MORNING, asks=need(6))
    assert [each.sidecar_id for each in second.exchange(MORNING, asks=need(3)).awaited] == ["a"]
    holder.exchange(MORNING)
    promised = second.exchange(MORNING, asks=need(5))
    assert (outcome(promised), promised.awaited) == ((0, 5, True), ())


def test_at_most_ten_are_named() -> None:
    """A fleet may be large, and the answer is stored."""
    central = central_with(24)
    asker, *holders = sidecars(central, "abcdefghijklm")
    for each in holders:
        each.exchange(MORNING, asks=need(2))
        each.exchange(MORNING, held=2)
    assert len(asker.exchange(MORNING, asks=need(20)).awaited) == MAX_AWAITED == 10


def test_a_need_of_which_a_part_is_of_use() -> None:
    """It gets what there is, waits for the rest, and is notified when more has come: with a part in hand any more may do."""
    central = central_with(10)
    asker, first, second = sidecars(central, "abc")
    for each in (first, second):
        each.exchange(MORNING, asks=need(3))
    assert outcome(asker.exchange(MORNING, asks=need(9, smallest=2))) == (4, 5, True)
    recall = asker.recall()
    assert recall is not None
    assert (recall.amount, recall.smallest) == (5, 1)
    first.exchange(MORNING, held=2)
    assert asker.is_notified()
    assert outcome(asker.exchange(MORNING, held=4, asks=need(5, smallest=2))) == (0, 5, True)
    second.exchange(MORNING, held=2)
    assert asker.is_notified()
    assert outcome(asker.exchange(MORNING, held=4, asks=need(5, smallest=2))) == (2, 3, False)


def test_what_is_left_of_a_part_counts_for_the_next() -> None:
    """Three requests of 10 wait; 14 are free, 8 idle elsewhere: with what the first leaves over they are enough for two."""
    central = central_with(22)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(8))
    assert outcome(asker.exchange(MORNING, asks=need(30, smallest=10))) == (14, 16, True)
    holder.exchange(MORNING)
    assert asker.is_notified()
    assert outcome(asker.exchange(MORNING, held=10, keeps=True, asks=need(16, smallest=6))) == (8, 8, False)


def test_a_message_of_before_it_was_told_does_not_answer_a_recall() -> None:
    """It was long on its way, or is sent again as it was: what it says is held may be idle since."""
    central = central_with(10)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(10))
    before = replace(holder.message(held=10), answers=False)
    assert outcome(asker.exchange(MORNING, asks=need(10))) == (0, 10, True)
    holder.send(before, MORNING)
    assert not asker.is_notified()
    holder.exchange(MORNING)
    assert outcome(asker.exchange(MORNING, asks=need(10))) == (10, 0, False)


def test_the_smallest_part_is_never_more_than_what_lacks() -> None:
    """Of two requests that wait, the one that can be served is; what is left is of use whatever the smallest was."""
    central = central_with(10)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(4))
    assert outcome(asker.exchange(MORNING, asks=need(8, smallest=7))) == (0, 8, True)
    recall = asker.recall()
    assert recall is not None
    assert (recall.amount, recall.smallest) == (8, 7)
    assert outcome(asker.exchange(MORNING, asks=need(6, smallest=7))) == (0, 6, True)
    recall = asker.recall()
    assert recall is not None
    assert (recall.amount, recall.smallest) == (6, 6)


@pytest.mark.parametrize("state", [AccountState.SUSPENDED, AccountState.CLOSED])
def test_a_suspended_account_waits_for_nothing(state: AccountState) -> None:
    """What it waited for is forgotten."""
    central = central_with(5)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(5))
    asker.exchange(MORNING, asks=need(3))
    central.account = replace(central.account, state=state)
    assert outcome(asker.exchange(MORNING, asks=need(3))) == (0, 3, False)
    assert asker.recall() is None


# A change of what is agreed with the account.


def changed(central: Central, now: Instant) -> None:
    """Something changes that every sidecar has to know."""
    ledger = central.ledger(now)
    recall_everything(ledger)
    central.save(ledger)


def test_all_who_may_authorise_are_told_of_a_change() -> None:
    """Each sends one message; it is dropped when all have, and holds up neither needs nor refills meanwhile."""
    central = central_with(30)
    first, second, silent, bystander = sidecars(central, "abcd")
    silent.exchange(MORNING, asks=need(5))
    first.exchange(later(MORNING, TRUSTED - 1), asks=need(5))
    now = later(MORNING, TRUSTED)
    second.exchange(now, asks=need(5))
    changed(central, now)
    assert central.notified == {"a", "b"}
    recall = central.recalls[CENTRAL_STORE, Purpose.STATE]
    assert (recall.awaited, recall.deadline) == (("a", "b"), now + TRUSTED)
    assert bystander.exchange(now, asks=need(2, wanted=100)).granted == 7
    first.exchange(now, held=5)
    assert central.recalls[CENTRAL_STORE, Purpose.STATE].awaited == ("b",)
    second.exchange(now, keeps=True)
    assert not central.recalls


def test_a_change_concerns_nobody_if_nobody_may_authorise() -> None:
    """There is no lease, or none that may still be used."""
    central = central_with(30)
    changed(central, MORNING)
    Peer(central, "a").exchange(MORNING, asks=need(5))
    changed(central, later(MORNING, TRUSTED))
    assert not central.recalls
    assert not central.notified


def test_a_change_is_forgotten_when_nobody_may_authorise_any_more() -> None:
    """A sidecar that stays silent does not keep it for ever; a second change notifies all again."""
    central = central_with(30)
    first, second = sidecars(central, "ab")
    for each in (first, second):
        each.exchange(MORNING, asks=need(5))
    changed(central, MORNING)
    first.exchange(MORNING, held=5)
    changed(central, MORNING)
    assert central.notified == {"a", "b"}
    first.exchange(later(MORNING, TRUSTED), held=5)
    assert not central.recalls


# Midnight.


@pytest.mark.parametrize(
    ("what", "grants", "required", "granted", "pending"),
    [
        ("the new day's credit is whole", [daily(10, 20), daily(11, 20)], 20, 20, False),
        ("what is held of yesterday cannot add to it", [daily(10, 20), daily(11, 20)], 21, 0, False),
        ("permanent credit held over midnight can", [daily(10, 5), daily(11, 20), grant("g", 10)], 28, 0, True),
        ("but no more than what is held of it", [daily(10, 5), daily(11, 20), grant("g", 10)], 31, 0, False),
    ],
)
def test_what_is_held_over_midnight(what: str, grants: list[Grant], required: int, granted: int, pending: bool) -> None:
    """8 held over midnight do not lower the new day's 20, and are recalled only where they could help."""
    central = Central(account(), grants=grants)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(8, wanted=8))
    holder.exchange(at("10 23:59"), held=8)
    holder.exchange(at("11 00:01"), held=8)
    assert outcome(asker.exchange(at("11 00:02"), asks=need(required))) == (granted, required - granted, pending), what


def test_idle_credit_of_an_ended_day_is_recalled() -> None:
    """Permanent credit that was leased yesterday is of use today; its sidecar is notified, however late."""
    central = Central(account(), grants=[grant("g", 10)])
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(8))
    assert outcome(asker.exchange(NEXT_DAY, asks=need(5))) == (0, 5, True)
    assert holder.is_notified()
    holder.exchange(NEXT_DAY)
    assert outcome(asker.exchange(NEXT_DAY, asks=need(5))) == (5, 0, False)


def test_a_new_day_serves_who_waits() -> None:
    """The need was asked for before midnight; the first word after it brings the day's credit."""
    of = account(plan_id="p")
    central = Central(of, grants=[daily(10, 4)])
    asker, holder = sidecars(central, "ab")
    before = at("10 23:59")
    holder.exchange(before, asks=need(4))
    asker.exchange(before, asks=need(3, patience=Span(5 * MINUTE)))
    central.give(daily(11, 4), at("11 00:00"))
    assert asker.is_notified()
    assert outcome(asker.exchange(at("11 00:01"), asks=need(3))) == (3, 0, False)
    assert asker.leases[-1].ends_at == at("11 00:00") + DAY


# Needs that are repeated.


def test_answers_are_remembered_for_a_need_that_is_repeated() -> None:
    """Those who answered, while nobody waited, are not asked again: with the last answer the need is refused for good."""
    central = central_with(9)
    asker, *holders = sidecars(central, "abcd")
    for each in holders:
        each.exchange(MORNING, asks=need(3))
    asker.exchange(MORNING, asks=need(2))
    for number, each in enumerate(holders, start=1):
        now = later(MORNING, number * PATIENCE)
        each.exchange(now, held=3)
        assert outcome(asker.exchange(now, asks=need(2))) == (0, 2, number < len(holders))
        assert not central.notified
    assert asker.recall() is None


def test_an_answer_does_not_count_for_a_need_that_is_asked_for_after_it() -> None:
    """What was held then may be idle by now. The older need of the same sidecar has its answer all the same."""
    central = central_with(6)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(6))
    asker.exchange(MORNING, asks=need(2))
    older = asker.asked_at
    holder.exchange(later(MORNING, PATIENCE), held=6)
    asker.asked_at = None
    answered = asker.exchange(later(MORNING, PATIENCE), asks=need(2))
    assert outcome(answered) == (0, 2, True)
    assert holder.is_notified()
    assert older is not None
    assert answered.asked_at is not None
    assert answered.heard_since is not None
    assert older <= answered.heard_since < answered.asked_at
    holder.exchange(later(MORNING, PATIENCE), held=6)
    assert outcome(asker.exchange(later(MORNING, PATIENCE), asks=need(2))) == (0, 2, False)


@pytest.mark.parametrize(("after", "pending"), [(REPEAT_GRACE - 1, False), (REPEAT_GRACE, True)])
def test_an_answer_counts_for_a_while_only(after: int, pending: bool) -> None:
    """Another sidecar keeps the need waiting; by then what was held at the first may be let go."""
    central = central_with(6)
    asker, holder, slow = sidecars(central, "abc")
    for each in (holder, slow):
        each.exchange(MORNING, asks=need(3))
    patient = need(2, patience=Span(MINUTE))
    asker.exchange(MORNING, asks=patient)
    holder.exchange(MORNING, held=3)
    slow.exchange(later(MORNING, after), held=3)
    assert outcome(asker.exchange(later(MORNING, after), asks=patient)) == (0, 2, pending)
    assert holder.is_notified() == pending


@pytest.mark.parametrize(("gets", "pending"), [(1, False), (2, True)])
def test_who_got_credit_after_its_answer_may_have_it_idle(gets: int, pending: bool) -> None:
    """A need that this can meet is not refused."""
    central = central_with(6)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(6))
    asker.exchange(MORNING, asks=need(2))
    holder.exchange(later(MORNING, PATIENCE), held=6)
    for number in range(gets):
        central.give(grant(f"more-{number}", 1), later(MORNING, PATIENCE))
        assert holder.exchange(later(MORNING, PATIENCE), held=6, keeps=True, asks=need(1)).granted == 1
    assert outcome(asker.exchange(later(MORNING, PATIENCE), asks=need(2))) == (0, 2, pending)


def test_a_sidecar_that_stops_is_not_waited_for() -> None:
    """Its last message is an answer, whenever it was composed; what it holds stays out, and can be charged for as long."""
    central = central_with(10)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(6))
    assert outcome(asker.exchange(MORNING, asks=need(5))) == (0, 5, True)
    reclaimed_at = [each.reclaim_at for each in central.leases.values()]
    holder.send(replace(holder.message(held=6), answers=False, authorises=False), MORNING)
    assert asker.is_notified()
    assert outcome(asker.exchange(MORNING, asks=need(5))) == (0, 5, False)
    assert outcome(asker.exchange(MORNING, asks=need(4))) == (4, 0, False)
    assert [(each.out, each.reclaim_at) for each in central.leases.values() if each.sidecar_id == "b"] == [(6, *reclaimed_at)]
    holder.exchange(MORNING, held=6)
    assert outcome(asker.exchange(MORNING, held=4, asks=need(5))) == (0, 5, True), "it has started again"


def test_a_need_is_forgotten_unless_it_keeps_its_place() -> None:
    """A message without a need says whether callers were told to repeat their requests."""
    central = central_with(6)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(6))
    asker.exchange(MORNING, asks=need(2))
    asker.send(replace(asker.message(), keeps_place=True), MORNING)
    recall = asker.recall()
    assert recall is not None
    assert (recall.deadline, recall.is_ready, recall.lingers(MORNING)) == (MORNING, False, True)
    asker.exchange(MORNING)
    assert asker.recall() is None


# Large amounts.


def test_what_waits_for_more_than_there_can_be_waits_for_the_largest_balance() -> None:
    """Thousands of requests of the largest amount add up to more than a store has room for."""
    central = central_with(10)
    asker, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(6))
    asker.exchange(MORNING, asks=need(10**20, smallest=1))
    recall = asker.recall()
    assert recall is not None
    assert (recall.amount, recall.smallest) == (MAX_BALANCE, 1)
