"""An account's life computed in one pass, from the design's words alone: nothing of the program is used.

Deduction order: DAILY, then MONTHLY, then PERMANENT; within a kind the earliest end first, none last, then the earliest
beginning. DAILY and MONTHLY grants come from the plan, one per account and period, on first touch, and do not roll over. At
one instant: expire, then grant, then use. A new plan grants new amount - what was already granted for the period, never
below 0; a plan that changes counts from the next period. A change of time zone or anchor: at most once in 30 days; the
running day and month, their grants, and every other grant's end extend to the first boundary of the new calendar at or
after the old one; of a month: the first midnight, or the anchor's if that is another one, or if the new zone is not there yet.
Cost beyond all credit is debt up to the overdraft limit, then written off. Refund: open debt of that charge is cancelled first,
then draws are given back, last drawn first; what belongs to a grant that has ended lapses, and what belongs to one that was
voided is taken back. A grant is voided once.
"""

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

KINDS = ("DAILY", "MONTHLY", "PERMANENT")
STEP = timedelta(minutes=15)
"""All clocks of the zones that are used change at a quarter of an hour."""

NEVER = datetime.max.replace(tzinfo=UTC)
REST = timedelta(days=30)


@dataclass
class Given:
    """A grant: what is left of it, and when it may be used."""

    kind: str
    left: int
    begins: datetime
    ends: datetime
    is_of_month: bool = False
    is_voided: bool = False


@dataclass
class Paid:
    """A charge: what it drew, in order, as [grant, amount, returned]; what it owes, and what was written off."""

    draws: list[tuple[Given, int, list[int]]]
    debt: int
    written_off: int

    @property
    def left(self) -> int:
        """What may still be refunded."""
        return sum(amount - returned[0] for _, amount, returned in self.draws) + self.debt


@cache
def next_midnight(zone: str, moment: datetime) -> datetime:
    """The first beginning of a local date at or after a moment, found by looking at each quarter of an hour."""
    tick: datetime = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
    while tick < moment or _local(zone, tick).date() <= _local(zone, tick - timedelta(microseconds=1)).date():
        tick += STEP
    return tick


@cache
def next_month(zone: str, anchor: int, moment: datetime) -> datetime:
    """The first beginning of a month at or after a moment, found by looking at each day."""
    day = next_midnight(zone, moment)
    while (local := _local(zone, day)).day != min(anchor, monthrange(local.year, local.month)[1]):
        day = next_midnight(zone, day + STEP)
    return day


def _local(zone: str, moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo(zone))


@dataclass
class Life:
    """One account, from the moment at which it is opened."""

    now: datetime
    zone: str
    anchor: int
    overdraft: int
    plans: dict[str, list[tuple[datetime, int, int]]]
    plan: str
    plan_since: datetime = field(init=False)
    day: tuple[datetime, datetime] = field(init=False)
    month: tuple[datetime, datetime] = field(init=False)
    moved_at: datetime | None = None
    grants: list[Given] = field(default_factory=list)
    bought: list[Given] = field(default_factory=list)
    paid: list[Paid] = field(default_factory=list)
    given: dict[tuple[str, datetime], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plan_since = self.now
        begins = next_midnight(self.zone, self.now - timedelta(days=3))
        while (ends := next_midnight(self.zone, begins + STEP)) <= self.now:
            begins = ends
        self.day = begins, ends
        begins = next_month(self.zone, self.anchor, self.now - timedelta(days=70))
        while (ends := next_month(self.zone, self.anchor, begins + STEP)) <= self.now:
            begins = ends
        self.month = begins, ends

    def come_to(self, now: datetime) -> None:
        """Time goes by: periods begin and end, grants too."""
        self.now = now
        while self.day[1] <= now:
            self.day = self.day[1], next_midnight(self.zone, self.day[1] + STEP)
        while self.month[1] <= now:
            self.month = self.month[1], next_month(self.zone, self.anchor, self.month[1] + STEP)

    def grant(self) -> None:
        """What the plan owes for the running periods."""
        for kind, which, (begins, ends) in (("DAILY", 0, self.day), ("MONTHLY", 1, self.month)):
            at = max(begins, self.plan_since)
            says = [amounts for since, *amounts in self.plans.get(self.plan, []) if since <= at]
            missing = (says[-1][which] if says else 0) - self.given.get((kind, begins), 0)
            if missing > 0:
                self.given[kind, begins] = self.given.get((kind, begins), 0) + missing
                self.grants.append(Given(kind, missing, begins, ends, is_of_month=kind == "MONTHLY"))

    def touch(self) -> None:
        """Something happens to the account: it is granted what it is owed, and pays what it owes."""
        self.grant()
        self.repay()

    def usable(self) -> list[Given]:
        """The grants that may be used now, in the order of deduction."""
        found = [each for each in self.grants if each.begins <= self.now < each.ends]
        return sorted(found, key=lambda each: (KINDS.index(each.kind), each.ends, each.begins))

    def draw(self, need: int) -> list[tuple[Given, int, list[int]]]:
        """Use up to so much."""
        draws: list[tuple[Given, int, list[int]]] = []
        for each in self.usable():
            amount = min(need, each.left)
            if amount:
                each.left -= amount
                need -= amount
                draws.append((each, amount, [0]))
        return draws

    def repay(self) -> None:
        """What there is pays what is owed, the oldest first."""
        for each in self.paid:
            draws = self.draw(each.debt)
            each.draws += draws
            each.debt -= sum(amount for _, amount, _ in draws)

    def call(self, cost: int) -> None:
        """A call is charged."""
        self.touch()
        draws = self.draw(cost)
        beyond = cost - sum(amount for _, amount, _ in draws)
        debt = min(beyond, self.overdraft - self.debt)
        self.paid.append(Paid(draws, debt, beyond - debt))

    def refund(self, number: int, amount: int | None, *, goodwill: bool) -> bool:
        """Give back what a charge cost, or a part of it. Says whether that was possible."""
        charge = self.paid[number]
        wanted = charge.left if amount is None else amount
        if not charge.left or wanted > charge.left:
            return False
        self.grant()
        cancelled = min(wanted, charge.debt)
        charge.debt -= cancelled
        rest = wanted - cancelled
        for given, drawn, returned in reversed(charge.draws):
            part = min(rest, drawn - returned[0])
            returned[0] += part
            rest -= part
            if not goodwill and given.ends > self.now and not given.is_voided:
                given.left += part
        if goodwill:
            self.grants.append(Given("PERMANENT", wanted - cancelled, self.now, NEVER))
        self.repay()
        return True

    def give(self, kind: str, amount: int, begins: datetime, ends: datetime | None) -> None:
        """An operator gives credit. Its end is moved to its day's end; without one it is the running period's, or never."""
        self.grant()
        if ends is None:
            end = {"DAILY": self.day[1], "MONTHLY": self.month[1], "PERMANENT": NEVER}[kind]
        else:
            end = self.day[1] if self.day[0] < ends < self.day[1] else next_midnight(self.zone, ends)
        self.bought.append(Given(kind, amount, begins, end))
        self.grants.append(self.bought[-1])
        self.repay()

    def void(self, number: int) -> bool:
        """Take back what is left of a grant. Says whether it had not ended, nor been voided."""
        if self.bought[number].ends <= self.now or self.bought[number].is_voided:
            return False
        self.touch()
        self.bought[number].left, self.bought[number].is_voided = 0, True
        return True

    def assign(self, plan: str) -> None:
        """Put the account on another plan, or on none."""
        self.touch()
        if plan != self.plan:
            self.plan, self.plan_since = plan, self.now
            self.touch()

    def put_plan(self, plan: str, daily: int, monthly: int) -> None:
        """Change what a plan gives. Nothing happens to the account."""
        self.plans.setdefault(plan, []).append((self.now, daily, monthly))

    def move(self, zone: str, anchor: int) -> bool:
        """Change the calendar. Says whether that was possible."""
        if (zone, anchor) != (self.zone, self.anchor):
            if self.moved_at is not None and self.now < self.moved_at + REST:
                return False
            self.touch()
            month = self.month
            self.day = self.day[0], next_midnight(zone, self.day[1])
            ends = next_midnight(zone, month[1])
            if anchor != self.anchor or _local(zone, ends).date() < _local(self.zone, month[1]).date():
                ends = next_month(zone, anchor, ends)
            self.month = month[0], ends
            self.moved_at, self.zone, self.anchor = self.now, zone, anchor
            for each in self.grants:
                if self.now < each.ends < NEVER:
                    of_this_month = each.is_of_month and each.begins == month[0]
                    each.ends = self.month[1] if of_this_month else next_midnight(zone, each.ends)
        else:
            self.touch()
        return True

    @property
    def debt(self) -> int:
        """What is owed."""
        return sum(each.debt for each in self.paid)

    def left(self) -> tuple[int, ...]:
        """What is left of the daily, the monthly and the permanent credit that may be used now."""
        return tuple(sum(each.left for each in self.usable() if each.kind == kind) for kind in KINDS)

    def yet_to_end(self) -> list[tuple[str, int, datetime, datetime]]:
        """The grants with something left that have not ended, some of them not begun."""
        found = [each for each in self.grants if each.left and each.ends > self.now]
        return sorted((each.kind, each.left, each.begins, each.ends) for each in found)
