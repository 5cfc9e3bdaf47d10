"""Callers that keep asking for credit that an account does not have cost the central store no transaction that writes. What
changes the account is seen by the very next request.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import select

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.schema.tables import metadata
from creditmeter.core.credit.accounts import AccountState, Alert, Plan
from creditmeter.core.credit.administration import AccountUpdate, GrantCredits, VoidGrant
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.messages import Registered
from creditmeter.core.credit.requests import Done
from creditmeter.core.ids import GrantId, PlanId, RequestId
from creditmeter.core.instants import HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.refusals import AccountSuspended, InsufficientCredits
from creditmeter.sidecar.account_records import Mark
from creditmeter.sidecar.contact import LONGEST_WAIT
from creditmeter.sidecar.exchange_planner import LOOKS_FIRST_FOR
from creditmeter.sidecar.exchanger import SidecarFenced
from creditmeter.sidecar.looking import REFUSED_REPORTED_WITHIN
from tests.clocks import NOON
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, charge_id, commit, held, refund, release, reserve
from tests.sidecar.wire import Fate

LEASE_TTL = Span(10 * MINUTE)
ASKED = 3
"""The credits that every request asks for."""

Case = Callable[[Bench, Bench], AsyncIterator[None]]
"""Prepares an account that cannot pay what is asked for, and after the pause changes it so that it can."""


class Writes:
    """The transactions that may write which sidecars begin at their store from now on."""

    def __init__(self, *benches: Bench) -> None:
        self.count = 0
        for each in benches:
            each.central.database.on_write.append(self._note)

    def _note(self) -> None:
        self.count += 1


async def stored(bench: Bench) -> dict[str, list[Any]]:
    """Every row of the tables that a message may change."""
    names = "accounts", "exchanges", "leases", "recalls", "refused_calls", "history", "grants", "alert_watches"
    async with bench.central.database.read() as connection:
        return {name: sorted((await connection.execute(select(metadata.tables[name]))).all(), key=str) for name in names}


async def refused(bench: Bench, request_id: str, amount: float = ASKED) -> None:
    """A Reserve for which the account does not have the credit."""
    assert isinstance(await reserve(bench, request_id, amount), InsufficientCredits)


async def refused_before(bench: Bench) -> None:
    """So many refusals that the store only looks from here on, if it can."""
    for number in range(3):
        await refused(bench, f"before {number}")


async def keeps_asking(bench: Bench, span: int) -> None:
    """A caller asks again and again for so long. What was refused is not reported."""
    end = bench.clock.boot() + span
    while bench.clock.boot() < end:
        bench.sidecar.books.open(ACCOUNT).refused.clear()
        bench.clock.advance(min(LOOKS_FIRST_FOR // 2, end - bench.clock.boot()))
        await refused(bench, "again")
    bench.sidecar.books.open(ACCOUNT).refused.clear()


# What costs nothing.


async def with_less(bench: Bench, _other: Bench) -> None:
    """The account has less than is asked for."""
    await bench.account(permanent=2)


async def with_own_holds(bench: Bench, _other: Bench) -> None:
    """All that there is is held here."""
    await bench.account(permanent=3)
    await held(bench, "open", 3)


async def with_charges(bench: Bench, other: Bench) -> None:
    """All of it was spent, here and elsewhere."""
    await bench.account(daily=3, monthly=3)
    await charge(bench, "here", 3)
    await charge(other, "elsewhere", 3)
    await bench.sidecar.settle()
    await other.sidecar.settle()


async def with_alerts(bench: Bench, other: Bench) -> None:
    """An alert fired for it."""
    await bench.account(permanent=10, alerts=(Alert(credits(5)),))
    await charge(other, "elsewhere", 8)
    await other.sidecar.settle()


async def with_too_little_elsewhere(bench: Bench, other: Bench) -> None:
    """There would be too little even if all that is held elsewhere came back."""
    await bench.account(permanent=2)
    await held(other, "open", 1)


@pytest.mark.parametrize("prepare", [with_less, with_own_holds, with_charges, with_alerts, with_too_little_elsewhere])
async def test_a_need_that_is_refused_again_is_not_written(bench: Bench, other: Bench, prepare: Any) -> None:
    """However often it is asked for, with new requests and with the same one, by a Reserve or a Charge: no row changes."""
    await prepare(bench, other)
    await refused_before(bench)
    await bench.sidecar.settle()
    before, writes = await stored(bench), Writes(bench, other)
    for number in range(10):
        await refused(bench, f"new {number}")
        await refused(bench, "the same")
        assert isinstance(await charge(bench, f"charge {number}", ASKED), InsufficientCredits)
        bench.clock.advance(SECOND // 4)
    assert writes.count == 0
    assert await stored(bench) == before


async def test_what_a_look_answers_is_what_the_store_would_say(bench: Bench) -> None:
    """The same refusal: what was asked for, what there is, and when more comes."""
    await bench.account(daily=2)
    written = await reserve(bench, "written", ASKED)
    writes = Writes(bench)
    looked_at = await reserve(bench, "looked at", ASKED)
    assert looked_at == written == InsufficientCredits(credits(3), credits(2), Instant(NOON + 12 * HOUR))
    assert writes.count == 0


async def test_refusals_are_reported_together(bench: Bench) -> None:
    """By one message in ten seconds, however many there are."""
    await bench.account(permanent=2)
    await refused_before(bench)
    for number in range(5):
        await refused(bench, f"new {number}")
    writes = Writes(bench)
    bench.clock.advance(REFUSED_REPORTED_WITHIN)
    await refused(bench, "late")
    await refused(bench, "later")
    assert writes.count == 1
    assert len((await stored(bench))["refused_calls"]) == 8, "all but those two"


async def test_leases_are_renewed_all_the_same(bench: Bench) -> None:
    """With a request that is refused in the second half of their time, if no other message did it before."""
    await bench.account(permanent=3)
    await held(bench, "open", 3, ttl=HOUR)
    await refused_before(bench)
    (lease,) = bench.sidecar.books.open(ACCOUNT).leases.values()
    writes = Writes(bench)
    await keeps_asking(bench, LEASE_TTL // 2 - SECOND)
    assert writes.count == 0
    (looked_at,) = bench.sidecar.books.open(ACCOUNT).leases.values()
    assert looked_at.trusted_until == lease.trusted_until, "a look renews nothing"
    bench.clock.advance(SECOND)
    await refused(bench, "in the second half")
    assert writes.count == 1
    (renewed,) = bench.sidecar.books.open(ACCOUNT).leases.values()
    assert renewed.trusted_until == lease.trusted_until + LEASE_TTL // 2


async def test_housekeeping_renews_leases_of_which_only_looks_told(bench: Bench) -> None:
    """It counts from the last message that was stored."""
    await bench.account(permanent=3)
    await held(bench, "open", 3, ttl=HOUR)
    await refused_before(bench)
    await keeps_asking(bench, LEASE_TTL // 2 - SECOND)
    bench.clock.advance(SECOND)
    writes = Writes(bench)
    await bench.round()
    assert writes.count == 1


async def test_a_look_is_expected_to_help_for_a_while_only(bench: Bench) -> None:
    """Then nothing of it is remembered."""
    await bench.account(permanent=2)
    await refused_before(bench)
    bench.sidecar.books.open(ACCOUNT).refused.clear()
    await bench.sidecar.tidy()
    record = bench.sidecar.records.find(ACCOUNT)
    assert record is not None
    assert record.book is None, "there is nothing else to remember"
    bench.clock.advance(LOOKS_FIRST_FOR)
    await bench.sidecar.tidy()
    assert bench.sidecar.records.find(ACCOUNT) is None
    writes = Writes(bench)
    await refused(bench, "much later")
    assert writes.count == 1


async def test_a_look_that_is_lost_changes_nothing(bench: Bench) -> None:
    """It is no message: the next one is composed anew."""
    await bench.account(permanent=2)
    await refused_before(bench)
    bench.wire.fates.append(Fate.UNHEARD)
    with pytest.raises(CentralUnavailable):
        await reserve(bench, "lost", ASKED)
    await bench.grant("more", 1)
    bench.clock.advance(LONGEST_WAIT)
    assert isinstance(await reserve(bench, "lost", ASKED), Done)
    assert (await bench.summary()).leased == credits(3)


async def test_a_copied_journal_is_found_out_by_a_look(bench: Bench) -> None:
    """A fenced process is told so, and not that there is no credit."""
    await bench.account(permanent=2)
    await refused_before(bench)
    identity = bench.journal.identity
    again = await bench.central.registration.register(identity.sidecar_id, identity.epoch, "another process")
    assert isinstance(again, Registered)
    with pytest.raises(SidecarFenced):
        await reserve(bench, "fenced", ASKED)


async def test_a_smaller_amount_may_be_there(bench: Bench) -> None:
    """Whatever was refused before."""
    await bench.account(permanent=2)
    await refused_before(bench)
    assert isinstance(await reserve(bench, "smaller", 2), Done)


async def test_a_part_may_be_there(bench: Bench) -> None:
    """For a request that takes what there is."""
    await bench.account(permanent=2)
    await refused_before(bench)
    assert isinstance(await reserve(bench, "part", ASKED, allow_partial=True), Done | InsufficientCredits)
    await refused_before(bench)


async def test_new_terms_are_seen_at_once(bench: Bench) -> None:
    """An account that was suspended is refused as such."""
    await bench.account(permanent=2)
    await refused_before(bench)
    await bench.update("suspend", AccountUpdate(state=AccountState.SUSPENDED))
    assert isinstance(await reserve(bench, "next", ASKED), AccountSuspended)


# What changes the account.


async def granted(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """Credit is granted."""
    await bench.account(permanent=2)
    yield
    await bench.grant("more", 1)


async def granted_for_later(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """A grant begins that was given before."""
    await bench.account(permanent=2)
    later = GrantCredits(RequestId("later"), ACCOUNT, GrantKind.PERMANENT, credits(1), effective_at=Instant(NOON + MINUTE))
    assert isinstance(await bench.central.administration.grant_credits(later), Done)
    yield
    bench.clock.advance(MINUTE)


async def refunded_elsewhere(bench: Bench, other: Bench) -> AsyncIterator[None]:
    """A charge is refunded by another sidecar."""
    await bench.account(permanent=3)
    name = charge_id(await charge(bench, "c", 3))
    await bench.sidecar.settle()
    yield
    assert isinstance(await refund(other, "back", name), Done)


async def released_here(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """A hold of this sidecar is released."""
    await bench.account(permanent=3)
    hold = await held(bench, "open", 3)
    yield
    await release(bench, "gone", hold)


async def released_elsewhere(bench: Bench, other: Bench) -> AsyncIterator[None]:
    """A hold of another sidecar is released, and nobody was told."""
    await bench.account(permanent=3)
    hold = await held(other, "open", 3)
    yield
    await release(other, "gone", hold)


async def used_less_elsewhere(bench: Bench, other: Bench) -> AsyncIterator[None]:
    """A hold of another sidecar is committed for less, and nobody was told."""
    await bench.account(permanent=5)
    hold = await held(other, "open", 4)
    yield
    assert isinstance(await commit(other, "used", hold, 1), Done)


async def expired_here(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """A hold of this sidecar comes to its end."""
    await bench.account(permanent=3)
    await held(bench, "open", 3, ttl=Span(MINUTE))
    yield
    bench.clock.advance(MINUTE)


async def expired_elsewhere(bench: Bench, other: Bench) -> AsyncIterator[None]:
    """A hold of another sidecar comes to its end."""
    await bench.account(permanent=3)
    await held(other, "open", 3, ttl=Span(MINUTE))
    yield
    bench.clock.advance(MINUTE)


async def returned_elsewhere(bench: Bench, other: Bench) -> AsyncIterator[None]:
    """Another sidecar had credit idle, and stops."""
    await bench.account(permanent=3)
    hold = await held(other, "open", 3)
    yield
    await release(other, "gone", hold)
    assert await other.sidecar.stop(grace_seconds=20)


async def reclaimed(bench: Bench, other: Bench) -> AsyncIterator[None]:
    """The lease of a lost sidecar is reclaimed."""
    await bench.account(permanent=3)
    await held(other, "open", 3)
    other.sidecar.records.mark(ACCOUNT, Mark.UNSETTLED)
    await other.sidecar.settle()
    other.wire.is_cut = True
    bench.clock.advance(LEASE_TTL + MINUTE)
    yield
    await bench.counts(2 * HOUR)
    await bench.central.exchanges.reclaim(ACCOUNT)


async def voided(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """A grant is voided, and another one given in its place."""
    await bench.account(permanent=2)
    yield
    void = VoidGrant(RequestId("void"), ACCOUNT, await only_grant(bench))
    assert isinstance(await bench.central.administration.void_grant(void), Done)
    await bench.grant("another", 3)


async def only_grant(bench: Bench) -> GrantId:
    """The account's first grant."""
    return GrantId((await stored(bench))["grants"][0].grant_id)


async def on_a_new_day(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """The plan gives the next day's credit."""
    await bench.account(daily=3)
    await charge(bench, "today", 3)
    yield
    bench.clock.advance(12 * HOUR)


async def in_a_new_month(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """The plan gives the next month's credit."""
    await bench.account(monthly=3, anchor_day=25)
    await charge(bench, "this month", 3)
    yield
    bench.clock.advance(12 * HOUR)


async def on_another_plan(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """The account is put on a plan that gives more."""
    await bench.account(daily=2)
    yield
    await bench.central.administration.put_plan(Plan(PlanId("larger"), credits(3), credits(0)))
    await bench.update("upgrade", AccountUpdate(plan_id=PlanId("larger")))


async def in_another_place(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """The account's day ends at another moment."""
    await bench.account(daily=3)
    await charge(bench, "today", 3)
    await bench.sidecar.settle()
    yield
    await bench.update("move", AccountUpdate(time_zone="Asia/Tokyo"))
    bench.clock.advance(12 * HOUR)
    await refused(bench, "the day was extended")
    bench.clock.advance(15 * HOUR)


async def with_debt_repaid(bench: Bench, _other: Bench) -> AsyncIterator[None]:
    """A grant repays what is owed, and leaves enough."""
    await bench.account(permanent=1, overdraft_limit=credits(5))
    await charge(bench, "fact", 3, already_incurred=True)
    await bench.sidecar.settle()
    await bench.grant("too little", 4)
    yield
    await bench.grant("enough", 1)


CASES: list[Case] = [
    granted,
    granted_for_later,
    refunded_elsewhere,
    released_here,
    released_elsewhere,
    used_less_elsewhere,
    expired_here,
    expired_elsewhere,
    returned_elsewhere,
    reclaimed,
    voided,
    on_a_new_day,
    in_a_new_month,
    on_another_plan,
    in_another_place,
    with_debt_repaid,
]


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.__name__)
async def test_a_change_is_seen_by_the_very_next_request(bench: Bench, other: Bench, case: Case) -> None:
    """Also if it is the one that was refused before."""
    steps = case(bench, other)
    await anext(steps)
    await refused_before(bench)
    await anext(steps, None)
    assert isinstance(await reserve(bench, "before 2", ASKED), Done)
