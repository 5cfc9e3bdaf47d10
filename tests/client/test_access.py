"""What a client shows: a token by argument, file or environment, and TLS."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from creditmeter.client import Client, NotAllowed, SyncClient, Tls, Unreachable, Usage
from creditmeter.client.access import Access, TokenFile
from creditmeter.client.stubs import Connection
from creditmeter.core.access import Scope
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.sidecar.clock import SystemClock
from creditmeter.v1 import metering_pb2, work_pb2
from tests.client.conftest import ACCOUNT, CREDIT, QUICK, give
from tests.credentials import AccessFile, Authority, accounts

TERMS = {"model": "gpt-4o", "input_tokens": 1_000, "max_output_tokens": 1_000}


@pytest.fixture
def access_file(data_dir: Path) -> AccessFile:
    """An access file that knows nobody."""
    return AccessFile(data_dir / "access.json")


@pytest.fixture
async def tcp(data_dir: Path, migrated_file: Path, access_file: AccessFile) -> AsyncIterator[str]:
    """The TCP address of a sidecar that takes tokens."""
    shutil.copyfile(migrated_file, data_dir / "central.db")
    settings = Settings.load(
        None,
        listen="127.0.0.1:0",
        data_dir=data_dir,
        access_file=str(access_file.path),
        enable_admin=True,
        settle_interval=0.02,
        shutdown_grace=0.2,
    )
    async with running(settings, SystemClock()) as program:
        await give(settings.socket_address, ACCOUNT, 100 * CREDIT)
        yield program.addresses[0]


async def test_a_token_by_argument_file_or_environment(
    tcp: str, access_file: AccessFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is given comes first. Without one every call is refused, as with a wrong one."""
    access_file.give("worker", Scope.METER, within=accounts(ACCOUNT))
    token = access_file.token("worker")
    (file := tmp_path / "token").write_text(f"{token}\n")
    for client in (Client(tcp, retry=QUICK), Client(tcp, retry=QUICK, token="wrong")):
        with pytest.raises(NotAllowed):
            await client.charge(ACCOUNT, amount_microcredits=1)
        await client.close()
    monkeypatch.setenv("CREDITMETER_TOKEN_FILE", str(file))
    by_environment = Client(tcp)
    monkeypatch.setenv("CREDITMETER_TOKEN", "wrong")
    for client in (by_environment, Client(tcp, token=token), Client(tcp, token_file=file)):
        async with client, client.hold(ACCOUNT, **TERMS) as hold:  # type: ignore[arg-type]  # the terms
            await hold.commit(Usage(input_tokens=1_000, output_tokens=1))
    with pytest.raises(ValueError, match="either"):
        Client(tcp, token=token, token_file=file)
    with pytest.raises(FileNotFoundError):
        await Client(tcp, token_file=tmp_path / "none").charge(ACCOUNT, amount_microcredits=1)


async def test_a_token_is_replaced_under_load(tcp: str, access_file: AccessFile, tmp_path: Path) -> None:
    """No call fails, and no stream: the new one is given first, and the old one is revoked when it is no longer shown."""
    access_file.give("old", Scope.METER)
    (file := tmp_path / "token").write_text(access_file.token("old"))
    is_over, charged = asyncio.Event(), 0

    async def charge(client: Client) -> None:
        nonlocal charged
        while not is_over.is_set():
            await client.charge(ACCOUNT, amount_microcredits=1)
            charged += 1

    async def words() -> AsyncIterator[str]:
        while not is_over.is_set():
            await asyncio.sleep(0.005)
            yield "word" * 4

    async with Client(tcp, token_file=file) as client, client.hold(ACCOUNT, metered=True, **TERMS) as hold:  # type: ignore[arg-type]  # the terms
        working = [asyncio.ensure_future(charge(client)) for _ in range(3)]

        async def stream() -> int:
            return sum([1 async for _ in hold.stream(words())])

        streaming = asyncio.ensure_future(stream())
        access_file.give("new", Scope.METER)
        file.write_text(access_file.token("new"))
        access_file.revoke("old")
        await until_refused(Client(tcp, token=access_file.token("old"), retry=QUICK))
        before = charged
        while charged < before + 20:
            await asyncio.sleep(0.01)
        is_over.set()
        await asyncio.gather(*working)
        assert await streaming > 0
        assert not hold._holding._metering._has_given_up  # type: ignore[union-attr]  # it is metered


async def until_refused(client: Client) -> None:
    """Wait until a client's token is known no more."""
    with contextlib.suppress(NotAllowed):
        while True:
            await client.charge(ACCOUNT, amount_microcredits=1)
    await client.close()


async def test_tls(data_dir: Path, migrated_file: Path, access_file: AccessFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """By argument or environment; a sidecar that nobody vouches for is not talked to. A socket needs none."""
    shutil.copyfile(migrated_file, data_dir / "central.db")
    authority = Authority(data_dir)
    (cert, key), (own_cert, own_key) = authority.certify("server"), authority.certify("worker")
    files = {"tls_cert": str(cert), "tls_key": str(key), "tls_client_ca": str(authority.file)}
    access_file.give("the worker", certificate="worker")
    settings = Settings.load(
        None, listen="127.0.0.1:0", data_dir=data_dir, access_file=str(access_file.path), enable_admin=True, **files
    )
    tls = Tls(authority.file, own_cert, own_key)
    async with running(settings, SystemClock()) as program:
        await give(settings.socket_address, ACCOUNT, 100 * CREDIT)
        async with Client(program.addresses[0], tls=tls) as client:
            await client.charge(ACCOUNT, amount_microcredits=1)
        for wrong in (Tls(own_cert, own_cert, own_key), Tls(authority.file)):
            async with Client(program.addresses[0], tls=wrong, retry=QUICK) as client:
                with pytest.raises(Unreachable):
                    await client.balance(ACCOUNT)
        for name, value in (("SERVER_CA", authority.file), ("CLIENT_CERT", own_cert), ("CLIENT_KEY", own_key)):
            monkeypatch.setenv(f"CREDITMETER_TLS_{name}", str(value))
        for address in (program.addresses[0], settings.socket_address):
            async with Client(address) as client:
                assert (await client.balance(ACCOUNT)).available_microcredits == 100 * CREDIT - 1
        thread = asyncio.get_running_loop().run_in_executor(None, charged_by_thread, program.addresses[0], tls)
        assert await thread == 1


def charged_by_thread(address: str, tls: Tls) -> int:
    """What a client that blocks charges."""
    with SyncClient(address, tls=tls) as client:
        return client.charge(ACCOUNT, amount_microcredits=1).cost_microcredits


def test_the_authorities_of_the_system() -> None:
    """Are those that gRPC knows."""
    found = Access.of(environment={"CREDITMETER_TLS_SERVER_CA": "system"})
    assert found.tls == Tls()
    assert isinstance(Tls().credentials(), grpc.ChannelCredentials)
    assert Access.of(environment={}).tls is None


def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    """A second after it was replaced. While it cannot be read, the last token counts."""
    now = [0.0]
    (file := tmp_path / "token").write_text(" first \n")
    token = TokenFile(file, lambda: now[0])
    assert token() == "first"
    file.write_text("second-one")
    assert token() == "first"
    now[0] = 1
    assert token() == "second-one"
    file.unlink()
    now[0] = 2
    assert token() == "second-one"
    file.write_text("the-third")
    now[0] = 3
    assert token() == "the-third"
    file.write_text("")  # as a shell leaves it for a moment
    now[0] = 4
    assert token() == "the-third"
    file.write_text("the-last")
    assert token() == "the-third"
    token.look()
    assert token() == "the-last"


@pytest.mark.parametrize("text", ["", " ", "two words", "é", "a\nb"])
def test_what_is_no_token(text: str, tmp_path: Path) -> None:
    """Is refused when it is given, and never shown. White space around a token does not count."""
    with pytest.raises(ValueError, match="it is no token") as caught:
        Access.of(token=text)
    assert not text.strip() or text not in str(caught.value)
    (file := tmp_path / "token").write_text(text)
    with pytest.raises(ValueError, match="it is no token"):
        Access.of(token_file=file).metadata()
    assert Access.of(token="cmt_x\n").metadata() == (("authorization", "Bearer cmt_x"),)


def test_tls_that_is_not_whole(tmp_path: Path) -> None:
    """Is refused: what is sent in plain text although there is a certificate would be sent so in silence."""
    authority = Authority(tmp_path)
    (cert, key), (_, other) = authority.certify("a"), authority.certify("b")
    with pytest.raises(ValueError, match="name the sidecar's authorities"):
        Access.of(environment={"CREDITMETER_TLS_CLIENT_CERT": str(cert), "CREDITMETER_TLS_CLIENT_KEY": str(key)})
    for own in ({"cert_file": cert}, {"key_file": key}):
        with pytest.raises(ValueError, match="needs its"):
            Tls(authority.file, **own)
    (text := tmp_path / "text").write_text("nothing")
    for wrong in (Tls(text), Tls(authority.file, cert, other)):
        with pytest.raises(ValueError, match="belong together"):
            wrong.credentials()
    with pytest.raises(FileNotFoundError):
        Tls(tmp_path / "none").credentials()


async def test_metadata_of_a_caller_is_sent_beside_the_token(tcp: str, access_file: AccessFile) -> None:
    """A program of the whole contract may give some."""
    access_file.give("worker", Scope.METER)
    async with Connection(tcp, Access.of(token=access_file.token("worker"))) as connection:
        await connection.metering.Quote(metering_pb2.QuoteRequest(work=[work_pb2.Work(action="view")]), metadata=(("a", "b"),))
