"""What is written is there again; what comes together is written together; and `durable` returns only when it is on disk."""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Posting, Refund, RefundMode
from creditmeter.core.credit.requests import Receipt
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import AccountId, ChargeId, LeaseId, RefundId, RequestId, ReservationId, SidecarId
from creditmeter.core.instants import HOUR, Instant, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.values import replace
from creditmeter.forms.rate_cards import load
from creditmeter.journal.durability import Durability
from creditmeter.journal.index import Remembered
from creditmeter.journal.journal import MAX_WAITING, Journal
from creditmeter.journal.rows import Identity
from tests.journal import things
from tests.journal.files import HERE, held_up, journal_at, loaded, reservations, until_taken
from tests.journal.things import ACCOUNT, NOON, charge, held, lease, reserving
from tests.properties import times_as_many


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's journal is."""
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    """A new journal."""
    async with journal_at(path) as journal:
        yield journal


async def transactions(journal: Journal) -> list[str]:
    """A list to which the first statement of every transaction is added from here on. It may be the only one."""
    begun: list[str] = []
    connection = journal._connection._conn

    def trace(statement: str) -> None:
        if not connection.in_transaction:
            begun.append(statement)

    await journal._connection.set_trace_callback(trace)
    return begun


def put_together(loaded: list[Change]) -> tuple[dict[str, object], ...]:
    """What changes name, by id, whatever their order."""
    return (
        {each.account_id: each.account for each in loaded if each.account},
        {item.lease_id: item for each in loaded for item in each.leases},
        {item.reservation_id: item for each in loaded for item in each.reservations},
        {item.charge_id: item for each in loaded for item in each.charges},
        {item.refund_id: item for each in loaded for item in each.refunds},
        {item.request.request_id: item for each in loaded for item in each.receipts},
    )


# What is written is there again.


async def test_a_new_journal_is_empty_and_belongs_to_who_made_it(path: Path) -> None:
    """Its identity stays when it is opened again, whichever sidecar opens it."""
    async with journal_at(path) as journal:
        assert journal.identity == Identity(HERE)
        assert await loaded(journal) == []
    again = await Journal.open(path, SidecarId("another"))
    assert again.identity == Identity(HERE)
    await again.close()


async def test_what_waits_to_be_posted_is_known_from_the_oldest_on(path: Path) -> None:
    """Ids begin with a number drawn at each start, so they have nothing of the order."""
    names = ("b", "a", "c")
    charges = tuple(replace(charge(name), committed_at=Instant(NOON + age)) for age, name in enumerate(names))
    refunds = tuple(
        Refund(
            RefundId(name),
            ChargeId(name),
            ACCOUNT,
            RequestId(f"{name}/refund"),
            Microcredits(1),
            RefundMode.ORIGINAL,
            "",
            Instant(NOON + age),
        )
        for age, name in enumerate(names)
    )
    async with journal_at(path) as journal:
        for charge_, refund in zip(charges, refunds, strict=True):
            journal.write(Change(ACCOUNT, charges=(charge_,), refunds=(refund,)), NOON)
        await journal.durable()
        book = Book(ACCOUNT)
        for each in await loaded(journal):
            book.apply(each)
    assert tuple(each.charge_id for each in book.unposted_charges) == names
    assert tuple(each.refund_id for each in book.unposted_refunds) == names


async def test_identity_is_there_again(path: Path) -> None:
    """The epoch, a pending nonce, and the highest reading of the clock, which only changes move."""
    async with journal_at(path) as journal:
        journal.write(reserving("r"), NOON)
        await journal.put_identity(Identity(HERE, 7, "nonce", Instant(0)))
        assert journal.identity == Identity(HERE, 7, "nonce", NOON)
    async with journal_at(path) as journal:
        assert journal.identity == Identity(HERE, 7, "nonce", NOON)


@times_as_many(0.6)
@given(things.changes)
async def test_everything_that_can_be_written_comes_back_as_it_was(change: Change) -> None:
    """Every kind of thing and request goes through the disk unchanged, to the last digit and the strangest letter."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal.db"
        async with journal_at(path, Durability.PROCESS) as journal:
            journal.write(change, NOON)
        async with journal_at(path, Durability.PROCESS) as journal:
            assert put_together(await loaded(journal)) == put_together([change])


async def test_a_lease_is_not_trusted_after_a_restart(path: Path) -> None:
    """How long it may be used counts on a clock that the next start does not have."""
    async with journal_at(path) as journal:
        journal.write(Change(ACCOUNT, leases=(replace(lease("l"), trusted_until=Span(10**12)),)), NOON)
    async with journal_at(path) as journal:
        (change,) = await loaded(journal)
        assert [each.trusted_until for each in change.leases] == [0]


async def test_the_last_version_wins(path: Path) -> None:
    """Within one group and over several."""
    async with journal_at(path) as journal:
        ended = held("r").end(ReservationState.RELEASED, NOON)
        journal.write(reserving("r"), NOON)
        journal.write(Change(ACCOUNT, reservations=(replace(ended, charged=ended.charged),)), NOON)
        journal.write(Change(ACCOUNT, leases=(lease("l", 1), lease("l", 2))), NOON)
        await journal.durable()
        journal.write(Change(ACCOUNT, leases=(lease("l", 3),)), NOON)
    async with journal_at(path) as journal:
        _, leases, reservations, *_ = put_together(await loaded(journal))
    assert reservations == {"r": ended}
    assert leases == {"l": lease("l", 3)}


async def test_books_are_what_they_were(path: Path) -> None:
    """Loading is applying one large change: holds count, and what waits to be posted waits again."""
    before = Book(ACCOUNT)
    changes = [Change(ACCOUNT, leases=(lease("lease"),)), reserving("r", 5), Change(ACCOUNT, charges=(charge("c", 7),))]
    async with journal_at(path) as journal:
        for change in changes:
            before.apply(change)
            journal.write(change, NOON)
    after = Book(ACCOUNT)
    async with journal_at(path) as journal:
        for change in await loaded(journal):
            after.apply(change)
    assert (after.held, after.open_reservations, after.has_unposted) == (5, 1, True)
    assert after.unposted_on(LeaseId("lease")) == before.unposted_on(LeaseId("lease")) == 7
    assert after.receipts == before.receipts


@pytest.mark.parametrize(("durability", "synchronous"), [(Durability.FULL, 2), (Durability.PROCESS, 1)])
async def test_durability_is_what_was_chosen(path: Path, durability: Durability, synchronous: int) -> None:
    """FULL syncs the log at each commit, PROCESS leaves that to the system."""
    async with journal_at(path, durability) as journal:
        cursor = await journal._connection.execute("PRAGMA synchronous")
        assert await cursor.fetchone() == (synchronous,)


# What comes together is written together.


async def test_changes_of_one_moment_share_a_transaction(journal: Journal, path: Path) -> None:
    """A hundred changes, one sync."""
    begun = await transactions(journal)
    for number in range(100):
        journal.write(reserving(f"r{number}"), NOON)
    await journal.durable()
    assert len(begun) == 1
    assert len(reservations(path)) == 100


async def test_changes_that_come_while_the_disk_is_busy_share_the_next_transaction(journal: Journal) -> None:
    """However many come, and however many callers wait for them."""
    begun = await transactions(journal)
    async with held_up(journal):
        journal.write(reserving("first"), NOON)
        await until_taken(journal)
        waiting = []
        for number in range(50):
            journal.write(reserving(f"r{number}"), NOON)
            waiting.append(asyncio.ensure_future(journal.durable()))
    await asyncio.gather(*waiting)
    assert len(begun) == 2


async def test_a_journal_with_as_many_waiting_as_may_is_full(journal: Journal) -> None:
    """`is_full` is true then, and no change that was taken is lost."""
    async with held_up(journal):
        journal.write(reserving("first"), NOON)
        await until_taken(journal)
        change = reserving("r")
        for _ in range(MAX_WAITING):
            journal.write(change, NOON)
        assert journal.is_full
    await journal.durable()
    assert not journal.is_full


# `durable` returns only when it is on disk.


async def test_durable_waits_for_what_was_given(journal: Journal, path: Path) -> None:
    """Not a moment less: before, nothing is there; after, another process sees it."""
    async with held_up(journal):
        journal.write(reserving("r"), NOON)
        waiting = asyncio.ensure_future(journal.durable())
        await until_taken(journal)
        late = asyncio.ensure_future(journal.durable())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert not late.done(), "what is being written is waited for as well"
        assert reservations(path) == []
    await asyncio.gather(waiting, late)
    assert reservations(path) == ["r"]


async def test_durable_does_not_wait_for_what_came_later(journal: Journal) -> None:
    """Each waits for the newest group that it saw."""
    async with held_up(journal):
        journal.write(reserving("mine"), NOON)
        waiting = asyncio.ensure_future(journal.durable())
        await until_taken(journal)
    await waiting
    async with held_up(journal):
        journal.write(reserving("later"), NOON)
        assert waiting.done()


async def test_nothing_given_nothing_to_wait_for(journal: Journal) -> None:
    """A read of what is on disk already is answered at once."""
    await journal.durable()
    journal.write(reserving("r"), NOON)
    await journal.durable()
    async with held_up(journal):
        await journal.durable()


async def test_who_stops_waiting_takes_nobody_along(journal: Journal, path: Path) -> None:
    """A caller that went away changes nothing for the others of its group."""
    async with held_up(journal):
        journal.write(reserving("r"), NOON)
        gone, stays = asyncio.ensure_future(journal.durable()), asyncio.ensure_future(journal.durable())
        await until_taken(journal)
        gone.cancel()
        await asyncio.sleep(0)
    await stays
    assert gone.cancelled()
    assert reservations(path) == ["r"]


async def test_closing_writes_what_was_given(path: Path) -> None:
    """No caller has to wait for it first."""
    async with journal_at(path) as journal:
        journal.write(reserving("r"), NOON)
    assert reservations(path) == ["r"]


# What has ended is looked up, and what is old is gone.


def ended(name: str) -> Change:
    """A reservation that was released as soon as it was made."""
    return replace(reserving(name), reservations=(held(name).end(ReservationState.RELEASED, NOON),))


async def test_what_has_ended_is_found_in_the_archive(path: Path) -> None:
    """Right after it was written, after an image, and after a restart; what was never written is not."""
    (receipt,) = ended("r").receipts
    async with journal_at(path) as journal:
        journal.write(ended("r"), NOON)
        await journal.durable()
        await found_in(journal, receipt)
        journal.write_image([], NOON)
        await journal.durable()
        await found_in(journal, receipt)
    async with journal_at(path) as journal:
        assert await loaded(journal) == []
        await found_in(journal, receipt)
        assert journal.archive.remembered == Remembered(receipts=1, reservations=1)


async def found_in(journal: Journal, receipt: Receipt) -> None:
    """Whether a reservation and the receipt of its request are in the archive, and nothing else is."""
    archive = journal.archive
    assert archive.receipt(ACCOUNT, RequestId("r/reserve")) == receipt
    assert archive.receipt(AccountId("other"), RequestId("r/reserve")) is None
    assert archive.receipt(ACCOUNT, RequestId("s/reserve")) is None
    found = archive.reservation(ReservationId("r"))
    assert found is not None
    assert found.state is ReservationState.RELEASED
    assert archive.reservation(ReservationId("s")) is None


async def test_the_last_version_of_a_reservation_is_found(journal: Journal) -> None:
    """An expired one that was committed late."""
    expired = held("r").end(ReservationState.EXPIRED, NOON)
    late = replace(expired, state=ReservationState.COMMITTED)
    for version in (expired, late):
        journal.write(Change(ACCOUNT, reservations=(version,)), NOON)
        await journal.durable()
        assert journal.archive.reservation(ReservationId("r")) == version


async def test_what_is_old_is_dropped_once_an_image_covers_it(journal: Journal, path: Path) -> None:
    """Not before, and nothing that is newer."""
    for hours in range(4):
        journal.write(ended(f"r{hours}"), Instant(NOON + hours * HOUR))
    journal.drop(Instant(NOON + 2 * HOUR))
    await journal.durable()
    assert reservations(path) == ["r0", "r1", "r2", "r3"]
    journal.write_image([], Instant(NOON + 4 * HOUR))
    await journal.durable()
    journal.drop(Instant(NOON + 2 * HOUR))
    await dropped(journal)
    assert [journal.archive.reservation(ReservationId(f"r{hours}")) is None for hours in range(4)] == [True, True, False, False]


async def dropped(journal: Journal) -> None:
    """Wait until there is nothing more to drop."""
    while journal._gathering.drop_before or journal._writing is not None:
        await asyncio.sleep(0)


async def test_dropping_goes_on_until_all_that_is_old_is_gone(journal: Journal, path: Path) -> None:
    """A part at a time, with what comes in between, and the index with it."""
    journal._index.segment_entries = 1_000
    for number in range(3_000):
        journal.write(ended(f"r{number}"), NOON)
    await journal.durable()
    journal.write_image([], NOON)
    await journal.durable()
    journal.drop(Instant(NOON + 1))
    journal.write(ended("new"), Instant(NOON + 1))
    await journal.durable()
    await dropped(journal)
    assert reservations(path) == ["new"]
    assert journal.archive.reservation(ReservationId("new")) is not None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (entries,) = connection.execute("SELECT count(*) FROM entries").fetchone()
    assert entries <= 1_003, "the last segment is left until another one begins"
    assert journal.archive.remembered.reservations <= 400


async def test_an_image_is_wanted_when_much_was_written_or_it_is_old(journal: Journal) -> None:
    """And never if nothing was written since the last one."""
    assert not journal.wants_image(Instant(NOON + 2 * HOUR))
    journal.write(reserving("r"), NOON)
    journal.write_image([reserving(f"i{number}") for number in range(5)], NOON)
    journal.write(reserving("s"), NOON)
    await journal.durable()
    assert not journal.wants_image(NOON)
    assert journal.wants_image(Instant(NOON + HOUR))
    journal.min_bytes_between_images = 0
    assert not journal.wants_image(NOON), "a large image is worth more records"
    for number in range(20):
        journal.write(reserving(f"r{number}"), NOON)
    await journal.durable()
    assert journal.wants_image(NOON)


async def test_a_start_reads_the_image_and_what_came_after_it(path: Path) -> None:
    """A charge that a later record says more of is whole."""
    posting = Posting(NOON, charge("c").cost, *(charge("c").excess,) * 3, ())
    async with journal_at(path) as journal:
        journal.write(Change(ACCOUNT, charges=(charge("c"), charge("d"))), NOON)
        await journal.durable()
        journal.write_image([Change(ACCOUNT, charges=(charge("c"), charge("d")))], NOON)
        await journal.durable()
        journal.write(Change(ACCOUNT, charges=(replace(charge("c"), sent=True),)), NOON)
        journal.write(Change(ACCOUNT, charges=(replace(charge("c"), sent=True, posting=posting),)), NOON)
    async with journal_at(path) as journal:
        found = put_together(await loaded(journal))
    assert found[3] == {"c": replace(charge("c"), sent=True, posting=posting), "d": charge("d")}


@times_as_many(0.2)
@given(st.lists(things.changes, max_size=6), st.integers(0, 6))
async def test_an_image_changes_nothing_that_is_read(changes: list[Change], image_at: int) -> None:
    """Wherever among the changes it is made, also in one group with them."""
    books: dict[bool, Book] = {}
    for with_image in (False, True):
        with tempfile.TemporaryDirectory() as directory:
            path, memory = Path(directory) / "journal.db", Book(ACCOUNT)
            async with journal_at(path, Durability.PROCESS) as journal:
                for number, change in enumerate(changes):
                    memory.apply(change)
                    journal.write(change, NOON)
                    if with_image and number == image_at:
                        journal.write_image([memory.live], NOON)
            books[with_image] = Book(ACCOUNT)
            async with journal_at(path, Durability.PROCESS) as journal:
                for change in await loaded(journal):
                    books[with_image].apply(change)
    assert put_together([books[True].live]) == put_together([books[False].live])


# Rate cards.


async def test_rate_cards_are_kept_until_they_are_dropped(path: Path) -> None:
    """With the prices that they rest on, to the last digit."""
    document = 'version = "v"\neffective_from = 1970-01-01T00:00:00Z\n'
    plain, rests = (load(text, bundled_price_list).kept for text in (document, document + '[text]\nsource = "genai-prices"'))
    async with journal_at(path) as journal:
        for each in (plain, rests):
            await journal.put_rate_card(each)
    async with journal_at(path) as journal:
        assert sorted(await journal.rate_cards(), key=lambda each: each.version) == [plain, rests]
        journal.drop_rate_card("v")
        await journal.durable()
        assert await journal.rate_cards() == [rests]
