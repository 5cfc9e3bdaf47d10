"""A worker in Python: it holds credits for a call and commits what the call used.

python docs/examples/python/worker.py ACCOUNT JOB
"""

import asyncio
import sys

from creditmeter.client import Client, CreditmeterError


async def call_model() -> dict[str, dict[str, int]]:
    """Stands in for the provider's SDK."""
    return {"usage": {"prompt_tokens": 7_420, "completion_tokens": 212}}


# region README
meter = Client()  # CREDITMETER_ADDRESS, else 127.0.0.1:50151


async def work(account: str, job: str) -> str:
    try:
        async with meter.hold(account, model="gpt-4o", input_tokens=8_000, max_output_tokens=1_000, job_id=job) as hold:
            reply = await call_model()
            charge = await hold.commit(reply["usage"])  # any provider's own object, dict or JSON
    except CreditmeterError as error:  # such as InsufficientCredits: no call was made
        return f"refused: {error.reason}"
    return f"charged: {charge.credits} credits"


# endregion

if __name__ == "__main__":
    print(asyncio.run(work(*sys.argv[1:3])))
