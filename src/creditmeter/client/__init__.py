"""The Python client for workers: reserve before a call, commit what it used.

    async with Client("unix:/run/creditmeter/creditmeter.sock") as client:
        held = await call(client.metering.Reserve, ReserveRequest(request_id="job42/reserve", …))

`client.metering`, `client.account` and `client.admin` are the generated stubs, typed. `call` adds what every caller needs:
errors with their reason (`CallError`), and repetition of a call whose outcome is unknown, with the same request_id, so
that it takes effect once.
"""

from creditmeter.client.client import Client
from creditmeter.client.errors import CallError, FieldViolation
from creditmeter.client.retrying import Retry, call

__all__ = ["CallError", "Client", "FieldViolation", "Retry", "call"]
