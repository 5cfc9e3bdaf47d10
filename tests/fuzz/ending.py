"""What must hold after all calls: sums add up, new work is served, the sidecar stops in order and finds everything again."""

import asyncio
import time
from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration

from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.core.instants import SECOND
from creditmeter.sidecar.metered_calls import GRACE
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2, reservations_pb2
from tests.cli.processes import run_forked
from tests.fuzz.process import Sidecar
from tests.fuzz.setting_up import give, serves
from tests.fuzz.snapshots import account_ids, held, settled, unfinished
from tests.fuzz.valid import CREDIT

SERVED_SECONDS = 1.0
LAST = "at-the-end"
"""An account to which nobody did anything."""

KEPT_HOLDS = 3
QUIET_SECONDS = GRACE / SECOND + 1.0
"""So long after the last call nothing that it left changes any more: a metered call whose stream broke has been charged."""

TRIES = 20


async def ended_well(sidecar: Sidecar) -> list[str]:
    """Look at all that was left, stop the sidecar, and start it again. Returns what is wrong."""
    found: list[str] = []
    async with Connection(sidecar.socket) as connection:
        await give(connection, LAST, CREDIT * 100)
        found += await _still_serves(connection)
        found += await _sums(connection)
        await _end_holds(connection)
        before = await _balances(connection)
    code = await asyncio.to_thread(sidecar.stop)
    found += [f"it stopped with exit code {code}"] if code else []
    verified = await asyncio.to_thread(run_forked, "verify", "--central", sidecar.central)
    found += [f"verify is not clean: {verified.out}{verified.err}"] if verified.code else []
    await asyncio.to_thread(sidecar.start)
    async with Connection(sidecar.socket) as connection:
        after = await _balances(connection)
    found += [f"after a restart {each}: {before[each]} became {after[each]}" for each in before if before[each] != after[each]]
    code = await asyncio.to_thread(sidecar.stop)
    return [*found, f"it stopped with exit code {code} after a restart"] if code else found


async def _still_serves(connection: Connection) -> list[str]:
    began = time.monotonic()
    try:
        await serves(connection, LAST, "serves")
    except CreditmeterError as error:
        return [f"at the end new work is not served: {error}"]
    seconds = time.monotonic() - began
    return [f"at the end Reserve and Commit took {seconds:.1f} s"] if seconds > SERVED_SECONDS else []


async def _sums(connection: Connection) -> list[str]:
    """What is held, by account and as a list: the same. Holds may end in between, so it is looked at again if it is not."""
    sums = (0, 0, 0)
    for _ in range(TRIES):
        known = await account_ids(connection)
        balances = [await connection.account.GetBalance(account_pb2.GetBalanceRequest(account_id=each)) for each in known]
        listed = await held(connection)
        status = await connection.admin.GetStatus(admin_pb2.GetStatusRequest())
        of_accounts = sum(each.held_microcredits for each in balances)
        sums = (of_accounts, sum(each.held_microcredits for each in listed), status.held_microcredits)
        if len(set(sums)) == 1:
            return []
    return [f"held by accounts, by reservations, by status: {sums}"]


async def _end_holds(connection: Connection) -> None:
    """End what is held and what was metered, and hold a little: what ends by itself would change balances."""
    for number, each in enumerate(await unfinished(connection)):
        try:
            await _end(connection, f"end-{number}", each)
        except CreditmeterError as error:  # it ended by itself
            if error.code != "FAILED_PRECONDITION":
                raise
    for number in range(KEPT_HOLDS):
        reserve = metering_pb2.ReserveRequest(request_id=f"kept-{number}", account_id=LAST, amount_microcredits=CREDIT)
        reserve.ttl.CopyFrom(Duration(seconds=3_000))
        await call(connection.metering.Reserve, reserve)
    await settled(connection)


async def _end(connection: Connection, request_id: str, reservation: reservations_pb2.Reservation) -> None:
    name = reservation.reservation_id
    if reservation.HasField("progress"):  # it would be charged some time after its stream broke
        commit = metering_pb2.CommitRequest(request_id=request_id, reservation_id=name, amount_microcredits=1)
        await call(connection.metering.Commit, commit)
    else:
        await call(connection.metering.Release, metering_pb2.ReleaseRequest(request_id=request_id, reservation_id=name))


async def _balances(connection: Connection) -> Mapping[str, tuple[int, int, int]]:
    """Of each account: what is available, held and owed."""
    await settled(connection)
    found = {}
    for each in await account_ids(connection):
        balance = await call(connection.account.GetBalance, account_pb2.GetBalanceRequest(account_id=each))
        found[each] = (balance.available_microcredits, balance.held_microcredits, balance.debt_microcredits)
    return found
