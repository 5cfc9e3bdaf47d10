"""Which call is made as which: of each seed and number the same one, but for ids that were learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from creditmeter.core.access import EVERY_SCOPE, Scope
from creditmeter.core.instants import Instant
from creditmeter.server.access.requirements import REQUIREMENTS
from tests.credentials import AccessFile, accounts
from tests.fuzz.contract import RPCS, Rpc
from tests.fuzz.known import Known
from tests.fuzz.valid import LASTING, METER_STEPS, Valid
from tests.fuzz.wild import MAX_BYTES, a_message, changed_bytes, disturb, encoded, garbage

PATIENCE = 10.0
"""Within so many seconds every call ends."""

Metadata = tuple[tuple[str, str | bytes], ...]


class Ending(Enum):
    """What a caller does after it has sent its messages."""

    CLOSE = "close"
    """Say that there are no more, and read all replies."""
    LEAVE = "leave"
    """Read for a moment, say nothing, and go."""
    CANCEL = "cancel"
    """Go at once."""
    UNREAD = "unread"
    """Read nothing for a moment, and go."""


@dataclass(frozen=True)
class Caller:
    """Who calls: what it shows, and which scopes that gives it. None: it is nobody."""

    name: str
    by_socket: bool
    scopes: frozenset[Scope] | None
    metadata: Metadata = ()
    is_bound: bool = False


@dataclass(frozen=True)
class Call:
    """One call. `deadline` is in seconds; None if its caller waits as long as any call may take."""

    number: int
    rpc: Rpc
    messages: Sequence[bytes]
    caller: Caller
    more_metadata: Metadata = ()
    deadline: float | None = None
    ending: Ending = Ending.CLOSE
    is_compressed: bool = False

    @property
    def must_be(self) -> str | None:
        """The only status that may answer it, whatever its messages are: its caller may not make it."""
        if self.caller.scopes is None:
            is_open = self.rpc.name.startswith("Health/")
            return None if is_open else "UNAUTHENTICATED"
        if self.rpc.is_ours and self.caller.scopes.isdisjoint(REQUIREMENTS[self.rpc.path].scopes):
            return "PERMISSION_DENIED"
        if self.rpc.name.startswith("Channelz/") and (Scope.ADMIN not in self.caller.scopes or self.caller.is_bound):
            return "PERMISSION_DENIED"
        return None

    @property
    def is_plain(self) -> bool:
        """Whether its caller waits for the end."""
        return self.deadline is None and self.ending is Ending.CLOSE


def callers(access: AccessFile) -> Mapping[str, Caller]:
    """Every caller by its name; those who have tokens are given them."""
    bound = accounts(LASTING[0], prefixes=["team-", "passing-1"])
    given = {each.value: (frozenset((each,)), access.give(each.value, each)) for each in Scope}
    given["all"] = (EVERY_SCOPE, access.give("all"))
    found = {name: Caller(name, by_socket=False, scopes=scopes, metadata=shown) for name, (scopes, shown) in given.items()}
    shown = access.give("bound", within=bound)
    found["bound"] = Caller("bound", by_socket=False, scopes=EVERY_SCOPE, metadata=shown, is_bound=True)
    found["socket"] = Caller("socket", by_socket=True, scopes=EVERY_SCOPE)
    revoked, expired = access.give("revoked"), access.give("expired", expires_at=Instant(1))
    access.revoke("revoked")
    whole = access.token("all")
    shows = [
        (),
        revoked,
        expired,
        *(_bearer(each) for each in (whole[:-1], whole + "A", whole.upper(), "", " ", "x" * 4_000, "%00", "cmt_")),
    ]
    shows += [(("authorization", whole),), (("authorization", f"Basic {whole}"),), (*_bearer(whole), *_bearer(whole))]
    shows += [(("authorization-bin", whole.encode()),)]
    for number, each in enumerate(shows):
        found[f"nobody {number}"] = Caller(f"nobody {number}", by_socket=False, scopes=None, metadata=each)
    return found


def _bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


_RARE = {
    "List": 1,
    "GetStatus": 1,
    "Check": 1,
    "Watch": 1,
    "ServerReflectionInfo": 1,
    "PublishRateCard": 2,
    "ListModelPrices": 1,
}
_FREQUENT = {
    "Reserve": 10,
    "Commit": 8,
    "Charge": 8,
    "Extend": 5,
    "Release": 5,
    "Refund": 5,
    "Batch": 5,
    "Pipeline": 5,
    "Meter": 6,
}
_WEIGHTS = [(_RARE | _FREQUENT).get(each.partition("/")[2], 1 if each.startswith("Channelz") else 3) for each in RPCS]
_ODD_METADATA: Sequence[Metadata] = [
    (("x-odd-bin", bytes(range(256))),),
    tuple((f"x-many-{number}", "v") for number in range(100)),
    (("x-long", "v" * 4_000),),
    (("x-too-long", "v" * 20_000),),
    (("user-agent", "%s%n"), ("x-space", " ")),
    (("traceparent", "00-zz-zz-00"), ("grpc-status-details-bin", b"\xff\xfe")),
]


class Calls:
    """Makes the calls of a seed. `now` is in seconds since 1970."""

    def __init__(self, seed: int, known: Known, by_name: Mapping[str, Caller], now: int) -> None:
        self._now = now
        self._seed = seed
        self._known = known
        self._by_name = by_name
        self._nobodies = [name for name, each in by_name.items() if each.scopes is None]
        self._some = [scope.value for scope in Scope]

    def call(self, number: int) -> Call:
        """The call of this number."""
        random = Random(f"{self._seed}/{number}")
        rpc = random.choices(list(RPCS.values()), _WEIGHTS)[0]
        valid = Valid(random, self._known, f"s{self._seed}-{number}", self._now)
        messages = tuple(each[:MAX_BYTES] for each in self._messages(random, rpc, valid))
        deadline = random.choice([0.0, 0.001, 0.01, 0.1]) if random.random() < 0.06 else None
        ending = Ending.CLOSE
        if random.random() < (0.25 if rpc.takes_stream or rpc.gives_stream else 0.03):
            ending = random.choice([Ending.LEAVE, Ending.CANCEL, Ending.UNREAD])
        return Call(
            number=number,
            rpc=rpc,
            messages=messages,
            caller=self._caller(random),
            more_metadata=random.choice(_ODD_METADATA) if random.random() < 0.04 else (),
            deadline=deadline,
            ending=ending,
            is_compressed=random.random() < 0.02,
        )

    def _caller(self, random: Random) -> Caller:
        chance = random.random()
        if chance < 0.5:
            name = "socket"
        elif chance < 0.75:
            name = "all"
        elif chance < 0.83:
            name = "bound"
        else:
            name = random.choice(self._some if chance < 0.92 else self._nobodies)
        return self._by_name[name]

    def _messages(self, random: Random, rpc: Rpc, valid: Valid) -> list[bytes]:
        if not rpc.takes_stream:
            return [self._message(random, rpc, valid)]
        if rpc.name.endswith("/Meter") and random.random() < 0.6:
            steps = ["open", *["progress"] * random.randrange(4), *["finish"] * random.randrange(2)]
            if random.random() < 0.2:
                random.shuffle(steps)
            found = [METER_STEPS[each](valid).SerializeToString() for each in steps]
            if random.random() < 0.3:
                found[random.randrange(len(found))] = self._message(random, rpc, valid)
            return found
        return [self._message(random, rpc, valid) for _ in range(random.choice([0, 1, 1, 2, 5]))]

    def _message(self, random: Random, rpc: Rpc, valid: Valid) -> bytes:
        chance = random.random()
        if chance < 0.03:
            return garbage(random)
        if chance < 0.1:
            return encoded(a_message(random, rpc, self._known))
        message = valid.request(rpc)
        if chance < 0.4:
            disturb(random, message, self._known)
        found = encoded(message)
        return changed_bytes(random, found) if chance > 0.86 else found
