"""Names that are nearly the one that somebody meant.

Names are told apart without case and punctuation, and found by the groups of three characters (trigrams) that they share, as
PostgreSQL's pg_trgm does (https://www.postgresql.org/docs/current/pgtrgm.html). So an answer among thousands of names takes
about as long as one among a few: only the MAX_COMPARED names that share the most trigrams are compared letter by letter.
"""

import re
from collections import Counter
from collections.abc import Iterable
from difflib import SequenceMatcher

MAX_LENGTH = 64
"""Characters of a name that are looked at."""

MAX_COMPARED = 16
"""Names that are compared letter by letter."""

LEAST_RATIO = 0.6
"""Names that have less in common (difflib's ratio) are not near."""

MAX_ALIKE = 200
"""A trigram that more names have tells them too little apart to be worth counting."""

_PUNCTUATION = re.compile(r"[\W_]+")


class NearNames:
    """Some names, to be searched."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, list[str]] = {}
        for name in sorted(set(names)):
            self._names.setdefault(_bare(name), []).append(name)
        self._by_trigram: dict[str, list[str]] = {}
        for bare in self._names:
            for trigram in _trigrams(bare):
                self._by_trigram.setdefault(trigram, []).append(bare)

    def near(self, wanted: str) -> list[str]:
        """The names that are nearly the wanted one, the nearest first; those equally near in the order of the alphabet."""
        bare = _bare(wanted)
        compared = ((_ratio(bare, each), each) for each in self.candidates(bare))
        ranked = sorted((-ratio, each) for ratio, each in compared if ratio >= LEAST_RATIO)
        return [name for _, each in ranked for name in self._names[each] if name != wanted]

    def candidates(self, bare: str) -> list[str]:
        """The bare names that are compared with one, at most MAX_COMPARED: those that share the most trigrams with it."""
        shared: Counter[str] = Counter()
        for trigram in _trigrams(bare):
            having = self._by_trigram.get(trigram, ())
            if len(having) <= MAX_ALIKE:
                shared.update(having)
        if bare in self._names:
            shared[bare] += MAX_LENGTH
        return [each for each, _ in shared.most_common(MAX_COMPARED)]


def _bare(name: str) -> str:
    return _PUNCTUATION.sub("", name[:MAX_LENGTH].lower())


def _trigrams(bare: str) -> set[str]:
    """Its beginning counts twice, as names differ rather at their ends."""
    padded = f"  {bare} "
    return {padded[place : place + 3] for place in range(len(padded) - 2)}


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
