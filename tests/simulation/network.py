"""The network between one sidecar and the central store.

To the sidecar it looks like the store itself, whatever the store offers. A request may be lost, or come late when its caller
waits for the reply no longer, or come twice; its reply may be lost; and while the two are parted nothing gets through. Whenever
no reply comes, the sidecar gets what a driver raises: `CentralUnavailable`.
"""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from creditmeter.central.decisions.notifications import ChangePoll, always
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.instants import Span
from tests.simulation.store_time import Reading, note_readings
from tests.simulation.stored import Stored
from tests.simulation.swarm import LATEST_ARRIVAL_SECONDS, Network

if TYPE_CHECKING:
    from tests.simulation.world import World

_CHANGES = ("register", "exchange", "refund")
"""What may be sent twice, or arrive late: the calls that change something."""

_LOOK_AGAIN_SECONDS = 0.1


class Link:
    """One sidecar's way to the central store.

    `is_up` is false while they are parted. `asked` counts what the store was asked from here. `renewed` says for each
    account when the last message was sent that was answered, in microseconds of the boot-time clock.
    """

    def __init__(
        self,
        world: "World",
        name: str,
        awake: Callable[[], Awaitable[None]],
        boot: Callable[[], Span],
        learn: Callable[[Reading, Span], None],
    ) -> None:
        self._world = world
        self._name = name
        self._awake = awake
        self._boot = boot
        self._learn = learn
        self._stirred = asyncio.Event()
        self.is_up = True
        self.asked = 0
        self.renewed: dict[str, int] = {}

    @property
    def store(self) -> CentralStore:
        """The central store as seen from here."""
        return cast("CentralStore", _Remote(self, self._world.store))

    async def call(
        self, name: str, method: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Ask the store for something.

        Raises:
            CentralUnavailable: no reply came.
        """
        rng, network, sent_at = self._world.rng, self._network, self._boot()
        fate = rng.random()
        if name == "exchange":
            self._world.watch.sends(args[0])
        await self._awake()
        await asyncio.sleep(rng.choice(network.delays))
        if fate < network.lost_request or self._is_parted():
            raise await self._silence(name, "request lost")
        fate -= network.lost_request
        if name in _CHANGES and fate < network.late:
            self._send_later(name, method, args, kwargs)
            raise await self._silence(name, "request late")
        fate -= network.late
        reply, readings = await self._world.in_store(self._serve(name, method, args, kwargs))
        if name in _CHANGES and rng.random() < network.duplicate:
            self._send_later(name, method, args, kwargs)
        if fate < network.lost_reply or self._is_parted():
            raise await self._silence(name, "reply lost")
        await asyncio.sleep(rng.choice(network.delays))
        await self._awake()
        for reading in readings:
            self._learn(reading, sent_at)
        if name == "exchange":
            self.renewed |= {message.account_id: sent_at for message in args[0] if message.authorises}
        return reply

    async def listen(self, sidecar_id: SidecarId, _is_concerned: Callable[[], bool] = always) -> AsyncIterator[AccountId]:
        """The notifications that the store itself would find by polling. Here it polls only when something happened there."""
        world = self._world
        poll = ChangePoll(world.store.database, StoreClock(world.store_time.shown))
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            await self._awake()
            await asyncio.sleep(world.rng.choice(self._network.delays))
            if not self.is_up:
                raise await self._silence("notifications", "no notifications")
            has_any = Stored(world.raw).may_have_notifications(sidecar_id)
            found = await world.in_store(poll.look(sidecar_id)) if has_any else ()
            for account_id in found:
                yield account_id
            if found:
                asyncio.get_running_loop().call_later(_LOOK_AGAIN_SECONDS, self.stir)

    def _is_parted(self) -> bool:
        """Whether nothing gets through at this moment."""
        return not self.is_up

    def stir(self) -> None:
        """Something happened at the store."""
        self._stirred.set()

    @property
    def _network(self) -> Network:
        return self._world.swarm.network if self._world.has_faults else Network()

    async def _silence(self, name: str, why: str) -> CentralUnavailable:
        self._world.note(f"{self._name} -> store {name}: {why}")
        await asyncio.sleep(self._world.rng.choice((0.0, 0.05, 1.0)))
        return CentralUnavailable(why)

    def _send_later(
        self, name: str, method: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Have a request arrive when its caller waits for the reply no longer."""
        delay = self._world.rng.random() ** 3 * LATEST_ARRIVAL_SECONDS

        async def arrive() -> None:
            await asyncio.sleep(delay)
            with contextlib.suppress(CentralUnavailable):
                await self._serve(f"late {name}", method, args, kwargs)

        self._world.spawn(arrive())

    async def _serve(
        self, name: str, method: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, list[Reading]]:
        """Have the store do it. A fault of the store is a fault of the program: it fails the run, and not only the sidecar's
        call. Returns with the reply what was read of the store's clock.
        """
        self.asked += 1
        readings = note_readings()
        try:
            reply = await method(*args, **kwargs)
        except CentralUnavailable:
            raise
        except Exception as error:
            self._world.fail(f"the store failed at {name}: {error!r}")
            raise
        self._world.note(f"{self._name} -> store {name}")
        self._world.stir()
        if name.endswith("exchange"):
            self._world.watch.exchanged(args[0], reply, is_right=not any(each.off for each in readings))
        return reply, readings


class _Remote:
    """Something at the other end: its coroutine methods are called over the network, its parts are at the other end too."""

    def __init__(self, link: Link, target: object) -> None:
        self._link = link
        self._target = target

    def __getattr__(self, name: str) -> Any:
        if name == "notifications":
            return self._link
        found = getattr(self._target, name)
        if type(found).__module__.startswith("creditmeter.central."):
            return _Remote(self._link, found)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._link.call(name, found, args, kwargs)

        return call
