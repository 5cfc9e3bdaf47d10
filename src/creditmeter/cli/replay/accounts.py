"""The accounts that a replay spends from."""

from collections.abc import Sequence
from dataclasses import dataclass

from creditmeter.cli.connection import not_enabled
from creditmeter.cli.exits import CommandFailed
from creditmeter.client.stubs import Connection, CreditmeterError, Retry, call
from creditmeter.v1 import account_pb2, admin_pb2, grants_pb2


@dataclass(frozen=True, slots=True)
class Allowance:
    """What each account is granted, in microcredits."""

    daily: int
    monthly: int


async def prepare_accounts(client: Connection, run: str, names: Sequence[str], allowance: Allowance, retry: Retry) -> None:
    """Make the accounts; those that are there stay as they are. Without AdminService all of them have to be there.

    Raises:
        CommandFailed: they are not, and cannot be made.
        CreditmeterError: the sidecar refused or did not answer.
    """
    try:
        await _make_accounts(client, run, names, allowance, retry)
    except CreditmeterError as error:
        if not not_enabled(error):
            raise
        await _find_accounts(client, names, retry)


async def _make_accounts(client: Connection, run: str, names: Sequence[str], allowance: Allowance, retry: Retry) -> None:
    plan = grants_pb2.Plan(plan_id=f"{run}-plan", daily_microcredits=allowance.daily, monthly_microcredits=allowance.monthly)
    await call(client.admin.PutPlan, admin_pb2.PutPlanRequest(plan=plan), retry)
    for name in names:
        request = admin_pb2.CreateAccountRequest(
            request_id=f"{run}/create", account=admin_pb2.Account(account_id=name, plan_id=plan.plan_id)
        )
        try:
            await call(client.admin.CreateAccount, request, retry)
        except CreditmeterError as error:
            if error.reason != "ACCOUNT_EXISTS":
                raise


async def _find_accounts(client: Connection, names: Sequence[str], retry: Retry) -> None:
    for name in names:
        try:
            await call(client.account.GetBalance, account_pb2.GetBalanceRequest(account_id=name), retry)
        except CreditmeterError as error:
            if error.reason != "ACCOUNT_NOT_FOUND":
                raise
            raise CommandFailed(
                f"there is no account {name}, and the sidecar does not administer: start it with --enable-admin,"
                " or name accounts that exist with --account-prefix"
            ) from error
