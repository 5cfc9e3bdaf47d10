"""One account at the central store, for one transaction.

The central store loads an account's grants, leases and charges into a `Ledger`, lets it decide, and saves what it changed. Only
a ledger draws on grants, and only when a charge is posted or its debt repaid. So the order of deduction is exact across all
sidecars. `posting`, `refunding` and `answering` build on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from creditmeter.core.amounts import MAX_BALANCE, ZERO, Microcredits
from creditmeter.core.credit.accounts import Account, Plan
from creditmeter.core.credit.calendar import Period
from creditmeter.core.credit.charges import Charge, Posting, Refund
from creditmeter.core.credit.grants import NO_REST, Draw, Grant, GrantKind, GrantSource, Rest, draw_key, usable
from creditmeter.core.credit.history import Entry, EntryType
from creditmeter.core.credit.leases import OutLease, available, surplus
from creditmeter.core.credit.planned_grants import GIVEN_AHEAD, beyond, counted
from creditmeter.core.credit.schedule import PLAN_KINDS, CalendarChange, Schedule
from creditmeter.core.ids import ChargeId, GrantId, LeaseId, RefundId, RequestId, SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import GrantEnded, GrantNotFound, GrantVoided, Refusal
from creditmeter.core.settlement.alert_thresholds import CreditLevel
from creditmeter.core.settlement.recalls import Purpose, Recall
from creditmeter.core.values import replace
from creditmeter.core.work import Usage


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """A plan as it is from `effective_at` on."""

    plan: Plan
    effective_at: Instant


@dataclass(frozen=True, slots=True)
class Contents:
    """What a decision may need of an account. Amounts in microcredits.

    `grants`: those of the running periods, those that have credit left, and those that a charge to be refunded drew on. Of the
    permanent grants that are usable now these are only the first, as many as may be drawn on (see `loading`); `rest` sums up
    the others. Grants that begin later are left out, unless the decision is about one of them. `waited`: those that have begun
    since the last decision.

    `leases`: the open ones. `charges`: those that owe debt; those that the decision is about; those of the same request or
    commit; and the first charges that these are duplicates of. `refunds`: those of charges that are to be refunded, and those
    of the same request.
    """

    account: Account
    calendar_change: CalendarChange | None = None
    balance: Microcredits = ZERO
    plan_versions: tuple[PlanVersion, ...] = ()
    plan_since: Instant = Instant(0)
    grants: tuple[Grant, ...] = ()
    rest: Rest = NO_REST
    waited: frozenset[GrantId] = frozenset()
    leases: tuple[OutLease, ...] = ()
    charges: tuple[Charge, ...] = ()
    refunds: tuple[Refund, ...] = ()
    recalls: tuple[Recall, ...] = ()


@dataclass(slots=True)
class LedgerChanges:
    """What a ledger decided, to be saved: the last version of each thing (None: it is gone), and new lines of history in order.

    `notified` are the sidecars that are to be notified that they should send a message about the account.
    """

    grants: dict[GrantId, Grant] = field(default_factory=dict)
    leases: dict[LeaseId, OutLease] = field(default_factory=dict)
    charges: dict[ChargeId, Charge] = field(default_factory=dict)
    refunds: dict[RefundId, Refund] = field(default_factory=dict)
    recalls: dict[tuple[SidecarId, Purpose], Recall | None] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    notified: set[SidecarId] = field(default_factory=set)


class Ledger:
    """Decides about one account at one moment, `now`. All amounts are in microcredits."""

    def __init__(self, contents: Contents, now: Instant) -> None:
        self.account = contents.account
        self.schedule = Schedule(contents.account.calendar, contents.calendar_change)
        self.now = now
        self.balance = contents.balance
        self.changes = LedgerChanges()
        self.credit_levels: list[CreditLevel] = []
        self.grants = {grant.grant_id: grant for grant in contents.grants}
        self.rest = contents.rest
        self.waited = contents.waited
        self.leases = {lease.lease_id: lease for lease in contents.leases}
        self.charges = {charge.charge_id: charge for charge in contents.charges}
        self._firsts: dict[object, Charge] = {}
        for charge in contents.charges:
            self._remember_first(charge)
        self.refunds = {refund.refund_id: refund for refund in contents.refunds}
        self.recalls = {recall.key: recall for recall in contents.recalls}
        self._plan_versions = contents.plan_versions
        self._plan_since = contents.plan_since

    # What the account has.

    @property
    def available(self) -> Microcredits:
        """What may be leased, drawn for excess, or voided now."""
        return self.available_if(self.leases.values())

    def available_if(self, leases: Iterable[OutLease]) -> Microcredits:
        """What would be available if the open leases were these."""
        return available(self.grants.values(), leases, self.now, self.rest)

    @property
    def is_too_much(self) -> bool:
        """Whether the balance is above `MAX_BALANCE`. Then a request that gives credit is refused."""
        return self.balance > MAX_BALANCE

    @property
    def newest_void(self) -> Instant:
        """When a grant that still has credit left was last voided; instant 0 if none was.

        No lease that was opened before may grow, so that what returns on it is credit that was out at the time of the void.
        """
        return max((each.voided_at for each in self.grants.values() if each.voided_at and each.remaining), default=Instant(0))

    @property
    def debt(self) -> Microcredits:
        """What charges owe within the overdraft limit and no grant has covered yet."""
        return Microcredits(sum(each.posting.debt for each in self.charges.values() if each.posting is not None))

    def periods(self) -> tuple[tuple[GrantKind, Period], ...]:
        """The running day and the running month of the account, in this order, with the kinds of their credit."""
        return tuple((kind, self.schedule.period_at(kind, self.now)) for kind in PLAN_KINDS)

    def next_reset(self, kind: GrantKind) -> Instant | None:
        """When the plan next gives credit of this kind; None if it gives none in the next period."""
        if kind not in PLAN_KINDS:
            return None
        resets_at = self.schedule.period_at(kind, self.now).ends_at
        return resets_at if self._planned(kind, self.schedule.period_at(kind, resets_at)) else None

    # What alerts are compared with.

    @property
    def credit_level(self) -> CreditLevel:
        """The account's credit as alerts see it now. Only what is posted counts; holds and leases do not."""
        running = [each for each in self.grants.values() if each.is_running(self.now)]
        usable_now = [each for each in running if each.is_usable(self.now)]
        others_left = self.rest.remaining + sum(each.remaining for each in usable_now if not each.period_key)
        plan_left = sum(each.remaining for each in usable_now if each.period_key)
        return CreditLevel(
            left=Microcredits(max(0, plan_left + others_left - self.debt)),
            plan_given=Microcredits(sum(each.given for each in running if each.period_key)),
            others_left=Microcredits(others_left),
        )

    @property
    def alert_period(self) -> tuple[GrantKind, Period]:
        """The period in which an alert fires at most once: the day if the plan gives daily credit, else the month."""
        day, month = self.periods()
        return day if self._planned(*day) else month

    # What was decided.

    def put_grant(self, grant: Grant) -> None:
        """Keep a new version of a grant."""
        self.grants[grant.grant_id] = self.changes.grants[grant.grant_id] = grant

    def put_lease(self, lease: OutLease) -> None:
        """Keep a new version of a lease. A closed lease is no longer among `leases`."""
        self.changes.leases[lease.lease_id] = lease
        if lease.closed:
            self.leases.pop(lease.lease_id, None)
        else:
            self.leases[lease.lease_id] = lease

    def put_charge(self, charge: Charge) -> None:
        """Keep a new version of a charge."""
        self.charges[charge.charge_id] = self.changes.charges[charge.charge_id] = charge
        self._remember_first(charge)

    def first_like(self, charge: Charge) -> Charge | None:
        """The charge that was posted first for the same request or the same commit of a reservation; None if none was."""
        return next((self._firsts[key] for key in _keys(charge) if key in self._firsts), None)

    def _remember_first(self, charge: Charge) -> None:
        if charge.posting is not None and charge.posting.duplicate_of is None:
            for key in _keys(charge):
                self._firsts.setdefault(key, charge)

    def refund_for(self, request_id: RequestId) -> Refund | None:
        """The refund that was made for a request; None if none was."""
        return next((each for each in self.refunds.values() if each.request_id == request_id), None)

    def put_refund(self, refund: Refund) -> None:
        """Keep a refund."""
        self.refunds[refund.refund_id] = self.changes.refunds[refund.refund_id] = refund

    def put_recall(self, recall: Recall) -> None:
        """Keep a new version of a recall."""
        if self.recalls.get(recall.key) != recall:
            self.recalls[recall.key] = self.changes.recalls[recall.key] = recall

    def drop_recall(self, key: tuple[SidecarId, Purpose]) -> None:
        """Drop a recall that is over, if there is one with this key."""
        if self.recalls.pop(key, None) is not None:
            self.changes.recalls[key] = None

    def record(self, entry: Entry) -> None:
        """Add a line to history. Its amount changes the balance."""
        self.balance = Microcredits(self.balance + entry.amount)
        assert self.balance >= 0, "an account has no less than nothing"
        sources = frozenset(self.grants[name].source for name in entry.grant_ids)
        self.changes.entries.append(replace(entry, balance_after=self.balance, sources=sources))

    def entry(self, type_: EntryType, amount: int, occurred_at: Instant, grant: Grant | None = None) -> Entry:
        """A new line of history, for `record`; about this grant if there is one."""
        return Entry(
            type=type_,
            amount=Microcredits(amount),
            balance_after=ZERO,
            occurred_at=occurred_at,
            posted_at=self.now,
            kind=grant.kind if grant else None,
            grant_id=grant.grant_id if grant else None,
        )

    def entry_about(self, charge: Charge, type_: EntryType, amount: int, occurred_at: Instant) -> Entry:
        """A new line of history about a charge, for `record`."""
        usage = charge.usage
        return replace(
            self.entry(type_, amount, occurred_at),
            charge_id=charge.charge_id,
            action=charge.action,
            model=(usage.response_model or usage.request_model) if usage else "",
            tool=usage.tool if usage else "",
            quantity=_quantity(usage),
            labels=charge.labels,
            rate_card_version=charge.rate_card_version,
        )

    # Grants.

    def touch(self) -> None:
        """Let ended grants lapse, then give what the plan owes for the running periods.

        It owes what it gives in a period now, less what was given for that period already. What was given for the period before
        it began, and is more than the plan gives from its beginning on, is taken back.
        """
        self.lapse()
        for kind, period in self.periods():
            named = [each for each in self.grants.values() if each.kind is kind and each.period_key == period.key]
            alive = [each for each in named if not each.has_ended(period.starts_at)]  # two periods may have one key
            missing = self._planned(kind, period) - sum(counted(each) for each in alive)
            if missing > 0:
                self.give(self._plan_grant(kind, period, missing, len(named)))
            elif missing < 0 and self._plan_since <= period.starts_at:
                for grant, amount in beyond(self._planned(kind, period), alive, self.waited):
                    self.take_back(grant, Microcredits(min(amount, self.available)), GIVEN_AHEAD)
        if self.account.alerts:
            self.credit_levels.append(self.credit_level)

    def plan_gave(self, kind: GrantKind, period: Period) -> int:
        """What the plan gives for a period, also for one that ended without a touch.

        0 if the period ended before the account had this plan.
        """
        return self._planned(kind, period) if period.ends_at > self._plan_since else 0

    def _planned(self, kind: GrantKind, period: Period) -> int:
        """What the plan gives in a period. A changed plan counts from the next period on, a newly assigned plan at once."""
        at = max(period.starts_at, self._plan_since)
        plan = next((each.plan for each in reversed(self._plan_versions) if each.effective_at <= at), None)
        if plan is None:
            return 0
        return plan.daily if kind is GrantKind.DAILY else plan.monthly

    def _plan_grant(self, kind: GrantKind, period: Period, amount: int, before: int) -> Grant:
        """A plan's grant, for the whole period even if it is given within it. `before` grants were given for it already.

        What is out on leases when a day ends counts against that day's grants. So every charge of the day has to be able to
        draw on each of them.
        """
        suffix = f"-{before + 1}" if before else ""
        return Grant(
            grant_id=GrantId(f"{kind.value.lower()}-{period.key}{suffix}"),
            kind=kind,
            amount=Microcredits(amount),
            remaining=Microcredits(amount),
            effective_at=period.starts_at,
            expires_at=period.ends_at,
            source=GrantSource.PLAN,
            created_at=self.now,
            period_key=period.key,
        )

    def give(self, grant: Grant, note: str = "", refund_id: RefundId | None = None) -> None:
        """Add a grant to the account, with its line of history. `note` replaces the grant's own note there."""
        self.put_grant(grant)
        entry = self.entry(EntryType.GRANTED, grant.amount, max(grant.effective_at, grant.created_at), grant)
        self.record(replace(entry, note=note or grant.note, charge_id=grant.charge_id, refund_id=refund_id))

    def void(self, grant_id: GrantId) -> Refusal | Microcredits:
        """Take a grant back, once: what is neither spent nor out on a lease. What is out is taken back when it returns. What is
        out on leases that were opened in the future is kept for them: other credit may end before their day.

        Returns how much was taken back now, or why the grant cannot be voided.
        """
        grant = self.grants.get(grant_id)
        if grant is None:
            return GrantNotFound(grant_id)
        if grant.voided_at is not None:
            return GrantVoided(grant_id)
        if grant.has_ended(self.now):
            return GrantEnded(grant_id)
        voided = replace(grant, voided_at=self.now)
        if grant.effective_at > self.now:
            amount = dict(surplus([voided], self.leases.values(), self.now)).get(voided, Microcredits(0))
        else:
            out = sum(lease.out for lease in self.leases.values() if lease.opened_at > self.now)
            voided_before = (each for each in self.grants.values() if each.voided_at is not None and each.is_running(self.now))
            kept = max(0, out - sum(each.remaining for each in voided_before))
            amount = Microcredits(min(max(0, grant.remaining - kept), self.available))
        self.take_back(voided, amount)
        return amount

    def lapse(self) -> None:
        """Let lapse what no charge can draw on any more: what is left of ended grants, less what may be out on them.

        What is out on leases that were opened before the end of a grant may still be drawn on it. It lapses when it returns.
        What is left of voided grants is taken back in the same way.
        """
        for grant, amount in surplus(self.grants.values(), self.leases.values(), self.now, self.rest):
            self.take_back(grant, amount)
        for grant in sorted(self.grants.values(), key=draw_key):
            if grant.remaining and grant.expires_at is not None and grant.has_ended(self.now):
                end = grant.expires_at
                out = sum(lease.out for lease in self.leases.values() if lease.opened_at < end or lease.opened_at > self.now)
                amount = Microcredits(max(0, grant.remaining - out))
                if amount and grant.voided_at is not None:
                    self.take_back(grant, amount)
                elif amount:
                    self.put_grant(grant.lapse(amount))
                    self.record(self.entry(EntryType.LAPSED, -amount, end, grant))

    def take_back(self, grant: Grant, amount: Microcredits, note: str = "") -> None:
        """Take back a part of what is left of a grant, with its line of history."""
        self.put_grant(grant.void(amount))
        if amount:
            self.record(replace(self.entry(EntryType.VOIDED, -amount, self.now, grant), note=note))

    def draw(self, grants: Iterable[Grant], need: int) -> tuple[Draw, ...]:
        """Draw up to `need` on these grants, in their order. A grant may be named twice: its newest version counts."""
        draws = []
        for named in grants:
            grant = self.grants[named.grant_id]
            amount = min(need, grant.remaining)
            if amount:
                self.put_grant(grant.draw(amount))
                draws.append(Draw(grant.grant_id, grant.kind, Microcredits(amount)))
                need -= amount
        assert not need or not self.rest.remaining, "what may be drawn is loaded"
        return tuple(draws)

    def repay_debt(self) -> None:
        """Repay the debt of charges from what is available, the oldest charge first."""
        owing = [each for each in self.charges.values() if each.posting is not None and each.posting.debt]
        for charge in sorted(owing, key=lambda each: (each.posting.posted_at if each.posting else 0, each.charge_id)):
            assert charge.posting is not None
            draws = self.draw(usable(self.grants.values(), self.now), min(charge.posting.debt, self.available))
            if draws:
                self._repaid(charge, charge.posting, draws)

    def _repaid(self, charge: Charge, posting: Posting, draws: tuple[Draw, ...]) -> None:
        amount = sum(draw.amount for draw in draws)
        settled = replace(
            posting,
            covered=Microcredits(posting.covered + amount),
            debt=Microcredits(posting.debt - amount),
            draws=posting.draws + draws,
        )
        self.put_charge(replace(charge, posting=settled))
        entry = self.entry_about(charge, EntryType.DEBT_REPAID, -amount, self.now)
        self.record(replace(entry, draws=draws))


def _quantity(usage: Usage | None) -> int:
    """The quantity in the history of a usage: 1 if its quantity is unknown, 0 without a usage."""
    if usage is None:
        return 0
    return 1 if usage.quantity is None else usage.quantity


def _keys(charge: Charge) -> tuple[object, ...]:
    """The keys by which a charge is known beside its id: its request, and its number among the commits of its reservation."""
    if charge.reservation_id is None:
        return (charge.request_id,)
    return charge.request_id, (charge.reservation_id, charge.commit_number)
