"""GetStatus over the wire: what an operator reads first."""

from dataclasses import fields

from google.protobuf.duration_pb2 import Duration

from creditmeter import __version__
from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.journal.index import Remembered
from creditmeter.server.status_replies import status_message
from creditmeter.sidecar.status import CentralContact, Condition, Status, Tally
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services

CREDIT = 1_000_000


async def status(services: Services) -> admin_pb2.GetStatusResponse:
    """How the sidecar is."""
    return await services.admin.GetStatus(admin_pb2.GetStatusRequest())


async def test_every_field_says_how_the_sidecar_is(services: Services, clock: ManualClock) -> None:
    """With its addresses as the ready line has them, its versions, and what it has to do with."""
    await services.create("alice", permanent=100 * CREDIT)
    asked = metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=5 * CREDIT)
    await services.metering.Reserve(asked)
    clock.advance(90 * SECOND)
    found = await status(services)
    assert list(found.addresses) == services.program.addresses
    assert (found.version, found.state) == (__version__, admin_pb2.SERVING_STATE_SERVING)
    assert (found.sidecar_id, found.epoch) == (services.program.sidecar.sidecar_id, 1)
    assert found.uptime.ToSeconds() == 90
    assert found.started_at.ToMicroseconds() + 90 * SECOND == clock.wall()
    assert (found.central_reachable, found.HasField("central_seen_at"), found.central_clock_offset.ToSeconds()) == (
        True,
        True,
        0,
    )
    prices = await services.account.ListModelPrices(account_pb2.ListModelPricesRequest(page_size=1))
    assert found.rate_card_version == prices.rate_card_version
    assert (found.account_count, found.reservation_count, found.open_reservation_count) == (1, 1, 1)
    assert (found.held_microcredits, found.receipt_count, found.charge_count, found.refund_count) == (5 * CREDIT, 1, 0, 0)
    balance = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="alice"))
    assert (found.lease_count, found.leased_microcredits) == (1, balance.leased_microcredits)
    assert found.journal_bytes >= (services.data_dir / "journal.db").stat().st_size
    assert not found.HasField("oldest_unposted_at")


def test_no_field_is_left_out() -> None:
    """Whatever the contract adds to the reply has to be filled in."""
    numbers = {each.name: 1 for each in fields(Tally)} | {"remembered": Remembered(1, 1, 1, 1)}
    there = CentralContact(is_reachable=True, seen_at=Instant(1), clock_offset=Span(-1))
    tally = Tally(**numbers)  # type: ignore[arg-type]  # numbers, all of them
    whole = Status(SidecarId("s"), 1, Condition.FENCED, Instant(1), Span(1), there, "card", 1, tally, (AccountId("a"),))
    found = status_message(whole, ["unix:/s"])
    assert {field.name for field, _ in found.ListFields()} == set(found.DESCRIPTOR.fields_by_name)
    assert found.central_clock_offset == Duration(nanos=-1_000)


def test_sums_are_no_more_than_the_contract_can_say() -> None:
    """However much is in the books."""
    sums = Tally(held=2**64, leased=2**64, unposted_cost=2**64)
    there = CentralContact(is_reachable=True, seen_at=None, clock_offset=None)
    much = Status(SidecarId("s"), 1, Condition.SERVING, Instant(1), Span(1), there, "card", 1, sums)
    found = status_message(much, [])
    assert (found.held_microcredits, found.leased_microcredits, found.unposted_microcredits) == (2**63 - 1,) * 3


def test_every_condition_has_a_state() -> None:
    """The contract's states are those of the sidecar, and the one before it listens."""
    states = {name.removeprefix("SERVING_STATE_") for name in admin_pb2.ServingState.DESCRIPTOR.values_by_name}
    assert states == {each.value for each in Condition} | {"UNSPECIFIED", "STARTING"}
