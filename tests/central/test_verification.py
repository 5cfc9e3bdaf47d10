"""Verification bites: each way of damaging a store is found and named."""

from pathlib import Path

import pytest
from sqlalchemy import text

from creditmeter.central.administration import CreateAccount, GrantCredits
from creditmeter.central.store import CentralStore
from creditmeter.central.verification import Report, verify
from creditmeter.core.accounts import Account, Plan
from creditmeter.core.amounts import from_credits
from creditmeter.core.grants import GrantKind
from creditmeter.core.ids import AccountId, PlanId, RequestId
from creditmeter.core.instants import Instant
from creditmeter.core.rate_card import RateCard
from tests.clocks import ManualClock
from tests.sidecar.bench import Bench
from tests.sidecar.test_meter import charge, charge_id, commit, held, refund

DOUBLED_LINE = """
INSERT INTO history SELECT account_id, 1000, type, amount_microcredits, balance_after_microcredits, occurred_at, posted_at,
    kind, grant_id, charge_id, refund_id, action, model, tool, quantity, rate_card_version, labels, draws, note
FROM history WHERE type = 'CHARGED' LIMIT 1
"""
ALICE = AccountId("alice")


@pytest.fixture
async def url(tmp_path: Path, clock: ManualClock, card: RateCard) -> str:
    """A store with grants of every kind, charges, refunds, a write-off, and a hold."""
    url = f"sqlite:///{tmp_path / 'central.db'}"
    bench = Bench(tmp_path, clock, card, url)
    await bench.start()
    await bench.account(daily=3, monthly=4, permanent=10)
    burnt = await charge(bench, "burn", 9)
    await bench.sidecar.settle()
    await refund(bench, "part", charge_id(burnt), 2)
    await commit(bench, "above", await held(bench, "r", 1), 30)
    await bench.sidecar.settle()
    await bench.grant("more", 20)
    await held(bench, "open", 5)
    await bench.sidecar.settle()
    await bench.crash()
    return url


async def damaged(url: str, statement: str) -> Report:
    """The report on a store after a statement was run on it."""
    store = CentralStore(url, lambda: Instant(0))
    async with store, store.database.write() as connection:
        assert (await connection.execute(text(statement))).rowcount, "the statement does damage"
    return await verify(url)


async def test_a_store_that_nobody_touched_is_clean(url: str) -> None:
    """Progress is told, and there is nothing to say."""
    told: list[tuple[int, int]] = []
    report = await verify(url, lambda done, of: told.append((done, of)))
    assert report == Report(1, report.entries, ())
    assert report.entries >= 7
    assert told == [(1, 1)]


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
        ("DELETE FROM history WHERE type = 'CHARGED'", "stands in history 0 times"),
        ("DELETE FROM history WHERE number = 2", "where 2 should stand"),
        ("UPDATE history SET amount_microcredits = amount_microcredits - 1 WHERE type = 'CHARGED'", "adds up to"),
        ("UPDATE history SET balance_after_microcredits = 1 WHERE number = 3", "says a balance of 1"),
        ("UPDATE accounts SET balance_microcredits = 0", "the balance is 0"),
        ("UPDATE accounts SET last_entry = last_entry + 1", "lines where"),
        ("UPDATE charges SET covered_microcredits = covered_microcredits + 1", "has covered"),
        ("DELETE FROM refunds", "was refunded"),
        ("UPDATE history SET type = 'LAPSED' WHERE type = 'REFUNDED'", "stands in history 0 times"),
        ("UPDATE leases SET limit_microcredits = limit_microcredits + 100000000", "out on leases"),
        ("UPDATE leases SET held_microcredits = held_microcredits + 100000000", "held and unposted"),
        (DOUBLED_LINE, "stands in history 2 times"),
    ],
)
async def test_damage_is_found(url: str, statement: str, words: str) -> None:
    """In words that name the account and the thing."""
    report = await damaged(url, statement)
    assert any(words in problem for problem in report.problems), report.problems
    assert all(problem.startswith(f"account {ALICE}: ") for problem in report.problems)


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
