"""Credit metering for AI workers: reserve before a call, commit what was used, give the rest back at once.

A sidecar runs next to every worker and answers from a durable local file, without the network on the hot path; a
central store is the truth for balances across all of them. Credit travels from the store to a sidecar as a lease, an
amount that the sidecar may authorise by itself, so that no credit is spent twice, none is lost, and nobody is refused
who could pay.

The decisions are pure functions in `creditmeter.core`; everything else carries them out.
"""

from importlib.metadata import version

__version__ = version("creditmeter")
