"""The end of a run: nothing goes wrong any more, and everything has to settle by itself."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from creditmeter.central.verification.verification import verify_database
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.calendar import day_of, month_of
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.planned_grants import counted
from creditmeter.core.credit.requests import Done
from creditmeter.core.instants import MINUTE, Instant
from creditmeter.core.metering.composing import has_unfinished
from tests.simulation.machine import LIMITS, Machine, Silence, State
from tests.simulation.stored import Stored
from tests.simulation.watch import RIGHT_AGAIN_SECONDS

if TYPE_CHECKING:
    from tests.simulation.world import World

_UNTIL_RECLAIMED = LIMITS.max_hold_lifetime + 12 * MINUTE
"""After this long every hold has ended, and the leases of a lost machine may be reclaimed."""

_COUNTED_BY_HEARTBEATS = 4 * MINUTE
"""So much of it the machines count themselves."""

_REPORTED_WITHIN = 3.5
"""After as many rounds of settlement every sidecar has posted what it had, and reported what it holds."""

_SELDOM, _OFTEN = 0.4, 0.6
"""How many of the runs do what is not done in all of them."""

_ROUND_SECONDS = 10.0
_ROUNDS = 30
"""As many rounds everything has to settle in."""


async def come_to_rest(world: "World") -> None:
    """Put everything right, use what is in hand, let holds end, and wait for peace; then check all there is."""
    if world.rng.random() < _SELDOM:
        await _die_together(world)
    await _recover(world)
    drawn = world.rng.random()
    if drawn < _OFTEN or world.store_time.may_be_off:
        await _probe(world)
    if drawn > 1 - _OFTEN:
        world.workers.use_everything()
        await world.jobs_done()
    await _wait_for_peace(world)
    for problem in (await verify_database(world.store.database)).problems:
        world.fail(f"verify: {problem}")
    _check_charges(world)
    _check_alerts(world)
    _check_given(world)
    world.check()


async def _recover(world: "World") -> None:
    """Nothing goes wrong any more; machines start, and workers ask again what was not answered."""
    world.weather.clear_up()
    world.note("from here on nothing goes wrong")
    await world.work_done()
    for machine in world.machines:
        if machine.state is State.DOWN:
            await machine.start()
    await world.jobs_done()
    await world.admin.reactivate()
    for work in world.workers.ask_again():
        world.employ(work)
    await world.jobs_done()
    world.check()
    await asyncio.sleep(max(_REPORTED_WITHIN * world.swarm.settle, RIGHT_AGAIN_SECONDS - world.store_time.right_for()))
    _check_leases(world)


async def _wait_for_peace(world: "World") -> None:
    """Everything settles by itself, within a bounded time."""
    world.leap(_UNTIL_RECLAIMED - _COUNTED_BY_HEARTBEATS, is_counted=True)
    for _ in range(_ROUNDS):
        await asyncio.sleep(_ROUND_SECONDS)
        world.check()
        if not unrest(world):
            return
    for problem in unrest(world):
        world.fail(f"not at rest: {problem}")


async def _die_together(world: "World") -> None:
    """All machines die while they ask for their first credit of a new account."""
    await world.admin.open_another()
    world.workers.last_words()
    await asyncio.sleep(world.rng.choice((0.001, 0.02, 0.3)))
    for machine in world.machines:
        machine.crash()
    await world.jobs_done()


def unrest(world: "World") -> list[str]:
    """What keeps the world from being at rest."""
    found = []
    for machine in world.machines:
        found += _unrest_of(machine)
    stored = Stored(world.raw)
    for account_id in world.account_ids:
        found += [f"{each.out} is out on lease {each.lease_id}" for each in stored.open_leases(account_id) if each.out]
    return found


def _unrest_of(machine: Machine) -> list[str]:
    if machine.state is State.LOST:
        return []
    if machine.sidecar is None:
        return [f"{machine.name} does not run"]
    now = machine.time.wall()
    books = list(machine.sidecar.books)
    unposted = [f"{machine.name} has something to post" for each in books if each.has_unposted or has_unfinished(each, now)]
    return unposted + [f"{machine.name} still holds {each.held}" for each in books if each.open_reservations]


async def _probe(world: "World") -> None:
    """No request is refused that could be paid: all that is not held can be used on any machine, wherever it is idle."""
    world.workers.touch_all()
    await world.jobs_done()
    await asyncio.sleep(_REPORTED_WITHIN * world.swarm.settle)
    _check_plans(world)
    stored = Stored(world.raw)
    for account_id in world.account_ids:
        books = [book for machine in world.machines for book in machine.books if book.account_id == account_id]
        if any(book.has_unposted for book in books):
            continue
        free = Microcredits(stored.free(account_id, Instant(world.now())))
        outcome = await world.workers.reserve_all(account_id, free) if free else None
        if outcome is not None and not isinstance(outcome, Done | Silence):
            world.fail(f"{free} of {account_id} is not held, and cannot be used: {outcome}")


def _check_plans(world: "World") -> None:
    """Each account was given by its plan what is due now."""
    stored, now = Stored(world.raw), Instant(world.now())
    for account_id in world.account_ids:
        calendar = world.admin.accounts[account_id].calendar
        for kind, period in ((GrantKind.DAILY, day_of(calendar, now)), (GrantKind.MONTHLY, month_of(calendar, now))):
            named = [each for each in stored.grants(account_id).values() if (each.kind, each.period_key) == (kind, period.key)]
            planned = stored.planned(account_id, kind, period, now)
            has_just_begun = now - period.starts_at < MINUTE
            if sum(counted(each) for each in named) < planned and not has_just_begun:
                world.fail(f"{account_id} was not given {planned} for {period.key}")


def _check_given(world: "World") -> None:
    """No plan gave twice for a period."""
    stored = Stored(world.raw)
    most = stored.most_planned()
    for account_id in world.account_ids:
        given: Counter[tuple[GrantKind, str]] = Counter()
        for each in stored.grants(account_id).values():
            if each.period_key is not None:
                given[each.kind, each.period_key] += counted(each)
        for (kind, key), amount in given.items():
            if amount > most[kind]:
                world.fail(f"{account_id} was given {amount} for {key}")


def _check_alerts(world: "World") -> None:
    """Each alert fired at most once a period, and is a line of history and a message to a webhook. One that fired while the
    store's clock was wrong may fire again when that period really comes.
    """
    stored = Stored(world.raw)
    deliveries = list(stored.rows("SELECT * FROM alert_deliveries"))
    right = [row for row in deliveries if row["created_at"] not in world.store_time.wrong]
    for (account_id, what), times in Counter((row["account_id"], _fired(row["body"])) for row in right).items():
        if times > 1:
            world.fail(f"an alert of {account_id} fired {times} times in a period: {what}")
    (lines,) = stored.rows("SELECT count(*) AS count FROM history WHERE type = 'LOW_BALANCE'")
    if lines["count"] != len(deliveries):
        world.fail(f"{lines['count']} alerts are in history, and {len(deliveries)} for the webhook")


def _fired(body: str) -> str:
    """Which alert a message is about, and in which period it fired."""
    alert = json.loads(body)["data"]
    return f"{alert['threshold']} {alert['period']}"


def _check_leases(world: "World") -> None:
    """What the store lets a machine have, the machine knows of, and nothing else."""
    leases = [each for each in Stored(world.raw).leases().values() if each.out and not each.closed]
    for machine in world.machines:
        known = {each.lease_id: each.limit for book in machine.books for each in book.leases.values()}
        for lease in leases:
            limit = known.get(lease.lease_id)
            if lease.sidecar_id == machine.name and machine.is_serving and limit != lease.limit:
                world.fail(f"{machine.name} knows of {limit} of lease {lease.lease_id}, which has {lease.limit}")


def _check_charges(world: "World") -> None:
    """Every acknowledged charge and refund of a machine that lives is in the store, once, and paid as far as it was held."""
    record, stored = world.record, Stored(world.raw)
    charges = {each.charge_id: each for account_id in world.account_ids for each in stored.charges(account_id)}
    lost = tuple(f"-{each.name}-" for each in world.machines if each.state is State.LOST)
    for charge_id, acknowledged in record.charges.items():
        found = charges.get(charge_id)
        if found is None:
            if not any(each in charge_id for each in lost):
                world.fail(f"charge {charge_id} was acknowledged and is not in the store")
        elif found.cost != acknowledged.cost:
            world.fail(f"charge {charge_id} was acknowledged as {acknowledged} and is {found}")
        else:
            _check_cover(world, acknowledged, found)
    _check_requests(world, charges.values())
    _check_metered(world, charges.values())
    _check_refunds(world, lost)


def _check_cover(world: "World", acknowledged: Charge, found: Charge) -> None:
    """What a lease stood behind is paid, unless the lease was reclaimed before the charge came."""
    leases, posting = Stored(world.raw).leases(), found.posting
    assert posting is not None, "what the store has is posted"
    if posting.uncovered + posting.debt > found.excess:
        world.fail(f"charge {found.charge_id} was held, and its account could not pay for it")
    if found.parts != acknowledged.parts:
        used = [leases[each.lease_id] for each in acknowledged.parts]
        if not any(each.lease_id in world.watch.given_up for each in used):
            world.fail(f"charge {found.charge_id} used leases that were not reclaimed, and they did not pay for it")


def _check_requests(world: "World", charges: Iterable[Charge]) -> None:
    """Every request that was charged is charged once, and none that was refused."""
    standing: Counter[str] = Counter()
    refused = world.record.refused - world.record.accepted - world.record.unsure
    for each in charges:
        assert each.posting is not None, "what the store has is posted"
        standing[each.request_id] += each.posting.duplicate_of is None
        if each.request_id in refused:
            world.fail(f"charge {each.charge_id} is of a request that was refused")
    for request_id, count in standing.items():
        if count != 1:
            world.fail(f"request {request_id} was charged {count} times")


def _check_metered(world: "World", charges: Iterable[Charge]) -> None:
    """Every metered call was charged once for what its stream reported."""
    found: dict[str, list[int | None]] = {}
    for each in charges:
        if each.reservation_id is not None:
            found.setdefault(each.reservation_id, []).append(each.usage.output_tokens if each.usage is not None else None)
    world.streams.check(found, {each.name for each in world.machines if each.state is State.LOST})


def _check_refunds(world: "World", lost: tuple[str, ...]) -> None:
    rows = {row["refund_id"]: row for row in Stored(world.raw).rows("SELECT * FROM refunds")}
    asked: Counter[str] = Counter()
    for refund_id, acknowledged in world.record.refunds.items():
        if refund_id not in rows and not any(each in refund_id for each in lost):
            world.fail(f"refund {refund_id} was acknowledged and is not in the store")
        if refund_id in rows and rows[refund_id]["amount_microcredits"] != acknowledged.amount:
            world.fail(f"refund {refund_id} was acknowledged for {acknowledged.amount}, and reads otherwise in the store")
        asked[acknowledged.charge_id] += acknowledged.amount
    for charge_id, amount in asked.items():
        charge = world.record.charges.get(charge_id)  # type: ignore[call-overload]  # the counter's keys are the charges' ids
        if charge is not None and amount > charge.cost:
            world.fail(f"charge {charge_id} of {charge.cost} was given back {amount}")
