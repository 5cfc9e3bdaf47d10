"""A journal of which something cannot be read: right, refused, or in quarantine and told of; never silently different.

What is damaged, and what comes of it at a start (S) and in a running sidecar (R):

1. The body or checksum of a record after the image, or of a part of the image; its account and number are as written.
   S: that account is in quarantine, all others go on. R: the same when the books are read anew after a failed write; until
   then memory has it right.
2. The same of a record that the image covers, of what has ended. S: nothing, it is read when it is asked for. R: the call that
   needs it gets STORAGE_DAMAGED, others go on.
3. The account, the number or the moment of a row: nobody knows whose it is. S: refused, exit code 5 and one line. R: the call
   that needs it gets STORAGE_UNAVAILABLE.
4. A row in the place of another one, rows swapped. As 3: the number of a row is in its checksum.
5. A row that is gone, of the log, the image or the quarantine. S: refused. They are numbered, and the identity says how many
   there are. R: STORAGE_UNAVAILABLE if it is asked for.
6. The identity, a rate card, a table, the structure of the file. S: refused. R: as SQLite finds it, STORAGE_UNAVAILABLE.
7. The index, which is made of the records. S: made anew; refused if a record that it needs cannot be read. R: what is not found
   where it is damaged is refused as STORAGE_UNAVAILABLE (`tests/journal/test_index.py`).
8. A file that was cut off, a `-wal` that is gone. S: refused (`tests/server/test_data_directory.py`). R: nothing more is
   acknowledged (`tests/e2e/test_lost_files.py`).

The same damage, and that of the `-wal`, by chance and through whole starts: `tests/server/test_damage_campaign.py`.

An account in quarantine takes no calls, and no message about it is sent: nothing is spent, returned, renewed or reported as
empty. What is out to this sidecar stays out at the central store until it reclaims that.
"""

import random
import shutil
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from creditmeter.core.credit.requests import ChargeNow, Done, RefundCharge
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import HOUR, MINUTE, Span
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.journal.checking import check_journal
from creditmeter.journal.faults import AccountDamaged, JournalUnusable
from creditmeter.journal.quarantine import accept_loss
from creditmeter.sidecar.account_records import Mark
from creditmeter.sidecar.reader import Balance
from creditmeter.sidecar.sidecar import Sidecar
from tests.clocks import ManualClock
from tests.sidecar.bench import Bench, credits
from tests.sidecar.damaged import (
    ACCOUNTS,
    REQUESTS,
    Told,
    copied,
    flip_a_bit,
    hold,
    live_through,
    run,
    told_by,
    write_image,
)

SEEDS = range(60)
ALICE, BOB = ACCOUNTS[:2]
AFTER_IMAGE = "seq > (SELECT image_seq FROM identity)"
BEFORE_IMAGE = "seq <= (SELECT image_seq FROM identity)"


@dataclass(repr=False)  # an event loop would show all of it after each fixture, the card as well
class Past:
    """A bench whose sidecar has crashed after a while, and what it would answer of that."""

    bench: Bench
    directory: Path
    sound: Told
    clock: ManualClock
    card: LoadedCard

    def on(self, directory: Path) -> Bench:
        """A bench on another directory, with the same central store."""
        return Bench(directory, self.clock, self.card, self.bench._central_url)


@pytest.fixture
async def past(tmp_path: Path, migrated_file: Path, clock: ManualClock, card: LoadedCard) -> Past:
    """The journal of a sidecar that died with four accounts in every state."""
    shutil.copyfile(migrated_file, tmp_path / "central.db")
    bench = Bench(tmp_path, clock, card, f"sqlite:///{tmp_path / 'central.db'}")
    await bench.start()
    await live_through(bench)
    await bench.crash()
    copy = copied(tmp_path, "sound")
    again = Past(bench, tmp_path, Told(), clock, card)
    sound = again.on(copy)
    again.sound = told_by(await sound.start(is_cut=True))
    await sound.crash()
    assert not again.sound.damaged
    assert not again.sound.refused
    assert all(receipt is not None for receipt in again.sound.receipts.values())
    return again


@pytest.fixture
async def bench(past: Past) -> AsyncIterator[Bench]:
    """The bench of the sidecar that died, which the test starts."""
    yield past.bench
    await past.bench.crash()


async def refused(bench: Bench) -> str | None:
    """Why a start is refused; None if it is not. The sidecar then runs, without its central store."""
    try:
        await bench.start(is_cut=True)
    except JournalUnusable as error:
        if hasattr(bench, "sidecar"):
            await bench.sidecar.stop(0)
        if hasattr(bench, "journal"):
            await bench.journal.close()
            await bench.central.close()
        return str(error)
    return None


def raises(sidecar: Sidecar, account_id: AccountId) -> bool:
    """Whether nothing is answered of an account."""
    try:
        sidecar.books.open(account_id)
    except AccountDamaged:
        return True
    return False


# The campaign.


async def test_one_flipped_bit_is_never_silently_different(past: Past) -> None:
    """Wherever it is: what is answered is the same, or a start is refused, or one account is in quarantine."""
    ends = {"right": 0, "refused": 0, "quarantined": 0, "a call refused": 0}
    for seed in SEEDS:
        chance = random.Random(seed)  # noqa: S311 - damage, no secret
        directory = copied(past.directory, f"seed{seed}")
        where = flip_a_bit(directory, chance)
        bench = past.on(directory)
        reason = await refused(bench)
        if reason is not None:
            assert "\n" not in reason, (seed, where)
            assert str(directory / "journal.db") in reason
            ends["refused"] += 1
            continue
        told = told_by(bench.sidecar)
        assert told.agrees_with(past.sound), (seed, where)
        assert len(told.damaged) <= 1, (seed, where)
        assert set(bench.sidecar.records.quarantine) == told.damaged
        ends["quarantined"] += bool(told.damaged)
        ends["a call refused"] += bool(told.refused and not told.damaged)
        ends["right"] += not told.refused
        checked = check_journal(directory / "journal.db")
        assert set(checked.accounts) == told.damaged, (seed, where)
        await bench.crash()
    print(f"seeds 0 to {SEEDS[-1]}: {ends}")  # noqa: T201 - shown if it fails
    assert min(ends.values()) > 0, ends


# Rows that do not stand where they were written.

ELSEWHERE = {
    "a record replaced by another account's": (
        "UPDATE records SET (account_id, written_at, checksum, body) = (SELECT account_id, written_at, checksum, body"
        " FROM records WHERE account_id = 'bob' ORDER BY seq DESC LIMIT 1)"
        " WHERE seq = (SELECT max(seq) FROM records WHERE account_id = 'alice')"
    ),
    "a part of the image replaced by another account's": (
        "UPDATE image SET (account_id, written_at, checksum, body) = (SELECT account_id, written_at, checksum, body"
        " FROM image WHERE account_id = 'bob' LIMIT 1) WHERE account_id = 'alice'"
    ),
    "a part of the image replaced by a record": (
        "UPDATE image SET (account_id, written_at, checksum, body) = (SELECT account_id, written_at, checksum, body"
        " FROM records WHERE seq = part) WHERE account_id = 'alice'"
    ),
    "the parts of the image turned round": "UPDATE image SET part = -part",
    "a part of the image gone": "DELETE FROM image WHERE account_id = 'alice'",
    "the last part of the image gone": "DELETE FROM image WHERE part = (SELECT max(part) FROM image)",
    "all of the image gone": "DELETE FROM image",
    "a record gone": f"DELETE FROM records WHERE {AFTER_IMAGE} AND account_id = 'alice'",
    "the account of a record another one": (
        f"UPDATE records SET account_id = 'bob' WHERE {AFTER_IMAGE} AND account_id = 'alice'"
    ),
    "the moment of a record another one": f"UPDATE records SET written_at = written_at + 1 WHERE {AFTER_IMAGE}",
}


@pytest.mark.parametrize("statement", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_a_row_that_is_gone_or_elsewhere_is_refused(past: Past, statement: str) -> None:
    """Nobody knows whose state is missing."""
    run(past.directory, statement)
    assert "cannot be read" in str(await refused(past.bench))


async def test_records_swapped_are_refused(past: Past) -> None:
    """Each is sound, but not in this place."""
    run(past.directory, f"UPDATE records SET seq = -seq WHERE {AFTER_IMAGE}")
    run(past.directory, "UPDATE records SET seq = (SELECT max(seq) + 1 - min(seq) FROM records) + seq WHERE seq < 0")
    assert "of records cannot be read" in str(await refused(past.bench))


async def test_the_end_of_a_log_that_was_closed_in_order_is_missed(past: Past) -> None:
    """No file beside the journal knows of it any more."""
    run(past.directory, "DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)")
    assert "of records cannot be read (it is missing)" in str(await refused(past.bench))


# What quarantine means.

LIVE = {
    "a record": f"UPDATE records SET body = x'00' WHERE {AFTER_IMAGE} AND account_id = 'alice'",
    "a part of the image": "UPDATE image SET body = x'00' WHERE account_id = 'alice'",
    "a checksum": f"UPDATE records SET checksum = checksum + 1 WHERE {AFTER_IMAGE} AND account_id = 'alice'",
    "bytes that became no text": f"UPDATE records SET body = x'ff' || body WHERE {AFTER_IMAGE} AND account_id = 'alice'",
    "a text in the place of bytes": f"UPDATE records SET body = 'x' WHERE {AFTER_IMAGE} AND account_id = 'alice'",
}


@pytest.mark.parametrize("statement", LIVE.values(), ids=LIVE.keys())
async def test_the_account_of_a_damaged_row_alone_is_refused(past: Past, bench: Bench, statement: str) -> None:
    """Every call of it that rests on the journal; what the central store alone knows is answered."""
    run(past.directory, statement)
    sidecar = await bench.start()
    told = told_by(sidecar)
    assert told.damaged == {ALICE}
    assert told.refused == {(ALICE, each) for each in REQUESTS}
    assert told.agrees_with(past.sound)
    charged = past.sound.receipts[ALICE, "charge"]
    assert charged is not None
    assert charged.charge is not None
    charge_id = charged.charge.charge_id
    for call in (
        hold(sidecar, ALICE, "new", 1),
        sidecar.meter.answer(ChargeNow(RequestId("new"), ALICE, amount=credits(1), already_incurred=True)),
        sidecar.meter.answer(RefundCharge(RequestId("new"), charge_id)),
        sidecar.reader.balance(ALICE),
        sidecar.reader.charge(charge_id),
        sidecar.reader.reservations(ALICE, None, 10),
    ):
        with pytest.raises(AccountDamaged, match="creditmeter journal check"):
            await call
    assert not isinstance(await sidecar.reader.grants(ALICE, 10), Exception)
    assert {each.account_id for each in await sidecar.reader.reservations(None, None, 100)} == set(ACCOUNTS[1:])
    assert (await sidecar.status()).quarantine == (ALICE,)


async def test_nothing_is_said_of_it_to_the_central_store(past: Past, bench: Bench) -> None:
    """Not at a settlement, a recall or a stop: what is out stays out, until the store reclaims it."""
    run(past.directory, LIVE["a record"])
    sidecar = await bench.start()
    (before,) = await bench.central.listing.leases(10, ALICE)
    assert before.lease.out > 0
    sidecar._planner.recall(ALICE)
    await sidecar._exchanger.exchange([ALICE, BOB])
    await bench.round()
    assert not await sidecar.stop(5)
    accounts = {message.account_id for messages in bench.wire.sent for message in messages}
    assert accounts == set(ACCOUNTS[1:])
    assert not any(sidecar.records.is_marked(ALICE, mark) for mark in Mark)
    assert (await bench.central.listing.leases(10, ALICE)) == [before]
    await bench.counts(2 * HOUR)
    await bench.central.exchanges.reclaim(ALICE)
    assert await bench.central.listing.leases(10, ALICE) == []


async def test_it_lasts_over_restarts_images_and_pruning(past: Past, bench: Bench) -> None:
    """Nothing of the account is dropped, and the others lose nothing."""
    run(past.directory, LIVE["a record"])
    await bench.start(is_cut=True)
    for _ in range(2):
        await write_image(bench)
        past.clock.advance(Span(30 * MINUTE))
        await bench.restart()
    past.clock.advance(Span(72 * HOUR))
    bench.wire.is_cut = False
    await bench.settled_in_the_end()
    await bench.sidecar.tidy()
    await write_image(bench)
    await bench.sidecar.tidy()
    await bench.journal.durable()
    sidecar = await bench.restart()
    assert raises(sidecar, ALICE)
    assert bench.rows("records") < 10
    left = check_journal(past.directory / "journal.db").accounts[ALICE]
    assert left.damaged
    assert left.book.charges


async def test_a_row_of_the_quarantine_that_is_gone_is_refused(past: Past) -> None:
    """Otherwise the account would begin anew, as if it had nothing."""
    run(past.directory, LIVE["a record"])
    await past.bench.start(is_cut=True)
    await write_image(past.bench)
    await past.bench.crash()
    run(past.directory, "DELETE FROM quarantine")
    assert "of quarantine cannot be read (it is missing)" in str(await refused(past.bench))


async def test_a_record_of_what_has_ended_stops_nothing(past: Past, bench: Bench) -> None:
    """The call that needs it is refused, and a collision of hashes with another account's is none."""
    run(past.directory, f"UPDATE records SET body = x'00' WHERE {BEFORE_IMAGE} AND account_id = 'alice'")
    sidecar = await bench.start()
    told = told_by(sidecar)
    assert not told.damaged
    assert {account for account, _ in told.refused} == {ALICE}
    assert {"hold", "charge"} <= {request_id for _, request_id in told.refused}
    assert told.agrees_with(past.sound)
    assert await hold(sidecar, ALICE, "new", 1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET hash = hash + 1 WHERE hash = (SELECT min(hash) FROM entries)",
        "DELETE FROM entries WHERE hash = (SELECT min(hash) FROM entries)",
        "DELETE FROM segments",
        "UPDATE segments SET filter = zeroblob(length(filter))",
        "UPDATE segments SET receipts = receipts + 1",
        "UPDATE segments SET filter = 'none'",
        "UPDATE entries SET hash = 'none' WHERE hash = (SELECT min(hash) FROM entries)",
    ],
)
async def test_an_index_that_is_damaged_is_made_anew(past: Past, bench: Bench, statement: str) -> None:
    """It would say that a request is new which took effect, and it would take effect twice."""
    run(past.directory, statement)
    sidecar = await bench.start(is_cut=True)
    told = told_by(sidecar)
    assert told.agrees_with(past.sound)
    assert not told.refused
    remembered = sidecar.books._journal.archive.remembered
    await bench.restart()
    assert bench.sidecar.books._journal.archive.remembered == remembered


async def test_an_index_that_cannot_be_made_anew_is_refused(past: Past) -> None:
    """A record that it needs cannot be read."""
    run(past.directory, "DELETE FROM segments")
    run(past.directory, f"UPDATE records SET body = x'00' WHERE {BEFORE_IMAGE} AND account_id = 'alice'")
    assert "of records cannot be read" in str(await refused(past.bench))


# The way out.


def accept(past: Past, account_id: AccountId) -> None:
    """Accept that what cannot be read of an account is lost."""
    connection = sqlite3.connect(past.directory / "journal.db", isolation_level=None)
    try:
        sidecar_id = check_journal(past.directory / "journal.db").sidecar_id
        assert sidecar_id is not None
        assert accept_loss(connection, sidecar_id, account_id) is not None
        assert accept_loss(connection, sidecar_id, account_id) is None
    finally:
        connection.close()


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("request_id", ["later", "part", "more"])
async def test_an_account_goes_on_from_what_can_be_read(past: Past, bench: Bench, request_id: str, *, started: bool) -> None:
    """What was charged and can be read is posted, once; nothing is authorised on the old lease; the others are as they were."""
    number = past.sound.receipts[ALICE, request_id]
    assert number is not None
    first = f"SELECT min(seq) FROM records WHERE {AFTER_IMAGE} AND account_id = 'alice'"
    place = {"later": 0, "part": 1, "more": 2}[request_id]
    run(past.directory, f"UPDATE records SET body = x'00' WHERE account_id = 'alice' AND seq = ({first}) + {place}")
    if started:
        await bench.start(is_cut=True)
        await write_image(bench)
        await bench.crash()
    accept(past, ALICE)
    assert check_journal(past.directory / "journal.db").is_clean
    sidecar = await bench.start(is_cut=True)
    told = told_by(sidecar)
    assert not told.damaged | told.refused
    assert told.receipts.pop((ALICE, request_id)) is None
    told.live.pop(ALICE)
    assert told.agrees_with(past.sound)
    assert sidecar.books.open(ALICE).idle_once_renewed(past.clock.wall()) == 0
    bench.wire.is_cut = False
    await bench.settled_in_the_end()
    await bench.round()
    balance = await sidecar.reader.balance(ALICE)
    assert isinstance(balance, Balance)
    lost = {"part": 1, "more": 2}.get(request_id, 0)
    still = {"hold": 5 if request_id == "part" else 4, "later": 0 if request_id == "later" else 6}
    assert balance.summary.held == credits(sum(still.values()))
    remaining = sum(each.remaining for each in balance.summary.buckets)
    assert remaining == credits(100 - 1 - 2 - 3 - 1 - 2 + lost)
    assert isinstance(await sidecar.meter.answer(ChargeNow(RequestId("new"), ALICE, amount=credits(1))), Done)
