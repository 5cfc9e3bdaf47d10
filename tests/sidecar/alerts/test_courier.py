"""The courier: alerts reach a webhook at least once each, whatever the receiver does.

| the receiver | then |
| --- | --- |
| answers 2xx | it is done |
| answers 410 | it is given up at once |
| answers anything else, redirects too; hangs, drips, hangs up, is not there | it is tried again later, for three days |
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import structlog

from creditmeter.central.decisions.deliveries import KEPT_FOR
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.low_balance import LowBalance, Measure
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Span
from creditmeter.sidecar.alerts.courier import AT_ONCE, CLAIMED_FOR, Courier
from creditmeter.sidecar.alerts.standard_webhooks import GIVE_UP_AFTER, DeliveryOutcome
from creditmeter.sidecar.alerts.webhook import Webhook
from tests.central.deliveries import put
from tests.clocks import NOON, ManualClock
from tests.sidecar.alerts.receiver import KEY, Receiver

Outcomes = list[tuple[DeliveryOutcome, int]]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands between this machine and others."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def store(central_url: str, clock: ManualClock) -> AsyncIterator[CentralStore]:
    """A store with nothing in it."""
    async with CentralStore(central_url, clock.wall) as store:
        yield store


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    made = Receiver()
    async with made.listening():
        yield made


LOOK_AGAIN = Span(10 * MINUTE)
"""What is due within this long is attempted at its end."""

SOON = 1.0
"""Seconds, which are a long time on loopback: where a receiver is waited for that never answers."""


@pytest.fixture
def outcomes() -> Outcomes:
    """The outcomes of the courier's attempts."""
    return []


@pytest.fixture
async def courier(store: CentralStore, clock: ManualClock, receiver: Receiver, outcomes: Outcomes) -> AsyncIterator[Courier]:
    """A courier that works when the test makes it."""
    async with working(store, clock, receiver.url, outcomes, patience=SOON) as courier:
        yield courier


@asynccontextmanager
async def working(
    store: CentralStore, clock: ManualClock, url: str | None, outcomes: Outcomes, patience: float = 30
) -> AsyncIterator[Courier]:
    """A courier to an address."""
    webhook = None if url is None else Webhook(url, KEY, patience, allow_private=True)
    courier = Courier(store, webhook, clock, lambda outcome, count: outcomes.append((outcome, count)))
    yield courier
    await courier.stop(0)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries


async def test_a_delivery_is_a_signed_post(
    store: CentralStore, courier: Courier, receiver: Receiver, outcomes: Outcomes
) -> None:
    """As Standard Webhooks has it; its content is what was stored when the alert fired."""
    await put(store)
    await courier.deliver()
    (received,) = receiver.received
    assert received.line == "POST /alerts?key=secret HTTP/1.1"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-timestamp"] == str(NOON // SECOND)
    assert received.headers["user-agent"].startswith("creditmeter/")
    assert received.is_genuine
    assert (received.content["type"], received.content["data"]["account_id"]) == ("creditmeter.low_balance", "acme")
    assert outcomes == [(DeliveryOutcome.DELIVERED, 1)]
    await courier.deliver()
    assert len(receiver.received) == 1


async def test_it_fails_hangs_redirects_and_then_succeeds(
    store: CentralStore, courier: Courier, receiver: Receiver, clock: ManualClock, outcomes: Outcomes
) -> None:
    """Each attempt comes later than the one before and has its own time in its signature, but the same id and body."""
    await put(store)
    receiver.answer(500, 0, 302, -1, -2, -3, 404, 429, 204)
    moments = []
    while (DeliveryOutcome.DELIVERED, 1) not in outcomes:
        before = len(receiver.received)
        await courier.deliver()
        if len(receiver.received) > before:
            moments.append(clock.wall())
        clock.advance(SECOND if clock.wall() < NOON + 5 * MINUTE else 10 * MINUTE)
    assert outcomes == [(DeliveryOutcome.FAILED, 1)] * 8 + [(DeliveryOutcome.DELIVERED, 1)]
    assert len(set(receiver.ids)) == len({each.body for each in receiver.received}) == 1
    assert all(each.is_genuine for each in receiver.received)
    assert {each.line for each in receiver.received} == {"POST /alerts?key=secret HTTP/1.1"}
    assert [int(each.headers["webhook-timestamp"]) for each in receiver.received] == [each // SECOND for each in moments]
    waits = [later - earlier for earlier, later in pairwise(moments)]
    assert waits[:6] == sorted(waits[:6])
    assert 3 * SECOND <= waits[0] <= 8 * SECOND
    assert 2 * HOUR <= waits[-1] <= 8 * HOUR


async def test_no_receiver_is_there(store: CentralStore, clock: ManualClock, outcomes: Outcomes) -> None:
    """It is tried again when somebody is."""
    await put(store)
    here = Receiver()
    async with here.listening():
        pass
    async with working(store, clock, here.url, outcomes) as courier:
        await courier.deliver()
    assert outcomes == [(DeliveryOutcome.FAILED, 1)]


async def test_gone_is_given_up_at_once(
    store: CentralStore, courier: Courier, receiver: Receiver, clock: ManualClock, outcomes: Outcomes, logged: list[Any]
) -> None:
    """The receiver wants no more of it."""
    await put(store)
    receiver.answer(410)
    await courier.deliver()
    clock.advance(DAY)
    await courier.deliver()
    assert outcomes == [(DeliveryOutcome.GONE, 1)]
    (entry,) = [each for each in logged if each["event"] == "alert given up: history has it"]
    assert entry["reason"] == "410 Gone"


async def test_after_three_days_it_is_given_up(
    store: CentralStore, courier: Courier, receiver: Receiver, clock: ManualClock, outcomes: Outcomes, logged: list[Any]
) -> None:
    """Eighteen attempts or so; it is logged, and nothing waits any more."""
    await put(store)
    receiver.answer(503)
    while outcomes[-1:] != [(DeliveryOutcome.GAVE_UP, 1)]:
        assert clock.wall() <= NOON + GIVE_UP_AFTER + LOOK_AGAIN
        await courier.deliver()
        clock.advance(SECOND if clock.wall() < NOON + MINUTE else LOOK_AGAIN)
    assert clock.wall() > NOON + 2 * DAY
    assert 15 <= len(outcomes) <= 24
    assert "alert given up: history has it" in {each["event"] for each in logged}
    clock.advance(DAY)
    await courier.deliver()
    assert len(receiver.received) == len(outcomes)


async def test_neither_secret_nor_address_is_logged(
    store: CentralStore, courier: Courier, receiver: Receiver, clock: ManualClock, logged: list[Any]
) -> None:
    """The address may carry a key of its own."""
    await put(store)
    receiver.answer(500, 0, 410)
    for _ in range(3):
        await courier.deliver()
        clock.advance(10 * MINUTE)
    assert len(logged) == 3
    text = str(logged)
    assert "key=secret" not in text
    assert "whsec" not in text
    assert str(KEY) not in text
    assert all(each["host"] == "127.0.0.1" for each in logged)


async def test_several_sidecars_deliver_each_once(store: CentralStore, clock: ManualClock, receiver: Receiver) -> None:
    """Whichever courier claims it; no more at a time than each may."""
    for number in range(50):
        await put(store, f"a{number}")
    outcomes: Outcomes = []
    async with (
        working(store, clock, receiver.url, outcomes) as one,
        working(store, clock, receiver.url, outcomes) as other,
        working(store, clock, receiver.url, outcomes) as third,
    ):
        await asyncio.gather(*(each.deliver() for each in (one, other, third)))
        clock.advance(CLAIMED_FOR)
        await one.deliver()
    assert len(receiver.ids) == len(set(receiver.ids)) == 50
    assert outcomes == [(DeliveryOutcome.DELIVERED, 1)] * 50
    assert receiver.most_at_once <= 3 * AT_ONCE


async def test_a_sidecar_that_dies_in_the_middle_loses_nothing(
    store: CentralStore, clock: ManualClock, receiver: Receiver, outcomes: Outcomes
) -> None:
    """What it had claimed is due again when its claim is over, under the same id; the receiver may have it twice."""
    await put(store)
    receiver.answer(0)
    async with working(store, clock, receiver.url, outcomes) as dies:
        attempt = asyncio.create_task(dies.deliver())
        await receiver.came.wait()
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
    receiver.answer(200)
    async with working(store, clock, receiver.url, outcomes) as lives:
        await lives.deliver()
        assert outcomes == []
        clock.advance(CLAIMED_FOR)
        await lives.deliver()
    assert outcomes == [(DeliveryOutcome.DELIVERED, 1)]
    assert receiver.ids == [receiver.ids[0]] * 2


async def test_a_stop_lets_what_is_under_way_end(
    store: CentralStore, clock: ManualClock, receiver: Receiver, outcomes: Outcomes
) -> None:
    """Within its grace; nothing new is begun."""
    for number in range(AT_ONCE + 1):
        await put(store, f"a{number}")
    receiver.answer(0)
    async with working(store, clock, receiver.url, outcomes) as courier:
        courier.start()
        await receiver.came.wait()
        stopping = asyncio.create_task(courier.stop(10))
        while receiver.at_once < AT_ONCE:
            await asyncio.sleep(0)
        receiver.let_go()
        await stopping
    assert outcomes == [(DeliveryOutcome.DELIVERED, 1)] * AT_ONCE
    assert len(receiver.received) == AT_ONCE


async def test_a_stop_without_grace_waits_for_nothing(
    store: CentralStore, clock: ManualClock, receiver: Receiver, outcomes: Outcomes
) -> None:
    """A receiver that hangs keeps no sidecar from ending."""
    await put(store)
    receiver.answer(0)
    async with working(store, clock, receiver.url, outcomes) as courier:
        courier.start()
        await receiver.came.wait()
        await courier.stop(0)
    assert outcomes == []


async def test_it_goes_on_by_itself(
    store: CentralStore, courier: Courier, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the store was away."""
    monkeypatch.setattr("creditmeter.sidecar.alerts.courier.INTERVAL_SECONDS", 0.001)
    claims, asked = store.deliveries.claim, 0

    async def claim(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise CentralUnavailable("away")
        return await claims(*arguments)

    monkeypatch.setattr(store.deliveries, "claim", claim)
    courier.start()
    await put(store)
    await receiver.came.wait()
    assert asked > 1


async def test_without_a_webhook_alerts_are_dropped_in_time(
    store: CentralStore, clock: ManualClock, outcomes: Outcomes
) -> None:
    """They do not pile up; history has them."""
    await put(store)
    async with working(store, clock, None, outcomes) as courier:
        for _ in range(4):
            await courier.deliver()
            await courier.tidy()
            clock.advance(KEPT_FOR // 2)
    assert outcomes == [(DeliveryOutcome.EXPIRED, 1)]


async def test_the_message_fits_what_fired(store: CentralStore, courier: Courier, receiver: Receiver) -> None:
    """An alert at an amount."""
    low = LowBalance(
        AccountId("müller & co"),
        Alert(amount=Microcredits(50_000_000)),
        Measure(Microcredits(0), Microcredits(2**53 + 1)),
        "MONTHLY 2026-11-24",
        NOON,
        7,
    )
    await put(store, fired=low)
    await courier.deliver()
    (received,) = receiver.received
    assert received.is_genuine
    assert received.content["data"]["account_id"] == "müller & co"
    assert received.content["data"]["threshold"] == {"amount_microcredits": 50_000_000}
    assert received.content["data"]["granted_microcredits"] == 2**53 + 1
    assert received.content["data"]["period"] == {"kind": "MONTHLY", "starts_on": "2026-11-24"}
