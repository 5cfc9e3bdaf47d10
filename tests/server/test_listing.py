"""ListSidecars and ListLeases over the wire."""

from typing import Any

from creditmeter.core.instants import SECOND
from creditmeter.server.replies import timestamp
from creditmeter.v1 import admin_pb2, metering_pb2
from tests.clocks import NOON, ManualClock
from tests.server.conftest import Services, failure

CREDIT = 1_000_000


async def reserved(services: Services, account_id: str, amount: int) -> str:
    """Open an account and hold some of its credit; returns the sidecar's id."""
    await services.create(account_id, permanent=100 * CREDIT)
    request = metering_pb2.ReserveRequest(request_id="r", account_id=account_id, amount_microcredits=amount)
    held = await services.metering.Reserve(request)
    return held.reservation.reservation_id.split("-")[2]


async def test_who_holds_what(services: Services, clock: ManualClock) -> None:
    """The one sidecar with its two leases, as it last reported them."""
    sidecar_id = await reserved(services, "alice", 3 * CREDIT)
    clock.advance(SECOND)
    await reserved(services, "bob", 4 * CREDIT)
    (sidecar,) = (await services.admin.ListSidecars(admin_pb2.ListSidecarsRequest())).sidecars
    assert (sidecar.sidecar_id, sidecar.epoch, sidecar.lease_count) == (sidecar_id, 1, 2)
    assert sidecar.state == admin_pb2.SIDECAR_STATE_ACTIVE
    assert (sidecar.registered_at, sidecar.last_seen_at) == (timestamp(NOON), timestamp(clock.wall()))
    listed = (await services.admin.ListLeases(admin_pb2.ListLeasesRequest())).leases
    assert [(each.account_id, each.sidecar_id) for each in listed] == [("bob", sidecar_id), ("alice", sidecar_id)]
    assert sidecar.leased_microcredits == sum(each.out_microcredits for each in listed) >= 7 * CREDIT
    lease = listed[1]
    assert lease.lease_id
    assert (lease.opened_at, lease.renewed_at) == (timestamp(NOON), timestamp(NOON))
    assert lease.ends_at.ToJsonString() == "2026-11-25T00:00:00Z"
    assert lease.opened_at.seconds < lease.ttl_ends_at.seconds < lease.reclaim_at.seconds


async def test_leases_of_one_account_or_one_sidecar(services: Services) -> None:
    """An id that nobody has lists nothing."""
    sidecar_id = await reserved(services, "alice", CREDIT)
    await reserved(services, "bob", CREDIT)

    async def listed(**wanted: Any) -> list[str]:
        reply = await services.admin.ListLeases(admin_pb2.ListLeasesRequest(**wanted))
        return [each.account_id for each in reply.leases]

    assert await listed(account_id="alice") == ["alice"]
    assert await listed(sidecar_id=sidecar_id) == ["bob", "alice"]
    assert await listed(account_id="bob", sidecar_id=sidecar_id) == ["bob"]
    assert await listed(account_id="nobody") == await listed(sidecar_id="nobody") == []


async def test_sidecars_in_one_state(services: Services) -> None:
    """Unspecified is any."""

    async def listed(state: admin_pb2.SidecarState.ValueType) -> int:
        return len((await services.admin.ListSidecars(admin_pb2.ListSidecarsRequest(state=state))).sidecars)

    assert [await listed(state) for state in admin_pb2.SidecarState.values()] == [1, 1, 0, 0]


async def test_leases_come_in_pages(services: Services, clock: ManualClock) -> None:
    """The last opened first, each once; a token with other filters is invalid."""
    names = [f"a{number}" for number in range(5)]
    for name in names:
        await reserved(services, name, CREDIT)
        clock.advance(SECOND)
    request = admin_pb2.ListLeasesRequest(page_size=2)
    pages = []
    while True:
        page = await services.admin.ListLeases(request)
        pages.append([each.account_id for each in page.leases])
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert pages == [["a4", "a3"], ["a2", "a1"], ["a0"]]
    request.account_id = "a1"
    assert (await failure(services.admin.ListLeases(request))).fields == {"page_token"}


async def test_what_is_asked_wrong(services: Services) -> None:
    """Every wrong field is named."""
    request = admin_pb2.ListLeasesRequest(account_id="two words", sidecar_id="x" * 129, page_size=-1, page_token="made up")
    failed = await failure(services.admin.ListLeases(request))
    assert failed.fields == {"account_id", "sidecar_id", "page_size", "page_token"}
    token = admin_pb2.ListSidecarsRequest(page_size=-1, page_token="WyIiLDFd")
    assert (await failure(services.admin.ListSidecars(token))).fields == {"page_size", "page_token"}
    unknown = admin_pb2.ListSidecarsRequest.FromString(b"\x08\x09")
    assert (await failure(services.admin.ListSidecars(unknown))).fields == {"state"}
