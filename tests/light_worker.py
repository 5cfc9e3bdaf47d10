"""A worker that has the client and nothing else: it makes a call, and says what it loaded. Run by a path, on Python 3.10 too.

python light_worker.py ADDRESS ACCOUNT
"""

import asyncio
import json
import sys

from creditmeter.client import Client, CreditmeterError, SyncClient


async def work(address: str, account: str) -> "dict[str, object]":
    """Hold two credits and pay one; then ask for more than there is."""
    async with Client(address) as meter:
        async with meter.hold(account, amount_microcredits=2_000_000, job_id="light") as hold:
            charge = await hold.commit(amount_microcredits=1_000_000)
        with SyncClient(address) as blocking:
            assert blocking.balance(account).held_microcredits == 0
        try:
            async with meter.hold(account, amount_microcredits=500_000_000):
                return {"cost": charge.cost_microcredits}
        except CreditmeterError as refused:
            return {"cost": charge.cost_microcredits, "refused": refused.reason}


if __name__ == "__main__":
    done = asyncio.run(work(*sys.argv[1:]))
    roots = {name.partition(".")[0] for name in sys.modules if getattr(sys.modules[name], "__file__", None)}
    foreign = sorted(roots - sys.stdlib_module_names - {"__main__"})
    print(json.dumps({**done, "python": sys.version_info[:2], "loaded": foreign}))  # noqa: T201 - this is how it answers
