"""Where a sidecar listens, and what protects it there: TLS, certificates, tokens that are replaced, addresses for some."""

import asyncio
import contextlib
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from creditmeter.core.access import Scope
from creditmeter.core.instants import SECOND, Instant
from creditmeter.server.access.exposure import is_of_this_machine
from creditmeter.server.exits import MISUNDERSTOOD, StartupError
from creditmeter.v1 import admin_pb2, admin_pb2_grpc, metering_pb2, metering_pb2_grpc
from tests.clocks import ManualClock
from tests.credentials import AccessFile, Authority
from tests.server.access.connections import by_tls, program_with
from tests.server.conftest import failure


def quote(channel: grpc.aio.Channel, **options: Any) -> Any:
    """A call that needs a right and nothing else."""
    return metering_pb2_grpc.MeteringServiceStub(channel).Quote(metering_pb2.QuoteRequest(work=[{"action": "view"}]), **options)  # type: ignore[list-item]  # protobuf takes a dict


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("unix:/run/s.sock", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("[::ffff:10.0.0.1]:1", False),
        ("localhost.example:1", False),
        ("127.0.0.1.example:1", False),
    ],
)
def test_what_only_this_machine_reaches(address: str, is_local: bool) -> None:
    """The loopback interface and Unix sockets."""
    assert is_of_this_machine(address) is is_local


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"socket_scopes": "none"}, "nobody could call by a socket"),
        ({"admin_listen": "127.0.0.1:0"}, "nobody could administer without a token"),
        ({"admin_listen": "unix:DIR/creditmeter.sock"}, "is named twice"),
        ({"listen": "unix:DIR/s.sock", "health_listen": "unix:DIR/s.sock"}, "is named twice"),
    ],
)
async def test_settings_that_would_lead_nowhere(
    migrated_dir: Path, clock: ManualClock, settings: dict[str, str], words: str
) -> None:
    """They are refused, and told of by `config check` as well."""
    given = {name: text.replace("DIR", str(migrated_dir)) for name, text in settings.items()}
    with pytest.raises(StartupError, match=words) as caught:
        async with program_with(migrated_dir, clock, **given):
            raise AssertionError
    assert caught.value.exit_code == MISUNDERSTOOD


@pytest.mark.parametrize("name", ["listen", "admin_listen"])
async def test_what_others_reach_is_protected_or_told_of(
    migrated_dir: Path, clock: ManualClock, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It needs TLS, and something that tells who calls, or `insecure`, of which every start warns."""
    authority = Authority(migrated_dir)
    cert, key = authority.certify("server")
    tls: dict[str, Any] = {"tls_cert": str(cert), "tls_key": str(key)}
    for settings, word in (({}, "no TLS"), (tls, "would be let in")):
        with pytest.raises(StartupError) as caught:
            async with program_with(migrated_dir, clock, **{name: "0.0.0.0:0"}, **settings):
                raise AssertionError
        assert caught.value.exit_code == MISUNDERSTOOD
        assert str(caught.value).startswith(f"{name} (option --{name.replace('_', '-')}): 0.0.0.0:0: ")
        assert word in str(caught.value)
    access = {"access_file": str(AccessFile(migrated_dir / "access.json").path)}
    needed = access if name == "admin_listen" else {}
    for settings in (needed | {"insecure": True}, *(() if needed else (tls | {"insecure": True},))):
        async with program_with(migrated_dir, clock, **{name: "0.0.0.0:0"}, **settings):
            assert "insecure: others can reach this sidecar" in capsys.readouterr().out
    for settings in (tls | access, tls | needed | {"tls_client_ca": str(authority.file)}):
        async with program_with(migrated_dir, clock, **{name: "0.0.0.0:0"}, **settings):
            assert "insecure" not in capsys.readouterr().out


async def test_files_that_cannot_be_used_are_named(migrated_dir: Path, clock: ManualClock) -> None:
    """Before anything listens."""
    authority = Authority(migrated_dir)
    cert, key = map(str, authority.certify("server"))
    other = str(authority.certify("other")[1])
    (text := migrated_dir / "text").write_text("no certificate")
    (writable := migrated_dir / "writable").write_text('{"version": 1, "credentials": []}')
    writable.chmod(0o666)
    for settings, words in (
        ({"tls_cert": cert}, "tls_cert (option --tls-cert): it needs tls_key"),
        ({"tls_key": key}, "tls_key (option --tls-key): it needs tls_cert"),
        ({"tls_client_ca": cert}, "it needs tls_cert"),
        ({"tls_cert": cert, "tls_key": str(migrated_dir / "none")}, f"the file {migrated_dir / 'none'} cannot be read"),
        ({"tls_cert": cert, "tls_key": other}, f"{cert} and {other} are no certificate and its key"),
        ({"tls_cert": str(text), "tls_key": key}, "are no certificate and its key"),
        ({"tls_cert": cert, "tls_key": key, "tls_client_ca": str(text)}, f"{text} has no certificates"),
        ({"access_file": str(text)}, f"access_file (option --access-file): {text}: it is no access file"),
        ({"access_file": str(migrated_dir / "none")}, "cannot be read"),
        ({"access_file": str(writable)}, f"`chmod o-w {writable}`"),
    ):
        with pytest.raises(StartupError) as caught:
            async with program_with(migrated_dir, clock, **settings):
                raise AssertionError
        assert words in str(caught.value)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_tls_by_a_token(migrated_dir: Path, clock: ManualClock) -> None:
    """Callers that speak no TLS are not understood, nor those of an older version of it."""
    authority, access = Authority(migrated_dir), AccessFile(migrated_dir / "access.json")
    cert, key = map(str, authority.certify("server"))
    async with program_with(migrated_dir, clock, tls_cert=cert, tls_key=key, access_file=str(access.path)) as program:
        async with by_tls(program.addresses[0], authority) as channel:
            assert (await failure(quote(channel))).info.reason == "UNAUTHENTICATED"
            await quote(channel, metadata=access.give("worker", Scope.METER))
        async with grpc.aio.insecure_channel(program.addresses[0]) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await quote(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        host, _, port = program.addresses[0].rpartition(":")
        for version, is_taken in (
            (ssl.TLSVersion.TLSv1_1, False),
            (ssl.TLSVersion.TLSv1_2, True),
            (ssl.TLSVersion.TLSv1_3, True),
        ):
            assert await handshake(host, int(port), authority, version) is is_taken


async def handshake(host: str, port: int, authority: Authority, version: ssl.TLSVersion) -> bool:
    """Whether TLS of this version is taken."""
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    with contextlib.suppress(ValueError):
        context.minimum_version = context.maximum_version = version
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="localhost")
    except (ssl.SSLError, ConnectionError):
        return False
    writer.close()
    return True


async def test_certificates_of_callers(migrated_dir: Path, clock: ManualClock) -> None:
    """Without one nobody connects. Their names have rights in the access file; a token comes before them."""
    authority, access = Authority(migrated_dir), AccessFile(migrated_dir / "access.json")
    cert, key = map(str, authority.certify("server"))
    worker, stranger = authority.certify("worker"), authority.certify("stranger")
    (migrated_dir / "elsewhere").mkdir()
    elsewhere = Authority(migrated_dir / "elsewhere").certify("worker")
    access.give("the worker", Scope.READ, certificate="worker")
    access.give("another", certificate="cn-stranger")  # its common name, which does not count beside another one
    files = {"tls_cert": cert, "tls_key": key, "tls_client_ca": str(authority.file), "access_file": str(access.path)}
    async with program_with(migrated_dir, clock, **files, enable_admin=True) as program:
        async with by_tls(program.addresses[0], authority, worker) as channel:
            await quote(channel)
            admin = admin_pb2_grpc.AdminServiceStub(channel)
            assert (await failure(admin.GetStatus(admin_pb2.GetStatusRequest()))).info.reason == "PERMISSION_DENIED"
            await admin.GetStatus(admin_pb2.GetStatusRequest(), metadata=access.give("operator", Scope.ADMIN))
        async with by_tls(program.addresses[0], authority, stranger) as channel:
            assert (await failure(quote(channel))).info.reason == "UNAUTHENTICATED"
        for pair in (None, elsewhere):
            async with by_tls(program.addresses[0], authority, pair) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await quote(channel)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_certificates_and_tokens_are_replaced_under_load(migrated_dir: Path, clock: ManualClock) -> None:
    """No call fails. Each new connection sees the newest certificate, at each of two addresses."""
    authority, access = Authority(migrated_dir), AccessFile(migrated_dir / "access.json")
    cert, key = map(str, authority.certify("server"))
    files = {"tls_cert": cert, "tls_key": key, "access_file": str(access.path), "listen": "127.0.0.1:0,127.0.0.2:0"}
    async with program_with(migrated_dir, clock, **files) as program:
        addresses, is_over, calls = program.addresses[:2], asyncio.Event(), 0
        shown = access.give("token0")

        async def call(address: str) -> None:
            nonlocal calls
            while not is_over.is_set():
                async with by_tls(address, authority) as channel:
                    for _ in range(3):
                        await quote(channel, metadata=shown)
                        calls += 1

        callers = [asyncio.create_task(call(each)) for each in addresses]
        seen = {each: {await serial(each, authority)} for each in addresses}
        for number in range(1, 3):
            authority.certify("server")
            before, shown = shown, access.give(f"token{number}")
            while any(len(each) == number for each in seen.values()):
                for address in addresses:
                    seen[address].add(await serial(address, authority))
            access.revoke(f"token{number - 1}")
            async with by_tls(addresses[0], authority) as channel:
                while await quote(channel, metadata=before).code() is grpc.StatusCode.OK:
                    await asyncio.sleep(0.01)
        is_over.set()
        await asyncio.gather(*callers)
        assert calls > 10
        assert {frozenset(each) for each in seen.values()} == {frozenset(seen[addresses[0]])}


async def serial(address: str, authority: Authority) -> str:
    """The serial number of the certificate that an address shows."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost")
    found = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return str(found)


@pytest.mark.parametrize(
    ("take", "code"),
    [
        (lambda access: access.revoke("worker"), grpc.StatusCode.UNAUTHENTICATED),
        (lambda access: access.narrow("worker", Scope.READ), grpc.StatusCode.PERMISSION_DENIED),
    ],
    ids=["revoked", "narrowed"],
)
async def test_a_token_that_loses_its_right_ends_its_streams(
    migrated_dir: Path, clock: ManualClock, take: Callable[[AccessFile], None], code: grpc.StatusCode
) -> None:
    """With their next message, once the file was looked at again."""
    access = AccessFile(migrated_dir / "access.json")
    shown = access.give("worker", Scope.METER)
    async with (
        program_with(migrated_dir, clock, access_file=str(access.path)) as program,
        grpc.aio.insecure_channel(program.addresses[0]) as channel,
    ):
        stream: Any = metering_pb2_grpc.MeteringServiceStub(channel).Pipeline(metadata=shown)
        await stream.write(metering_pb2.PipelineRequest(frame_id=1))
        assert (await stream.read()).frame_id == 1
        take(access)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await _ask_on(stream)
        assert await stream.code() is code


async def _ask_on(stream: Any) -> None:
    """Send frames and read their answers until the stream ends."""
    while True:
        await stream.write(metering_pb2.PipelineRequest(frame_id=2))
        assert (await stream.read()).frame_id == 2
        await asyncio.sleep(0.01)


async def test_a_token_that_has_expired(migrated_dir: Path, clock: ManualClock) -> None:
    """It is refused from that moment on."""
    access = AccessFile(migrated_dir / "access.json")
    shown = access.give("worker", Scope.METER, expires_at=Instant(clock.wall() + 60 * SECOND))
    async with (
        program_with(migrated_dir, clock, access_file=str(access.path)) as program,
        grpc.aio.insecure_channel(program.addresses[0]) as channel,
    ):
        await quote(channel, metadata=shown)
        clock.advance(60 * SECOND)
        found = await failure(quote(channel, metadata=shown))
        assert (found.info.reason, "has expired" in found.message) == ("UNAUTHENTICATED", True)


async def test_a_file_that_becomes_unusable_changes_nothing(migrated_dir: Path, clock: ManualClock) -> None:
    """What it said before still counts, and the log says so."""
    access = AccessFile(migrated_dir / "access.json")
    shown = access.give("worker", Scope.METER)
    async with (
        program_with(migrated_dir, clock, access_file=str(access.path)) as program,
        grpc.aio.insecure_channel(program.addresses[0]) as channel,
    ):
        access.path.write_text("half writ")
        unknown = (("authorization", "Bearer cmt_aaaaaaaa_" + "A" * 43),)
        assert (await failure(quote(channel, metadata=unknown))).info.reason == "UNAUTHENTICATED"
        await quote(channel, metadata=shown)
        access.write()
        await quote(channel, metadata=access.give("another", Scope.METER))


async def test_the_scopes_of_a_socket(migrated_dir: Path, clock: ManualClock) -> None:
    """Callers without a token have those that the setting names. A token that is shown counts instead, also a wrong one."""
    access = AccessFile(migrated_dir / "access.json")
    reads = access.give("reader", Scope.READ)
    async with (
        program_with(migrated_dir, clock, access_file=str(access.path), socket_scopes="meter") as program,
        grpc.aio.insecure_channel(program.addresses[1]) as channel,
    ):
        stub = metering_pb2_grpc.MeteringServiceStub(channel)
        await quote(channel)
        assert (await failure(stub.Refund(metering_pb2.RefundRequest()))).info.reason == "PERMISSION_DENIED"
        assert (await failure(stub.Charge(metering_pb2.ChargeRequest()))).info.reason == "INVALID_REQUEST"
        assert (await failure(stub.Charge(metering_pb2.ChargeRequest(), metadata=reads))).info.reason == "PERMISSION_DENIED"
        wrong = (("authorization", "Bearer nobody"),)
        assert (await failure(quote(channel, metadata=wrong))).info.reason == "UNAUTHENTICATED"


async def test_admin_by_tcp_takes_a_token(migrated_dir: Path, clock: ManualClock) -> None:
    """On the socket its mode decides. Without an access file nobody administers by TCP."""
    status = admin_pb2.GetStatusRequest()
    async with program_with(migrated_dir, clock, enable_admin=True) as program:
        async with grpc.aio.insecure_channel(program.addresses[1]) as channel:
            await admin_pb2_grpc.AdminServiceStub(channel).GetStatus(status)
        async with grpc.aio.insecure_channel(program.addresses[0]) as channel:
            await quote(channel)
            found = await failure(admin_pb2_grpc.AdminServiceStub(channel).GetStatus(status))
            assert (found.code, found.info.metadata["scopes"]) == (grpc.StatusCode.PERMISSION_DENIED, "admin")


async def test_admin_at_an_address_of_its_own(migrated_dir: Path, clock: ManualClock) -> None:
    """It is offered there and nowhere else, and nothing else is. Its socket is for its owner alone."""
    path = migrated_dir / "admin.sock"
    async with program_with(migrated_dir, clock, admin_listen=f"unix:{path}", enable_admin=True) as program:
        assert program.shown["admin"] == [f"unix:{path}"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE((migrated_dir / "creditmeter.sock").stat().st_mode) == 0o660
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            await admin_pb2_grpc.AdminServiceStub(channel).GetStatus(admin_pb2.GetStatusRequest())
            assert await quote(channel).code() is grpc.StatusCode.UNIMPLEMENTED
            assert await health_of(channel) == health_pb2.HealthCheckResponse.SERVING
        async with grpc.aio.insecure_channel(program.addresses[1]) as channel:
            assert (
                await admin_pb2_grpc.AdminServiceStub(channel).GetStatus(admin_pb2.GetStatusRequest()).code()
                is not grpc.StatusCode.OK
            )


async def health_of(channel: grpc.aio.Channel) -> Any:
    """What a probe is told."""
    return (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())).status


async def test_probes_at_an_address_of_their_own(migrated_dir: Path, clock: ManualClock) -> None:
    """In plain text, for everybody, whatever protects the others; and nothing else is served there."""
    authority = Authority(migrated_dir)
    cert, key = map(str, authority.certify("server"))
    files = {"tls_cert": cert, "tls_key": key, "tls_client_ca": str(authority.file)}
    async with program_with(migrated_dir, clock, **files, health_listen="0.0.0.0:0") as program:
        addresses: Any = program.shown["health"]
        port = addresses[0].rpartition(":")[2]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert await health_of(channel) == health_pb2.HealthCheckResponse.SERVING
            assert await quote(channel).code() is grpc.StatusCode.UNIMPLEMENTED
