"""Refunds that the central store decides: of charges that were sent to it, whichever sidecar is asked."""

from creditmeter.central.clock import StoreClock
from creditmeter.central.database import Database
from creditmeter.central.ledgers import Topic, open_ledger
from creditmeter.central.reading import account_with_key
from creditmeter.central.requests import Done, remember, replay
from creditmeter.core.amounts import ZERO
from creditmeter.core.charges import Refund
from creditmeter.core.ids import RefundId, origin_of
from creditmeter.core.ledger import Ledger
from creditmeter.core.refunding import refund
from creditmeter.core.refusals import ChargeNotFound, Refusal
from creditmeter.core.requests import RefundCharge


class Refunds:
    """Decides refunds."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def refund(self, request: RefundCharge, refund_id: RefundId) -> Done[Refund] | Refusal:
        """Refund a posted charge, once. A duplicate's refund is of the charge that stands for it.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        origin = origin_of(request.charge_id)
        if origin is None:
            return ChargeNotFound(request.charge_id)
        async with self._database.write() as connection:
            account_id = await account_with_key(connection, origin.account_key)
            if account_id is None:
                return ChargeNotFound(request.charge_id)
            topic = Topic(refunded_charges=frozenset({request.charge_id}))
            opened = await open_ledger(connection, account_id, await self._clock.now(connection), topic)
            assert opened is not None, "an account is never deleted"
            done = await replay(connection, account_id, request.request_id, request, Refund)
            if done is not None:
                return done
            decided = _decide(opened.ledger, request, refund_id)
            if isinstance(decided, Refusal):
                return decided
            await opened.save(connection)
            await remember(connection, account_id, request.request_id, request, decided, opened.ledger.now)
            return Done(decided)


def _decide(ledger: Ledger, request: RefundCharge, refund_id: RefundId) -> Refund | Refusal:
    charge = ledger.charges.get(request.charge_id)
    if charge is None or charge.posting is None:
        return ChargeNotFound(request.charge_id)
    ledger.touch()
    wanted = Refund(
        refund_id=refund_id,
        charge_id=charge.posting.duplicate_of or charge.charge_id,
        account_id=ledger.account.account_id,
        request_id=request.request_id,
        amount=request.amount or ZERO,
        mode=request.mode,
        reason=request.reason,
        refunded_at=ledger.now,
    )
    decided = refund(ledger, wanted, everything=request.amount is None)
    ledger.repay_debt()
    return decided
