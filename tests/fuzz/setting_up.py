"""What there is before the first call: accounts with credit, and in every place of what is known something that exists."""

import itertools
from typing import Any

from google.protobuf.duration_pb2 import Duration

from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.v1 import account_pb2, admin_pb2, grants_pb2, metering_pb2
from tests.e2e.fleet import far_from_midnight
from tests.fuzz.contract import RPCS
from tests.fuzz.known import PLACES, Known
from tests.fuzz.valid import CREDIT, LASTING, PASSING, PLANS
from tests.fuzz.values import CARD

AMPLE = 1_000_000 * CREDIT
ENOUGH = 500_000 * CREDIT
MOST_OPEN = 1_000
_KEPT = ("max_open_reservations", "max_reservation_microcredits", "alerts", "overdraft_limit_microcredits")


class Learning:
    """Makes calls that succeed, and learns from their replies."""

    def __init__(self, connection: Connection, known: Known) -> None:
        self.connection = connection
        self._known = known
        self._numbers = itertools.count()

    async def make(self, name: str, **fields: Any) -> Any:
        """Call an RPC by its name, with a new request_id if it takes one."""
        rpc = RPCS[name]
        request = type(rpc.request())(**fields)
        if hasattr(request, "request_id") and not request.request_id:
            request.request_id = f"set-up-{next(self._numbers)}"
        service, _, method = name.partition("/")
        stub = getattr(self.connection, service.removesuffix("Service").lower())
        reply = await call(getattr(stub, method), request)
        self._known.learn(rpc, request, reply)
        return reply


async def set_up(connection: Connection, known: Known) -> None:
    """Make plans, accounts and what they have."""
    learning = Learning(connection, known)
    for plan_id in PLANS[:2]:
        plan = grants_pb2.Plan(plan_id=plan_id, daily_microcredits=5 * CREDIT, monthly_microcredits=100 * CREDIT)
        await learning.make("AdminService/PutPlan", plan=plan)
    for number, account_id in enumerate([*LASTING, PASSING[0]]):
        of_plan = PLANS[number % 2] if number < 4 else None
        account = admin_pb2.Account(account_id=account_id, plan_id=of_plan, time_zone=far_from_midnight())
        await learning.make("AdminService/CreateAccount", account=account)
    await learning.make("AdminService/PublishRateCard", document=CARD.format(version="v0"))
    for number in range(PLACES):
        await _use(learning, LASTING[number % len(LASTING)])
    for account_id in LASTING:
        await _list(learning, account_id)


async def _use(learning: Learning, account_id: str) -> None:
    amount = AMPLE // 4
    await learning.make("AdminService/GrantCredits", account_id=account_id, amount_microcredits=amount)
    await learning.make(
        "MeteringService/Reserve", account_id=account_id, amount_microcredits=CREDIT, ttl=Duration(seconds=3_600)
    )
    done = await learning.make("MeteringService/Charge", account_id=account_id, amount_microcredits=CREDIT)
    await learning.make("MeteringService/Refund", charge_id=done.charge.charge_id, amount_microcredits=CREDIT // 10)


async def _list(learning: Learning, account_id: str) -> None:
    """The first page of each listing, so that a token of the next one is known."""
    dimensions = (account_pb2.USAGE_DIMENSION_DAY, account_pb2.USAGE_DIMENSION_KIND)
    grouped = [account_pb2.UsageGrouping(dimension=each) for each in dimensions]
    for name, more in {"ListGrants": {}, "ListHistory": {}, "SummarizeUsage": {"group_by": grouped}}.items():
        await learning.make(f"AccountService/{name}", account_id=account_id, page_size=1, **more)
    await learning.make("MeteringService/ListReservations", account_id=account_id, page_size=1)
    await learning.make("AccountService/ListModelPrices", page_size=1)
    for name in ("ListAccounts", "ListPlans", "ListRateCards", "ListSidecars", "ListLeases"):
        await learning.make(f"AdminService/{name}", page_size=1)


async def tend(connection: Connection, number: int) -> None:
    """Give the accounts that last credit, and the settings that calls need to get deep, whatever callers did to them."""
    for account_id in LASTING:
        kept = admin_pb2.Account(account_id=account_id, max_open_reservations=MOST_OPEN)
        update = admin_pb2.UpdateAccountRequest(request_id=f"tend-{number}", account=kept)
        update.update_mask.paths.extend(_KEPT)
        grant = admin_pb2.GrantCreditsRequest(request_id=f"top-up-{number}", account_id=account_id, amount_microcredits=AMPLE)
        try:
            await call(connection.admin.UpdateAccount, update)
            found = await connection.account.GetBalance(account_pb2.GetBalanceRequest(account_id=account_id))
            if found.available_microcredits < ENOUGH:
                await call(connection.admin.GrantCredits, grant)
        except CreditmeterError as error:  # a caller closed the account, or gave it all that it may have
            if error.reason not in ("ACCOUNT_CLOSED", "INVALID_REQUEST"):
                raise


async def give(connection: Connection, account_id: str, amount: int) -> None:
    """Open an account with credit."""
    account = admin_pb2.CreateAccountRequest(request_id="open", account=admin_pb2.Account(account_id=account_id))
    await call(connection.admin.CreateAccount, account)
    grant = admin_pb2.GrantCreditsRequest(request_id="give", account_id=account_id, amount_microcredits=amount)
    await call(connection.admin.GrantCredits, grant)


async def serves(connection: Connection, account_id: str, request_id: str) -> None:
    """Reserve and commit.

    Raises:
        CreditmeterError: it is refused.
    """
    reserve = metering_pb2.ReserveRequest(request_id=request_id, account_id=account_id, amount_microcredits=1)
    done = await call(connection.metering.Reserve, reserve)
    commit = metering_pb2.CommitRequest(request_id=f"{request_id}-commit", reservation_id=done.reservation.reservation_id)
    commit.amount_microcredits = 1
    await call(connection.metering.Commit, commit)
