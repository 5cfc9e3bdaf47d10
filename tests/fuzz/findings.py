"""What a campaign found and counted, and how it is told."""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.fuzz.calling import Answer
from tests.fuzz.calls import Call

MEBIBYTE = 1024 * 1024
SHOWN_BYTES = 400
SHOWN_OF_A_KIND = 3
_VARYING = re.compile(r"[0-9a-z]*\d[0-9a-z-]*|'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True)
class Finding:
    """Something that may not be. `call` is None if it is not known which call it was."""

    what: str
    call: Call | None = None

    @property
    def kind(self) -> str:
        """The same for findings of one cause, most likely."""
        return f"{self.call.rpc.name if self.call else ''} {_VARYING.sub('', self.what[:200])}"

    def lines(self, seed: int) -> Iterator[str]:
        """What was found, and how it is repeated."""
        yield self.what
        if self.call is None:
            return
        call = self.call
        yield f"    {call.rpc.name}, caller {call.caller.name}, {call.ending.value}, deadline {call.deadline}"
        yield f"    again: scripts/fuzz --seed {seed} --only {call.number}"
        for each in call.messages:
            yield f"    {len(each):,} bytes: {each[:SHOWN_BYTES].hex()}{'…' if len(each) > SHOWN_BYTES else ''}"


@dataclass
class Record:
    """What was counted: calls by RPC and status, the slowest, resident memory by number of calls, and what was found."""

    seed: int
    began: float = field(default_factory=time.monotonic)
    calls: int = 0
    repeated: int = 0
    comparisons: int = 0
    connections: int = 0
    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: Counter[str] = field(default_factory=Counter)
    unavailable: Counter[str] = field(default_factory=Counter)
    of_grpc: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    memory: list[tuple[int, int]] = field(default_factory=list)
    findings: dict[str, list[Finding]] = field(default_factory=lambda: defaultdict(list))

    def count(self, call: Call, answer: Answer) -> None:
        """Count a call."""
        self.calls += 1
        self.statuses[call.rpc.name][answer.code.name] += 1
        self.slowest = max(self.slowest, (answer.seconds, f"{call.rpc.name}, call {call.number}"))

    def found(self, finding: Finding) -> bool:
        """Keep a finding. Returns whether it is the first of its kind."""
        self.findings[finding.kind].append(finding)
        return len(self.findings[finding.kind]) == 1

    @property
    def growth(self) -> float:
        """MiB of memory that the sidecar had more in the last fifth of the calls than in the second; 0 if that is not known.

        Of each the lowest reading counts: while large messages are there, it has tens of MiB more, and sometimes keeps them.
        """
        early = [memory for calls, memory in self.memory if self.calls <= calls * 5 <= 2 * self.calls]
        late = [memory for calls, memory in self.memory if calls * 5 >= 4 * self.calls]
        return (min(late) - min(early)) / MEBIBYTE if early and late else 0.0

    def progress(self, memory: int) -> str:
        """How far it is."""
        seconds = time.monotonic() - self.began
        found = sum(map(len, self.findings.values()))
        done = f"{self.calls:>8,} calls, {self.repeated:,} repeated"
        return f"{done}, {seconds:.0f} s, {memory / MEBIBYTE:.1f} MiB, {found} findings"

    def summary(self) -> Iterator[str]:
        """Everything that was counted, and what was found."""
        total: Counter[str] = sum(self.statuses.values(), Counter[str]())
        seconds = time.monotonic() - self.began
        yield f"seed {self.seed}: {self.calls:,} calls in {seconds:.0f} s, {self.calls / seconds:.0f} a second"
        for name in sorted(self.statuses):
            yield f"  {name:<40}{self.statuses[name].total():>7}   {_counted(self.statuses[name])}"
        yield f"  {'in all':<40}{total.total():>7}   {_counted(total)}"
        yield f"reasons: {_counted(self.reasons)}"
        yield f"refused by gRPC itself: {_counted(self.of_grpc) or 'none'}"
        yield f"not available: {_counted(self.unavailable) or 'never'}"
        yield f"refused calls made again between snapshots: {self.repeated:,}, in {self.comparisons} comparisons"
        yield f"connections that spoke no gRPC, or gRPC that lies: {self.connections:,}"
        yield f"slowest call: {self.slowest[0]:.2f} s, {self.slowest[1]}"
        yield "resident memory: " + ", ".join(f"{calls:,}: {memory / MEBIBYTE:.1f} MiB" for calls, memory in self.memory)
        yield f"more in the last fifth than in the second, by the lowest readings: {self.growth:.1f} MiB"
        for findings in self.findings.values():
            yield f"FOUND {len(findings)} times:"
            for each in findings[:SHOWN_OF_A_KIND]:
                yield from each.lines(self.seed)
        yield f"{len(self.findings)} kinds of findings" if self.findings else "no findings"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common())
