"""Watching a run: what must hold of every reply, every exchange, and after every step.

What is checked here is what the design promises, by means of its own: what a lease's id and the clocks say, what lies on the
disk, what the store's rows add up to. The code under test is asked as little as possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from creditmeter.core.credit.charges import Charge, Part
from creditmeter.core.credit.grants import draw_key
from creditmeter.core.credit.messages import Answer, Fenced, Message, Reply
from creditmeter.core.credit.requests import ChargeNow, Done, Extend, Receipt, Reserve
from creditmeter.core.instants import HOUR, SECOND, Instant
from creditmeter.core.metering.decisions import Limits
from creditmeter.core.refusals import InsufficientCredits, Refusal
from creditmeter.core.settlement.setting_back import MOST_AHEAD
from creditmeter.core.values import replace
from creditmeter.sidecar.rhythm import Rhythm
from tests.simulation.record import WORKER, account_of
from tests.simulation.stored import Stored

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

REMEMBERED = 12 * HOUR
"""A receipt that is younger than this was not pruned yet, however far the clocks are apart."""

RIGHT_AGAIN_SECONDS = 30.0
"""So long after the clocks are right again nobody is refused any more who can pay."""

LONGEST_USE = Rhythm().lease_ttl + Limits().max_hold_lifetime
"""As long after its last message a sidecar may have something held on a lease."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen when a request was sent. It shows afterwards whether anything else happened meanwhile."""

    boot: int
    boots: int
    now: int
    asked: int
    by_others: int
    leaps: int
    is_alone: bool


@dataclass(frozen=True, slots=True)
class _Heard:
    """The last message of a sidecar about an account, by its epoch and number, and when the store applied it."""

    number: tuple[int, int]
    at: int


class Watch:
    """Fails the run when something is seen that must not be."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._seen_changes = -1
        self._heard: dict[tuple[str, str], _Heard] = {}
        self._closed: set[str] = set()
        self.given_up: set[str] = set()
        """The leases that were closed after their sidecars had been silent for as long as anything on them can last."""
        self._sent: set[str] = set()
        self._posted: set[str] = set()

    # Replies.

    def glance(self, machine: "Machine") -> Glance:
        """Look around before a request is asked."""
        world = self._world
        by_others = sum(each.link.asked for each in world.machines if each is not machine) + world.decrees
        now = machine.sidecar.books.moment().now if machine.sidecar is not None else Instant(0)
        is_alone = machine.in_flight == 0
        return Glance(machine.clock.boot(), machine.boots, now, machine.asked, by_others, world.leaps, is_alone)

    def replied(self, machine: "Machine", done: Done[Receipt], before: Glance) -> None:
        """A request took effect: that is on disk, it is the same as in earlier replies, and it rests on credit that could be
        used.
        """
        world, receipt = self._world, done.reply
        acknowledged = world.record.acknowledged.get((machine.name, receipt.request.request_id))
        if acknowledged is not None:
            first = acknowledged.receipt
            is_same = receipt in (first, _with_posting_of(receipt, first))
            if not is_same and world.now() - acknowledged.at < REMEMBERED:
                world.fail(f"{machine.name} gave two replies to {receipt.request.request_id}")
            return
        is_young = world.now() - world.record.began(machine.name, receipt) < REMEMBERED
        if (
            is_young
            and receipt.refund is None
            and not machine.disk.has_receipt(account_of(receipt), receipt.request.request_id)
        ):
            world.fail(f"{machine.name} acknowledged {receipt.request.request_id}, which is not on its disk")
        self._check_parts(machine, receipt, before, is_new=not done.replayed)
        if receipt.charge is not None and receipt.reservation is not None:
            is_late = receipt.charge.committed_at >= receipt.reservation.expires_at
            may_be_late = receipt.charge.late and world.store_time.may_be_off  # it was, and then the clock was set back
            if receipt.charge.late != is_late and not may_be_late:
                world.fail(f"charge {receipt.charge.charge_id} says late={receipt.charge.late} of a hold past its deadline")
        machine.spent.acknowledge(receipt)
        world.record.keep(machine.name, receipt)

    def _check_parts(self, machine: "Machine", receipt: Receipt, before: Glance, *, is_new: bool) -> None:
        thing = receipt.charge or receipt.reservation
        parts = tuple(each for each in (thing.parts if thing is not None else ()) if _is_leased(each))
        stored = self._stored()
        for part in parts:
            ends_at = stored.end_of(part.lease_id)
            if ends_at is None or part.authorized_at >= ends_at:
                self._world.fail(f"{receipt.request.request_id} was authorised on {part.lease_id} after its day had ended")
        is_authorised_now = any(part.authorized_at >= before.now for part in parts)  # not all that an Extend names
        is_same_boot = machine.boots == before.boots
        if is_authorised_now and is_new and is_same_boot and isinstance(receipt.request, Reserve | ChargeNow | Extend):
            renewed = machine.link.renewed.get(account_of(receipt))
            if renewed is None or before.boot > renewed + Rhythm().lease_ttl:
                self._world.fail(f"{receipt.request.request_id} was authorised on a lease that was not renewed in time")

    def refused(self, machine: "Machine", reply: Refusal, account_id: str, before: Glance) -> None:
        """A request was refused: if for lack of credit, and nothing else went on, the credit was lacking indeed."""
        world, now = self._world, self.glance(machine)
        alone = before.is_alone and machine.asked == before.asked + 1
        same = (now.by_others, now.leaps) == (before.by_others, before.leaps)
        is_sure = world.store_time.right_for() >= RIGHT_AGAIN_SECONDS
        if isinstance(reply, InsufficientCredits) and alone and same and is_sure:
            free = self._stored().free(account_id, Instant(world.now()))
            if free >= reply.required:
                world.fail(f"{machine.name} refused {reply.required} to {account_id}, which has {free}")

    # Runs of a sidecar.

    def started(self, machine: "Machine") -> None:
        """A sidecar came back: what it acknowledged is still there."""
        world = self._world
        assert machine.sidecar is not None
        for (name, request_id), acknowledged in world.record.acknowledged.items():
            if name != machine.name or acknowledged.receipt.refund is not None or world.now() - acknowledged.at > REMEMBERED:
                continue
            if machine.sidecar.books.receipt(account_of(acknowledged.receipt), request_id) != acknowledged.receipt:
                world.fail(f"{machine.name} forgot over a restart what it replied to {request_id}")

    # Exchanges.

    def sends(self, messages: Sequence[Message]) -> None:
        """A sidecar sends messages: what it refunded by itself is no charge that it had sent before, for that is the store's to
        refund. So a refund is in the first message with its charge.
        """
        for message in messages:
            for refund in message.refunds:
                if refund.charge_id in self._sent and refund.refund_id not in self._sent:
                    self._world.fail(f"{message.sidecar_id} refunded charge {refund.charge_id} by itself, which it had sent")
            self._sent.update(each.charge_id for each in message.charges)
            self._sent.update(each.refund_id for each in message.refunds)

    def exchanged(self, messages: Sequence[Message], replies: Sequence[Reply] | Fenced, *, is_right: bool) -> None:
        """The store answered messages, by a clock that was right or not: what they posted drew on the right grants."""
        if isinstance(replies, Fenced):
            return
        self.look_at_leases()
        for message, reply in zip(messages, replies, strict=True):
            if isinstance(reply, Answer):
                self._note_heard(message)
                new = [each for each in message.charges if each.charge_id not in self._posted]
                self._posted.update(each.charge_id for each in new)
                if is_right:
                    self._check_begun(message.account_id, [each.charge_id for each in new], reply.balance.as_of)
                if new and not message.refunds:
                    self._check_order(message.account_id, [each.charge_id for each in new], reply.balance.as_of)

    def _check_order(self, account_id: str, charge_ids: list[str], as_of: Instant) -> None:
        """No later grant was drawn on while an earlier one, usable at that charge's time, had credit left."""
        stored = self._stored()
        grants = stored.grants(account_id)
        for charge in stored.charges(account_id, charge_ids):
            at = _authorized(charge, stored.lease_times(charge), as_of)
            if at is None or charge.posting is None:
                continue
            drawn = {draw.grant_id for draw in charge.posting.draws}
            last = max((draw_key(grants[each]) for each in drawn), default=None)
            restored = stored.restored_since(account_id, charge.posting.posted_at)  # another message may be answered already
            for each in grants.values():
                if last is not None and each.remaining > restored and each.is_usable(at) and draw_key(each) < last:
                    self._world.fail(f"charge {charge.charge_id} drew on {sorted(drawn)} before {each.grant_id}")

    def _check_begun(self, account_id: str, charge_ids: list[str], as_of: Instant) -> None:
        """Nothing was drawn on that had not begun, neither at the decision nor when it was authorised. A decision is not before
        the last one, which may have been by a clock that was a little ahead.
        """
        stored, now = self._stored(), self._world.now()
        if self._world.store_time.may_be_off:
            now = max(now, min(as_of, now + MOST_AHEAD))
        grants = stored.grants(account_id)
        for charge in stored.charges(account_id, charge_ids):
            last = max((each.authorized_at for each in charge.parts), default=now)
            for draw in charge.posting.draws if charge.posting is not None else ():
                if grants[draw.grant_id].effective_at > max(last, now):
                    self._world.fail(f"charge {charge.charge_id} drew on {draw.grant_id}, which has not begun")

    # Every step.

    def look(self) -> None:
        """Look at everything that changed."""
        stored = self._stored()
        changes = self._world.raw.total_changes
        if changes != self._seen_changes:
            self._seen_changes = changes
            for problem in stored.problems():
                self._world.fail(problem)
            self.look_at_leases()
            self._look_at_elapsed_time(stored)
        for machine in self._world.machines:
            if machine.sidecar is not None:
                self._look_at_time(machine)
                self._look_at_books(machine, stored)

    def _look_at_elapsed_time(self, stored: Stored) -> None:
        """The store never counts more time than has passed."""
        world = self._world
        counted, passed = stored.elapsed(), world.elapsed() - world.began
        if counted > passed:
            world.fail(f"the store counts {counted / SECOND} s, and {passed / SECOND} s have passed")

    def _look_at_time(self, machine: "Machine") -> None:
        """Once the store has answered, its time is the sidecar's, however the machine's clock is set. If the store's clock was
        set by so little that the answer does not show it for sure, the time may stay as it was.
        """
        error = machine.time.error
        if error is None or machine.told_off is None:
            return
        apart = abs(machine.time.wall() - self._world.now() - machine.told_off)
        may_be = error + (machine.told_within if self._world.store_time.may_be_off else 0)
        if apart > may_be:
            self._world.fail(f"{machine.name} is {apart / SECOND} s away from the store's time, and may be {may_be / SECOND} s")

    def look_at_leases(self) -> None:
        """Note the leases that were closed, and how long their sidecars had been silent by then."""
        now = self._world.elapsed()
        for lease_id, place in self._stored().closed_leases().items():
            if lease_id not in self._closed:
                self._closed.add(lease_id)
                heard = self._heard.get(place)
                if heard is None or now - heard.at >= LONGEST_USE:
                    self.given_up.add(lease_id)

    def _note_heard(self, message: Message) -> None:
        """A message was applied; if it had been before, that was when its sidecar was heard."""
        place, number = (message.sidecar_id, message.account_id), (message.epoch, message.seq)
        heard = self._heard.get(place)
        if heard is None or heard.number < number:
            self._heard[place] = _Heard(number, self._world.elapsed())

    def _look_at_books(self, machine: "Machine", stored: Stored) -> None:
        assert machine.sidecar is not None
        limits = stored.limits()
        for book in machine.sidecar.books:
            held: dict[str, int] = {}
            for each in book.reservations.values():
                for part in each.parts:
                    held[part.lease_id] = held.get(part.lease_id, 0) + part.amount
            for lease in book.leases.values():
                on_it = held.get(lease.lease_id, 0)
                if on_it and lease.lease_id in self._closed - self.given_up:
                    self._world.fail(f"{machine.name} holds {on_it} on lease {lease.lease_id}, which was reclaimed too early")
                if book.held_on(lease.lease_id) != on_it:
                    self._world.fail(
                        f"{machine.name} counts {book.held_on(lease.lease_id)} held, its reservations hold {on_it}"
                    )
                if lease.limit < lease.spent + on_it:
                    self._world.fail(f"{machine.name} authorised more than lease {lease.lease_id} allows")
                is_trusted = not lease.offline and machine.clock.boot() < lease.trusted_until
                if is_trusted and lease.limit > limits.get(lease.lease_id, 0):
                    self._world.fail(f"{machine.name} believes in more of lease {lease.lease_id} than the store allows")

        self._look_at_spending(machine)

    def _look_at_spending(self, machine: "Machine") -> None:
        """A credential is said to hold what its reservations hold, and to have spent what it was charged."""
        assert machine.sidecar is not None
        books = machine.sidecar.books
        held = sum(each.held for book in books for each in book.reservations.values() if each.credential_id == WORKER)
        problem = machine.spent.problem(books.spending, held)
        if problem is not None:
            self._world.fail(f"{machine.name} counts {problem}")

    def _stored(self) -> Stored:
        return Stored(self._world.raw)


def _with_posting_of(receipt: Receipt, first: Receipt) -> Receipt:
    """The first reply, with what the store made of a refund that a sidecar had decided: once its account has left memory, the
    store repeats the reply.
    """
    if first.refund is None or receipt.refund is None or first.refund.posting is not None:
        return first
    return replace(first, refund=replace(first.refund, posting=receipt.refund.posting))


def _is_leased(part: Part) -> bool:
    """Whether the store leased this credit; an offline allowance it did not."""
    return part.lease_id.startswith("lea-")


def _authorized(charge: Charge, times: tuple[Instant, Instant] | None, as_of: Instant) -> Instant | None:
    """When a charge was authorised, as its lease sees it, which may have been opened in the future; None if it is not of one
    piece.
    """
    if charge.excess or len(charge.parts) != 1 or times is None:
        return None
    opened_at, ends_at = times
    return Instant(min(max(charge.parts[0].authorized_at, opened_at), ends_at - 1, max(as_of, opened_at)))
