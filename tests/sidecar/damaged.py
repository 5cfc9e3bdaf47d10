"""A journal of several accounts in every state, what a start makes of it, and ways to damage it."""

import contextlib
import random
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.administration import CreateAccount, GrantCredits
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.requests import ChargeNow, Commit, Done, Receipt, RefundCharge, Reserve
from creditmeter.core.ids import AccountId, RequestId, ReservationId
from creditmeter.core.instants import Instant
from creditmeter.core.metering.book import Change
from creditmeter.core.values import replace
from creditmeter.journal.faults import AccountDamaged, StorageUnavailable
from creditmeter.sidecar.outcomes import Outcome
from creditmeter.sidecar.sidecar import Sidecar
from tests.sidecar.bench import Bench, credits

ACCOUNTS = tuple(map(AccountId, ("alice", "bob", "carol", "dave")))
REQUESTS = ("old", "hold", "spent", "commit", "charge", "refund", "later", "part", "more")
GRANTED = 100


async def open_accounts(bench: Bench) -> None:
    """Open all accounts, with 100 credits each."""
    for each in ACCOUNTS:
        await bench.central.administration.create_account(CreateAccount(RequestId("create"), Account(each, Instant(0))))
        given = GrantCredits(RequestId("give"), each, GrantKind.PERMANENT, credits(GRANTED))
        await bench.central.administration.grant_credits(given)


async def hold(sidecar: Sidecar, account_id: AccountId, request_id: str, amount: float) -> ReservationId:
    """Hold so many credits."""
    done = await sidecar.meter.answer(Reserve(RequestId(request_id), account_id, amount=credits(amount)))
    found = receipt_of(done).reservation
    assert found is not None
    return found.reservation_id


def receipt_of(outcome: Outcome) -> Receipt:
    """The receipt of a request that took effect."""
    assert isinstance(outcome, Done)
    return outcome.reply


async def live_through(bench: Bench) -> None:
    """Settled charges, open holds, unposted charges and refunds of each account, in the image and after it."""
    await open_accounts(bench)
    sidecar, holds = bench.sidecar, {}
    for each in ACCOUNTS:
        await sidecar.meter.answer(ChargeNow(RequestId("old"), each, amount=credits(1)))
    await sidecar.settle()
    for each in ACCOUNTS:
        holds[each] = await hold(sidecar, each, "hold", 5)
        spent = await hold(sidecar, each, "spent", 3)
        await sidecar.meter.answer(Commit(RequestId("commit"), spent, amount=credits(2)))
        made = receipt_of(await sidecar.meter.answer(ChargeNow(RequestId("charge"), each, amount=credits(4)))).charge
        assert made is not None
        await sidecar.meter.answer(RefundCharge(RequestId("refund"), made.charge_id, credits(1)))
    await write_image(bench)
    for each in ACCOUNTS:
        await hold(sidecar, each, "later", 6)
        part = Commit(RequestId("part"), holds[each], amount=credits(1), keep_open=True)
        await sidecar.meter.answer(part)
        await sidecar.meter.answer(ChargeNow(RequestId("more"), each, amount=credits(2)))


async def write_image(bench: Bench) -> None:
    """Have the journal write an image of all books, as it does by itself after a while."""
    live = [found for book in bench.sidecar.books if (found := book.live)]
    bench.journal.write_image(live, bench.journal.identity.clock)
    await bench.journal.durable()


@dataclass
class Told:
    """What a sidecar answers of all accounts from its journal alone. `damaged` are accounts of which nothing is answered,
    `refused` what single calls refuse.
    """

    live: dict[AccountId, Change] = field(default_factory=dict)
    receipts: dict[tuple[AccountId, str], Receipt | None] = field(default_factory=dict)
    damaged: set[AccountId] = field(default_factory=set)
    refused: set[tuple[AccountId, str]] = field(default_factory=set)

    def agrees_with(self, sound: "Told") -> bool:
        """Whether all that is answered is the same as of the sound journal."""
        return all(sound.live[each] == change for each, change in self.live.items()) and all(
            sound.receipts[each] == receipt for each, receipt in self.receipts.items()
        )


def told_by(sidecar: Sidecar) -> Told:
    """Ask for everything."""
    told = Told()
    for each in ACCOUNTS:
        try:
            told.live[each] = _in_order(sidecar.books.open(each).live)
        except AccountDamaged:
            told.damaged.add(each)
        for request_id in REQUESTS:
            try:
                told.receipts[each, request_id] = sidecar.books.receipt(each, RequestId(request_id))
            except (AccountDamaged, StorageUnavailable):
                told.refused.add((each, request_id))
    return told


def _in_order(live: Change) -> Change:
    return replace(
        live,
        reservations=tuple(sorted(live.reservations, key=lambda each: each.reservation_id)),
        charges=tuple(sorted(live.charges, key=lambda each: each.charge_id)),
        leases=tuple(sorted(live.leases, key=lambda each: each.lease_id)),
        account=None,  # the central store tells it anew
    )


def copied(directory: Path, name: str) -> Path:
    """A copy of the journal in a directory of its own."""
    copy = directory / name
    copy.mkdir()
    for each in directory.glob("journal.db*"):
        shutil.copy(each, copy / each.name)
    return copy


def run(directory: Path, statement: str, *values: object) -> None:
    """Change the journal in a directory behind its sidecar's back."""
    with contextlib.closing(sqlite3.connect(directory / "journal.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0, statement


def bodies(directory: Path) -> list[bytes]:
    """The bodies of all records and parts of the image."""
    with contextlib.closing(sqlite3.connect(directory / "journal.db")) as connection:
        rows = connection.execute("SELECT body FROM image UNION ALL SELECT body FROM records")
        return [body for (body,) in rows]


def flip_a_bit(directory: Path, chance: random.Random) -> str:
    """Flip one bit of the journal: of any byte, or in or near a record. Returns where."""
    path = directory / "journal.db"
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    if chance.random() < 0.75:
        body = chance.choice(bodies(directory))
        place = max(0, content.find(body) + chance.randrange(-40, len(body)))
    bit = chance.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {place}"
