"""A worker that has the client and nothing else: it makes a call, and says what it loaded. Run by a path, on Python 3.10 too.

python light_worker.py ADDRESS ACCOUNT
"""

import asyncio
import json
import sys

from creditmeter.client import CallError, Client, call
from creditmeter.v1.metering_pb2 import CommitRequest, ReserveRequest


async def work(address: str, account: str) -> "dict[str, object]":
    """Hold two credits and pay one; then ask for more than there is."""
    async with Client(address) as client:
        reserve = ReserveRequest(request_id="light/reserve", account_id=account, amount_microcredits=2_000_000)
        held = (await call(client.metering.Reserve, reserve)).reservation
        commit = CommitRequest(request_id="light/commit", reservation_id=held.reservation_id, amount_microcredits=1_000_000)
        charge = (await call(client.metering.Commit, commit)).charge
        reserve = ReserveRequest(request_id="light/more", account_id=account, amount_microcredits=500_000_000)
        try:
            await call(client.metering.Reserve, reserve)
        except CallError as refused:
            return {"cost": charge.cost_microcredits, "refused": refused.reason}
        return {"cost": charge.cost_microcredits}


if __name__ == "__main__":
    done = asyncio.run(work(*sys.argv[1:]))
    roots = {name.partition(".")[0] for name in sys.modules if getattr(sys.modules[name], "__file__", None)}
    foreign = sorted(roots - sys.stdlib_module_names - {"__main__"})
    print(json.dumps({**done, "python": sys.version_info[:2], "loaded": foreign}))  # noqa: T201 - this is how it answers
