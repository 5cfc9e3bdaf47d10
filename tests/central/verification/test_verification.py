"""Verification bites: each way of damaging a store is found and named."""

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy import delete

from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import Report, verify
from creditmeter.core.amounts import from_credits
from creditmeter.core.credit.accounts import Account, Plan
from creditmeter.core.credit.administration import CreateAccount, GrantCredits
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.ids import AccountId, PlanId, RequestId
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_cards import LoadedCard
from tests.clocks import ManualClock
from tests.sidecar.bench import Bench
from tests.sidecar.requests import charge, charge_id, commit, held, refund

DOUBLED_LINE = """
INSERT INTO history SELECT account_id, 1000, type, amount_microcredits, balance_after_microcredits, occurred_at, posted_at,
    kind, grant_id, charge_id, refund_id, action, model, tool, quantity, rate_card_version, labels, draws, note, kinds,
    sources
FROM history WHERE type = 'CHARGED' LIMIT 1
"""
ALICE = AccountId("alice")


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock, card: LoadedCard, central_url: str) -> str:
    """A store with grants of every kind, charges, refunds, debt that was repaid, a write-off, and a hold."""
    if central_url.startswith("sqlite"):
        shutil.copyfile(request.getfixturevalue("used_file"), tmp_path / "central.db")
    else:
        asyncio.run(_use(Bench(tmp_path, clock, card, central_url)))
    return central_url


@pytest.fixture(scope="session")
def used_file(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path, card: LoadedCard) -> Path:
    """The file of such a store. To use one takes longer than to look at it, so the tests have copies of one."""
    directory = tmp_path_factory.mktemp("used")
    file = directory / "central.db"
    shutil.copyfile(migrated_file, file)
    asyncio.run(_use(Bench(directory, ManualClock(), card, f"sqlite:///{file}")))
    beside = {each.name for each in directory.glob("central.db*")} - {"central.db-queue"}
    assert beside == {file.name}, "all that was written is in the file itself"
    return file


async def _use(bench: Bench) -> None:
    await bench.start()
    await bench.account(daily=3, monthly=4, permanent=10, overdraft_limit=from_credits(5))
    burnt = await charge(bench, "burn", 9)
    await bench.sidecar.settle()
    await refund(bench, "part", charge_id(burnt), 2)
    await commit(bench, "above", await held(bench, "r", 1), 30)
    await bench.sidecar.settle()
    await bench.grant("more", 20)
    await held(bench, "open", 5)
    await bench.sidecar.settle()
    await bench.crash()


async def damaged(url: str, statement: str) -> Report:
    """The report on a store after a statement was run on it."""
    store = CentralStore(url, lambda: Instant(0))
    async with store, store.database.write() as connection:
        assert (await connection.exec_driver_sql(statement)).rowcount, "the statement does damage"
    return await verify(url)


async def test_a_store_that_nobody_touched_is_clean(url: str) -> None:
    """Progress is reported, and there are no problems."""
    progress: list[tuple[int, int]] = []
    report = await verify(url, lambda done, of: progress.append((done, of)))
    assert report == Report(1, report.entries, ())
    assert report.entries >= 7
    assert progress == [(1, 1)]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE grants SET remaining_microcredits = remaining_microcredits + 1 WHERE kind = 'PERMANENT'", "does not add up"),
        (
            "UPDATE grants SET amount_microcredits = amount_microcredits + 5, lapsed_microcredits = lapsed_microcredits + 5",
            "has amount",
        ),
        (
            "UPDATE grants SET drawn_microcredits = drawn_microcredits + 1, refunded_microcredits = refunded_microcredits + 1",
            "has drawn",
        ),
        ("DELETE FROM history WHERE type = 'CHARGED'", "is in history 0 times"),
        ("UPDATE history SET kinds = 0 WHERE type = 'CHARGED'", "does not have the kinds and sources of its grants"),
        ("UPDATE history SET sources = 63 WHERE type = 'LAPSED' OR number = 1", "does not have the kinds and sources"),
        ("DELETE FROM history WHERE number = 2", "where line 2 should be"),
        ("UPDATE history SET amount_microcredits = amount_microcredits - 1 WHERE type = 'CHARGED'", "adds up to"),
        ("UPDATE history SET balance_after_microcredits = 1 WHERE number = 3", "says a balance of 1"),
        ("UPDATE accounts SET balance_microcredits = 0", "the balance is 0"),
        ("UPDATE accounts SET last_entry = last_entry + 1", "were written"),
        ("UPDATE accounts SET debt_microcredits = debt_microcredits + 1", "and its charges owe"),
        ("UPDATE accounts SET to_come_microcredits = to_come_microcredits + 1", "to come, and its grants have 0"),
        ("UPDATE grants SET begins_later = true WHERE kind = 'PERMANENT'", "is marked wrongly as one that has not begun"),
        ("UPDATE charges SET covered_microcredits = covered_microcredits + 1", "has covered"),
        ("DELETE FROM refunds", "was refunded"),
        ("UPDATE history SET type = 'LAPSED' WHERE type = 'REFUNDED'", "is in history 0 times"),
        ("UPDATE leases SET limit_microcredits = limit_microcredits + 100000000", "out, and the grants behind them have"),
        ("UPDATE leases SET held_microcredits = held_microcredits + 100000000", "held and unposted"),
        (DOUBLED_LINE, "is in history 2 times"),
        ("DELETE FROM history WHERE number = (SELECT max(number) FROM history)", "were written"),
        ("DELETE FROM history WHERE type = 'DEBT_REPAID'", "drew more than its lines of history say"),
        ("UPDATE history SET type = 'NONSENSE' WHERE number = 1", "history line 1 cannot be read"),
        ("UPDATE history SET draws = '[' WHERE type = 'CHARGED'", "cannot be read"),
        ("UPDATE history SET draws = '[]' WHERE type = 'CHARGED'", "is not the sum of its draws"),
        (
            "UPDATE history SET draws = replace(draws, 'monthly-', 'daily-') WHERE type = 'CHARGED'",
            "has draws that are not those of charge",
        ),
        (
            "UPDATE history SET charge_id = 'chg-unknown' WHERE type = 'WRITTEN_OFF'",
            "is about charge chg-unknown, which does not exist",
        ),
        (
            "UPDATE history SET refund_id = 'ref-unknown' WHERE type = 'REFUNDED'",
            "refund ref-unknown is in history, but does not exist",
        ),
        ("DELETE FROM grants WHERE kind = 'DAILY'", "is in history, but does not exist"),
        (
            "UPDATE grants SET lapsed_microcredits = 1, voided_microcredits = -1 WHERE kind = 'DAILY'",
            "has voided -1, its history",
        ),
        (
            "UPDATE grants SET refunded_microcredits = 0, drawn_microcredits = drawn_microcredits - refunded_microcredits",
            "has drawn",
        ),
        ("UPDATE grants SET remaining_microcredits = -1 WHERE kind = 'DAILY'", "is overdrawn by 1"),
        ("UPDATE grants SET voided_at = created_at WHERE kind = 'PERMANENT'", "voided grants have 15000000 left, and"),
        ("UPDATE refunds SET never_paid_microcredits = 1", "has never_paid 1 in its row, but 0 in its body"),
        ("DELETE FROM charges", "which does not exist"),
        ("UPDATE charges SET body = '{}'", "cannot be read"),
        (
            'UPDATE charges SET body = replace(body, \'{"charge_id"\', \'{"form":2,"charge_id"\')',
            "cannot be read: its form is 2",
        ),
        ("UPDATE charges SET request_id = 'another'", "has request_id another in its row"),
        ("UPDATE charges SET duplicate_of = 'another'", "is in history 1 times"),
        ("UPDATE charges SET body = replace(body, '\"returned\":2000000', '\"returned\":1999999')", "its draws 1999999"),
        (
            "UPDATE charges SET body = replace(body, '\"uncovered\":0', '\"uncovered\":1')",
            "covered, owed, cancelled or written off",
        ),
        ("UPDATE refunds SET amount_microcredits = amount_microcredits + 1", "has amount"),
        ("UPDATE refunds SET body = 'nothing'", "cannot be read"),
        ("UPDATE refunds SET restored_microcredits = 1, lapsed_microcredits = 1999999", "has 1 restored and 1999999 lapsed"),
        ("UPDATE leases SET posted_microcredits = limit_microcredits + 1", "has less than nothing out"),
        ("UPDATE leases SET closed = (1 = 1)", "is closed with"),
        (
            "UPDATE grants SET effective_at = effective_at + 1000000000000 WHERE kind = 'PERMANENT'",
            "and the grants behind them have",
        ),
        ("DELETE FROM accounts", "does not exist, but has rows in history"),
    ],
)
async def test_damage_is_found(url: str, statement: str, words: str) -> None:
    """In words that name the account and the thing."""
    report = await damaged(url, statement)
    assert any(words in problem for problem in report.problems), report.problems
    assert all(problem.startswith(f"account {ALICE}: ") for problem in report.problems)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE accounts SET alerts = '['", "the row of accounts cannot be read: "),
        (
            "UPDATE accounts SET state = 'NONSENSE'",
            "the row of accounts cannot be read: 'NONSENSE' is not a valid AccountState",
        ),
        ("UPDATE exchanges SET answer = '{}'", " of exchanges cannot be read: "),
        ("UPDATE requests SET request = '{}'", " of requests cannot be read: "),
        ("UPDATE requests SET reply = '['", " of requests cannot be read: "),
    ],
)
async def test_rows_that_no_balance_rests_on(url: str, statement: str, words: str) -> None:
    """A call that needs them is refused, so they are named, too."""
    report = await damaged(url, statement)
    assert any(words in problem for problem in report.problems), report.problems
    assert all(problem.startswith(f"account {ALICE}: ") for problem in report.problems)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE accounts SET balance_microcredits = 'much'", "the row of accounts cannot be read: balance_microcredits is of"),
        ("UPDATE accounts SET decided_at = 'soon'", "the row of accounts cannot be read: decided_at is of another type"),
        ("UPDATE accounts SET time_zone = CAST(x'ff' AS TEXT)", "the row of accounts cannot be read: time_zone is of"),
        ("UPDATE grants SET note = CAST(x'ff' AS TEXT)", "cannot be read: note is of another type"),
        ("UPDATE grants SET remaining_microcredits = 'much'", "cannot be read: remaining_microcredits is of another type"),
        ("UPDATE leases SET trusted_until = 'soon'", "cannot be read: trusted_until is of another type"),
        ("UPDATE history SET amount_microcredits = 'much' WHERE number = 2", "cannot be read ("),
        ("UPDATE charges SET body = CAST(x'ff' AS TEXT)", "cannot be read: "),
    ],
)
async def test_cells_of_another_type(url: str, statement: str, words: str) -> None:
    """SQLite keeps whatever is in the place of a number or of a text."""
    if not url.startswith("sqlite"):
        pytest.skip("PostgreSQL refuses such a statement")
    report = await damaged(url, statement)
    assert any(words in problem for problem in report.problems), report.problems
    assert all(problem.startswith(f"account {ALICE}: ") for problem in report.problems)


async def test_a_lease_is_backed_to_the_microcredit(url: str) -> None:
    """As much out as is left is sound; one more is not."""
    left = "(SELECT sum(remaining_microcredits) FROM grants)"
    assert (await damaged(url, f"UPDATE leases SET limit_microcredits = posted_microcredits + {left}")).problems == ()
    report = await damaged(url, "UPDATE leases SET limit_microcredits = limit_microcredits + 1")
    assert [problem.partition(" have ")[2] for problem in report.problems] == [
        "15000001 out, and the grants behind them have 15000000 left"
    ]


async def test_it_does_not_depend_on_where_pages_end(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sound or damaged, it is found the same a row at a time."""
    whole = await verify(url)
    broken = await damaged(url, "UPDATE history SET amount_microcredits = amount_microcredits + 1")
    for size in (1, 2, 3):
        monkeypatch.setattr("creditmeter.central.verification.verification.PAGE", size)
        assert await verify(url) == broken
    await damaged(url, "UPDATE history SET amount_microcredits = amount_microcredits - 1")
    assert await verify(url) == whole


async def test_a_store_that_is_none_is_told(tmp_path: Path) -> None:
    """Rather than called clean."""
    with pytest.raises(CentralUnavailable) as refused:
        await verify(f"sqlite:///{tmp_path / 'empty.db'}")
    assert refused.value.is_lasting


async def test_many_problems_are_listed_up_to_a_bound(tmp_path: Path, clock: ManualClock) -> None:
    """And the rest are counted."""
    url = f"sqlite:///{tmp_path / 'central.db'}"
    async with CentralStore(url, clock.wall) as store:
        await store.migrate()
        await store.administration.put_plan(Plan(PlanId("p"), from_credits(0), from_credits(0)))
        for number in range(101):
            account = Account(AccountId(f"a{number}"), Instant(0))
            await store.administration.create_account(CreateAccount(RequestId("c"), account))
            asked = GrantCredits(RequestId("g"), account.account_id, GrantKind.PERMANENT, from_credits(1))
            await store.administration.grant_credits(asked)
    report = await damaged(url, "UPDATE accounts SET balance_microcredits = 7")
    assert len(report.problems) == 101
    assert report.problems[-1] == "and 1 more problems"


def test_a_file_that_is_verified_is_not_written(tmp_path: Path, migrated_file: Path) -> None:
    """Nor could it be: whoever verifies needs no right to."""
    file = tmp_path / "central.db"
    file.write_bytes(migrated_file.read_bytes())
    assert asyncio.run(verify(f"sqlite:///{file}")).problems == ()
    assert file.read_bytes() == migrated_file.read_bytes()
    with pytest.raises(CentralUnavailable, match="readonly"):
        asyncio.run(_write(Database(f"sqlite:///{file}", read_only=True)))


async def _write(database: Database) -> None:
    try:
        async with database.write() as connection:
            await connection.execute(delete(tables.plans))
    finally:
        await database.close()
