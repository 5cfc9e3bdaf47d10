"""Opening accounts, giving credit, and looking at what is stored."""

from typing import TypeVar

from sqlalchemy import func, select

from creditmeter.central.queries.history import Lines
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account, AccountState, Plan
from creditmeter.core.credit.administration import AccountUpdate, CreateAccount, GrantCredits, UpdateAccount, Voided, VoidGrant
from creditmeter.core.credit.charges import Charge, Refund, RefundMode
from creditmeter.core.credit.grants import Grant, GrantKind
from creditmeter.core.credit.history import Entry, HistoryFilter
from creditmeter.core.credit.messages import BalanceSummary, Message, Preview
from creditmeter.core.credit.requests import Done, RefundCharge
from creditmeter.core.ids import AccountId, ChargeId, GrantId, PlanId, RefundId, RequestId, SidecarId, refund_id
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import Refusal

ACME = AccountId("acme")
NOBODY = SidecarId("nobody")

_Reply = TypeVar("_Reply")


def done(outcome: Done[_Reply] | Refusal) -> _Reply:
    """The reply to a request that took effect."""
    assert isinstance(outcome, Done), outcome
    return outcome.reply


def account(
    account_id: AccountId = ACME, *, plan: str | None = None, time_zone: str = "UTC", anchor_day: int = 0, overdraft: int = 0
) -> Account:
    """An account as it is asked for."""
    return Account(
        account_id=account_id,
        created_at=Instant(0),
        plan_id=PlanId(plan) if plan else None,
        time_zone=time_zone,
        anchor_day=anchor_day,
        overdraft_limit=Microcredits(overdraft),
    )


async def create(store: CentralStore, wanted: Account, request_id: str = "create") -> Account:
    """Open an account."""
    return done(await store.administration.create_account(CreateAccount(RequestId(request_id), wanted)))


async def put_plan(store: CentralStore, name: str, daily: int, monthly: int = 0) -> Plan:
    """Create a plan or change it."""
    return await store.administration.put_plan(Plan(PlanId(name), Microcredits(daily), Microcredits(monthly)))


async def opened(
    store: CentralStore,
    account_id: AccountId = ACME,
    *,
    daily: int = 0,
    monthly: int = 0,
    permanent: int = 0,
    overdraft: int = 0,
    time_zone: str = "UTC",
) -> Account:
    """An account with a plan of its own that gives this much, and a permanent grant."""
    plan = f"plan of {account_id}" if daily or monthly else None
    if plan:
        await put_plan(store, plan, daily, monthly)
    made = await create(store, account(account_id, plan=plan, overdraft=overdraft, time_zone=time_zone))
    if permanent:
        await give(store, "first", permanent, account_id=account_id)
    return made


def giving(
    name: str,
    amount: int,
    kind: GrantKind = GrantKind.PERMANENT,
    *,
    account_id: AccountId = ACME,
    effective_at: Instant | None = None,
    expires_at: Instant | None = None,
) -> GrantCredits:
    """A request for a grant."""
    return GrantCredits(RequestId(name), account_id, kind, Microcredits(amount), effective_at, expires_at)


async def give(
    store: CentralStore,
    name: str,
    amount: int,
    kind: GrantKind = GrantKind.PERMANENT,
    *,
    account_id: AccountId = ACME,
    effective_at: Instant | None = None,
    expires_at: Instant | None = None,
) -> Grant:
    """Give credit."""
    asked = giving(name, amount, kind, account_id=account_id, effective_at=effective_at, expires_at=expires_at)
    return done(await store.administration.grant_credits(asked))


async def void(store: CentralStore, grant_id: GrantId, name: str = "void") -> Voided:
    """Take back what can be taken back of a grant."""
    return done(await store.administration.void_grant(VoidGrant(RequestId(name), ACME, grant_id)))


async def update(store: CentralStore, name: str, wanted: AccountUpdate) -> Account:
    """Change an account."""
    return done(await store.administration.update_account(UpdateAccount(RequestId(name), ACME, wanted)))


async def assign(store: CentralStore, plan: str, name: str | None = None) -> Account:
    """Put the account on another plan."""
    return await update(store, name or f"to {plan}", AccountUpdate(plan_id=PlanId(plan)))


async def suspend(store: CentralStore) -> Account:
    """Let the account start no new work."""
    return await update(store, "suspend", AccountUpdate(state=AccountState.SUSPENDED))


def giving_back(
    charge: ChargeId, amount: int | None = None, *, mode: RefundMode = RefundMode.ORIGINAL, name: str = "refund"
) -> tuple[RefundCharge, RefundId]:
    """A request for a refund, and the id that it is to get."""
    asked = RefundCharge(RequestId(name), charge, None if amount is None else Microcredits(amount), mode, "it failed")
    return asked, refund_id(ACME, SidecarId("s9"), name)


async def refund(
    store: CentralStore,
    charge: ChargeId,
    amount: int | None = None,
    *,
    mode: RefundMode = RefundMode.ORIGINAL,
    name: str = "refund",
) -> Refund:
    """Refund a charge."""
    return done(await store.refunds.refund(*giving_back(charge, amount, mode=mode, name=name)))


# Looking at what is stored.


async def balance_summary(store: CentralStore, account_id: AccountId = ACME) -> BalanceSummary:
    """How an account stands, with the grants that can be drawn on; by a sidecar that has nothing to do with it."""
    previewed = await store.exchanges.preview(Message(NOBODY, 0, account_id, 0), 100)
    assert isinstance(previewed, Preview)
    return previewed.balance


async def remaining(store: CentralStore, account_id: AccountId = ACME) -> tuple[int, ...]:
    """What is left in the daily, the monthly and the permanent bucket."""
    return tuple(each.remaining for each in (await balance_summary(store, account_id)).buckets)


async def available(store: CentralStore, account_id: AccountId = ACME) -> int:
    """What is available, idle credit on leases included."""
    return (await balance_summary(store, account_id)).available


async def history(store: CentralStore, account_id: AccountId = ACME, wanted: HistoryFilter | None = None) -> list[Entry]:
    """An account's history, oldest first."""
    found = await store.reader.list_history(account_id, wanted or HistoryFilter(), 1_000)
    assert isinstance(found, Lines)
    return found.entries[::-1]


async def lines(store: CentralStore, account_id: AccountId = ACME) -> list[tuple[str, int, int]]:
    """An account's history in short, oldest first: what happened, the amount, the balance after it."""
    return [(each.type.value, each.amount, each.balance_after) for each in await history(store, account_id)]


async def posted(store: CentralStore, charge_id: ChargeId) -> Charge:
    """A charge as it is stored."""
    found = await store.reader.find_charge(charge_id)
    assert found is not None
    return found


async def count(store: CentralStore, table: str) -> int:
    """How many rows a table has."""
    async with store.database.read() as connection:
        query = select(func.count()).select_from(tables.metadata.tables[table])
        return int((await connection.execute(query)).scalar_one())
