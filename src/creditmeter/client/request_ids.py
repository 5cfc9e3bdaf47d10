"""Request ids: made once for each step of a call, and used again whenever the step is repeated."""

import base64
import secrets
from dataclasses import dataclass

_RANDOM_BYTES = 16


def random_id() -> str:
    """128 random bits, as 26 characters."""
    return base64.b32encode(secrets.token_bytes(_RANDOM_BYTES)).decode().rstrip("=").lower()


def request_id_of(step: str, job_id: str | None, request_id: str | None) -> str:
    """The id of a request that is a step by itself: the given one, else made from the job's, else a random one."""
    return request_id or f"{job_id or random_id()}/{step}"


@dataclass(frozen=True, slots=True)
class StepIds:
    """The ids of the steps of one hold: "job42/reserve", "job42/commit".

    `turn` counts the holds of one job: where the first was released and the job is run again, the second has "job42~2/reserve".
    """

    job_id: str
    turn: int = 1

    def of(self, step: str, number: int | str | None = None) -> str:
        """The id of a step: of one of several, by its number, or by what is random where they have no order."""
        job = self.job_id if self.turn == 1 else f"{self.job_id}~{self.turn}"
        return f"{job}/{step}" if number is None else f"{job}/{step}-{number}"

    def next(self) -> "StepIds":
        """The ids of the job's next hold."""
        return StepIds(self.job_id, self.turn + 1)
