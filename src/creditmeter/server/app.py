"""The whole program, wired: the only place that knows all its parts.

Start: lock the data directory, open the journal and the central store, load the books, register, listen, say so. Stop, on
SIGTERM, SIGINT or SIGHUP: no new work, finish what is under way, settle, give back, close.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import grpc
import structlog
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.central.engine.faults import CentralDamaged, CentralMisconfigured, CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.ids import PlanId
from creditmeter.core.instants import Span
from creditmeter.core.metering.decisions import Limits
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.forms.rate_cards import load
from creditmeter.journal.connection import JournalUnusable
from creditmeter.journal.journal import Journal, StorageUnavailable
from creditmeter.server.account_service import AccountService
from creditmeter.server.addresses import AddressUnusable, bind, reserved
from creditmeter.server.admin_service import AdminService
from creditmeter.server.config import ConfigError, RecallBy, Settings
from creditmeter.server.health import METERING, Health
from creditmeter.server.interceptor import CallInterceptor
from creditmeter.server.locks import lock
from creditmeter.server.logs import configure_logging
from creditmeter.server.metering_service import MeteringService
from creditmeter.server.metrics import Metrics, MetricsPage
from creditmeter.server.permissions import Access, GroupUnusable, make_directory
from creditmeter.server.setting_values import MAX_SOCKET_PATH_BYTES, is_too_long
from creditmeter.server.stopping import LeftBehind, Parts, StopRequest
from creditmeter.sidecar.alerts.courier import Courier
from creditmeter.sidecar.alerts.webhook import ProxyUnusable, Webhook
from creditmeter.sidecar.card_keeper import CardChanged
from creditmeter.sidecar.clock import Clock, SystemClock
from creditmeter.sidecar.exchanger import SidecarFenced
from creditmeter.sidecar.naming import new_sidecar_id
from creditmeter.sidecar.rhythm import Rhythm
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.sidecar.status import Condition
from creditmeter.v1 import (
    account_pb2,
    account_pb2_grpc,
    admin_pb2,
    admin_pb2_grpc,
    metering_pb2_grpc,
)

# Exit codes; docs/cli.md lists them with those of the other commands.
OK = 0
MISUNDERSTOOD = 2
UNSETTLED = 3
CANNOT_START = 4
DAMAGED = 5
FENCED = 8

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""As large as a message may be, in and out."""

LAST_CALLS_SECONDS = 1.0
"""Calls that are under way when the server stops may take so long to end; streams that watch its health never end."""

LAST_DELIVERIES_SECONDS = 1.0
"""Alerts that are being delivered when the program stops may take so long; the rest are delivered later, or by others."""

_SECOND = 1_000_000
_log = structlog.get_logger()


class StartupError(Exception):
    """Something keeps the program from starting; the message is for an operator. `problems` are its parts, where it has any."""

    def __init__(self, message: str, exit_code: int = CANNOT_START, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.problems = problems or (message,)


def serve(settings: Settings, clock: Clock | None = None) -> int:
    """Run a sidecar until it is told to stop. Returns the exit code: 0, 3 with charges not yet settled, 8 if it was fenced.

    Raises:
        StartupError: it cannot start.
    """
    configure_logging(settings.log_level.value)
    with asyncio.Runner(loop_factory=_event_loop) as runner:
        return runner.run(_serve(settings, clock or SystemClock()))


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(settings: Settings, clock: Clock) -> int:
    stop = StopRequest()
    stop.make_on_signals()
    async with running(settings, clock) as program:
        program.sidecar.watch(lambda condition: stop.make("fenced") if condition is Condition.FENCED else None)
        shown = {"metrics": program.metrics_address} if program.metrics_address else {}
        print(json.dumps({"event": "ready", "addresses": program.addresses} | shown), flush=True)  # noqa: T201 - the ready line
        _log.info("serving", sidecar_id=program.sidecar.sidecar_id, central=program.sidecar.central.database.address)
        await stop.wait()
        _log.info("stopping", reason=stop.reason, grace=settings.shutdown_grace)
    program.parts.end("closing")
    left = asdict(LeftBehind.of(program.sidecar.books))
    _log.info("stopped", reason=stop.reason, exit_code=program.exit_code, seconds=program.parts.seconds, left=left)
    return program.exit_code


class Program:
    """A running sidecar with its server. Once it has stopped, `is_settled` and `exit_code` are known, and how long its `parts`
    took.
    """

    def __init__(
        self, sidecar: Sidecar, server: grpc.aio.Server, health: Health, addresses: list[str], courier: Courier
    ) -> None:
        self.sidecar = sidecar
        self.addresses = addresses
        self.metrics_address: str | None = None
        self.is_settled = False
        self.parts = Parts()
        self._courier = courier
        self._server = server
        self._health = health

    @property
    def exit_code(self) -> int:
        """How the process ends, once it has stopped."""
        if self.sidecar.condition is Condition.FENCED:
            return FENCED
        return OK if self.is_settled else UNSETTLED

    async def stop(self, grace_seconds: float) -> None:
        """Stop in order, within `grace_seconds` altogether. What is held may be committed, released and refunded for the first
        half of it, if that takes so long; the rest is for settling.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_seconds
        self.parts = Parts()
        self.sidecar.drain()
        await self.sidecar.holds_ended(grace_seconds / 2)
        self.parts.end("holds")
        await self._health.stop()
        await self._server.stop(min(LAST_CALLS_SECONDS, grace_seconds / 4))
        self.parts.end("calls")
        self.is_settled = await self.sidecar.stop(max(0.0, deadline - loop.time()))
        self.parts.end("settling")
        await self._courier.stop(min(LAST_DELIVERIES_SECONDS, max(0.0, deadline - loop.time())))
        self.parts.end("deliveries")


@contextlib.asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[Program]:
    """A sidecar that listens, for as long as the block runs; then it is stopped.

    Raises:
        StartupError: it cannot start.
    """
    card = load_rate_card(settings.rate_card)
    webhook = open_webhook(settings)
    own_socket(settings)
    store = _central_store(settings, clock)
    metrics = Metrics()
    with _locked(settings):
        async with (
            _journal(settings) as journal,
            _central(store, journal) as central,
            _page(settings, metrics) as page,
        ):
            central.database.on_low_balance.append(metrics.low_balance)
            courier = Courier(central, webhook, clock, metrics.delivery)
            sidecar = Sidecar(journal, central, clock, card, _limits(settings), _rhythm(settings))
            server, health, addresses = await _started(settings, sidecar, metrics)
            courier.start()
            program = Program(sidecar, server, health, addresses, courier)
            program.metrics_address = page.address if page else None
            try:
                yield program
            finally:
                await program.stop(settings.shutdown_grace)


@contextlib.asynccontextmanager
async def _page(settings: Settings, metrics: Metrics) -> AsyncIterator[MetricsPage | None]:
    """Where metrics are shown, if anywhere."""
    if settings.metrics_listen is None:
        yield None
        return
    try:
        page = MetricsPage.open(settings.metrics_listen, metrics)
    except AddressUnusable as error:
        raise StartupError(str(error)) from error
    try:
        yield page
    finally:
        await page.close()


def open_webhook(settings: Settings) -> Webhook | None:
    """Where alerts are sent, if anywhere.

    Raises:
        StartupError: there is no secret to sign by, or a proxy in the way cannot be used.
    """
    url = settings.alert_webhook_url
    try:
        return Webhook(url, settings.webhook_key(), settings.alert_webhook_timeout) if url else None
    except (ConfigError, ProxyUnusable) as error:
        raise StartupError(str(error), MISUNDERSTOOD) from error


def own_socket(settings: Settings) -> str:
    """The address of the socket in the data directory.

    Raises:
        StartupError: its path is longer than a socket's may be.
    """
    if is_too_long(settings.socket_address):
        path = settings.socket_address.removeprefix("unix:")
        text = f"the socket's path {path} is longer than {MAX_SOCKET_PATH_BYTES} bytes: choose a shorter data directory"
        raise StartupError(settings.problem("data_dir", text), MISUNDERSTOOD)
    return settings.socket_address


def load_rate_card(path: Path | None) -> LoadedCard:
    """The rate card in a file, or the one that comes with the package.

    Raises:
        StartupError: it cannot be read, or is wrong; every problem is named.
    """
    source = files("creditmeter.core.prices").joinpath("default_rate_card.toml") if path is None else path
    try:
        return load(source.read_text(encoding="utf-8"), bundled_price_list)
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"the rate card {source} cannot be read: {error}") from error
    except RateCardError as error:
        raise StartupError(f"the rate card {source} is wrong: {'; '.join(error.problems)}", problems=error.problems) from error


@contextlib.contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Hold the data directory, and the sockets elsewhere, for this process alone."""
    data_dir = settings.data_dir
    with contextlib.ExitStack() as held:
        try:
            make_directory(data_dir, settings.socket_group)
            held.callback(os.close, lock(data_dir / "lock"))
            held.enter_context(reserved(each for each in settings.addresses if each != settings.socket_address))
        except GroupUnusable as error:
            raise StartupError(settings.problem("socket_group", str(error)), MISUNDERSTOOD) from error
        except AddressUnusable as error:
            raise StartupError(str(error)) from error
        except BlockingIOError:
            raise StartupError(f"another sidecar runs on the data directory {data_dir}") from None
        except OSError as error:
            raise StartupError(f"the data directory {data_dir} cannot be written: {error.strerror}") from error
        yield


@contextlib.asynccontextmanager
async def _journal(settings: Settings) -> AsyncIterator[Journal]:
    try:
        journal = await Journal.open(settings.journal_path, new_sidecar_id(), settings.durability)
    except JournalUnusable as error:
        raise StartupError(str(error), DAMAGED) from error
    try:
        yield journal
    finally:
        await journal.close()


@contextlib.asynccontextmanager
async def _central(central: CentralStore, journal: Journal) -> AsyncIterator[CentralStore]:
    """The central store, open. One that was never reached is a mistake in the settings; one that is known may be away."""
    async with central:
        try:
            await central.migrate()
        except CentralDamaged as error:
            raise StartupError(str(error), DAMAGED) from error
        except CentralMisconfigured as error:
            raise StartupError(str(error)) from error
        except CentralUnavailable as error:
            if journal.identity.epoch == 0:
                raise StartupError(f"the central store cannot be reached: {error}") from error
            _log.warning("starting without the central store", reason=str(error))
        yield central


def _central_store(settings: Settings, clock: Clock) -> CentralStore:
    """The store, by its server's clock; a file is on this host, and so is its clock."""
    wall = clock.wall if settings.central_url.startswith("sqlite") else None
    notifies = settings.recall is RecallBy.NOTIFY
    try:
        return CentralStore(settings.central_url, wall, _plan(settings.auto_create_plan), notifies=notifies)
    except CentralMisconfigured as error:
        raise StartupError(settings.problem("central", str(error)), MISUNDERSTOOD) from error


def _plan(name: str | None) -> PlanId | None:
    return PlanId(name) if name else None


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_hold_lifetime=Span(int(settings.max_hold_lifetime * _SECOND)),
        late_commit_window=Span(int(settings.late_commit_window * _SECOND)),
        max_open_reservations=settings.max_open_reservations,
    )


def _rhythm(settings: Settings) -> Rhythm:
    return Rhythm(
        settle=settings.settle_interval,
        recall_timeout=settings.recall_timeout,
        lease_ttl=Span(int(settings.lease_ttl * _SECOND)),
        settlement_batch=settings.settlement_batch,
    )


async def _started(settings: Settings, sidecar: Sidecar, metrics: Metrics) -> tuple[grpc.aio.Server, Health, list[str]]:
    """The sidecar at work and the server listening."""
    health = Health()
    addresses: list[str] = []
    server = _server(settings, sidecar, health, metrics, addresses)
    try:
        access = Access(settings.socket_mode, settings.socket_group)
        addresses += (bind(server, address, access) for address in settings.addresses)
        await sidecar.start()
    except AddressUnusable as error:
        raise StartupError(str(error)) from error
    except GroupUnusable as error:
        raise StartupError(settings.problem("socket_group", str(error)), MISUNDERSTOOD) from error
    except SidecarFenced as error:
        raise StartupError(f"{error}: its journal was copied, or the central store was set back", FENCED) from error
    except CardChanged as error:
        raise StartupError(str(error)) from error
    except JournalUnusable as error:
        raise StartupError(str(error), DAMAGED) from error
    except StorageUnavailable as error:
        raise StartupError(f"the journal cannot be written: {error}") from error
    sidecar.watch(health.on_condition)
    await health.start(sidecar.central)
    await server.start()
    return server, health, addresses


def _server(
    settings: Settings, sidecar: Sidecar, health: Health, metrics: Metrics, addresses: Sequence[str]
) -> grpc.aio.Server:
    """The server with its services. `addresses` is where it listens, as soon as that is known."""
    limits = _limits(settings)
    server = grpc.aio.server(
        interceptors=(CallInterceptor(metrics),),
        options=(
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ),
    )
    # The stubs hold this class for abstract: what is not in this version of the contract answers NOT_IMPLEMENTED.
    metering = MeteringService(sidecar.meter, sidecar.reader, limits.max_hold_lifetime)  # type: ignore[abstract]
    account = AccountService(sidecar.reader)
    metering_pb2_grpc.add_MeteringServiceServicer_to_server(metering, server)
    account_pb2_grpc.add_AccountServiceServicer_to_server(account, server)
    names = [METERING, _name(account_pb2, "AccountService")]
    if settings.enable_admin:
        admin = AdminService(sidecar, addresses)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)
        names.append(_name(admin_pb2, "AdminService"))
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    channelz.add_channelz_servicer(server)
    names += [_name(health_pb2, "Health"), "grpc.channelz.v1.Channelz", reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    return server


def _name(module: object, service: str) -> str:
    """The full name of a service."""
    return str(module.DESCRIPTOR.services_by_name[service].full_name)  # type: ignore[attr-defined]  # a generated module
