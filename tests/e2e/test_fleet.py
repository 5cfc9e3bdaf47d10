"""Four sidecars whose workers spend one account's credit: never more than there is, and all of it.

Every refusal is held against what the workers know. A request that was refused for lack of credit is right if at some moment
between its start and its end so much was charged or held, by calls that did succeed, that the rest could not cover it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, count
from pathlib import Path

import pytest

from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.v1 import account_pb2, grants_pb2, metering_pb2
from tests.e2e.fleet import (
    CREDIT,
    ONCE,
    assert_clean,
    fleet,
    history,
    open_account,
    reserve,
    settled,
    stop_all,
)
from tests.e2e.load import PASSING, PAUSE_SECONDS

ACCOUNT = "alice"
SIDECARS = 4
WORKERS = 16
DAILY, MONTHLY, PERMANENT = 250, 300, (200, 250)
GRANTED = DAILY + MONTHLY + sum(PERMANENT)
LARGEST_CALL = 10
LONGEST_CALL_SECONDS = 0.03
RELEASED_SHARE = 0.15
MAX_RECALLS = 40
"""Most times that one request may get RECALL_PENDING or CONTENDED."""

ORDER_OF_KINDS = [grants_pb2.GRANT_KIND_DAILY, grants_pb2.GRANT_KIND_MONTHLY, grants_pb2.GRANT_KIND_PERMANENT]


@dataclass
class Refused:
    """A request that was refused for lack of credit, with the moments between which it was decided."""

    credits: int
    started: int
    ended: int


@dataclass
class Ledger:
    """What the workers of all sidecars know, at moments that are counted. Amounts in credits.

    `changes` are the changes to what may be charged or held: a reservation that succeeded counts from before it was asked for.
    """

    changes: Counter[int] = field(default_factory=Counter)
    refusals: list[Refused] = field(default_factory=list)
    charges: dict[str, int] = field(default_factory=dict)
    pending: int = 0
    _moments: Iterator[int] = field(default_factory=count)

    def now(self) -> int:
        """A moment later than all before."""
        return next(self._moments)

    @property
    def charged(self) -> int:
        """What was acknowledged as charged."""
        return sum(self.charges.values())

    def false_refusals(self) -> list[str]:
        """The refusals for which there was credit all the time."""
        taken = list(accumulate(self.changes[moment] for moment in range(self.now())))
        wrong = []
        for each in self.refusals:
            most = max(taken[each.started : each.ended + 1])
            if GRANTED - most >= each.credits:
                wrong.append(f"{each.credits} refused while at most {most} of {GRANTED} were charged or held: {each}")
        return wrong


async def test_on_postgresql(postgres_url: str) -> None:
    """The store that production uses."""
    await spend_everything(postgres_url)


@pytest.mark.long
async def test_on_one_shared_file(tmp_path: Path) -> None:
    """Several sidecars of one host may share an embedded store."""
    await spend_everything(f"sqlite:///{tmp_path / 'central.db'}")


async def spend_everything(central: str) -> None:
    """Spend one account's credit through all sidecars at once, and check everything that must hold."""
    ledger = Ledger()
    async with fleet(central, SIDECARS) as sidecars:
        clients = [Connection(each.address) for each in sidecars]
        await open_account(clients[0], ACCOUNT, daily=DAILY, monthly=MONTHLY, permanent=PERMANENT)
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients * WORKERS):
                group.create_task(work(client, f"w{number}", ledger))
        assert ledger.charged <= GRANTED
        assert ledger.false_refusals() == []
        await spend_the_rest(clients[-1], ledger)
        assert ledger.false_refusals() == []

        at_rest = await settled(clients, ACCOUNT)
        assert ledger.charged == GRANTED
        assert (at_rest.available_microcredits, at_rest.debt_microcredits) == (0, 0)
        entries = await history(clients[0], ACCOUNT)
        assert_charged_once(entries, ledger)
        assert_drawn_in_order(entries)
        for client in clients:
            await client.close()
        assert await stop_all(sidecars) == [0] * SIDECARS
    await assert_clean(central)


async def work(client: Connection, name: str, ledger: Ledger) -> None:
    """Make calls of all sizes until not even the smallest can be paid."""
    draw = random.Random(name)  # noqa: S311 - the same worker, the same calls
    largest = LARGEST_CALL
    for number in count():
        credits = draw.randint(1, largest)
        if await make_call(client, f"{name}/{number}", credits, draw, ledger):
            continue
        if credits == 1:
            return
        largest = credits - 1


async def spend_the_rest(client: Connection, ledger: Ledger) -> None:
    """When all others are done, one worker finds what they left, wherever it is idle."""
    draw = random.Random(0)  # noqa: S311 - the last calls need no chance
    number = count()
    while await make_call(client, f"rest/{next(number)}", 1, draw, ledger, released_share=0):
        pass


async def make_call(
    client: Connection,
    name: str,
    credits: int,
    draw: random.Random,
    ledger: Ledger,
    released_share: float = RELEASED_SHARE,
) -> bool:
    """Reserve the upper bound of a call, make it, and commit or release. Returns False if it was refused."""
    asked_at = ledger.now()
    reservation_id = await hold(client, f"{name}/reserve", credits, ledger)
    if reservation_id is None:
        return False
    ledger.changes[asked_at] += credits
    await asyncio.sleep(draw.random() * LONGEST_CALL_SECONDS)  # the call
    if draw.random() < released_share:
        release = metering_pb2.ReleaseRequest(request_id=f"{name}/release", reservation_id=reservation_id)
        await call(client.metering.Release, release)
        ledger.changes[ledger.now()] -= credits
        return True
    used = draw.randint(1, credits)
    commit = metering_pb2.CommitRequest(
        request_id=f"{name}/commit", reservation_id=reservation_id, amount_microcredits=used * CREDIT
    )
    charge = (await call(client.metering.Commit, commit)).charge
    assert charge.cost_microcredits == used * CREDIT
    ledger.charges[charge.charge_id] = used
    ledger.changes[ledger.now()] += used - credits
    return True


async def hold(client: Connection, request_id: str, credits: int, ledger: Ledger) -> str | None:
    """Reserve, and repeat it while the reply is RECALL_PENDING or CONTENDED, or a busy machine's store did not answer in time.
    None if there is no credit.
    """
    for _ in range(MAX_RECALLS):
        started = ledger.now()
        try:
            return (await reserve(client, request_id, ACCOUNT, credits, ONCE)).reservation_id
        except CreditmeterError as error:
            if error.reason == "INSUFFICIENT_CREDITS":
                ledger.refusals.append(Refused(credits, started, ledger.now()))
                return None
            if error.reason not in PASSING:
                raise
            ledger.pending += 1
            wait = PAUSE_SECONDS if error.reason == "CENTRAL_UNAVAILABLE" else error.retry_delay
        await asyncio.sleep(wait or pytest.fail("RECALL_PENDING does not say when to come back"))
    pytest.fail(f"{request_id}: credit was on its way {MAX_RECALLS} times and never came")


def assert_charged_once(entries: list[account_pb2.HistoryEntry], ledger: Ledger) -> None:
    """Each acknowledged charge is in history, once, at its cost, and nothing else is."""
    charged = [each for each in entries if each.type == account_pb2.HISTORY_TYPE_CHARGED]
    assert len(charged) == len(ledger.charges)
    assert {each.charge_id: -each.amount_microcredits for each in charged} == {
        charge_id: credits * CREDIT for charge_id, credits in ledger.charges.items()
    }


def assert_drawn_in_order(entries: list[account_pb2.HistoryEntry]) -> None:
    """No grant was drawn on while one that comes before it had anything left: all of them could be used all the time, and
    within a kind the one that was given first comes first.
    """
    given = [each for each in entries if each.type == account_pb2.HISTORY_TYPE_GRANTED]
    order = sorted(given, key=lambda each: ORDER_OF_KINDS.index(each.kind))
    left = {each.grant_id: each.amount_microcredits for each in order}
    assert sum(left.values()) == GRANTED * CREDIT
    for draw in (draw for entry in entries for draw in entry.draws):
        earlier = [left[each.grant_id] for each in order[: list(left).index(draw.grant_id)]]
        assert sum(earlier) == 0, f"drawn on {draw.grant_id} while {earlier} were left before it"
        left[draw.grant_id] -= draw.amount_microcredits
    assert set(left.values()) == {0}
