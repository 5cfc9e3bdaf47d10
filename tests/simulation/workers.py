"""The workers: what they ask of the sidecars, each time as a task of its own.

A worker without a reply asks again with the same request id, for a while. What it still does not know then is asked once
more when all is well again.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.requests import ChargeNow, Commit, Done, Extend, RefundCharge, Release, Request, Reserve
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import MINUTE, SECOND, Span
from creditmeter.core.refusals import Contended, DayNotBegun, Overloaded, RecallPending, Refusal, ShuttingDown
from creditmeter.core.values import replace
from creditmeter.sidecar.outcomes import Outcome
from tests.simulation.machine import Machine, Silence, State
from tests.simulation.watch import REMEMBERED

if TYPE_CHECKING:
    from tests.simulation.world import World

_Item = TypeVar("_Item")

_PATIENCE_SECONDS = (0.3, 5.0, 30.0)
_LAST = "last"
_AGAIN, _NEW, _COMMITTED = 0.1, 0.6, 0.85
_TTLS = (None, None, Span(30 * SECOND), Span(5 * MINUTE))


class Workers:
    """All workers."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng: Random = world.rng
        self._count = 0

    # What they do.

    def reserve(self) -> None:
        """Hold credit for a call."""
        amount, ttl = self._amount(), self._rng.choice(_TTLS)
        request = Reserve(
            self._name("reserve"), self._account(), amount=amount, ttl=ttl, allow_partial=self._rng.random() < 0.1
        )
        self._ask(self._machine(), request)

    def extend(self) -> None:
        """Raise a hold, push its deadline, or both."""
        held = self._hold()
        if held is not None:
            machine, hold = held
            more = Microcredits(hold.charged + hold.held + self._amount() // 2) if self._rng.random() < 0.7 else None
            ttl = self._rng.choice(_TTLS) if more is not None else Span(20 * MINUTE)
            self._ask(machine, Extend(self._name("extend"), hold.reservation_id, amount=more, ttl=ttl))

    def commit(self) -> None:
        """Charge a call: less than was held, all of it, or more; perhaps not for the last time."""
        held = self._hold()
        if held is not None:
            machine, hold = held
            cost = Microcredits(max(0, hold.held + self._rng.choice((-3, -1, 0, 0, 0, 2)) * from_credits(1)))
            keep_open = self._rng.random() < 0.2
            self._ask(machine, Commit(self._name("commit"), hold.reservation_id, amount=cost, keep_open=keep_open))

    def release(self) -> None:
        """Give a hold back."""
        held = self._hold()
        if held is not None:
            machine, hold = held
            self._ask(machine, Release(self._name("release"), hold.reservation_id))

    def charge(self) -> None:
        """Charge at once; sometimes for what was done already."""
        incurred = self._rng.random() < 0.2
        request = ChargeNow(self._name("charge"), self._account(), amount=self._amount(), already_incurred=incurred)
        self._ask(self._machine(), request)

    def refund(self) -> None:
        """Give back a charge or a part of it, on any machine."""
        charge = self._one_of(list(self._world.record.charges.values())[-12:])
        if charge is not None:
            part = Microcredits(max(1, charge.cost // 2)) if self._rng.random() < 0.3 else None
            mode = self._rng.choice((RefundMode.ORIGINAL, RefundMode.ORIGINAL, RefundMode.GOODWILL))
            self._ask(self._machine(), RefundCharge(self._name("refund"), charge.charge_id, part, mode))

    def repeat(self) -> None:
        """Ask again for what was answered: a retry that overtook its reply."""
        world = self._world
        acknowledged = world.record.acknowledged
        key = self._one_of([key for key, each in list(acknowledged.items())[-12:] if world.now() - each.at < REMEMBERED])
        if key is not None:
            self._ask(world.machine(key[0]), acknowledged[key].receipt.request)

    def move(self) -> None:
        """Repeat a charge on another machine, as a worker that was moved does; perhaps at another price."""
        replied = [each.receipt.request for each in list(self._world.record.acknowledged.values())[-12:]]
        silent = list(self._world.record.waiting.values())[-12:]
        request = self._one_of([each for each in replied + silent if isinstance(each, ChargeNow)])
        if request is not None:
            amount = request.amount if self._rng.random() < 0.5 else self._amount()
            self._ask(self._machine(), replace(request, amount=amount, already_incurred=True))

    def balance(self) -> None:
        """Read the balance."""
        machine, account_id = self._machine(), self._account()
        if machine.sidecar is not None:
            self._world.employ(machine.read(machine.sidecar.reader.balance(account_id)))

    def use_everything(self) -> None:
        """Spend all that machines have in hand: what is out on leases has to be good to the last credit."""
        for machine in self._world.machines:
            for account_id in self._world.account_ids:
                idle = machine.idle(account_id)
                if idle:
                    request = ChargeNow(self._name("all"), account_id, amount=idle)
                    self._ask(machine, request)

    async def reserve_all(self, account_id: AccountId, amount: Microcredits) -> Outcome | Silence:
        """Hold all there is of an account on some machine; the hold is given up soon."""
        machine = self._rng.choice([each for each in self._world.machines if each.is_serving])
        request = Reserve(self._name("probe"), account_id, amount=amount, ttl=Span(SECOND))
        outcome = await self.insist(machine, request, 5)
        if isinstance(outcome, RecallPending | Contended) and any(each.state is State.LOST for each in self._world.machines):
            return Silence("what a lost machine has idle comes back later")
        return outcome

    def touch_all(self) -> None:
        """Have every machine get some of everybody's credit."""
        for machine in self._world.machines:
            for account_id in self._world.account_ids:
                self._ask(machine, ChargeNow(self._name("touch"), account_id, amount=from_credits(1)))

    def last_words(self) -> None:
        """Ask for the newest account's credit on every machine; no worker is left to ask again when the machines die."""
        for machine in self._world.machines:
            request = Reserve(self._name(_LAST), self._world.account_ids[-1], amount=self._amount())
            self._world.employ(self.insist(machine, request, 1))

    def some(self, machine: Machine, count: int) -> list[Request]:
        """A few requests to a machine, to be sent together: new holds and charges, and what becomes of its holds. Now and then
        one is in it twice.
        """
        holds = [hold for name, hold in list(self._world.record.holds.values())[-8:] if name == machine.name]
        made: list[Request] = []
        for _ in range(count):
            hold, drawn = self._one_of(holds), self._rng.random()
            if made and drawn < _AGAIN:
                made.append(self._rng.choice(made))
            elif hold is None or drawn < _NEW:
                kind, name = self._rng.choice(((Reserve, "reserve"), (ChargeNow, "charge")))
                made.append(kind(self._name(name), self._account(), amount=self._amount()))
            elif drawn < _COMMITTED:
                made.append(Commit(self._name("commit"), hold.reservation_id, amount=hold.held))
            else:
                made.append(Release(self._name("release"), hold.reservation_id))
        return made

    # How they ask.

    async def insist(self, machine: Machine, request: Request, attempts: int) -> Outcome | Silence:
        """Ask until there is an answer, or the attempts are used up."""
        world, record = self._world, self._world.record
        outcome: Outcome | Silence = Silence("not asked")
        record.asked.setdefault((machine.name, request.request_id), world.now())
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(self._rng.choice((0.05, 1.0, 5.0)))
            before = world.watch.glance(machine)
            outcome = await machine.ask(request, self._rng.choice(_PATIENCE_SECONDS))
            world.note(f"{machine.name} {request.request_id}: {_described(outcome)}")
            self.take_note(machine, request, outcome, before)
            if not isinstance(outcome, Silence | RecallPending | Contended | DayNotBegun | Overloaded | ShuttingDown):
                break
        return outcome

    def take_note(self, machine: Machine, request: Request, outcome: Outcome | Silence, before: Any) -> None:
        """Write down what came of a request."""
        record, key = self._world.record, (machine.name, request.request_id)
        match outcome:
            case Silence():
                record.unsure.add(request.request_id)
                record.waiting[key] = request
            case Done():
                record.waiting.pop(key, None)
                self._world.watch.replied(machine, outcome, before)
            case Refusal():
                record.waiting.pop(key, None)
                record.refused.add(request.request_id)
                if isinstance(request, Reserve | ChargeNow):
                    self._world.watch.refused(machine, outcome, request.account_id, before)

    def _ask(self, machine: Machine, request: Request) -> None:
        if machine.state is not State.LOST:
            self._world.employ(self.insist(machine, request, self._rng.choice((1, 1, 1, 3))))

    def ask_again(self) -> list[Coroutine[Any, Any, Any]]:
        """Everything to which no answer came, asked once more."""
        waiting = list(self._world.record.waiting.items())
        machines = (
            (self._world.machine(name), request) for (name, _), request in waiting if not request.request_id.startswith(_LAST)
        )
        return [self.insist(machine, request, 20) for machine, request in machines if machine.state is not State.LOST]

    # What they ask for.

    def _name(self, what: str) -> RequestId:
        self._count += 1
        return RequestId(f"{what}-{self._count}")

    def _amount(self) -> Microcredits:
        return from_credits(self._rng.randint(*self._world.swarm.amounts))

    def _account(self) -> AccountId:
        return self._rng.choice(self._world.account_ids)

    def _machine(self) -> Machine:
        return self._rng.choice(self._world.machines)

    def _hold(self) -> tuple[Machine, Reservation] | None:
        """A reservation that was acknowledged, one of the newest, and its machine."""
        found = self._one_of(list(self._world.record.holds.values())[-8:])
        return None if found is None else (self._world.machine(found[0]), found[1])

    def _one_of(self, items: Sequence[_Item]) -> _Item | None:
        return self._rng.choice(items) if items else None


def _described(outcome: Outcome | Silence) -> str:
    """A reply in few words."""
    if not isinstance(outcome, Done):
        return str(outcome)
    receipt, again = outcome.reply, "again " if outcome.replayed else ""
    if receipt.refund is not None:
        return f"{again}{receipt.refund.refund_id} {receipt.refund.amount}"
    held = f"{receipt.reservation.reservation_id} {receipt.reservation.held}" if receipt.reservation else ""
    charged = f"{receipt.charge.charge_id} {receipt.charge.cost}" if receipt.charge else ""
    return f"{again}{held} {charged}"
