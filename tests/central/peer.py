"""A sidecar whose messages a test writes by hand: it numbers its messages and keeps the leases of the answers."""

from collections.abc import Iterable
from decimal import Decimal

from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Charge, Part, Refund, RefundMode
from creditmeter.core.credit.messages import Answer, Fenced, LeaseReport, LeaseTerms, Message, Need, Registered, Reply
from creditmeter.core.elapsed import ElapsedCount
from creditmeter.core.ids import (
    AccountId,
    ChargeId,
    LeaseId,
    RefundId,
    RequestId,
    ReservationId,
    SidecarId,
    charge_id,
    refund_id,
)
from creditmeter.core.instants import MINUTE, SECOND, Span
from creditmeter.core.work import Usage
from tests.central.accounts import ACME
from tests.clocks import ManualClock


class Peer:
    """One sidecar. All amounts are small whole microcredits, so that a scenario can be added up by eye."""

    def __init__(self, store: CentralStore, clock: ManualClock, sidecar_id: SidecarId, epoch: int) -> None:
        self.store = store
        self.sidecar_id = sidecar_id
        self.epoch = epoch
        self.leases: dict[AccountId, tuple[LeaseTerms, ...]] = {}
        self._clock = clock
        self._elapsed = ElapsedCount()
        self._seq = 0

    @classmethod
    async def registered(cls, store: CentralStore, clock: ManualClock, name: str) -> "Peer":
        """A sidecar in its first epoch."""
        registered = await store.registration.register(SidecarId(name), 0, f"{name}'s nonce")
        assert isinstance(registered, Registered)
        return cls(store, clock, SidecarId(name), registered.epoch)

    def message(
        self,
        *charges: Charge,
        account: AccountId = ACME,
        need: int | Need = 0,
        refunds: Iterable[Refund] = (),
        leases: Iterable[LeaseReport] | None = None,
    ) -> Message:
        """The next message. By default it reports all leases with their whole limit. A `need` that is a number is exact."""
        self._seq += 1
        wanted = Need(Microcredits(need), Microcredits(need), Microcredits(need)) if isinstance(need, int) and need else None
        return Message(
            self.sidecar_id,
            self.epoch,
            account,
            self._seq,
            leases=tuple(self.reports(account) if leases is None else leases),
            charges=charges,
            refunds=tuple(refunds),
            need=need if isinstance(need, Need) else wanted,
        )

    def reports(self, account: AccountId = ACME, *, held: int = 0, unposted: int = 0, idle: bool = True) -> list[LeaseReport]:
        """Reports of its leases. Without `idle`, what is neither held nor unposted is returned."""
        return [
            LeaseReport(
                each.lease_id,
                each.limit if idle else Microcredits(each.posted + held + unposted),
                Microcredits(held),
                Microcredits(unposted),
            )
            for each in self.leases.get(account, ())
        ]

    async def beat(self) -> Span:
        """Send a heartbeat. Returns the store's elapsed time."""
        least = self._elapsed.least(self._clock.boot())
        elapsed = await self.store.registration.beat(self.sidecar_id, self.epoch, least)
        assert not isinstance(elapsed, Fenced)
        self._elapsed.hear(elapsed, self._clock.boot())
        return elapsed

    async def counts(self, span: int) -> None:
        """Let time pass, in microseconds, and have it counted: the last two minutes by heartbeats, one of which was sent
        before, and what comes before them by somebody else.
        """
        if span > 5 * MINUTE:
            others, span = span - 2 * MINUTE, 2 * MINUTE
            self._clock.advance(others)
            async with self.store.database.write() as connection:
                await connection.execute(tables.elapsed_time.update().values(elapsed=tables.elapsed_time.c.elapsed + others))
            await self.beat()
        while span:
            step = min(span, 40 * SECOND)
            span -= step
            self._clock.advance(step)
            await self.beat()

    async def send(self, message: Message) -> Reply:
        """Send a message, and keep the leases of its answer."""
        replies = await self.store.exchanges.exchange([message])
        assert isinstance(replies, tuple)
        (reply,) = replies
        if isinstance(reply, Answer):
            self.leases[message.account_id] = tuple(sorted(reply.leases, key=lambda each: each.opened_at))
        return reply

    async def exchange(
        self,
        *charges: Charge,
        account: AccountId = ACME,
        need: int | Need = 0,
        refunds: Iterable[Refund] = (),
        leases: Iterable[LeaseReport] | None = None,
    ) -> Answer:
        """Send the next message. Returns its answer."""
        reply = await self.send(self.message(*charges, account=account, need=need, refunds=refunds, leases=leases))
        assert isinstance(reply, Answer)
        return reply

    async def holds(self, held: int, unposted: int = 0) -> Answer:
        """Report what is held and unposted on the only lease, and return the rest."""
        return await self.exchange(leases=self.reports(held=held, unposted=unposted, idle=False))

    @property
    def lease(self) -> LeaseId:
        """The newest lease."""
        return self.leases[ACME][-1].lease_id

    def charge(
        self,
        name: str,
        amount: int,
        *,
        excess: int = 0,
        request: str | None = None,
        commit: tuple[str, int] | None = None,
        lease: LeaseId | None = None,
        usage: Usage | None = None,
        account: AccountId = ACME,
    ) -> Charge:
        """A charge of `amount` on a lease and an excess, authorised and committed now."""
        now = self._clock.wall()
        parts = (Part(lease or self.leases[account][-1].lease_id, Microcredits(amount), now),) if amount else ()
        return Charge(
            charge_id=charge_id(account, self.sidecar_id, name),
            account_id=account,
            request_id=RequestId(request or f"{self.sidecar_id}/{name}"),
            reservation_id=ReservationId(commit[0]) if commit else None,
            commit_number=commit[1] if commit else 1,
            cost=Microcredits(amount + excess),
            parts=parts,
            excess=Microcredits(excess),
            exact_credits=Decimal(amount + excess),
            cost_usd=Decimal(0),
            usage=usage,
            rate_card_version="v1",
            authorized_at=now,
            committed_at=now,
        )

    def refund(self, charge: ChargeId, amount: int, *, mode: RefundMode = RefundMode.ORIGINAL, name: str = "1") -> Refund:
        """A refund that this sidecar decided."""
        return Refund(
            refund_id=RefundId(refund_id(ACME, self.sidecar_id, name)),
            charge_id=charge,
            account_id=ACME,
            request_id=RequestId(f"refund/{name}"),
            amount=Microcredits(amount),
            mode=mode,
            reason="it failed",
            refunded_at=self._clock.wall(),
        )
