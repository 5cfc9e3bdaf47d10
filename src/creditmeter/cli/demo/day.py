"""A day of one user: texts of varying length, images, searches, engagement and directory submissions. Some of them fail.

It is drawn from a seed. The same seed gives the same day.
"""

import random
from dataclasses import dataclass

from creditmeter.v1 import work_pb2

TEXT_MODELS = {"gpt-4o-mini": 4, "claude-sonnet-4-5": 4, "gpt-4o": 2}
IMAGE_MODELS = ("gpt-image-1", "gemini-2.5-flash-image", "dall-e-3")
SEARCHES = ("web_search", "tweet_search", "seo_search")
ENGAGEMENT_MODELS = ("gpt-4o-mini", "gpt-4o-mini", "claude-opus-4-5")
LONGEST_INPUT = 60_000

TEXTS, IMAGES, TOOL_CALLS, ENGAGEMENTS, SUBMISSIONS, VIEWS = 36, 5, 14, 16, 6, 8
FAILED_OF_TEN = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One thing the user does.

    Work whose cost is known only afterwards is reserved first; what has a fixed price (`work` is None) is charged in one
    step. A job that fails has used nothing.
    """

    usage: work_pb2.Usage
    work: work_pb2.Work | None = None
    fails: bool = False

    @property
    def name(self) -> str:
        """Its name in the report."""
        return self.usage.tool or self.usage.action


def draw_day(seed: int) -> list[Job]:
    """The jobs of a day, in order."""
    draw = random.Random(seed)  # noqa: S311 - the same seed, the same day
    jobs = [_text(draw) for _ in range(TEXTS)]
    jobs += [_image(draw) for _ in range(IMAGES)]
    jobs += [_fixed("tool", tool=draw.choice(SEARCHES)) for _ in range(TOOL_CALLS)]
    jobs += [_fixed("engagement", request_model=draw.choice(ENGAGEMENT_MODELS)) for _ in range(ENGAGEMENTS)]
    jobs += [_fixed("directory_submission", request_model="gpt-4o-mini") for _ in range(SUBMISSIONS)]
    jobs += [_fixed("view") for _ in range(VIEWS)]
    draw.shuffle(jobs)
    return jobs


def _text(draw: random.Random) -> Job:
    """Most texts are short; a few come with a long document."""
    model = draw.choices(list(TEXT_MODELS), list(TEXT_MODELS.values()))[0]
    input_tokens = min(LONGEST_INPUT, int(draw.lognormvariate(7, 1.1)))
    bound = draw.choice((500, 1_000, 2_000, 4_000))
    work = work_pb2.Work(action="text", request_model=model, input_tokens=input_tokens, max_output_tokens=bound)
    output_tokens = draw.randint(bound // 20, bound * 9 // 10)
    usage = work_pb2.Usage(action="text", input_tokens=input_tokens, output_tokens=output_tokens)
    return Job(usage, work, fails=_goes_wrong(draw))


def _image(draw: random.Random) -> Job:
    work = work_pb2.Work(action="image", request_model=draw.choice(IMAGE_MODELS), quantity=1)
    return Job(work_pb2.Usage(action="image", quantity=1), work, fails=_goes_wrong(draw))


def _fixed(action: str, tool: str = "", request_model: str = "") -> Job:
    return Job(work_pb2.Usage(action=action, tool=tool, request_model=request_model))


def _goes_wrong(draw: random.Random) -> bool:
    return draw.randrange(10) < FAILED_OF_TEN
