"""Opens the parts of a sidecar as the settings say. A setting that cannot be used is found here, and named."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import structlog

from creditmeter.catalog.installed import load_card
from creditmeter.central.engine.faults import CentralDamaged, CentralMisconfigured, CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.ids import PlanId
from creditmeter.core.instants import Span
from creditmeter.core.metering.decisions import Limits
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.journal.faults import JournalUnusable
from creditmeter.journal.journal import Journal
from creditmeter.server.addresses import AddressUnusable, reserved
from creditmeter.server.config import ConfigError, RecallBy, Settings
from creditmeter.server.counters import Counters
from creditmeter.server.data_directory import DataDirectory
from creditmeter.server.exits import DAMAGED, MISUNDERSTOOD, StartupError
from creditmeter.server.locks import lock, lock_directory
from creditmeter.server.permissions import GroupUnusable, make_directory
from creditmeter.server.setting_values import MAX_SOCKET_PATH_BYTES, is_too_long
from creditmeter.sidecar.alerts.webhook import ProxyUnusable, Webhook
from creditmeter.sidecar.clock import SidecarClock
from creditmeter.sidecar.naming import new_sidecar_id
from creditmeter.sidecar.rhythm import Rhythm

_SECOND = 1_000_000
_log = structlog.get_logger()

FIRST_LOOK_SECONDS = 0.25
"""Longest wait of a start for the check of an embedded store's file, which goes on afterwards: a start is to be short, and some
100 MB are checked in this time.
"""


def open_webhook(settings: Settings) -> Webhook | None:
    """The receiver of alerts; None if the settings name none.

    Raises:
        StartupError: there is no secret to sign by, or a proxy in the way cannot be used.
    """
    url = settings.alert_webhook_url
    try:
        if not url:
            return None
        allow_private = settings.alert_webhook_private
        return Webhook(url, settings.webhook_key(), settings.alert_webhook_timeout, allow_private=allow_private)
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
    return _default_card() if path is None else _load(path)


@cache
def _default_card() -> LoadedCard:
    return _load(files("creditmeter.core.prices").joinpath("default_rate_card.toml"))


def _load(source: Traversable | Path) -> LoadedCard:
    try:
        return load_card(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"the rate card {source} cannot be read: {error}") from error
    except RateCardError as error:
        raise StartupError(f"the rate card {source} is wrong: {'; '.join(error.problems)}", problems=error.problems) from error


@contextlib.contextmanager
def locked_files(settings: Settings) -> Iterator[int]:
    """Lock the data directory and the sockets elsewhere against other processes, for as long as the block runs. Yields the
    descriptor of the file in the data directory that is locked.

    Raises:
        StartupError: another process has locked one, or it cannot be made.
    """
    data_dir = settings.data_dir
    with contextlib.ExitStack() as held:
        try:
            make_directory(data_dir, settings.socket_group)
            opened = lock(settings.lock_path)
            held.callback(os.close, opened)
            directory = lock_directory(data_dir)
            if directory is not None:
                held.callback(os.close, directory)
            held.enter_context(reserved(each for each in settings.all_addresses if each != settings.socket_address))
        except GroupUnusable as error:
            raise StartupError(settings.problem("socket_group", str(error)), MISUNDERSTOOD) from error
        except AddressUnusable as error:
            raise StartupError(str(error)) from error
        except BlockingIOError:
            raise StartupError(f"another sidecar runs on the data directory {data_dir}") from None
        except OSError as error:
            raise StartupError(f"the data directory {data_dir} cannot be written: {error.strerror}") from error
        yield opened


@contextlib.asynccontextmanager
async def open_journal(settings: Settings, locked: int) -> AsyncIterator[Journal]:
    """The journal in the data directory, open for as long as the block runs. `locked` is the descriptor of the file that keeps
    other processes from it: if that is deleted or replaced, nothing more is written.

    Raises:
        StartupError: it is damaged, was written by another version, or is missing where there was one.
    """
    directory = DataDirectory(settings)
    await directory.check()
    async with contextlib.AsyncExitStack() as held:
        held.callback(directory.closed)
        try:
            journal = await Journal.open(settings.journal_path, new_sidecar_id(), settings.durability)
        except JournalUnusable as error:
            raise StartupError(str(error), DAMAGED) from error
        held.push_async_callback(journal.close)
        journal.placement.add(settings.lock_path, locked)
        directory.keep_open(journal.placement)
        directory.opened(journal.identity.sidecar_id, journal.last_record)
        noting = asyncio.create_task(directory.keep_noting(journal), name="journal's end")
        held.callback(noting.cancel)
        yield journal


@contextlib.asynccontextmanager
async def open_central(central: CentralStore, journal: Journal) -> AsyncIterator[CentralStore]:
    """The central store, with its schema migrated, open for as long as the block runs.

    A sidecar that has registered once starts without the store if that does not answer.

    Raises:
        StartupError: the store is damaged or cannot be used, or does not answer a sidecar that never registered.
    """
    async with central:
        try:
            await central.migrate()
            await central.examine(FIRST_LOOK_SECONDS)
        except CentralDamaged as error:
            raise StartupError(str(error), DAMAGED) from error
        except CentralMisconfigured as error:
            raise StartupError(str(error)) from error
        except CentralUnavailable as error:
            if journal.identity.epoch == 0:
                raise StartupError(f"the central store cannot be reached: {error}") from error
            _log.warning("starting without the central store", reason=str(error))
        rehearsal = asyncio.create_task(_rehearse(central), name="rehearsal")
        try:
            yield central
        finally:
            rehearsal.cancel()
            await asyncio.wait([rehearsal])


async def _rehearse(central: CentralStore) -> None:
    """Have an embedded store's first exchange take about as long as others. Nothing waits for it, or depends on it."""
    if central.database.is_sqlite:
        try:
            await central.exchanges.rehearse()
        except Exception as error:  # noqa: BLE001 - whoever uses the store meets what is wrong with it
            _log.debug("an exchange could not be rehearsed", reason=str(error))


def central_store(settings: Settings, clock: SidecarClock) -> CentralStore:
    """The central store that the settings name, not opened yet. A file of this host goes by this host's clock.

    Raises:
        StartupError: the setting is no address of a store.
    """
    own = clock.host_time if settings.central_url.startswith("sqlite") else None
    plan, notifies = _plan(settings.auto_create_plan), settings.recall is RecallBy.NOTIFY
    patience = Span(int(settings.clock_step_patience * _SECOND))
    try:
        store = CentralStore(settings.central_url, own, plan, notifies=notifies, boot=clock.boot, step_patience=patience)
    except CentralMisconfigured as error:
        raise StartupError(settings.problem("central", str(error)), MISUNDERSTOOD) from error
    if own is None:
        store.on_reading.append(clock.learn)
    return store


def _plan(name: str | None) -> PlanId | None:
    return PlanId(name) if name else None


def limits_of(settings: Settings) -> Limits:
    """The bounds on reservations."""
    return Limits(
        max_hold_lifetime=Span(int(settings.max_hold_lifetime * _SECOND)),
        late_commit_window=Span(int(settings.late_commit_window * _SECOND)),
        max_open_reservations=settings.max_open_reservations,
    )


def rhythm_of(settings: Settings) -> Rhythm:
    """How often the sidecar does its background work, and how long it waits."""
    return Rhythm(
        settle=settings.settle_interval,
        recall_timeout=settings.recall_timeout,
        lease_ttl=Span(int(settings.lease_ttl * _SECOND)),
        settlement_batch=settings.settlement_batch,
    )


@contextlib.asynccontextmanager
async def metrics_page(settings: Settings) -> AsyncIterator[tuple[Counters, str | None]]:
    """What counts, and the address of the page that shows it for as long as the block runs. Nothing counts, and there is no
    address, if the settings name none.

    Raises:
        StartupError: it cannot listen there.
    """
    if settings.metrics_listen is None:
        yield Counters(), None
        return
    from creditmeter.server.metrics import Metrics, MetricsPage  # noqa: PLC0415 - their library takes 2 MB

    metrics = Metrics()
    try:
        page = MetricsPage.open(settings.metrics_listen, metrics)
    except AddressUnusable as error:
        raise StartupError(str(error)) from error
    try:
        yield metrics, page.address
    finally:
        await page.close()
