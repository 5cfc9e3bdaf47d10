"""Wires the whole program: the only module that knows all its parts.

At its start the program locks the data directory, opens the journal and the central store, loads the books, registers, listens
and prints the ready line. On SIGTERM, SIGINT or SIGHUP it refuses new work, lets calls under way end, settles, returns its
leases and closes everything.
"""

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

import grpc
import structlog

from creditmeter.central.engine.faults import CentralDamaged
from creditmeter.core.instants import SECOND, Span
from creditmeter.journal.faults import JournalUnusable, StorageUnavailable
from creditmeter.server import opening
from creditmeter.server.access.certificates import Tls
from creditmeter.server.access.opening import Protection, warn_of_exposure
from creditmeter.server.addresses import AddressUnusable, bind
from creditmeter.server.config import Settings
from creditmeter.server.counters import Counters
from creditmeter.server.descriptors import require_files
from creditmeter.server.errors import Problem
from creditmeter.server.exits import DAMAGED, FAILED, FENCED, MISUNDERSTOOD, OK, UNSETTLED, StartupError
from creditmeter.server.faults import problem_of_stop
from creditmeter.server.grpc_server import Edge, Listener
from creditmeter.server.health import Health
from creditmeter.server.logs import configure_logging
from creditmeter.server.open_streams import OpenStreams
from creditmeter.server.permissions import GroupUnusable
from creditmeter.server.stopping import LeftBehind, Parts, StopRequest
from creditmeter.sidecar.alerts.courier import Courier
from creditmeter.sidecar.card_keeper import CardChanged
from creditmeter.sidecar.clock import Clock, SidecarClock, SystemClock, this_boot
from creditmeter.sidecar.exchanger import SidecarFenced
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.sidecar.status import Condition

LAST_CALLS_SECONDS = 1.0
"""Longest wait for calls under way when the server stops. Streams that watch its health would never end."""

LAST_DELIVERIES_SECONDS = 1.0
"""Longest wait for alerts under way when the program stops. The rest are delivered at the next start, or by other sidecars."""

OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""How many more objects that can be in cycles there are before the youngest are looked at: a few megabytes."""

_log = structlog.get_logger()


def serve(settings: Settings) -> int:
    """Run a sidecar until it is asked to stop. Returns the exit code: 0, 3 with charges not yet settled, 8 if it was fenced, 1
    if a server of it ended by itself.

    Raises:
        StartupError: it cannot start.
    """
    configure_logging(settings.log_level.value)
    require_files()
    with asyncio.Runner(loop_factory=_event_loop) as runner:
        return runner.run(_serve(settings))


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(settings: Settings) -> int:
    stop = StopRequest()
    stop.make_on_signals()
    async with running(settings, SystemClock(), this_boot()) as program:
        program.sidecar.add_condition_listener(lambda condition: stop.make("fenced") if condition is Condition.FENCED else None)
        program.watch_servers(stop)
        print(json.dumps({"event": "ready"} | program.shown), flush=True)  # noqa: T201 - the ready line
        _collect_rarely()
        _log.info("serving", sidecar_id=program.sidecar.sidecar_id, central=program.sidecar.central.database.address)
        await stop.wait()
        _log.info("stopping", reason=stop.reason, grace=settings.shutdown_grace)
    program.parts.end("closing")
    left = asdict(LeftBehind.of(program.sidecar.books))
    _log.info("stopped", reason=stop.reason, exit_code=program.exit_code, seconds=program.parts.seconds, left=left)
    return program.exit_code


def _collect_rarely() -> None:
    """Collect garbage from here on, rarely, and leave out what the start made: all of it stays.

    Calls make next to no cycles, and collections as Python has them by default take a tenth of their time
    (https://docs.python.org/3/library/gc.html#gc.freeze).
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
    gc.enable()


@dataclass(frozen=True, slots=True)
class Listening:
    """What answers callers, and the addresses at which it does, as the ready line names them."""

    servers: list[grpc.aio.Server]
    health: Health
    streams: OpenStreams
    addresses: dict[str, list[str]]

    async def stop(self, grace_seconds: float, why: Problem) -> None:
        """End what answers callers. Calls under way have so long, and streams end with this problem."""
        await self.health.stop()
        self.streams.end(why)
        await asyncio.gather(*(each.stop(grace_seconds) for each in self.servers))


class Program:
    """A running sidecar with its server. Once it has stopped, `is_settled`, `exit_code` and `parts` describe the stop."""

    def __init__(self, sidecar: Sidecar, listening: "Listening", courier: Courier) -> None:
        self.sidecar = sidecar
        self.addresses = listening.addresses["addresses"]
        self.metrics_address: str | None = None
        self.is_settled = False
        self.parts = Parts()
        self._courier = courier
        self._listening = listening
        self._watches: list[asyncio.Task[None]] = []
        self._is_stopping = self._has_failed = False

    @property
    def shown(self) -> dict[str, object]:
        """What the ready line says: where it listens, and for what else than to meter."""
        return self._listening.addresses | ({"metrics": self.metrics_address} if self.metrics_address else {})

    @property
    def exit_code(self) -> int:
        """The exit code of the process, once the program has stopped."""
        if self.sidecar.condition is Condition.FENCED:
            return FENCED
        if self._has_failed:
            return FAILED
        return OK if self.is_settled else UNSETTLED

    def watch_servers(self, stop: StopRequest) -> None:
        """Request a stop as soon as a gRPC server ends by itself: a process that hears nothing has to be started anew."""
        self._watches = [asyncio.create_task(self._watch(each, stop)) for each in self._listening.servers]

    async def _watch(self, server: grpc.aio.Server, stop: StopRequest) -> None:
        """Wait until a server has ended. The wait must not be cancelled: gRPC would take that for the end of its own."""
        reason = ""
        try:
            await server.wait_for_termination()
        except Exception as error:  # noqa: BLE001 - whatever gRPC ended with
            reason = f"{type(error).__name__}: {error}"
        if not self._is_stopping:
            self._has_failed = True
            _log.error("a gRPC server ended by itself: the sidecar stops, and has to be started again", reason=reason)
            stop.make("server ended")

    async def stop(self, grace_seconds: float) -> None:
        """Stop within `grace_seconds` in all. For up to the first half, open reservations may still be committed, released and
        refunded; the rest is for settling.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_seconds
        self._is_stopping = True
        self.parts = Parts()
        self.sidecar.drain()
        await self.sidecar.holds_ended(grace_seconds / 2)
        with contextlib.suppress(StorageUnavailable):  # they are ended at the next start
            await self.sidecar.metered_calls.end_broken(Span(0))
        self.parts.end("holds")
        await self._listening.stop(min(LAST_CALLS_SECONDS, grace_seconds / 4), problem_of_stop(self.sidecar.meter.fence))
        self.parts.end("calls")
        self.is_settled = await self.sidecar.stop(max(0.0, deadline - loop.time()))
        self.parts.end("settling")
        await self._courier.stop(min(LAST_DELIVERIES_SECONDS, max(0.0, deadline - loop.time())))
        self.parts.end("deliveries")


@contextlib.asynccontextmanager
async def running(settings: Settings, machine: Clock, boot_id: str = "") -> AsyncIterator[Program]:
    """Run a sidecar that listens while the block runs, by the clocks of this machine, and stop it afterwards. `boot_id` is the
    name of the machine's run; without one nothing is known of its boot-time clock from before.

    Raises:
        StartupError: it cannot start.
    """
    protection = Protection.of(settings)
    card = opening.load_rate_card(settings.rate_card)
    webhook = opening.open_webhook(settings)
    opening.own_socket(settings)
    clock = SidecarClock(machine, Span(int(settings.clock_step_patience * SECOND)), boot_id)
    store = opening.central_store(settings, clock)
    with opening.locked_files(settings) as locked:
        async with (
            opening.open_journal(settings, locked) as journal,
            opening.open_central(store, journal) as central,
            opening.metrics_page(settings) as (metrics, metrics_address),
        ):
            clock.on_step.append(metrics.clock_step)
            clock.on_look.append(metrics.clock)
            central.database.on_low_balance.append(metrics.low_balance)
            central.pruning.on_deleted.append(metrics.pruned)
            courier = Courier(central, webhook, clock, metrics.delivery)
            sidecar = Sidecar(journal, central, clock, card, opening.limits_of(settings), opening.rhythm_of(settings))
            sidecar.books.daily_limit_of = protection.daily_limit_of
            sidecar.meter.on_commit.append(metrics.commit)
            sidecar.books.on_quarantine.append(metrics.quarantined)
            listening = await _started(settings, protection, sidecar, metrics)
            courier.start()
            program = Program(sidecar, listening, courier)
            program.metrics_address = metrics_address
            try:
                yield program
            finally:
                await program.stop(settings.shutdown_grace)


async def _started(settings: Settings, protection: Protection, sidecar: Sidecar, metrics: Counters) -> Listening:
    """Start the sidecar and its servers."""
    health, streams = Health(), OpenStreams()
    own: list[str] = []
    edge = Edge(settings, sidecar, protection.gate(sidecar, settings), health, metrics, streams, own)
    listeners = list(edge.listeners())
    try:
        addresses = {each.name: _bound(each, protection.tls) for each in listeners}
        own += addresses["addresses"]
        await sidecar.start()
    except AddressUnusable as error:
        raise StartupError(str(error)) from error
    except GroupUnusable as error:
        raise StartupError(settings.problem("socket_group", str(error)), MISUNDERSTOOD) from error
    except SidecarFenced as error:
        raise StartupError(f"{error}: its journal was copied, or the central store was set back", FENCED) from error
    except CardChanged as error:
        raise StartupError(str(error)) from error
    except (JournalUnusable, CentralDamaged) as error:
        raise StartupError(str(error), DAMAGED) from error
    except StorageUnavailable as error:
        raise StartupError(f"the journal cannot be written: {error}") from error
    sidecar.add_condition_listener(health.on_condition)
    await health.start(sidecar.central)
    servers = [each.server for each in listeners]
    for each in servers:
        await each.start()
    warn_of_exposure(settings)
    sidecar.metered_calls.may_be_resumed()
    return Listening(servers, health, streams, addresses)


def _bound(listener: Listener, tls: Tls | None) -> list[str]:
    """The addresses at which a server listens from now on.

    Raises:
        AddressUnusable, GroupUnusable: as `bind`.
    """
    tls = tls if listener.speaks_tls else None
    return [bind(listener.server, address, listener.access, tls) for address in listener.addresses]
