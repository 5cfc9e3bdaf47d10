"""The client's calls against a real sidecar."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import creditmeter.client
from creditmeter.client import (
    AccountNotFound,
    ChargeFlag,
    Client,
    GrantKind,
    HistoryType,
    InsufficientCredits,
    NotSettled,
    RefundExceedsCharge,
    RefundMode,
    RequestIdReused,
    ReservationState,
    Usage,
    Work,
)
from tests.client.conftest import ACCOUNT, CREDIT, give, sidecar
from tests.client.proxy import Proxy, Treatment


async def test_a_hold_and_its_commit(meter: Client) -> None:
    """The main job: what was held is charged by what was used, and the rest goes back."""
    async with meter.hold(ACCOUNT, model="gpt-4o", input_tokens=10_000, max_output_tokens=2_000, labels={"job": "1"}) as hold:
        assert hold.reservation.held_microcredits == 5 * CREDIT
        assert (await meter.balance(ACCOUNT)).held_microcredits == 5 * CREDIT
        charge = await hold.commit(input_tokens=10_000, output_tokens=100)
    assert (charge.cost_microcredits, charge.credits, dict(charge.labels)) == (3 * CREDIT, Decimal(3), {"job": "1"})
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (10_000, 100)
    assert hold.reservation.state is ReservationState.COMMITTED
    balance = await meter.balance(ACCOUNT)
    assert (balance.held_microcredits, balance.available_microcredits) == (0, 97 * CREDIT)


async def test_a_hold_of_an_amount(meter: Client) -> None:
    """A fixed amount is held, extended, and charged in two steps."""
    async with meter.hold(ACCOUNT, amount_microcredits=2 * CREDIT, ttl=timedelta(minutes=1)) as hold:
        first = await hold.commit(amount_microcredits=CREDIT, keep_open=True)
        assert hold.reservation.state is ReservationState.HELD
        extended = await hold.extend(amount_microcredits=5 * CREDIT, ttl=120)
        assert (extended.held_microcredits, extended.charged_microcredits) == (4 * CREDIT, CREDIT)
        second = await hold.commit(amount_microcredits=CREDIT, keep_open=True)
        last = await hold.commit(amount_microcredits=3 * CREDIT)
    assert len({first.charge_id, second.charge_id, last.charge_id}) == 3
    assert (await meter.balance(ACCOUNT)).available_microcredits == 95 * CREDIT


async def test_more_output_is_held(meter: Client) -> None:
    """Counts replace those of the hold's work; the rest of the work stays."""
    async with meter.hold(ACCOUNT, model="gpt-4o", input_tokens=10_000, max_output_tokens=2_000) as hold:
        assert (await hold.extend(max_output_tokens=4_000)).held_microcredits == 7 * CREDIT
        assert hold.reservation.work is not None
        assert hold.reservation.work.input_tokens == 10_000


async def test_what_cannot_be_paid(meter: Client) -> None:
    """The error says what is needed and what is there; nothing is held."""
    with pytest.raises(InsufficientCredits) as caught:
        async with meter.hold(ACCOUNT, amount_microcredits=101 * CREDIT):
            raise AssertionError
    assert caught.value.required_microcredits == 101 * CREDIT
    assert caught.value.available_microcredits == 100 * CREDIT
    assert caught.value.next_reset_at is None
    async with meter.hold(ACCOUNT, amount_microcredits=101 * CREDIT, allow_partial=True) as hold:
        assert hold.reservation.held_microcredits == 100 * CREDIT


async def test_a_hold_is_used_once_and_inside_its_block(meter: Client) -> None:
    """Any other use says what to do."""
    hold = meter.hold(ACCOUNT, amount_microcredits=CREDIT)
    with pytest.raises(RuntimeError, match="enter the block"):
        await hold.commit(amount_microcredits=CREDIT)
    async with hold:
        await hold.release("not needed")
        assert hold.reservation.state is ReservationState.RELEASED
    with pytest.raises(RuntimeError, match="entered once"):
        async with hold:
            pass


async def test_quotes(meter: Client) -> None:
    """Work is priced, and an account is told whether it can pay."""
    quote = await meter.quote(model="gpt-4o", input_tokens=10_000, max_output_tokens=2_000)
    assert (quote.max_microcredits, quote.credits, quote.affordable) == (5 * CREDIT, Decimal(5), False)
    work = Work(request_model="gpt-4o", input_tokens=10_000)
    assert (await meter.quote(ACCOUNT, work, max_output_tokens=2_000)).affordable


async def test_a_charge_and_its_refund(meter: Client) -> None:
    """An action of a fixed price is charged once for each id, and given back once."""
    charge = await meter.charge(ACCOUNT, action="tool", tool="web_search", job_id="job1")
    assert (charge.cost_microcredits, charge.request_id) == (CREDIT, "job1/charge")
    again = await meter.charge(ACCOUNT, action="tool", tool="web_search", job_id="job1")
    assert again.charge_id == charge.charge_id
    with pytest.raises(RequestIdReused) as reused:
        await meter.charge(ACCOUNT, action="tool", tool="x_search", job_id="job1")
    assert reused.value.field == "usage.tool"
    refund = await meter.refund(charge.charge_id, reason="no results", mode=RefundMode.GOODWILL)
    assert (refund.amount_microcredits, refund.mode, refund.reason) == (CREDIT, RefundMode.GOODWILL, "no results")
    with pytest.raises(RefundExceedsCharge) as caught:
        await meter.refund(charge.charge_id)
    assert caught.value.refundable_microcredits == 0


async def test_a_cost_that_is_a_fact(meter: Client) -> None:
    """It is charged although the account cannot pay."""
    with pytest.raises(InsufficientCredits):
        await meter.charge(ACCOUNT, amount_microcredits=101 * CREDIT)
    incurred = await meter.charge(ACCOUNT, amount_microcredits=101 * CREDIT, already_incurred=True)
    settled = await meter.settled(incurred.charge_id)
    assert (settled.covered_microcredits, settled.uncovered_microcredits) == (100 * CREDIT, CREDIT)


async def test_a_charge_is_settled(meter: Client) -> None:
    """Then what paid for it is known."""
    charge = await meter.charge(ACCOUNT, Usage(request_model="gpt-4o", input_tokens=1, output_tokens=1))
    assert ChargeFlag.MINIMUM in charge.flags or charge.cost_microcredits == CREDIT
    settled = await meter.settled(charge.charge_id, timeout=60)
    assert settled.posted_at is not None
    assert settled.posted_at.tzinfo is UTC
    assert [(each.kind, each.credits) for each in settled.draws] == [(GrantKind.PERMANENT, Decimal(1))]


async def test_a_charge_whose_sidecar_does_not_answer(meter: Client, proxy: Proxy) -> None:
    """Nothing waits longer than it was asked to."""
    charge = await meter.charge(ACCOUNT, amount_microcredits=CREDIT)
    proxy.next("GetCharge", Treatment.KEEP_REQUEST)
    with pytest.raises(NotSettled, match=r"not posted within 0\.3 s"):
        await asyncio.wait_for(meter.settled(charge.charge_id, timeout=0.3), 2)


async def test_a_timer_that_is_early(meter: Client, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timers of some event loops are early by up to a millisecond. The time is over then: nobody is asked again."""
    charge = await meter.charge(ACCOUNT, amount_microcredits=CREDIT)
    proxy.next("GetCharge", Treatment.KEEP_REQUEST)
    wait_for = asyncio.wait_for
    async with asyncio.timeout(5):
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "wait_for", lambda asking, seconds: wait_for(asking, seconds / 2))
            with pytest.raises(NotSettled, match=r"not posted within 0\.1 s"):
                await meter.settled(charge.charge_id, timeout=0.1)
    assert proxy.calls.count("GetCharge") <= 1


async def test_a_charge_that_is_not_settled_in_time(data_dir: Path, migrated_file: Path) -> None:
    """The error says so. It counts all the same, and who has more time gets it."""
    shutil.copyfile(migrated_file, data_dir / "central.db")
    async with sidecar(data_dir, settle_interval=60) as address, Client(address) as meter:
        await give(address, ACCOUNT, 2 * CREDIT)
        charge = await meter.charge(ACCOUNT, amount_microcredits=CREDIT)
        with pytest.raises(NotSettled, match="not posted within 0 s"):
            await meter.settled(charge.charge_id, timeout=0)
        assert (await meter.balance(ACCOUNT)).available_microcredits == CREDIT
        assert (await meter.settled(charge.charge_id)).covered_microcredits == CREDIT


async def test_history_is_read_page_by_page(meter: Client, proxy: Proxy) -> None:
    """As far as it is asked for, newest first, by the filters."""
    charges = [await meter.charge(ACCOUNT, amount_microcredits=CREDIT, labels={"n": str(n)}) for n in range(5)]
    for each in charges:
        await meter.settled(each.charge_id)
    found = [each async for each in meter.history(ACCOUNT, types=[HistoryType.CHARGED], page_size=2)]
    assert [each.charge_id for each in found] == [each.charge_id for each in reversed(charges)]
    assert proxy.calls.count("ListHistory") == 3
    labelled = [each async for each in meter.history(ACCOUNT, label=("n", "3"))]
    assert [each.labels for each in labelled] == [{"n": "3"}]
    later = datetime.now(UTC) + timedelta(days=1)
    assert [each async for each in meter.history(ACCOUNT, kinds=[GrantKind.DAILY], start=later)] == []
    with pytest.raises(ValueError, match="no time zone"):
        _ = [each async for each in meter.history(ACCOUNT, start=later.replace(tzinfo=None))]


async def test_an_account_that_is_not_there(meter: Client) -> None:
    """Each call says so in the same way."""
    with pytest.raises(AccountNotFound):
        await meter.balance("nobody")
    with pytest.raises(AccountNotFound):
        async with meter.hold("nobody", amount_microcredits=CREDIT):
            raise AssertionError


def test_the_public_names() -> None:
    """What workers may import; a change is a line in the changelog."""
    errors = (
        "AccountClosed AccountNotFound AccountSuspended AdministrationRefused AlreadyExists AmountAboveLimit CentralUnavailable"
        " ChargeNotFound CreditContended CreditmeterError DailyLimitExceeded DeadlineExceeded FieldViolation"
        " InsufficientCredits InvalidRequest LimitExceeded NotAllowed NotFound NotImplementedBySidecar NotSettled Overloaded"
        " RefundExceedsCharge RefundNotFound"
        " RequestIdReused ReservationCommitted ReservationElsewhere ReservationEnded ReservationExpired ReservationNotFound"
        " ReservationReleased ShuttingDown SidecarFault SidecarFenced StorageDamaged StorageUnavailable StreamResumed"
        " Unavailable Unpriced Unreachable"
    )
    values = "Balance Bucket Charge ChargePart Draw Grant HistoryEntry Quote Refund Reservation Usage Work"
    words = "ChargeFlag GrantKind GrantSource HistoryType MeterStopReason RefundMode ReservationState UsageSource"
    clients = "Client Hold Retry SERVICE_CONFIG SyncClient SyncHold Tls"
    assert sorted(creditmeter.client.__all__) == sorted(f"{errors} {values} {words} {clients}".split())
