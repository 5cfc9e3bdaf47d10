"""Ready-made things for the tests of the core, and a central store that lives in memory.

Amounts are small whole microcredits, so that a scenario can be added up by eye. Moments are days of March 2026 in UTC.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.credit.accounts import Account, AccountState, Plan
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.credit.charges import Charge, Cost, Part, Posting, Refund, RefundMode
from creditmeter.core.credit.grants import Grant, GrantKind, GrantSource, Rest, draw_key
from creditmeter.core.credit.history import Entry, EntryType
from creditmeter.core.credit.leases import Lease, Moment, OutLease
from creditmeter.core.credit.messages import Answer, LeaseReport, Message, Need
from creditmeter.core.credit.reservations import Hold, Reservation, ReservationState
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import (
    AccountId,
    ChargeId,
    GrantId,
    LeaseId,
    PlanId,
    RefundId,
    RequestId,
    ReservationId,
    SidecarId,
    lease_id,
)
from creditmeter.core.instants import DAY, Instant, Span, from_datetime
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.refusals import RefundExceedsCharge, Refusal, TimeZoneChangeTooSoon
from creditmeter.core.settlement.answering import answer
from creditmeter.core.settlement.ledger import Contents, Ledger, PlanVersion
from creditmeter.core.settlement.loading import DrawBound, covers_draws, draw_bound
from creditmeter.core.settlement.posting import post
from creditmeter.core.settlement.recalling import mark_ready, recall_everything
from creditmeter.core.settlement.recalls import Purpose, Recall
from creditmeter.core.settlement.refunding import refund
from creditmeter.core.settlement.unchanged import answer_if_unchanged
from creditmeter.core.values import replace

ACCOUNT = AccountId("acme")
HERE = SidecarId("s1")
ELSEWHERE = SidecarId("s2")
ALWAYS = Span(10**18)
"""A reading of the boot-time clock that no test reaches."""


def mc(amount: int) -> Microcredits:
    """Some microcredits."""
    return Microcredits(amount)


def at(text: str) -> Instant:
    """A moment of March 2026 in UTC: ``at("10 09:30")``."""
    return from_datetime(datetime.strptime(f"2026-03-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC))


def midnight_after(moment: Instant) -> Instant:
    """The end of the moment's day in UTC."""
    return Instant((moment // DAY + 1) * DAY)


def clocks(now: Instant, boot: int = 0) -> Moment:
    """One reading of both clocks."""
    return Moment(now, Span(boot))


# Accounts and grants.


def account(
    *,
    plan_id: str | None = None,
    state: AccountState = AccountState.ACTIVE,
    overdraft_limit: int = 0,
    max_open_reservations: int = 0,
    max_reservation: int = 0,
) -> Account:
    """The account of every test, in UTC, its months from the first day."""
    return Account(
        account_id=ACCOUNT,
        created_at=at("01 00:00"),
        plan_id=PlanId(plan_id) if plan_id else None,
        state=state,
        overdraft_limit=mc(overdraft_limit),
        max_open_reservations=max_open_reservations,
        max_reservation=mc(max_reservation),
    )


def plan(name: str, daily: int, monthly: int) -> Plan:
    """A plan that gives this each day and each month."""
    return Plan(PlanId(name), mc(daily), mc(monthly))


def grant(
    name: str,
    amount: int,
    *,
    kind: GrantKind = GrantKind.PERMANENT,
    begins: Instant | None = None,
    ends: Instant | None = None,
    drawn: int = 0,
    period_key: str | None = None,
) -> Grant:
    """A grant, permanent by default; of a plan if it names its period."""
    begins = at("01 00:00") if begins is None else begins
    return Grant(
        grant_id=GrantId(name),
        kind=kind,
        amount=mc(amount),
        remaining=mc(amount - drawn),
        effective_at=begins,
        expires_at=ends,
        source=GrantSource.PLAN if period_key else GrantSource.PURCHASE,
        created_at=begins,
        period_key=period_key,
        drawn=mc(drawn),
    )


def daily(day: int, amount: int, *, drawn: int = 0) -> Grant:
    """The plan's grant of a day of March."""
    begins = at(f"{day:02} 00:00")
    name = f"2026-03-{day:02}"
    ends = Instant(begins + DAY)
    return grant(f"daily-{name}", amount, kind=GrantKind.DAILY, begins=begins, ends=ends, drawn=drawn, period_key=name)


def monthly(amount: int, *, drawn: int = 0) -> Grant:
    """The plan's grant of March."""
    name = "2026-03-01"
    ends = Instant(at("31 00:00") + DAY)
    return grant(f"monthly-{name}", amount, kind=GrantKind.MONTHLY, ends=ends, drawn=drawn, period_key=name)


# Leases, holds and charges.


def lease_name(opened: Instant, sidecar_id: SidecarId = HERE) -> LeaseId:
    """The id of the lease that a sidecar was given at that moment."""
    return lease_id(ACCOUNT, sidecar_id, opened)


def lease(opened: Instant, limit: int, *, spent: int = 0, trusted_until: Span = ALWAYS) -> Lease:
    """A lease as its sidecar has it, trusted for good by default."""
    return Lease(
        lease_id=lease_name(opened),
        account_id=ACCOUNT,
        opened_at=opened,
        ends_at=midnight_after(opened),
        limit=mc(limit),
        spent=mc(spent),
        trusted_until=trusted_until,
    )


def out_lease(
    opened: Instant, limit: int, *, posted: int = 0, held: int = 0, unposted: int = 0, sidecar_id: SidecarId = HERE
) -> OutLease:
    """A lease as the central store has it."""
    return OutLease(
        lease_id=lease_name(opened, sidecar_id),
        sidecar_id=sidecar_id,
        opened_at=opened,
        ends_at=midnight_after(opened),
        limit=mc(limit),
        posted=mc(posted),
        held=mc(held),
        unposted=mc(unposted),
    )


def part(amount: int, authorized_at: Instant, sidecar_id: SidecarId = HERE, *, opened: Instant | None = None) -> Part:
    """Credit of a lease, by default of one that was opened for it."""
    return Part(lease_name(authorized_at if opened is None else opened, sidecar_id), mc(amount), authorized_at)


def reservation(
    name: str,
    parts: tuple[Part, ...],
    *,
    created: Instant,
    expires: Instant,
    state: ReservationState = ReservationState.HELD,
) -> Reservation:
    """A reservation, open by default."""
    return Reservation(
        reservation_id=ReservationId(name),
        account_id=ACCOUNT,
        request_id=RequestId(f"{name}/reserve"),
        state=state,
        parts=parts,
        created_at=created,
        expires_at=expires,
        rate_card_version="v1",
    )


def hold(amount: int) -> Hold:
    """What a reservation of a stated amount is to hold."""
    return Hold(mc(amount), "v1")


def cost(amount: int) -> Cost:
    """What a call of a stated cost comes to."""
    return Cost(mc(amount), Decimal(amount), Decimal(0), "v1")


def charge(
    name: str,
    *parts: Part,
    excess: int = 0,
    committed: Instant | None = None,
    request: str | None = None,
    reservation_id: str | None = None,
    commit_number: int = 1,
) -> Charge:
    """A charge of its parts and an excess, committed when the last part was authorised by default."""
    committed = committed if committed is not None else parts[-1].authorized_at
    total = sum(each.amount for each in parts) + excess
    return Charge(
        charge_id=ChargeId(name),
        account_id=ACCOUNT,
        request_id=RequestId(request or f"{name}/charge"),
        reservation_id=ReservationId(reservation_id) if reservation_id else None,
        commit_number=commit_number,
        cost=mc(total),
        parts=parts,
        excess=mc(excess),
        exact_credits=Decimal(total),
        cost_usd=Decimal(0),
        usage=None,
        rate_card_version="v1",
        authorized_at=parts[0].authorized_at if parts else committed,
        committed_at=committed,
    )


def refund_of(
    charge_id: str, amount: int, *, name: str = "refund-1", mode: RefundMode = RefundMode.ORIGINAL, when: Instant
) -> Refund:
    """A refund that was asked for."""
    return Refund(
        refund_id=RefundId(name),
        charge_id=ChargeId(charge_id),
        account_id=ACCOUNT,
        request_id=RequestId(f"{name}/refund"),
        amount=mc(amount),
        mode=mode,
        reason="it failed",
        refunded_at=when,
    )


def book(*leases: Lease, reservations: Iterable[Reservation] = (), of: Account | None = None) -> Book:
    """A sidecar's book of the account."""
    made = Book(ACCOUNT)
    made.apply(Change(ACCOUNT, leases=leases, reservations=tuple(reservations), account=of or account()))
    return made


def message(
    seq: int,
    *charges: Charge,
    leases: Iterable[LeaseReport] = (),
    refunds: Iterable[Refund] = (),
    need: int = 0,
    sidecar_id: SidecarId = HERE,
) -> Message:
    """A message of a sidecar in its first epoch, that asks for exactly `need`."""
    wanted = Need(mc(need), mc(need), mc(need)) if need else None
    return Message(sidecar_id, 1, ACCOUNT, seq, tuple(leases), charges, tuple(refunds), wanted)


def report(opened: Instant, limit: int, *, held: int = 0, unposted: int = 0, sidecar_id: SidecarId = HERE) -> LeaseReport:
    """What a sidecar says of its lease of that day."""
    return LeaseReport(lease_name(opened, sidecar_id), mc(limit), mc(held), mc(unposted))


# The central store.


class Central:
    """A central store in memory: it loads what `Contents` promises and no more, and keeps what a ledger decided.

    Grants are loaded in another order each time, for no decision may depend on it.
    """

    def __init__(self, of: Account, *plans: Plan, grants: Iterable[Grant] = ()) -> None:
        self.account = of
        self.schedule = Schedule(of.calendar)
        self.versions = [PlanVersion(each, Instant(0)) for each in plans]
        self.plan_since = of.created_at
        self.uncounted: Span | None = None
        """So much of the time nobody counted; None: all of it."""
        self.balance = ZERO
        self.grants: dict[GrantId, Grant] = {}
        self.leases: dict[LeaseId, OutLease] = {}
        self.charges: dict[ChargeId, Charge] = {}
        self.refunds: dict[RefundId, Refund] = {}
        self.recalls: dict[tuple[SidecarId, Purpose], Recall] = {}
        self.notified: set[SidecarId] = set()
        self.entries: list[Entry] = []
        self.decided_at = Instant(0)
        self._answers: dict[SidecarId, tuple[int, Answer]] = {}
        self._epochs: dict[SidecarId, int] = {}
        self._loads = 0
        self.decisions = 0
        for each in grants:
            self.give(each, of.created_at)

    def ledger(
        self,
        now: Instant,
        charges: Iterable[Charge] = (),
        refunded: Iterable[ChargeId] = (),
        grants: Iterable[str] = (),
        *,
        refunds: Iterable[Refund] = (),
        is_whole: bool = False,
    ) -> Ledger:
        """Load the account for a decision about these charges, refunds of those, these refunds, and these grants; or the whole
        of it.
        """
        asked = tuple(refunds)
        given_back, requests = {*refunded, *(each.charge_id for each in asked)}, {each.request_id for each in asked}
        now = Instant(max(now, self.decided_at))
        posts = tuple(charges)
        loaded = self._charges_about(posts, given_back)
        open_leases = {each.lease_id: each for each in self.leases.values() if not each.closed}
        bound = draw_bound(posts, loaded, open_leases, now)
        first = set(self.grants) if is_whole else self._first_permanent(bound, now)
        looked_at = self._grants_for(now, loaded, {*grants, *first})
        contents = Contents(
            account=self.account,
            calendar_change=self.schedule.change,
            balance=self.balance,
            plan_versions=tuple(each for each in self.versions if each.plan.plan_id == self.account.plan_id),
            plan_since=self.plan_since,
            grants=looked_at,
            rest=self._rest(looked_at, now),
            leases=tuple(open_leases.values()),
            charges=loaded,
            refunds=tuple(
                each for each in self.refunds.values() if each.charge_id in given_back or each.request_id in requests
            ),
            recalls=tuple(self.recalls.values()),
        )
        return Ledger(contents, now)

    def _charges_about(self, about: tuple[Charge, ...], refunded: set[ChargeId]) -> tuple[Charge, ...]:
        """Charges that owe debt, those the decision is about, and those of the same request or commit."""
        named = {each.charge_id for each in about} | refunded
        requests = {each.request_id for each in about}
        commits = {(each.reservation_id, each.commit_number) for each in about if each.reservation_id}
        firsts = {each.posting.duplicate_of for each in self.charges.values() if each.charge_id in refunded and each.posting}
        return tuple(
            each
            for each in self.charges.values()
            if each.charge_id in named | firsts
            or each.request_id in requests
            or (each.reservation_id, each.commit_number) in commits
            or (each.posting and each.posting.debt)
        )

    def _grants_for(self, now: Instant, charges: tuple[Charge, ...], named: set[str]) -> tuple[Grant, ...]:
        """Plan grants and voided ones with credit left, those of the running periods, those that the charges drew on, and those
        named.
        """
        running = {self.schedule.day_at(now).key, self.schedule.month_at(now).key}
        drawn = {draw.grant_id for each in charges if each.posting for draw in each.posting.draws}
        found = [
            each
            for each in self.grants.values()
            if (each.remaining and (each.kind is not GrantKind.PERMANENT or each.voided_at is not None))
            or each.period_key in running
            or each.grant_id in drawn
            or each.grant_id in named
        ]
        self._loads += 1
        return tuple(reversed(found)) if self._loads % 2 else tuple(found)

    def _begun(self, now: Instant) -> list[Grant]:
        """The permanent grants that have credit left and have begun, in the order of deduction."""
        lasting = (each for each in self.grants.values() if each.kind is GrantKind.PERMANENT and each.remaining)
        return sorted((each for each in lasting if each.effective_at <= now), key=draw_key)

    def _first_permanent(self, bound: DrawBound, now: Instant) -> set[GrantId]:
        """No more of them than are enough."""
        begun = self._begun(now)
        sizes = (size for size in range(len(begun)) if covers_draws(begun[:size], bound, now))
        return {each.grant_id for each in begun[: next(sizes, len(begun))]}

    def _rest(self, looked_at: tuple[Grant, ...], now: Instant) -> Rest:
        """The sums of those that are not looked at."""
        rest = [each for each in self._begun(now) if each not in looked_at]
        return Rest(mc(sum(each.given for each in rest)), mc(sum(each.remaining for each in rest)))

    def save(self, ledger: Ledger) -> None:
        """Keep what a ledger decided. `notified` are the sidecars that the last decision notified."""
        ledger.lapse()
        mark_ready(ledger)
        changes = ledger.changes
        for key, recall in changes.recalls.items():
            if recall is None:
                self.recalls.pop(key, None)
            else:
                self.recalls[key] = recall
        self.notified = changes.notified
        self.grants.update(changes.grants)
        self.leases.update(changes.leases)
        self.charges.update(changes.charges)
        self.refunds.update(changes.refunds)
        self.entries.extend(changes.entries)
        self.balance = ledger.balance
        self.decided_at = ledger.now
        self.decisions += 1

    def register(self, sidecar_id: SidecarId) -> int:
        """Issue the next epoch to a sidecar that starts; what it sent before is fenced off."""
        self._epochs[sidecar_id] = self._epochs.get(sidecar_id, 0) + 1
        self._answers.pop(sidecar_id, None)
        return self._epochs[sidecar_id]

    def elapsed(self, now: Instant) -> Span:
        """The store's elapsed time."""
        return Span(0) if self.uncounted is None else Span(now - self.uncounted)

    def exchange(self, sent: Message, now: Instant) -> Answer | None:
        """Apply a message, once. None if it came too late to have an effect."""
        if sent.epoch != self._epochs.setdefault(sent.sidecar_id, 1):
            return None
        applied_seq, applied = self._answers.get(sent.sidecar_id, (0, None))
        if sent.seq <= applied_seq:
            return applied if sent.seq == applied_seq else None
        ledger, whole = (self.ledger(now, sent.charges, refunds=sent.refunds, is_whole=is_whole) for is_whole in (False, True))
        elapsed = self.elapsed(now)
        replied = answer(ledger, sent, elapsed)
        assert (replied, ledger.changes) == (answer(whole, sent, elapsed), whole.changes), "what is not loaded does not matter"
        look = self.ledger(now, sent.charges, refunds=sent.refunds)
        looked_up, before = answer_if_unchanged(look, sent, elapsed), self._lasting()
        written = len(ledger.changes.entries)
        self.save(ledger)
        is_unchanged = before == self._lasting() and not self.notified
        assert looked_up is None or (is_unchanged and looked_up == replied), "a look answers only what changes nothing"
        assert len(ledger.changes.entries) == written, "an answer says how the account stands after it"
        self._answers[sent.sidecar_id] = sent.seq, replied
        return replied

    def _lasting(self) -> object:
        """All that is kept, but for how long leases are trusted and when that was decided."""
        never = Instant(0)
        leases = [
            replace(each, renewed_at=never, trusted_until=never, reclaim_at=never, lost_after=None)
            for each in self.leases.values()
        ]
        kept = (self.grants, self.charges, self.refunds, self.recalls)
        return leases, [dict(each) for each in kept], list(self.entries), self.balance

    def post(self, posted: Charge, now: Instant, sender: SidecarId = HERE) -> Charge:
        """Post one charge of a sidecar by itself, and say what became of it."""
        ledger = self.ledger(now, (posted,))
        post(ledger, posted, sender)
        self.save(ledger)
        return self.charges[posted.charge_id]

    def refund(self, wanted: Refund, now: Instant, *, everything: bool = False) -> Refund | RefundExceedsCharge:
        """Decide a refund of a posted charge."""
        ledger = self.ledger(now, refunds=(wanted,))
        ledger.touch()
        decided = refund(ledger, wanted, everything=everything)
        ledger.repay_debt()
        self.save(ledger)
        return decided

    def give(self, new: Grant, now: Instant) -> None:
        """Give a grant; it repays debt before anything else."""
        ledger = self.ledger(now)
        ledger.give(new)
        ledger.repay_debt()
        self.save(ledger)

    def void(self, grant_id: str, now: Instant) -> Refusal | Microcredits:
        """Take back what can be taken back of a grant."""
        ledger = self.ledger(now, grants=(grant_id,))
        ledger.touch()
        done = ledger.void(GrantId(grant_id))
        if not isinstance(done, Refusal) and ledger.grants[GrantId(grant_id)].remaining:
            recall_everything(ledger)
        self.save(ledger)
        return done

    def touch(self, now: Instant) -> None:
        """Give what the plan owes."""
        ledger = self.ledger(now)
        ledger.touch()
        ledger.repay_debt()
        self.save(ledger)

    def assign(self, plan_id: str, now: Instant) -> None:
        """Put the account on another plan, at once."""
        self.touch(now)
        self.account = replace(self.account, plan_id=PlanId(plan_id))
        self.plan_since = self.decided_at
        self.touch(now)

    def move(self, calendar: Calendar, now: Instant) -> Schedule | TimeZoneChangeTooSoon:
        """Change the account's calendar: its running periods, and with them all ends to come, move."""
        moved = self.schedule.moved(calendar, Instant(max(now, self.decided_at)))
        if isinstance(moved, TimeZoneChangeTooSoon):
            return moved
        self.touch(now)
        if moved != self.schedule:
            self.schedule = moved
            self.account = replace(self.account, time_zone=calendar.time_zone, anchor_day=calendar.anchor_day)
            for key, each in self.grants.items():
                if each.expires_at is not None and not each.has_ended(self.decided_at):
                    end = moved.later_end(each.kind, each.period_key, each.expires_at)
                    self.grants[key] = replace(each, expires_at=end)
        return moved

    def put_plan(self, new: Plan, now: Instant) -> None:
        """Change what a plan gives, from each account's next period on."""
        self.versions.append(PlanVersion(new, now))

    def available(self, now: Instant) -> Microcredits:
        """What may be leased."""
        return self.ledger(now).available

    def remaining(self) -> Mapping[str, int]:
        """What each grant has left."""
        return {grant_id: each.remaining for grant_id, each in self.grants.items()}

    def grant(self, name: str) -> Grant:
        """A grant as it stands."""
        return self.grants[GrantId(name)]

    def posting(self, name: str) -> Posting:
        """What was decided about a charge."""
        posting = self.charges[ChargeId(name)].posting
        assert posting is not None
        return posting

    def drawn(self, name: str) -> list[tuple[str, int]]:
        """The grants that a charge drew on, in order."""
        return [(draw.grant_id, draw.amount) for draw in self.posting(name).draws]

    def lease(self, opened: Instant, sidecar_id: SidecarId = HERE) -> OutLease:
        """The lease that a sidecar was given at that moment."""
        return self.leases[lease_name(opened, sidecar_id)]

    def lines(self, since: int = 0) -> list[tuple[EntryType, int]]:
        """The history as types and amounts."""
        return [(each.type, each.amount) for each in self.entries[since:]]
