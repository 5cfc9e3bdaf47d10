"""The product's back end: it opens accounts, gives credit and takes it back, changes plans, and suspends accounts."""

from random import Random
from typing import TYPE_CHECKING

from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.accounts import Account, AccountState, Alert, Plan
from creditmeter.core.credit.administration import AccountUpdate, CreateAccount, GrantCredits, UpdateAccount, VoidGrant
from creditmeter.core.credit.calendar import day_of
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.ids import AccountId, PlanId, RequestId
from creditmeter.core.instants import DAY, Instant
from tests.simulation.stored import Stored

if TYPE_CHECKING:
    from tests.simulation.world import World

_PLANS = {"none": (0, 0), "small": (5, 20), "days": (12, 0), "big": (15, 40)}
_ZONES = ("UTC", "UTC", "America/New_York", "Asia/Kolkata", "Africa/Cairo", "Pacific/Auckland")

_ALERTS = (Alert(amount=from_credits(8)), Alert(percent=30))


class Admin:
    """Changes accounts at the central store itself."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng: Random = world.rng
        self._count = 0
        self.accounts: dict[AccountId, Account] = {}

    async def open_accounts(self) -> None:
        """Open the accounts of the run."""
        for name, (daily, monthly) in _PLANS.items():
            await self._world.store.administration.put_plan(Plan(PlanId(name), from_credits(daily), from_credits(monthly)))
        for account_id in self._world.account_ids:
            await self._open(account_id, self._rng.choice((0, 20, 60)))

    async def open_another(self) -> None:
        """Open one account more, which no machine knows."""
        account_id = AccountId("newcomer")
        self._world.account_ids.append(account_id)
        await self._open(account_id, 60)

    async def _open(self, account_id: AccountId, credits: int) -> None:
        asked = Account(
            account_id,
            created_at=Instant(0),
            plan_id=PlanId(self._rng.choice(tuple(_PLANS))),
            time_zone=self._rng.choice(_ZONES),
            anchor_day=self._rng.choice((1, 30, 31)),
            overdraft_limit=from_credits(self._rng.choice((0, 0, 7))),
            offline_allowance=from_credits(self._rng.choice((0, 0, 5))),
            alerts=_ALERTS,
        )
        await self._world.store.administration.create_account(CreateAccount(self._request(), asked))
        self.accounts[account_id] = asked
        if credits:
            await self._grant(account_id, GrantKind.PERMANENT, credits, None)

    async def grant(self) -> None:
        """Give credit that ends some midnights from now, or never."""
        account_id = self._account()
        kind = self._rng.choice((*GrantKind, GrantKind.PERMANENT))
        days = self._rng.choice((None, 0, 0, 1, 3))
        ends_at = None if days is None else Instant(self.day_end(account_id) + days * DAY)
        await self._grant(account_id, kind, self._rng.randint(1, 20), ends_at)

    async def _grant(self, account_id: AccountId, kind: GrantKind, credits: int, ends_at: Instant | None) -> None:
        asked = GrantCredits(self._request(), account_id, kind, from_credits(credits), expires_at=ends_at)
        self._note(await self._world.store.administration.grant_credits(asked))

    async def void(self) -> None:
        """Take back what is left of a grant."""
        account_id = self._account()
        grants = list(Stored(self._world.raw).grants(account_id))
        if grants:
            asked = VoidGrant(self._request(), account_id, self._rng.choice(grants))
            self._note(await self._world.store.administration.void_grant(asked))

    async def plan(self) -> None:
        """Put an account on another plan, or change what a plan gives."""
        name = PlanId(self._rng.choice(tuple(_PLANS)))
        if self._rng.random() < 0.5:
            await self._update(AccountUpdate(plan_id=name))
        else:
            daily, monthly = (from_credits(self._rng.choice((0, 4, 9))) for _ in range(2))
            self._note(await self._world.store.administration.put_plan(Plan(name, daily, Microcredits(3 * monthly))))

    async def suspend(self) -> None:
        """Suspend an account, or let it work again."""
        state = self._rng.choice((AccountState.SUSPENDED, AccountState.ACTIVE, AccountState.ACTIVE))
        await self._update(AccountUpdate(state=state))

    async def reactivate(self) -> None:
        """Let all accounts work again."""
        for account_id in self._world.account_ids:
            asked = UpdateAccount(self._request(), account_id, AccountUpdate(state=AccountState.ACTIVE))
            self._note(await self._world.store.administration.update_account(asked))

    async def _update(self, update: AccountUpdate) -> None:
        asked = UpdateAccount(self._request(), self._account(), update)
        self._note(await self._world.store.administration.update_account(asked))

    def day_end(self, account_id: AccountId) -> Instant:
        """When the account's day ends."""
        return day_of(self.accounts[account_id].calendar, Instant(self._world.now())).ends_at

    def _account(self) -> AccountId:
        return self._rng.choice(self._world.account_ids)

    def _request(self) -> RequestId:
        self._count += 1
        return RequestId(f"admin-{self._count}")

    def _note(self, outcome: object) -> None:
        self._world.decrees += 1
        self._world.stir()
        self._world.note(f"admin: {outcome}")
