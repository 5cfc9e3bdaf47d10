"""Writes a sidecar's files as this version writes them, so that later versions can be held to reading them.

`.venv/bin/python -m tests.older_files.writing FOLDER` writes `journal.sql` and `central.sql`, as they are in the middle
of work, and `told.json`, the requests with the replies that their callers had. It is run once for a version, before its
stored forms change; the folder is named after the version, of the program or of the journal, and stays as it is.
"""

import asyncio
import json
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from creditmeter.client.stubs import Connection
from creditmeter.core.instants import MINUTE
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.v1 import admin_pb2, charges_pb2, grants_pb2, metering_pb2, work_pb2
from tests.clocks import NOON, ManualClock

CREDIT = 1_000_000
DATABASES = ("journal", "central")
CARD = """version = "house-1"
effective_from = 2026-01-01T00:00:00Z
[text]
[[text.models]]
model = "house-model"
input = 3
output = 15
[tools]
default = 1
"""


def settings(data_dir: Path) -> Settings:
    """Those of the program that writes and of the one that reads: nothing is settled but when it is asked for."""
    return Settings.load(None, listen=(), data_dir=data_dir, enable_admin=True, settle_interval=60, shutdown_grace=0.2)


class Caller:
    """Sends requests, and notes each with its reply, in their order."""

    def __init__(self, client: Connection) -> None:
        self.client = client
        self.calls: list[dict[str, Any]] = []

    async def ask(self, service: str, request: Message) -> Any:
        """Send a request, and note it with its reply."""
        rpc = request.DESCRIPTOR.name.removesuffix("Request")
        method: Callable[[Message], Awaitable[Message]] = getattr(getattr(self.client, service), rpc)
        reply = await method(request)
        self.calls.append({"service": service, "rpc": rpc, "request": as_json(request), "reply": as_json(reply)})
        return reply


def as_json(message: Message) -> dict[str, Any]:
    """A message with the contract's names."""
    return MessageToDict(message, preserving_proto_field_name=True)


async def work(caller: Caller, clock: ManualClock, settle: Callable[[], Awaitable[None]]) -> None:
    """One of everything that is stored: reservations in each state, charges and refunds that are settled and that are not,
    grants of each kind and a voided one, a card of one's own, alerts, a change of the calendar.
    """
    await _open(caller)
    settled = await _held(caller, "r-settled", output=4_000)
    await caller.ask(
        "metering", metering_pb2.CommitRequest(request_id="c-settled", reservation_id=settled, usage=_used(2_000, 300))
    )
    refunded = (await caller.ask("metering", _tool("t-settled"))).charge.charge_id
    await settle()
    half = metering_pb2.RefundRequest(
        request_id="f-settled", charge_id=refunded, amount_microcredits=CREDIT // 2, reason="late"
    )
    await caller.ask("metering", half)
    await settle()
    clock.advance(MINUTE)
    await _held(caller, "r-expired", output=100, seconds=60)
    released = await _held(caller, "r-released", output=100)
    await caller.ask(
        "metering", metering_pb2.ReleaseRequest(request_id="l-released", reservation_id=released, reason="not needed")
    )
    clock.advance(2 * MINUTE)
    kept_open = await _held(caller, "r-open", output=1_000)
    part = metering_pb2.CommitRequest(request_id="c-part", reservation_id=kept_open, usage=_used(500, 20), keep_open=True)
    await caller.ask("metering", part)
    await caller.ask(
        "metering", metering_pb2.ExtendRequest(request_id="e-open", reservation_id=kept_open, amount_microcredits=9 * CREDIT)
    )
    unsettled = (await caller.ask("metering", _tool("t-waiting"))).charge.charge_id
    await caller.ask(
        "metering",
        metering_pb2.RefundRequest(request_id="f-waiting", charge_id=unsettled, mode=charges_pb2.REFUND_MODE_GOODWILL),
    )


async def _open(caller: Caller) -> None:
    plan = grants_pb2.Plan(plan_id="basic", daily_microcredits=20 * CREDIT, monthly_microcredits=300 * CREDIT)
    await caller.client.admin.PutPlan(admin_pb2.PutPlanRequest(plan=plan))
    await caller.client.admin.PublishRateCard(admin_pb2.PublishRateCardRequest(document=CARD))
    alerts = [admin_pb2.Alert(percent=10), admin_pb2.Alert(amount_microcredits=5 * CREDIT)]
    account = admin_pb2.Account(account_id="ada", plan_id="basic", time_zone="Europe/Berlin", anchor_day=15, alerts=alerts)
    await caller.ask("admin", admin_pb2.CreateAccountRequest(request_id="a-ada", account=account))
    await caller.ask("admin", _grant("g-promotion", grants_pb2.GRANT_SOURCE_PROMOTION))
    given = (await caller.ask("admin", _grant("g-voided", grants_pb2.GRANT_SOURCE_BONUS))).grant
    await caller.ask("admin", admin_pb2.VoidGrantRequest(request_id="v-voided", account_id="ada", grant_id=given.grant_id))
    moved = admin_pb2.Account(account_id="ada", time_zone="Asia/Tokyo")
    await caller.ask("admin", admin_pb2.UpdateAccountRequest(request_id="u-moved", account=moved))


def _grant(request_id: str, source: "grants_pb2.GrantSource.ValueType") -> admin_pb2.GrantCreditsRequest:
    return admin_pb2.GrantCreditsRequest(
        request_id=request_id, account_id="ada", amount_microcredits=7 * CREDIT, source=source, note="for the files"
    )


async def _held(caller: Caller, request_id: str, *, output: int, seconds: int = 1_800) -> str:
    work = work_pb2.Work(action="text", request_model="house-model", input_tokens=2_000, max_output_tokens=output)
    asked = metering_pb2.ReserveRequest(request_id=request_id, account_id="ada", work=work, labels={"job": request_id})
    asked.ttl.seconds = seconds
    reservation_id: str = (await caller.ask("metering", asked)).reservation.reservation_id
    return reservation_id


def _used(input_tokens: int, output_tokens: int) -> work_pb2.Usage:
    return work_pb2.Usage(response_model="house-model", input_tokens=input_tokens, output_tokens=output_tokens)


def _tool(request_id: str) -> metering_pb2.ChargeRequest:
    usage = work_pb2.Usage(action="tool", tool="web_search", quantity=3)
    return metering_pb2.ChargeRequest(request_id=request_id, account_id="ada", usage=usage, labels={"job": request_id})


async def write(folder: Path, directory: Path) -> None:
    """Live through the story in a directory, and write its files to a folder as they are in the story's middle."""
    clock = ManualClock(NOON)
    async with running(settings(directory), clock) as program, Connection(program.addresses[-1]) as client:
        caller = Caller(client)
        await work(caller, clock, partial(_settle, program.sidecar))
        for name in DATABASES:
            _dump(directory / f"{name}.db", folder / f"{name}.sql")
    _note(folder / "told.json", {"microseconds_after_noon": clock.wall() - NOON, "calls": caller.calls})


async def _settle(sidecar: Sidecar) -> None:
    """Settle, and have the journal make an image: what comes later is behind it."""
    await sidecar.settle()
    journal = sidecar._journal
    journal.min_bytes_between_images = 0
    sidecar.books.write_image()
    await journal.durable()


def _dump(file: Path, to: Path) -> None:
    with sqlite3.connect(file) as database:
        names = ("application_id", "user_version")  # which a dump leaves out
        versions = [f"PRAGMA {name} = {database.execute(f'PRAGMA {name}').fetchone()[0]};" for name in names]
        to.write_text("\n".join([*versions, *database.iterdump(), ""]), encoding="utf-8")


def _note(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write the files to a new folder."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        asyncio.run(write(folder, Path(directory)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
