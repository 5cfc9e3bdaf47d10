"""Refunds that the central store decides: opens and locks the account, loads the charge and its refunds, saves the ledger.

It decides refunds of charges that were sent to it, whichever sidecar is asked.
"""

from creditmeter.central.decisions.accounts import account_with_key, open_ledger
from creditmeter.central.decisions.administration import ABOVE_THE_MOST
from creditmeter.central.decisions.replays import remember, replay
from creditmeter.central.decisions.topics import Topic
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.database import Database
from creditmeter.core.amounts import ZERO
from creditmeter.core.credit.charges import Refund
from creditmeter.core.credit.requests import Done, RefundCharge, difference
from creditmeter.core.ids import RefundId, origin_of
from creditmeter.core.refusals import ChargeNotFound, Refusal, RequestIdReused
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.refunding import refund
from creditmeter.core.values import replace


class Refunds:
    """Decides refunds of charges that were sent to the central store."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def refund(self, request: RefundCharge, refund_id: RefundId) -> Done[Refund] | Refusal:
        """Refund a posted charge, once. The refund of a duplicate is a refund of the first charge.

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
            topic = Topic(refunded_charges=frozenset({request.charge_id}), refund_requests=frozenset({request.request_id}))
            opened = await open_ledger(connection, account_id, await self._clock.now(connection), topic)
            assert opened is not None, "an account is never deleted"
            done = await replay(connection, account_id, request.request_id, request, Refund)
            if done is None:
                done = _made_by_a_sidecar(opened.ledger, request)
            if done is not None:
                return done
            decided = _decide(opened.ledger, request, refund_id)
            if isinstance(decided, Refusal):
                return decided
            await opened.save(connection)
            await remember(connection, account_id, request.request_id, request, decided, opened.ledger.now)
            return Done(decided)


def _made_by_a_sidecar(ledger: Ledger, request: RefundCharge) -> Done[Refund] | RequestIdReused | None:
    """The refund that a sidecar decided for this request_id and posted with its charge; None if there is none.

    A refund does not say whether its request named the amount or left it out. So a request that leaves it out repeats either.
    """
    made = ledger.refund_for(request.request_id)
    if made is None:
        return None
    charge = ledger.charges.get(request.charge_id)
    stands = charge.posting.duplicate_of if charge is not None and charge.posting is not None else None
    first = replace(
        request,
        charge_id=request.charge_id if made.charge_id == stands else made.charge_id,
        amount=None if request.amount is None else made.amount,
        mode=made.mode,
        reason=made.reason,
    )
    field = difference(first, request)
    return Done(made, replayed=True) if field is None else RequestIdReused(field)


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
    return ABOVE_THE_MOST if ledger.is_too_much else decided
