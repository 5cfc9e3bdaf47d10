"""The caller of a frame: each of its mutations is judged by itself."""

from creditmeter.server.access.gate import AskingFirst, Gate, Verdict
from creditmeter.server.admission import caller_of
from creditmeter.server.errors import Context, Problem
from creditmeter.server.faults import OUR_METHODS
from creditmeter.server.mutations import RPCS
from creditmeter.v1 import metering_pb2


class Caller:
    """Who sent a frame. It is asked anew for each frame, since a token may be revoked while its stream is open."""

    def __init__(self, gate: Gate, context: Context) -> None:
        self._gate = gate
        self._rights = gate.rights(context)
        self.name = caller_of(context)
        """Names the caller, for the turns of `server/admission.py`."""

    @property
    def credential_id(self) -> str:
        """The id of the credential that it shows; empty if that is none."""
        return "" if isinstance(self._rights, Problem) else self._rights.credential_id

    def judge(self, mutation: metering_pb2.Mutation) -> Verdict | AskingFirst:
        """Whether the caller may ask for this, as `Gate.judge`."""
        kind = mutation.WhichOneof("request")
        if isinstance(self._rights, Problem) or kind is None:
            return self._rights if isinstance(self._rights, Problem) else None
        return self._gate.judge(f"{OUR_METHODS}MeteringService/{RPCS[kind]}", self._rights, getattr(mutation, kind))

    async def may_open(self, request: metering_pb2.MeterRequest) -> Problem | None:
        """Why the caller may not open a metered call with this; None if it may."""
        verdict = self.judge(metering_pb2.Mutation(reserve=request.open))
        verdict = await verdict() if callable(verdict) else verdict
        return verdict if isinstance(verdict, Problem) else None
