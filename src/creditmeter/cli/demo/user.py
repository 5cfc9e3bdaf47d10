"""The demo's user: meters jobs through a sidecar, and keeps sums to compare with the sidecar's figures."""

from dataclasses import dataclass, field

from creditmeter.cli.demo.day import Job
from creditmeter.client.stubs import Connection, call
from creditmeter.v1 import charges_pb2, metering_pb2, reservations_pb2, work_pb2


@dataclass(slots=True)
class Spent:
    """The sums of one kind of job; amounts in microcredits."""

    jobs: int = 0
    failed: int = 0
    held: int = 0
    charged: int = 0
    refunded: int = 0


@dataclass(slots=True)
class User:
    """One account at one sidecar. `spent` has the sums of each kind of job, by its name."""

    client: Connection
    account_id: str
    spent: dict[str, Spent] = field(default_factory=dict)
    requests: int = 0

    async def do(self, job: Job) -> None:
        """Do one job.

        Raises:
            CreditmeterError: the sidecar refused.
        """
        if job.work is None:
            await self.charge(job)
            return
        reservation = await self.reserve(job.name, job.work)
        if job.fails:
            await self.release(job.name, reservation)
        else:
            await self.commit(job.name, reservation, job.usage)

    async def reserve(self, name: str, work: work_pb2.Work) -> reservations_pb2.Reservation:
        """Hold the highest price of the work."""
        request = metering_pb2.ReserveRequest(request_id=self._request_id("reserve"), account_id=self.account_id, work=work)
        reply = await call(self.client.metering.Reserve, request)
        spent = self.spent.setdefault(name, Spent())
        spent.jobs += 1
        spent.held += reply.reservation.held_microcredits
        return reply.reservation

    async def commit(self, name: str, reservation: reservations_pb2.Reservation, usage: work_pb2.Usage) -> charges_pb2.Charge:
        """Charge the usage."""
        request = metering_pb2.CommitRequest(
            request_id=self._request_id("commit"), reservation_id=reservation.reservation_id, usage=usage
        )
        reply = await call(self.client.metering.Commit, request)
        self.spent[name].charged += reply.charge.cost_microcredits
        return reply.charge

    async def release(self, name: str, reservation: reservations_pb2.Reservation) -> None:
        """Give back the hold of a job that failed."""
        request = metering_pb2.ReleaseRequest(
            request_id=self._request_id("release"), reservation_id=reservation.reservation_id, reason="the call failed"
        )
        await call(self.client.metering.Release, request)
        self.spent[name].failed += 1

    async def charge(self, job: Job) -> None:
        """Charge a job with a fixed price."""
        request = metering_pb2.ChargeRequest(request_id=self._request_id("charge"), account_id=self.account_id, usage=job.usage)
        reply = await call(self.client.metering.Charge, request)
        spent = self.spent.setdefault(job.name, Spent())
        spent.jobs += 1
        spent.charged += reply.charge.cost_microcredits

    async def refund(self, name: str, charge: charges_pb2.Charge) -> charges_pb2.Refund:
        """Refund a charge."""
        request = metering_pb2.RefundRequest(
            request_id=self._request_id("refund"), charge_id=charge.charge_id, reason="the user did not like it"
        )
        reply = await call(self.client.metering.Refund, request)
        self.spent[name].refunded += reply.refund.amount_microcredits
        return reply.refund

    def _request_id(self, step: str) -> str:
        self.requests += 1
        return f"demo/{self.requests}/{step}"
