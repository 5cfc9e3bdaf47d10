"""What lies in the central store's database, read past the code that keeps it."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, cast

from creditmeter.central.schema.rows import charge_of, grant_of, lease_of
from creditmeter.central.verification.checks import lease_problems
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.calendar import Period
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.grants import Grant, GrantKind
from creditmeter.core.credit.leases import OutLease, available
from creditmeter.core.ids import GrantId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.values import replace

_UNSOUND = """
SELECT account_id, grant_id FROM grants
WHERE remaining_microcredits < 0 OR amount_microcredits != remaining_microcredits + drawn_microcredits
    - refunded_microcredits + lapsed_microcredits + voided_microcredits
"""
_BALANCES = """
SELECT account_id, balance_microcredits, (SELECT coalesce(sum(remaining_microcredits), 0) FROM grants
    WHERE grants.account_id = accounts.account_id) FROM accounts
"""


class Stored:
    """A look into the database between two transactions."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def rows(self, query: str, *arguments: object) -> list[Any]:
        """The rows that a query finds; their columns are found by name."""
        cursor = self._raw.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(query, arguments).fetchall()

    def grants(self, account_id: str) -> dict[GrantId, Grant]:
        """An account's grants."""
        found = (grant_of(row) for row in self.rows("SELECT * FROM grants WHERE account_id = ?", account_id))
        return {each.grant_id: each for each in found}

    def planned(self, account_id: str, kind: GrantKind, period: Period, now: int) -> int:
        """What an account's plan is to give in a period that runs now, at least. If the account was put on its plan in the
        future, that may be what the plan gives then.
        """
        column = "daily_microcredits" if kind is GrantKind.DAILY else "monthly_microcredits"
        since = self._raw.execute("SELECT plan_since FROM accounts WHERE account_id = ?", (account_id,)).fetchone()[0]
        query = f"""
            SELECT {column} FROM plans JOIN accounts USING (plan_id) WHERE account_id = ?
            AND effective_at <= ? ORDER BY effective_at DESC LIMIT 1
        """
        moments = (max(period.starts_at, each) for each in (since, min(since, now)))
        found = (self._raw.execute(query, (account_id, each)).fetchone() for each in moments)
        return min(0 if each is None else int(each[0]) for each in found)

    def most_planned(self) -> dict[GrantKind, int]:
        """The most that any plan ever gave in a period."""
        query = "SELECT max(daily_microcredits), max(monthly_microcredits) FROM plans"
        daily, monthly = self._raw.execute(query).fetchone()
        return {GrantKind.DAILY: daily, GrantKind.MONTHLY: monthly}

    def open_leases(self, account_id: str) -> list[OutLease]:
        """An account's open leases."""
        return [lease_of(row) for row in self.rows("SELECT * FROM leases WHERE account_id = ? AND NOT closed", account_id)]

    def limits(self) -> dict[str, int]:
        """The limits of all leases."""
        return dict(self._raw.execute("SELECT lease_id, limit_microcredits FROM leases").fetchall())

    def closed_leases(self) -> dict[str, tuple[str, str]]:
        """The sidecars and the accounts of all closed leases."""
        found = self._raw.execute("SELECT lease_id, sidecar_id, account_id FROM leases WHERE closed").fetchall()
        return {lease_id: (sidecar_id, account_id) for lease_id, sidecar_id, account_id in found}

    def may_have_notifications(self, sidecar_id: str) -> bool:
        """Whether the store waits for a message of a sidecar, or did so until a moment ago."""
        query = "SELECT 1 FROM recalls WHERE awaited LIKE ? OR (sidecar_id = ? AND is_ripe) LIMIT 1"
        return self._raw.execute(query, (f'%"{sidecar_id}"%', sidecar_id)).fetchone() is not None

    def leases(self) -> dict[str, OutLease]:
        """All leases, by their ids."""
        return {row["lease_id"]: lease_of(row) for row in self.rows("SELECT * FROM leases")}

    def end_of(self, lease_id: str) -> int | None:
        """When a lease ends."""
        found = self._raw.execute("SELECT ends_at FROM leases WHERE lease_id = ?", (lease_id,)).fetchone()
        return None if found is None else int(found[0])

    def lease_times(self, charge: Charge) -> tuple[Instant, Instant] | None:
        """The beginning and the end of the first lease that a charge used."""
        query = "SELECT opened_at, ends_at FROM leases WHERE account_id = ? AND lease_id = ?"
        name = charge.parts[0].lease_id if charge.parts else ""
        return cast("tuple[Instant, Instant] | None", self._raw.execute(query, (charge.account_id, name)).fetchone())

    def charges(self, account_id: str, charge_ids: Sequence[str] | None = None) -> list[Charge]:
        """An account's charges, or some of them."""
        if charge_ids is None:
            return [charge_of(row) for row in self.rows("SELECT * FROM charges WHERE account_id = ?", account_id)]
        query = "SELECT * FROM charges WHERE account_id = ? AND charge_id = ?"
        return [charge_of(row) for each in charge_ids for row in self.rows(query, account_id, each)]

    def restored_since(self, account_id: str, moment: int) -> int:
        """What refunds have given back to an account's grants since a moment."""
        query = "SELECT coalesce(sum(restored_microcredits), 0) FROM refunds WHERE account_id = ? AND posted_at >= ?"
        return int(self._raw.execute(query, (account_id, moment)).fetchone()[0])

    def elapsed(self) -> Span:
        """The time that the store counted."""
        (row,) = self._raw.execute("SELECT coalesce(max(elapsed), 0) FROM elapsed_time").fetchall()
        return Span(row[0])

    def free(self, account_id: str, now: Instant) -> int:
        """What of an account's credit is not held, as far as the store knows."""
        busy = [
            replace(each, limit=Microcredits(each.posted + min(each.out, each.held + each.unposted)))
            for each in self.open_leases(account_id)
        ]
        owed = "SELECT coalesce(sum(debt_microcredits), 0) FROM charges WHERE account_id = ?"
        debt = int(self._raw.execute(owed, (account_id,)).fetchone()[0])
        return max(0, available(self.grants(account_id).values(), busy, now) - debt)

    def problems(self) -> Iterator[str]:
        """What does not add up: grants, balances, and leases with less behind them than is out."""
        for account_id, grant_id in self._raw.execute(_UNSOUND):
            yield f"{account_id}: grant {grant_id} does not add up"
        for account_id, balance, remaining in self._raw.execute(_BALANCES):
            if balance != remaining:
                yield f"{account_id}: the balance is {balance}, and its grants have {remaining} left"
        for row in self.rows("SELECT account_id, decided_at FROM accounts"):
            leases = self.rows("SELECT * FROM leases WHERE account_id = ? AND NOT closed", row["account_id"])
            if leases:
                grants = self.rows("SELECT * FROM grants WHERE account_id = ?", row["account_id"])
                for problem in lease_problems(grants, leases, row["decided_at"]):
                    yield f"{row['account_id']}: {problem}"
