"""Scenarios as tables: what is done when, what is left then, and the new lines of history.

    when             | step       | left    | history
    2026-03-10 09:00 | charge a 2 | 1 10 0  | GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13, CHARGED -2 = 11

`when` is the time in the table's zone; `left` the daily, monthly and permanent credits after the step; `history` the lines
that the step added, each with the balance after it. Amounts are credits. A step that is refused ends with the refusal's name,
after a colon. A step of another sidecar begins with ``other``. After each step both sidecars settle. A row with nothing
but history continues the row above it.

    look                           read the balance
    hold NAME AMOUNT               reserve
    commit NAME AMOUNT             commit a hold; its charge has the hold's name
    release NAME                   release a hold
    charge NAME AMOUNT             reserve and commit in one step
    incur NAME AMOUNT              charge what is a fact already
    refund NAME [AMOUNT] [goodwill]
    give NAME AMOUNT [END]         give a permanent grant, until a date of the table's zone
    void NAME                      take back what can be taken back of a grant
    plan DAILY MONTHLY             change the account's plan
    assign NAME DAILY MONTHLY      put the account on another plan, which gives this
    move ZONE [ANCHOR]             change the account's calendar
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from creditmeter.core.amounts import format_credits
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.credit.administration import AccountUpdate, GrantCredits, UpdateAccount, VoidGrant
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import Entry
from creditmeter.core.credit.requests import Done
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import ChargeId, GrantId, PlanId, RequestId
from creditmeter.core.instants import Instant, from_datetime
from creditmeter.core.refusals import Refusal
from creditmeter.sidecar.outcomes import Outcome
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, charge_id, commit, refund, release, reservation, reserve

Row = tuple[str, str, str, str]


@dataclass
class Scenario:
    """One account's life through one sidecar, or two."""

    bench: Bench
    zone: str = "UTC"
    other: Bench | None = None
    holds: dict[str, Reservation] = field(default_factory=dict)
    charges: dict[str, ChargeId] = field(default_factory=dict)
    grants: dict[str, GrantId] = field(default_factory=dict)
    lines: int = 0
    steps: int = 0

    async def play(self, table: str) -> None:
        """Do the steps of the table, and compare what happens with it."""
        expected = _rows(table)
        happened = [await self._happens(when, step) for when, step, _, _ in expected]
        assert happened == expected, "what happened:\n" + "\n".join(" | ".join(row) for row in happened)

    async def _happens(self, when: str, step: str) -> Row:
        self.bench.clock.advance(self.moment(when) - self.bench.clock.wall())
        self.steps += 1
        words = step.partition(":")[0].split()
        bench = self.bench
        if words[0] == "other":
            assert self.other is not None
            bench, words = self.other, words[1:]
        refused = await self._step(bench, words)
        for each in filter(None, (self.bench, self.other)):
            await each.sidecar.settle()
        done = f"{step.partition(':')[0]}: {type(refused).__name__}" if refused else step.partition(":")[0]
        return when, done, await self._left(), await self._new_lines()

    def moment(self, when: str) -> Instant:
        """A time of the table's zone."""
        return from_datetime(datetime.fromisoformat(when).replace(tzinfo=ZoneInfo(self.zone)))

    async def _left(self) -> str:
        return " ".join(f"{each:g}" for each in await self.bench.remaining())

    async def _new_lines(self) -> str:
        entries = (await self.bench.history())[self.lines :]
        self.lines += len(entries)
        return ", ".join(map(_line, entries))

    async def _step(self, bench: Bench, words: Sequence[str]) -> Refusal | None:
        steps: dict[str, Callable[..., Awaitable[object]]] = {
            "look": self._look,
            "hold": self._hold,
            "commit": self._commit,
            "release": self._release,
            "charge": self._charge,
            "incur": self._incur,
            "refund": self._refund,
            "give": self._give,
            "void": self._void,
            "plan": self._plan,
            "assign": self._assign,
            "move": self._move,
        }
        outcome = await steps[words[0]](bench, *words[1:])
        return outcome if isinstance(outcome, Refusal) else None

    def _request(self) -> str:
        return f"step {self.steps}"

    async def _look(self, bench: Bench) -> None:
        await bench.summary()

    async def _hold(self, bench: Bench, name: str, amount: str) -> Outcome:
        outcome = await reserve(bench, self._request(), float(amount))
        if not isinstance(outcome, Refusal):
            self.holds[name] = reservation(outcome)
        return outcome

    async def _commit(self, bench: Bench, name: str, amount: str) -> Outcome:
        return self._charged(name, await commit(bench, self._request(), self.holds[name], float(amount)))

    async def _release(self, bench: Bench, name: str) -> Outcome:
        return await release(bench, self._request(), self.holds[name])

    async def _charge(self, bench: Bench, name: str, amount: str) -> Outcome:
        return self._charged(name, await charge(bench, self._request(), float(amount)))

    async def _incur(self, bench: Bench, name: str, amount: str) -> Outcome:
        return self._charged(name, await charge(bench, self._request(), float(amount), already_incurred=True))

    def _charged(self, name: str, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Refusal):
            self.charges[name] = charge_id(outcome)
        return outcome

    async def _refund(self, bench: Bench, name: str, *more: str) -> Outcome:
        mode = RefundMode.GOODWILL if "goodwill" in more else RefundMode.ORIGINAL
        amounts = [float(each) for each in more if each != "goodwill"]
        return await refund(bench, self._request(), self.charges[name], *amounts, mode=mode)

    async def _give(self, bench: Bench, name: str, amount: str, end: str = "") -> object:
        asked = GrantCredits(
            RequestId(self._request()),
            ACCOUNT,
            GrantKind.PERMANENT,
            credits(float(amount)),
            expires_at=self.moment(end) if end else None,
        )
        given = await bench.central.administration.grant_credits(asked)
        if isinstance(given, Done):
            self.grants[name] = given.reply.grant_id
        return given

    async def _void(self, bench: Bench, name: str) -> object:
        grant_id = self.grants.get(name, GrantId(name))
        return await bench.central.administration.void_grant(VoidGrant(RequestId(self._request()), ACCOUNT, grant_id))

    async def _plan(self, bench: Bench, daily: str, monthly: str, name: str = "plan") -> None:
        plan = Plan(PlanId(name), credits(float(daily)), credits(float(monthly)))
        await bench.central.administration.put_plan(plan)

    async def _assign(self, bench: Bench, name: str, daily: str, monthly: str) -> object:
        await self._plan(bench, daily, monthly, name)
        return await self._update(bench, AccountUpdate(plan_id=PlanId(name)))

    async def _move(self, bench: Bench, zone: str, anchor: str = "") -> object:
        return await self._update(bench, AccountUpdate(time_zone=zone, anchor_day=int(anchor) if anchor else None))

    async def _update(self, bench: Bench, update: AccountUpdate) -> object:
        request = UpdateAccount(RequestId(self._request()), ACCOUNT, update)
        return await bench.central.administration.update_account(request)


def _rows(table: str) -> list[Row]:
    """The rows of a table. A row with nothing but history continues the row above it."""
    rows: list[Row] = []
    for line in filter(None, (each.strip() for each in table.splitlines())):
        when, step, left, history = (cell.strip() for cell in line.split("|"))
        if when:
            rows.append((when, step, left, history))
        else:
            rows[-1] = (*rows[-1][:3], f"{rows[-1][3]}, {history}")
    return rows


def _line(entry: Entry) -> str:
    """A line of history in short."""
    words = [entry.type.value, *([entry.kind.value] if entry.kind else []), format_credits(entry.amount)]
    return f"{' '.join(words)} = {format_credits(entry.balance_after)}"
