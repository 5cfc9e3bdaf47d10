"""A search for a way to break the rules of leases: several sidecars and one central store live through days at random.

The sidecars' clocks differ. Messages are lost on the way, applied late, or applied while their answer is lost; a sidecar then
sends the same again, sends something new, or restarts from what its journal has. Needs wait for credit that others have idle;
those are notified, and answer or not. A sidecar that is silent for too long is given up for lost, and may return. Grants of all
kinds begin and end, plans and the account's calendar change, charges are refunded. After each step nothing may be overspent,
lost, counted twice or refused without reason; in the end, when messages arrive again, everything settles and is returned.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import product
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from creditmeter.core.credit.accounts import Plan
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.credit.charges import Charge, Part, Refund, RefundMode
from creditmeter.core.credit.grants import GrantKind, draw_key, usable
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.leases import Moment, OutLease, available
from creditmeter.core.credit.messages import REPEAT_GRACE, Answer, Message, Need
from creditmeter.core.credit.requests import ChargeNow, Commit, Extend, Receipt, RefundCharge, Release, Reserve
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.credit.schedule import CALENDAR_REST
from creditmeter.core.ids import (
    ChargeId,
    GrantId,
    LeaseId,
    RefundId,
    RequestId,
    ReservationId,
    SidecarId,
    charge_id,
    refund_id,
    reservation_id,
)
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.metering import decisions as metering
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.composing import Envelope, accept, compose, has_idle, has_unfinished
from creditmeter.core.metering.offline import allow
from creditmeter.core.metering.replays import replay
from creditmeter.core.refusals import GrantVoided, Refusal
from creditmeter.core.settlement.answering import EXCESS_PATIENCE, answer
from creditmeter.core.settlement.posting import post
from creditmeter.core.settlement.recalling import recall_everything
from creditmeter.core.settlement.recalls import Purpose
from creditmeter.core.values import replace
from tests.core.builders import ACCOUNT, Central, account, at, charge, cost, grant, hold, mc, message, plan

LIMITS = metering.Limits()
LEASE_TTL = Span(10 * MINUTE)
PLANS = (plan("none", 0, 0), plan("small", 5, 20), plan("days", 12, 0), plan("big", 15, 40))
ORDERS: tuple[Callable[[OutLease], tuple[int, int]], ...] = (
    lambda lease: (lease.ends_at, lease.opened_at),
    lambda lease: (lease.ends_at, -lease.opened_at),
    lambda lease: (-lease.ends_at, -lease.opened_at),
)
"""Orders in which the charges of leases may arrive."""

ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Etc/GMT+12")
"""Where the account's days begin; between the last two a date comes twice, or never."""

MOST_MOVES = 3
"""The account's calendar changes so often."""

PATIENCE = tuple(Span(span) for span in (0, SECOND // 4, 2 * MINUTE, 2 * MINUTE))
"""How long needs wait."""

REPEATED_AFTER = (Span(0), Span(SECOND // 4), REPEAT_GRACE, Span(10 * MINUTE))
"""When callers repeat their requests."""

START = at("30 18:00")
"""Somewhat more than a day before the month ends."""

_Item = TypeVar("_Item")


class Fate(Enum):
    """What becomes of a message."""

    ANSWERED = "it is applied and its answer comes back"
    UNHEARD = "it is applied and its answer is lost"
    UNDER_WAY = "it is applied later, or never"


def pick(items: Sequence[_Item], number: int) -> _Item | None:
    """One of the items, the newest ones first; None if there is none."""
    return items[-1 - number % len(items)] if items else None


class Sidecar:
    """A sidecar: its book, its clock, and the message that was not answered."""

    def __init__(self, sidecar_id: SidecarId, skew: int, epoch: int) -> None:
        self.sidecar_id = sidecar_id
        self.epoch = epoch
        self.book = Book(ACCOUNT)
        self.unanswered: Message | None = None
        self.sent_at = Span(0)
        self.has_restarted = False
        self.parked = 0
        self.asked_at: Instant | None = None
        self.on_disk: dict[ReservationId, Reservation] = {}
        self.receipts_on_disk: dict[RequestId, Receipt] = {}
        self._written: list[Change] = []
        self._skew = skew
        self._now = Instant(0)
        self._seq = 0

    def read(self, now: Instant, boot: Span) -> Moment:
        """Read the clocks, and end what is due by them."""
        self._now = Instant(max(self._now, now + self._skew))
        self.write(metering.expire(self.book, self.book.due(self._now)))
        return Moment(self._now, boot)

    def write(self, change: Change) -> None:
        """Make a change, which reaches the disk later."""
        self.book.apply(change)
        self._written.append(change)

    def reach_disk(self) -> None:
        """All that was written is on disk: what has ended leaves memory."""
        for change in self._written:
            self.on_disk |= {each.reservation_id: each for each in change.reservations}
            self.receipts_on_disk |= {each.request.request_id: each for each in change.receipts}
            self.book.let_go(change)
        self._written.clear()
        self.book.drop_ended_leases(self._now)

    @property
    def reservations(self) -> list[Reservation]:
        """Every reservation, wherever it is."""
        return list((self.on_disk | self.book.reservations).values())

    def receipt(self, request_id: RequestId) -> Receipt | None:
        """The receipt of a request, wherever it is."""
        return self.book.receipts.get(request_id) or self.receipts_on_disk.get(request_id)

    def compose(self, at: Moment, need: Need | None, *, give_back: bool, keeps_place: bool, stops: bool) -> Message:
        """The next message; what it changes is written before it is sent. What its answer allows counts from now, whenever
        and however often it is sent. If the sidecar stops, nothing is authorised from here on.
        """
        self._seq += 1
        self.sent_at = at.boot
        envelope = Envelope(self.sidecar_id, self.epoch, self._seq, LEASE_TTL, LIMITS.max_hold_lifetime)
        composed, change = compose(self.book, envelope, at.now, need, give_back=give_back)
        self.write(change)
        if stops:
            self.book.distrust_leases()
        self.unanswered = replace(composed, keeps_place=keeps_place, authorises=not stops)
        return self.unanswered

    def accept(self, message: Message, answered: Answer) -> None:
        """Take over an answer. What a need was first asked for at is kept for its repetition, while more may come."""
        trusted_until = Span(self.sent_at + LEASE_TTL if message.authorises else 0)
        self.write(accept(self.book, message, answered, trusted_until))
        self.unanswered, self.has_restarted = None, False
        if message.need is not None:
            self.asked_at = (message.need.since or answered.asked_at) if answered.is_pending else None

    def restart(self, epoch: int) -> None:
        """Come back with what the journal holds. Nothing authorises before the central store has answered."""
        old, self.book = self.book, Book(ACCOUNT)
        self.book.apply(old.live)
        self.book.distrust_leases()
        self.epoch, self._seq, self.unanswered, self.has_restarted, self.parked = epoch, 0, None, True, 0
        self.asked_at = None


class LeaseSearch(RuleBasedStateMachine):
    """The life of one account."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.boot = HOUR
        self.central = Central(account())
        self.sidecars: list[Sidecar] = []
        self.under_way: list[Message] = []
        self.charged: dict[ChargeId, Charge] = {}
        self.refunded: dict[RefundId, Refund] = {}
        self.said: dict[tuple[int, RequestId], Receipt] = {}
        self.ended: dict[ReservationId, ReservationState] = {}
        self.notified: set[SidecarId] = set()
        self.answered_at: Counter[SidecarId] = Counter()
        self.first_asked: dict[tuple[SidecarId, Instant], int] = {}
        """After which decisions a request was first asked for that has this moment by the central store's count."""
        self.voided: dict[GrantId, int] = {}
        self.out_then: dict[tuple[GrantId, LeaseId], tuple[int, int]] = {}
        self.names = 0
        self.moves = 0
        self.checked = START, 0

    @initialize(
        first=st.sampled_from(PLANS),
        zone=st.sampled_from(ZONES[:3]),
        anchor=st.sampled_from((1, 31)),
        overdraft=st.sampled_from((0, 0, 7)),
        allowance=st.sampled_from((0, 4)),
        bought=st.sampled_from((0, 10, 10)),
        skews=st.lists(st.sampled_from((0, 0, -20, 20)), min_size=2, max_size=3),
    )
    def open_account(
        self, first: Plan, zone: str, anchor: int, overdraft: int, allowance: int, bought: int, skews: list[int]
    ) -> None:
        """An account with a plan and some credit, and the sidecars that meter it."""
        opened = replace(account(plan_id=first.plan_id, overdraft_limit=overdraft), offline_allowance=mc(allowance))
        self.central = Central(replace(opened, time_zone=zone, anchor_day=anchor), *PLANS)
        self.central.uncounted = Span(0)
        for number, skew in enumerate(skews):
            name = SidecarId(f"s{number}")
            self.sidecars.append(Sidecar(name, skew * SECOND, self.central.register(name)))
        if bought:
            self.central.give(grant("bought", bought, begins=self.now), self.now)

    # Workers.

    @rule(who=st.integers(0, 2), amount=st.integers(1, 8), fate=st.sampled_from(Fate), patience=st.sampled_from(PATIENCE))
    def reserve(self, who: int, amount: int, fate: Fate, patience: Span) -> None:
        """Hold credit, asking the central store for what lacks; what may come from others is waited for."""
        sidecar, moment = self._at(who)
        request = Reserve(self._request(), ACCOUNT, amount=mc(amount))
        for last in (False, True):
            if sidecar.book.account is None:
                missing = mc(amount)
            else:
                name = reservation_id(ACCOUNT, sidecar.sidecar_id, self._name())
                decided = metering.reserve(sidecar.book, request, hold(amount), moment, name, LIMITS)
                if isinstance(decided, Change):
                    self._record(sidecar, decided)
                    return
                assert isinstance(decided, metering.Short)
                missing = decided.missing
            if not last:
                sidecar.parked = amount if patience else 0
                self._exchange(sidecar, fate, Need(missing, mc(3 * missing), missing, patience))

    @rule(who=st.integers(0, 2))
    def reserve_all_idle(self, who: int) -> None:
        """Hold all that can be held without asking."""
        sidecar, moment = self._at(who)
        idle = sidecar.book.idle(moment)
        if idle:
            request = Reserve(self._request(), ACCOUNT, amount=idle)
            name = reservation_id(ACCOUNT, sidecar.sidecar_id, self._name())
            self._record(sidecar, metering.reserve(sidecar.book, request, hold(idle), moment, name, LIMITS))

    @rule(who=st.integers(0, 2), number=st.integers(0, 9), more=st.integers(0, 4))
    def extend(self, who: int, number: int, more: int) -> None:
        """Raise a hold and push its deadline, if what is idle allows."""
        sidecar, moment = self._at(who)
        held = pick(sidecar.reservations, number)
        if held is not None:
            request = Extend(self._request(), held.reservation_id, amount=mc(more), ttl=Span(20 * MINUTE))
            wanted = hold(held.charged + held.held + more)
            self._record(sidecar, metering.extend(sidecar.book, request, held, wanted, moment, LIMITS))

    @rule(who=st.integers(0, 2), number=st.integers(0, 9), beyond=st.integers(-4, 4), keep_open=st.booleans())
    def commit(self, who: int, number: int, beyond: int, keep_open: bool) -> None:
        """Charge what was held and somewhat more or less; sometimes what has ended."""
        sidecar, moment = self._at(who)
        held = pick(sidecar.reservations, number)
        if held is not None:
            request = Commit(self._request(), held.reservation_id, keep_open=keep_open)
            name = charge_id(ACCOUNT, sidecar.sidecar_id, self._name())
            paid = cost(max(0, held.held + beyond))
            self._record(sidecar, metering.commit(sidecar.book, request, held, paid, moment, name, LIMITS))

    @rule(who=st.integers(0, 2), number=st.integers(0, 9))
    def release(self, who: int, number: int) -> None:
        """Give a hold back."""
        sidecar, moment = self._at(who)
        held = pick(sidecar.reservations, number)
        if held is not None:
            request = Release(self._request(), held.reservation_id)
            self._record(sidecar, metering.release(sidecar.book, request, held, moment))

    @rule(who=st.integers(0, 2), amount=st.integers(0, 6), incurred=st.booleans())
    def charge(self, who: int, amount: int, incurred: bool) -> None:
        """Charge at once, out of what is idle or as excess."""
        self._charge_as(self._request(), who, amount, incurred=incurred)

    @rule(who=st.integers(0, 2), number=st.integers(0, 9), amount=st.integers(0, 6))
    def charge_again(self, who: int, number: int, amount: int) -> None:
        """A worker that moved to another sidecar repeats a request there, at another price."""
        before = pick(list(self.charged.values()), number)
        if before is not None:
            self._charge_as(before.request_id, who, amount, incurred=True)

    def _charge_as(self, request_id: RequestId, who: int, amount: int, *, incurred: bool) -> None:
        sidecar, moment = self._at(who)
        if sidecar.book.account is not None and sidecar.receipt(request_id) is None:
            request = ChargeNow(request_id, ACCOUNT, amount=mc(amount), already_incurred=incurred)
            name = charge_id(ACCOUNT, sidecar.sidecar_id, self._name())
            self._record(sidecar, metering.charge_now(sidecar.book, request, cost(amount), moment, name, {}))

    @rule(
        who=st.integers(0, 2),
        number=st.integers(0, 9),
        amount=st.none() | st.integers(1, 5),
        mode=st.sampled_from(RefundMode),
    )
    def refund(self, who: int, number: int, amount: int | None, mode: RefundMode) -> None:
        """Refund a charge: its own sidecar decides until it is sent, then the central store does."""
        sidecar, moment = self._at(who)
        paid = pick(list(self.charged.values()), number)
        if paid is None:
            return
        name = refund_id(ACCOUNT, sidecar.sidecar_id, self._name())
        asked = None if amount is None else mc(amount)
        request = RefundCharge(self._request(), paid.charge_id, asked, mode)
        own = sidecar.book.charges.get(paid.charge_id)
        decided = metering.refund(sidecar.book, request, own, moment, name) if own else None
        if isinstance(decided, Change):
            self._record(sidecar, decided)
        elif not isinstance(decided, Refusal) and paid.charge_id in self.central.charges:
            wanted = Refund(name, paid.charge_id, ACCOUNT, request.request_id, asked or mc(0), mode, "", self.now)
            made = self.central.refund(wanted, self.now, everything=asked is None)
            if isinstance(made, Refund):
                self.refunded[made.refund_id] = made

    @rule(number=st.integers(0, 30))
    def repeat(self, number: int) -> None:
        """A request that is repeated gets its first reply."""
        found = pick(list(self.said.items()), number)
        if found is not None:
            (who, _), receipt = found
            assert replay(self.sidecars[who].receipt(receipt.request.request_id), receipt.request) == receipt

    # Messages.

    @rule(who=st.integers(0, 2), fate=st.sampled_from(Fate), wanted=st.sampled_from((0, 0, 9)), give_back=st.booleans())
    def settle(self, who: int, fate: Fate, wanted: int, give_back: bool) -> None:
        """Post what waits, and ask for what would be good to have or give back what is idle."""
        sidecar, _ = self._at(who)
        self._exchange(sidecar, fate, Need(mc(0), mc(wanted), mc(0)) if wanted else None, give_back=give_back)

    @rule(who=st.integers(0, 2), fate=st.sampled_from(Fate))
    def take_all(self, who: int, fate: Fate) -> None:
        """Lease all that is available."""
        sidecar, _ = self._at(who)
        amount = self.central.available(self.now)
        if amount:
            self._exchange(sidecar, fate, Need(amount, amount, mc(1)))

    @rule(
        who=st.integers(0, 2),
        more=st.integers(1, 4),
        part=st.booleans(),
        fate=st.sampled_from(Fate),
        patience=st.sampled_from(PATIENCE),
    )
    def ask_beyond(self, who: int, more: int, part: bool, fate: Fate, patience: Span) -> None:
        """Ask for more than is available, or for as much of it as there is."""
        sidecar, _ = self._at(who)
        amount = mc(self.central.available(self.now) + more)
        sidecar.parked = amount if patience else 0
        self._exchange(sidecar, fate, Need(amount, mc(2 * amount), mc(1) if part else amount, patience))

    @rule(number=st.integers(0, 2), fate=st.sampled_from(Fate))
    def hear_news(self, number: int, fate: Fate) -> None:
        """A notified sidecar returns what is idle, and asks again for what is waited for there."""
        name = pick(sorted(self.notified), number)
        if name is not None:
            self.notified.remove(name)
            (who,) = (index for index, each in enumerate(self.sidecars) if each.sidecar_id == name)
            sidecar, moment = self._at(who)
            need = Need(mc(sidecar.parked), mc(sidecar.parked), mc(sidecar.parked), PATIENCE[-1])
            self._exchange(sidecar, fate, need if sidecar.parked else None, give_back=True)
            if sidecar.parked and sidecar.book.idle(moment) >= sidecar.parked:
                sidecar.parked = 0
                self.reserve_all_idle(who)

    @rule(who=st.integers(0, 2), after=st.sampled_from((0, 74 * MINUTE)))
    def give_up_the_lost(self, who: int, after: int) -> None:
        """Those are given up that were silent for as long as anything of theirs can last, while the time was counted."""
        self._move(Instant(self.now + after), is_counted=True)
        sidecar, _ = self._at(who)
        self._exchange(sidecar, Fate.ANSWERED)

    @rule(who=st.integers(0, 2))
    def lose_touch(self, who: int) -> None:
        """The central store is away, as far as a sidecar knows."""
        sidecar, moment = self._at(who)
        sidecar.write(allow(sidecar.book, sidecar.sidecar_id, moment) or Change(ACCOUNT))

    @rule()
    def tell_everybody(self) -> None:
        """What is agreed with the account changes."""
        ledger = self.central.ledger(self.now)
        recall_everything(ledger)
        self.central.save(ledger)

    @rule(who=st.integers(0, 2), fate=st.sampled_from(Fate))
    def say_it_again(self, who: int, fate: Fate) -> None:
        """Send a message again that was not answered."""
        sidecar, _ = self._at(who)
        if sidecar.unanswered is not None:
            self._send(sidecar, sidecar.unanswered, fate)

    @rule(number=st.integers(0, 3))
    def arrive_late(self, number: int) -> None:
        """A message that was under way arrives; nobody waits for the answer any more."""
        message = pick(self.under_way, number)
        if message is not None:
            self.under_way.remove(message)
            self._apply(message)

    @rule(
        who=st.integers(0, 2),
        more=st.integers(0, 4),
        fate=st.sampled_from(Fate),
        span=st.sampled_from(REPEATED_AFTER),
        anew=st.booleans(),
    )
    def ask_again(self, who: int, more: int, fate: Fate, span: Span, anew: bool) -> None:
        """A caller that was told so repeats its request, early or late, when it may lack another amount; or another caller asks
        for the first time.
        """
        sidecar, _ = self._at(who)
        if sidecar.asked_at is not None:
            self._move(Instant(self.now + span))
            amount = mc(self.central.available(self.now) + more)
            if amount:
                self._exchange(sidecar, fate, Need(amount, amount, amount, PATIENCE[1], None if anew else sidecar.asked_at))

    @rule(who=st.integers(0, 2), fate=st.sampled_from(Fate))
    def report(self, who: int, fate: Fate) -> None:
        """A message of a sidecar whose callers may repeat their requests, while none of them waits."""
        sidecar, _ = self._at(who)
        self._exchange(sidecar, fate, keeps_place=sidecar.asked_at is not None)

    @rule(who=st.integers(0, 2), fate=st.sampled_from(Fate))
    def stop(self, who: int, fate: Fate) -> None:
        """A sidecar says that it authorises nothing more. What is held there stays."""
        sidecar, _ = self._at(who)
        self._exchange(sidecar, fate, give_back=True, stops=True)

    @rule(who=st.integers(0, 2))
    def restart(self, who: int) -> None:
        """A sidecar stops at once and starts again."""
        sidecar, _ = self._at(who)
        sidecar.restart(self.central.register(sidecar.sidecar_id))

    def _exchange(
        self,
        sidecar: Sidecar,
        fate: Fate,
        need: Need | None = None,
        *,
        give_back: bool = False,
        keeps_place: bool = False,
        stops: bool = False,
    ) -> None:
        moment = sidecar.read(self.now, self.boot)
        manner = {"keeps_place": keeps_place, "stops": stops}
        self._send(sidecar, sidecar.compose(moment, need, give_back=give_back, **manner), fate)

    def _send(self, sidecar: Sidecar, message: Message, fate: Fate) -> None:
        if fate is Fate.UNDER_WAY:
            self.under_way.append(message)
            return
        answer = self._apply(message)
        assert answer is not None, "the newest message of a sidecar is always answered"
        if fate is Fate.ANSWERED:
            sidecar.accept(message, answer)

    def _apply(self, message: Message) -> Answer | None:
        new = [each for each in message.charges if each.charge_id not in self.central.charges]
        before = self.central.decisions
        answer = self.central.exchange(message, self.now)
        if answer is not None and self.central.decisions > before:
            self._assert_recalled(message, answer)
        self.notified |= self.central.notified
        if not message.refunds:
            for each in new:
                self._assert_order(self.central.charges.get(each.charge_id))
        return answer

    def _assert_recalled(self, message: Message, answer: Answer) -> None:
        """A need is refused only if what all others have idle is too little: those who answered since all of its requests were
        first asked for at their word; the others who may authorise with all they have; at their word those who may not. The
        same holds for each request of which is said that nothing more comes for it. None waits for what nobody can have.
        """
        central, sidecar_id = self.central, message.sidecar_id
        self.answered_at[sidecar_id] = central.decisions
        need = message.need
        if need is None or not answer.short:
            assert not answer.is_pending
            return
        asked = self.first_asked.get((sidecar_id, need.since), central.decisions) if need.since else central.decisions
        smallest = min(need.smallest, answer.short)
        assert answer.is_pending or self._best(sidecar_id, asked) < smallest, "refused although more may come"
        if answer.is_pending:
            assert self._best(sidecar_id, 0, trusts_all=True) >= smallest, "more cannot come"
            if answer.asked_at is not None:
                self.first_asked.setdefault((sidecar_id, answer.asked_at), central.decisions)
            for (asker, token), first in self.first_asked.items():
                if asker == sidecar_id and answer.heard_since is not None and token <= answer.heard_since:
                    assert self._best(sidecar_id, first) < smallest, "heard although more may come"

    def _best(self, asker: SidecarId, since: int, *, trusts_all: bool = False) -> int:
        leases = self._at_best(asker, since, trusts_all=trusts_all)
        return available(self.central.grants.values(), leases, self.central.decided_at)

    def _at_best(self, asker: SidecarId, since: int, *, trusts_all: bool) -> Iterable[OutLease]:
        for each in self.central.leases.values():
            if each.sidecar_id == asker or each.closed:
                yield each
            elif (trusts_all or self.answered_at[each.sidecar_id] <= since) and self.central.decided_at < each.trusted_until:
                yield replace(each, limit=mc(min(each.limit, each.posted + each.unposted)))
            else:
                yield replace(each, limit=mc(min(each.limit, each.posted + each.unposted + each.held)))

    def _assert_order(self, posted: Charge | None) -> None:
        """No later grant was drawn on while an earlier one, usable at that time, had credit left."""
        if posted is None or posted.posting is None or posted.excess or len(posted.parts) != 1:
            return
        lease = self.central.leases[posted.parts[0].lease_id]
        moment = Instant(min(max(posted.authorized_at, lease.opened_at), lease.ends_at - 1, self.central.decided_at))
        drawn = [self.central.grants[draw.grant_id] for draw in posted.posting.draws]
        voided = [each for each in drawn if not each.is_usable(moment) and each.voided_at is not None]
        last = max((draw_key(each) for each in drawn if each not in voided), default=None)
        for each in usable(self.central.grants.values(), moment):
            assert not voided or not each.remaining, "a voided grant is the last that a later call draws on"
            assert last is None or draw_key(each) >= last or not each.remaining

    # The product's back end, and time.

    @rule(kind=st.sampled_from((*GrantKind, GrantKind.PERMANENT)), amount=st.integers(1, 20), days=st.integers(-1, 3))
    def give(self, kind: GrantKind, amount: int, days: int) -> None:
        """Give credit that ends some midnights from now, or never."""
        day = self.central.schedule.day_at(self.now)
        ends = None if days < 0 and kind is GrantKind.PERMANENT else Instant(day.ends_at + max(0, days) * DAY)
        self.central.give(grant(f"given-{self._name()}", amount, kind=kind, begins=self._central_now(), ends=ends), self.now)

    @rule(number=st.integers(0, 5))
    def void(self, number: int) -> None:
        """Take a grant back, once; sometimes in the microsecond in which something was leased, mostly later."""
        self._move(Instant(self.now + number))
        grant_id = pick(list(self.central.grants), number)
        if grant_id is not None:
            done = self.central.void(grant_id, self.now)
            assert isinstance(done, GrantVoided) == (grant_id in self.voided)
            if not isinstance(done, Refusal):
                self.voided[grant_id] = self.central.grants[grant_id].remaining
                for each in self.central.leases.values():
                    self.out_then[grant_id, each.lease_id] = each.limit, each.out

    @rule(to=st.sampled_from(PLANS))
    def assign(self, to: Plan) -> None:
        """Put the account on another plan."""
        self.central.assign(to.plan_id, self.now)

    @rule(which=st.sampled_from(PLANS), daily=st.integers(0, 9), monthly=st.integers(0, 30))
    def change_plan(self, which: Plan, daily: int, monthly: int) -> None:
        """Change what a plan gives."""
        self.central.put_plan(replace(which, daily=mc(daily), monthly=mc(monthly)), self._central_now())

    @precondition(lambda self: self.moves < MOST_MOVES)
    @rule(zone=st.sampled_from(ZONES), anchor=st.sampled_from((1, 15, 31)))
    def move(self, zone: str, anchor: int) -> None:
        """Change the account's calendar, as if the last change were long ago."""
        self.moves += 1
        last = self.central.schedule.change
        if last is not None:
            rested = replace(last, changed_at=Instant(last.changed_at - CALENDAR_REST))
            self.central.schedule = replace(self.central.schedule, change=rested)
        moved = self.central.move(Calendar(zone, anchor), self.now)
        assert moved == self.central.schedule

    @rule(span=st.sampled_from((SECOND, MINUTE, 11 * MINUTE, 50 * MINUTE)))
    def pass_time(self, span: int) -> None:
        """Some time goes by."""
        self._move(Instant(self.now + span))

    @rule(offset=st.sampled_from((-180, -1, 0, 15, 120)), days=st.sampled_from((0, 0, 0, 1)))
    def come_to_midnight(self, offset: int, days: int) -> None:
        """The account's day comes to its end."""
        ends_at = self.central.schedule.day_at(self.now).ends_at
        self._move(Instant(max(self.now, ends_at + offset * SECOND + days * DAY)))

    @rule(who=st.integers(0, 2))
    def reach_disk(self, who: int) -> None:
        """What was written is on disk, so that what has ended leaves memory."""
        sidecar, _ = self._at(who)
        sidecar.reach_disk()

    def _move(self, to: Instant, *, is_counted: bool = False) -> None:
        if not is_counted:
            self.central.uncounted = Span((self.central.uncounted or 0) + to - self.now)
        self.boot = Span(self.boot + to - self.now)
        self.now = to

    # What the rules share.

    def _at(self, who: int) -> tuple[Sidecar, Moment]:
        sidecar = self.sidecars[who % len(self.sidecars)]
        return sidecar, sidecar.read(self.now, self.boot)

    def _name(self) -> str:
        self.names += 1
        return f"{self.names:05}"

    def _request(self) -> RequestId:
        return RequestId(f"request-{self._name()}")

    def _central_now(self) -> Instant:
        return Instant(max(self.now, self.central.decided_at))

    def _record(self, sidecar: Sidecar, decided: object) -> None:
        """Acknowledge what was decided, if it was a yes."""
        if isinstance(decided, Change):
            sidecar.write(decided)
            self.charged |= {each.charge_id: each for each in decided.charges}
            self.refunded |= {each.refund_id: each for each in decided.refunds}
            who = self.sidecars.index(sidecar)
            self.said |= {(who, each.request.request_id): each for each in decided.receipts}

    # What must hold.

    @invariant()
    def grants_add_up(self) -> None:
        """Every grant's sums are those of its charges and of its history (a goodwill refund gives nothing back to it)."""
        charges, entries = self.central.charges.values(), self.central.entries
        drawn = _sums((draw.grant_id, draw.amount) for each in charges if each.posting for draw in each.posting.draws)
        returned = _sums((draw.grant_id, draw.amount) for each in entries for draw in each.draws if each.refund_id)
        lapsed = _sums((each.grant_id, -each.amount) for each in entries if each.type is EntryType.LAPSED)
        voided = _sums((each.grant_id, -each.amount) for each in entries if each.type is EntryType.VOIDED)
        for key, each in self.central.grants.items():
            sums = (drawn[key], returned[key], lapsed[key], voided[key])
            assert (each.drawn, each.refunded, each.lapsed, each.voided) == sums

    @invariant()
    def history_adds_up(self) -> None:
        """The balance is what the grants have left, and what the history comes to, line by line."""
        balance = 0
        for entry in self.central.entries:
            balance += entry.amount
            assert entry.balance_after == balance
        assert self.central.balance == balance == sum(each.remaining for each in self.central.grants.values())

    @invariant()
    def nothing_is_overspent(self) -> None:
        """What is out on leases is still there; no sidecar believes in more than it was given; what was leased is covered."""
        leases = self.central.leases.values()
        assert sum(each.out for each in leases if not each.closed) <= self.central.balance
        assert self.central.available(self.now) >= 0
        for sidecar in self.sidecars:
            for lease in sidecar.book.leases.values():
                known = self.central.leases.get(lease.lease_id)
                assert lease.offline or (known is not None and (known.closed or lease.limit <= known.limit))
        for each in self.central.charges.values():
            posting = each.posting
            assert posting is not None
            assert posting.covered == sum(draw.amount for draw in posting.draws)
            if posting.duplicate_of is None:
                assert posting.covered >= each.cost - each.excess

    @invariant()
    def what_is_voided_stays_voided(self) -> None:
        """No more is left of it than before, nor than is out on leases, nor than was out when it was voided and did not return
        since; and nothing new is leased of it.
        """
        now, grants = self.central.decided_at, self.central.grants
        for name, before in self.voided.items():
            assert grants[name].voided_at is not None
            assert grants[name].remaining <= before
            self.voided[name] = grants[name].remaining
        kept = sum(left for name, left in self.voided.items() if grants[name].is_running(now))
        assert kept <= sum(each.out for each in self.central.leases.values() if not each.closed)
        for (name, lease_id), (limit, out) in self.out_then.items():
            newest = self.central.leases[lease_id].limit
            self.out_then[name, lease_id] = newest, max(0, out - max(0, limit - newest))  # a lease may have grown in between
        not_returned = _sums((name, out) for (name, _), (_, out) in self.out_then.items())
        for name, left in self.voided.items():
            assert left <= not_returned[name] or not grants[name].is_running(now)
        usable_now = sum(each.remaining for each in usable(grants.values(), self._central_now()))
        assert self.central.available(self.now) <= usable_now

    @invariant()
    def whatever_is_out_is_good(self) -> None:
        """All that is and may be leased could be charged to the last credit, whenever authorised, in any order."""
        if self.checked == (self.now, self.central.decisions):
            return
        self.checked = self.now, self.central.decisions
        for order, early in product(ORDERS, (False, True)):
            ledger = self.central.ledger(self.now, is_whole=True)
            ledger.touch()
            ledger.recalls.clear()
            answer(ledger, message(1, need=ledger.available, sidecar_id=SidecarId("another")), Span(0))
            for lease in sorted(ledger.leases.values(), key=order):
                moment = lease.opened_at if early else Instant(min(lease.ends_at - 1, ledger.now))
                post(ledger, charge(f"charge-{lease.lease_id}", Part(lease.lease_id, lease.out, moment)), lease.sidecar_id)

    @invariant()
    def leases_add_up(self) -> None:
        """Held is what open reservations hold, spent what was charged, posted what of that has arrived: each once."""
        spent = _sums((part.lease_id, part.amount) for each in self.charged.values() for part in each.parts)
        posted = _sums((part.lease_id, part.amount) for each in self.central.charges.values() for part in each.parts)
        for lease in self.central.leases.values():
            assert lease.posted == posted[lease.lease_id]
        for sidecar in self.sidecars:
            book = sidecar.book
            open_ones = [each for each in book.reservations.values() if each.state is ReservationState.HELD]
            held = _sums((part.lease_id, part.amount) for each in open_ones for part in each.parts)
            assert book.open_reservations == len(open_ones)
            for each in book.leases.values():
                assert book.held_on(each.lease_id) == held[each.lease_id]
                assert each.offline or each.spent == spent[each.lease_id]
                assert book.idle_on(each) >= 0

    @invariant()
    def nobody_authorises_for_longer_than_promised(self) -> None:
        """Until it is past, the central store counts on what may be authorised, and takes no lease away."""
        for sidecar in self.sidecars:
            for each in sidecar.book.leases.values():
                left = each.trusted_until - self.boot
                if left > 0 and not each.offline:
                    known = self.central.leases[each.lease_id]
                    assert left <= known.trusted_until - self.now
                    assert known.trusted_until + LIMITS.max_hold_lifetime < known.reclaim_at
                    assert not known.closed or each.ends_at <= self.central.decided_at

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """A waiting sidecar was notified, or others were, or others come before it. Nothing is remembered for too long."""
        now, recalls = self.central.decided_at, self.central.recalls.values()
        needs = [each for each in recalls if each.purpose is not Purpose.STATE and each.stands(now)]
        for each in needs:
            assert each.is_ready or each.awaited or len(needs) > 1
            assert each.sidecar_id not in each.awaited
            assert len(set(each.awaited)) == len(each.awaited)
        assert len({each.number for each in recalls}) == len(recalls)

    @invariant()
    def a_reservation_has_one_end(self) -> None:
        """What ended stays ended, except that what expired may be committed late."""
        for sidecar in self.sidecars:
            for each in sidecar.reservations:
                before = self.ended.get(each.reservation_id)
                if each.state is not ReservationState.HELD:
                    self.ended[each.reservation_id] = each.state
                late = (ReservationState.EXPIRED, ReservationState.COMMITTED)
                assert before in (None, each.state) or (before, each.state) == late

    def teardown(self) -> None:
        """Messages arrive again: everything acknowledged is posted, once, and all credit is returned."""
        if not self.sidecars:
            return
        self._use_everything()
        self._move(Instant(self.now + 2 * HOUR))
        self._go_home()
        self._assert_all_is_posted()
        assert not any(each.out for each in self.central.leases.values())
        self._move(Instant(self.now + 2 * DAY))
        self._go_home()
        self._exchange(self.sidecars[0], Fate.ANSWERED)
        assert not self.central.recalls
        assert all(each.closed for each in self.central.leases.values() if each.ends_at <= self.now)
        assert not any(each.remaining for each in self.central.grants.values() if each.has_ended(self.now))
        assert not any(self.central.grants[name].remaining for name in self.voided)
        self.nothing_is_overspent()
        self.grants_add_up()
        self.history_adds_up()

    def _use_everything(self) -> None:
        """All that is out on leases must be good to the last credit: hold it all, and commit most of it."""
        for who in range(len(self.sidecars)):
            self.reserve_all_idle(who)
            for number in range(len(self.sidecars[who].reservations)):
                if number % 4:
                    self.commit(who, number, 0, keep_open=False)

    def _go_home(self) -> None:
        """Repeat what was not answered, then exchange as long as a sidecar has anything to say, and no longer: until all have
        given back what is idle, and cost that waited for it has waited long enough.
        """
        for sidecar in self.sidecars:
            sidecar.parked = 0
            if sidecar.unanswered is not None:
                self._send(sidecar, sidecar.unanswered, Fate.ANSWERED)
            elif sidecar.has_restarted:
                self._exchange(sidecar, Fate.ANSWERED)
        for _ in range(3):
            for sidecar in self.sidecars:
                now = sidecar.read(self.now, self.boot).now
                if has_unfinished(sidecar.book, now) or has_idle(sidecar.book):
                    self._exchange(sidecar, Fate.ANSWERED, give_back=True)
            self._move(Instant(self.now + EXCESS_PATIENCE))
        for sidecar in self.sidecars:
            assert not has_unfinished(sidecar.book, sidecar.read(self.now, self.boot).now)
            assert not has_idle(sidecar.book)

    def _assert_all_is_posted(self) -> None:
        charges = self.central.charges
        firsts = Counter(each.request_id for each in charges.values() if each.posting and not each.posting.duplicate_of)
        assert set(firsts.values()) <= {1}, "a request is charged once"
        given_back = _sums((self._that_stands(each.charge_id), _paid_back(each)) for each in self.central.refunds.values())
        for each in self.charged.values():
            posting = charges[each.charge_id].posting
            assert posting is not None
            if posting.duplicate_of is None:
                cancelled = given_back[each.charge_id] - posting.refunded
                assert posting.covered + posting.debt + posting.uncovered + cancelled == each.cost
        for refund in self.refunded.values():
            stored = self.central.refunds[refund.refund_id]
            assert stored.amount == refund.amount, "what was acknowledged never reads as less"
            assert stored.charge_id == self._that_stands(refund.charge_id)
        assert not self.central.ledger(self.now).debt or not self.central.available(self.now)

    def _that_stands(self, name: ChargeId) -> ChargeId:
        """The charge itself, or the one that it is a duplicate of."""
        posting = self.central.charges[name].posting
        return (posting.duplicate_of if posting else None) or name


def _paid_back(refund: Refund) -> int:
    """What of a refund was given back or took debt away, in microcredits."""
    assert refund.posting is not None
    return refund.amount - refund.posting.never_paid


def _sums(items: Iterable[tuple[str | None, int]]) -> Counter[str | None]:
    """The sum of each key's amounts."""
    sums: Counter[str | None] = Counter()
    for key, amount in items:
        sums[key] += amount
    return sums


TestLeaseSearch = LeaseSearch.TestCase
TestLeaseSearch.settings = settings(stateful_step_count=60, max_examples=10)


@pytest.mark.long
def test_search_for_longer() -> None:
    """The same, with more histories."""
    run_state_machine_as_test(LeaseSearch, settings=settings(stateful_step_count=60, max_examples=170))
