"""Files that an older version wrote, in the middle of work, are opened with all that is in them."""

import json
import sqlite3
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from creditmeter.central.verification.verification import verify
from creditmeter.client.stubs import Connection
from creditmeter.forms.rate_cards import card_of
from creditmeter.journal.rows import read_rate_cards
from creditmeter.server.app import Program, running
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2, work_pb2
from tests.clocks import NOON, ManualClock
from tests.older_files.writing import DATABASES, Caller, as_json, settings

VERSIONS = sorted(each for each in Path(__file__).parent.iterdir() if (each / "told.json").is_file())
MESSAGES = {"metering": metering_pb2, "admin": admin_pb2}


@pytest.fixture(params=VERSIONS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    """The files of one version."""
    found: Path = request.param
    return found


@pytest.fixture
def notes(folder: Path) -> dict[str, Any]:
    """The requests that were sent to that version, each with its reply."""
    document: dict[str, Any] = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture
async def program(folder: Path, notes: dict[str, Any], short_path: Path) -> AsyncIterator[Program]:
    """This version, started on them at the moment at which they were left."""
    for name in DATABASES:
        with sqlite3.connect(short_path / f"{name}.db") as database:
            database.executescript((folder / f"{name}.sql").read_text(encoding="utf-8"))
    clock = ManualClock(NOON)
    clock.advance(notes["microseconds_after_noon"])
    async with running(settings(short_path), clock) as started:
        yield started


@pytest.fixture
async def client(program: Program) -> AsyncIterator[Connection]:
    """A caller of it."""
    async with Connection(program.addresses[-1]) as connected:
        yield connected


def request_of(call: dict[str, Any]) -> Message:
    """The request as it was sent."""
    message: Message = getattr(MESSAGES[call["service"]], f"{call['rpc']}Request")()
    return ParseDict(call["request"], message)


async def test_every_request_gets_its_first_reply_again(client: Connection, notes: dict[str, Any]) -> None:
    """Whatever it was, and word for word."""
    for call in notes["calls"]:
        repeated = await Caller(client).ask(call["service"], request_of(call))
        assert as_json(repeated) == call["reply"] | {"replayed": True}, call["request"]


async def test_what_was_under_way_goes_on(
    client: Connection, program: Program, notes: dict[str, Any], short_path: Path
) -> None:
    """The open hold commits by its own card, the expired one late, what waited is settled, and the books are in order."""
    replies = {call["request"]["request_id"]: call["reply"] for call in notes["calls"]}
    for name, output, late in (("r-open", 100, False), ("r-expired", 50, True)):
        used = work_pb2.Usage(response_model="house-model", input_tokens=1_000, output_tokens=output)
        reservation_id = replies[name]["reservation"]["reservation_id"]
        commit = metering_pb2.CommitRequest(request_id=f"c-{name}", reservation_id=reservation_id, usage=used)
        charge = (await client.metering.Commit(commit)).charge
        assert (charge.rate_card_version, charge.late) == ("house-1", late)
    await program.sidecar.settle()
    charged = {reply["charge"]["charge_id"] for reply in replies.values() if "charge" in reply}
    for charge_id in charged:
        found = (await client.metering.GetCharge(metering_pb2.GetChargeRequest(charge_id=charge_id))).charge
        assert found.HasField("posted_at")
    page = await client.account.ListHistory(account_pb2.ListHistoryRequest(account_id="ada", page_size=1_000))
    assert charged < {each.charge_id for each in page.entries if each.type == account_pb2.HISTORY_TYPE_CHARGED}
    report = await verify(f"sqlite:///{short_path / 'central.db'}")
    assert report.problems == ()


def test_the_rate_cards_that_it_kept_are_priced_by(folder: Path) -> None:
    """Their price lists, too, in the form of that version."""
    with sqlite3.connect(":memory:") as database:
        database.executescript((folder / "journal.sql").read_text(encoding="utf-8"))
        found = {each.version: card_of(each) for each in read_rate_cards(database)}
    assert [version for version, card in found.items() if card.price_list is not None]
    for version, card in found.items():
        assert card.version == version
        models = islice(card.price_list.models(), 100) if card.price_list is not None else ()
        for listed in models:
            assert listed.model.prices_at(NOON).rates.input >= 0
            assert listed.model.variant_at("service_tier", "flex", NOON) is None


def test_there_is_a_version_to_read() -> None:
    """So that the tests above are run at all."""
    assert VERSIONS
