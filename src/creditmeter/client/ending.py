"""What becomes of a hold when its block is left: the table of docs/workers.md, as a function.

An exception, also that of a cancellation, is passed on in any case.

| the hold | the block is left | then |
| --- | --- | --- |
| open, nothing dispatched | in any way | it is released |
| open, dispatched | without an exception | it is released, and the log warns |
| open, streamed | in any way | what `stream` counted is committed; its input as ESTIMATED, if it had no chunk |
| open, dispatched, usage reported | by an exception, cancelled | what was reported is committed, as PARTIAL_STREAM |
| open, dispatched, nothing reported | by an exception, cancelled | its input is committed, as ESTIMATED |
| committed or released | in any way | nothing |
| the outcome of its commit is unknown | in any way | the same commit is sent once more; it is never released |
| a release was asked for, and is not known to be done | in any way | the same release is sent once more; nothing is charged |
"""

from enum import Enum


class Outcome(Enum):
    """What is known of a hold."""

    OPEN = "credit is held"
    ENDED = "it was committed, released, or the sidecar says that it has ended"
    UNKNOWN = "a commit was sent, and no answer came"
    RELEASING = "a release was asked for, and is not known to be done"


class Ending(Enum):
    """What is done when the block is left."""

    NOTHING = "nothing"
    RELEASE = "release the hold"
    RELEASE_AGAIN = "send the same release again"
    COMMIT_KNOWN = "commit what was reported"
    COMMIT_ESTIMATE = "commit the input, as an estimate"
    COMMIT_AGAIN = "send the same commit again"


def ending(outcome: Outcome, *, dispatched: bool, streamed: bool, reported: bool, failed: bool) -> Ending:
    """What is done with a hold whose block is left. `failed`: by an exception, or a cancellation, which is one."""
    if outcome is Outcome.ENDED:
        return Ending.NOTHING
    if outcome is Outcome.UNKNOWN:
        return Ending.COMMIT_AGAIN
    if outcome is Outcome.RELEASING:
        return Ending.RELEASE_AGAIN
    if not (streamed or (dispatched and failed)):
        return Ending.RELEASE
    return Ending.COMMIT_KNOWN if reported else Ending.COMMIT_ESTIMATE
