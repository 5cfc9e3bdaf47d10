"""Search for the names that are nearly like a given one.

Names are compared without case and punctuation. They are found by the groups of three characters (trigrams) that they share, as
PostgreSQL's pg_trgm does (https://www.postgresql.org/docs/current/pgtrgm.html). Only the MAX_COMPARED names that share the most
trigrams are compared letter by letter. So a search of thousands of names takes about as long as one of a few.
"""

import re
from collections import Counter
from collections.abc import Iterable
from difflib import SequenceMatcher

MAX_LENGTH = 64
"""Characters of a name that are compared; the rest is ignored."""

MAX_COMPARED = 16
"""Most names that are compared letter by letter."""

LEAST_RATIO = 0.6
"""The least likeness of a near name, by difflib's ratio."""

MAX_ALIKE = 200
"""Most names that share a trigram. A trigram of more names is not counted, because it hardly tells them apart."""

_PUNCTUATION = re.compile(r"[\W_]+")


class NearNames:
    """An index of names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, list[str]] = {}
        for name in sorted(set(names)):
            self._names.setdefault(_bare(name), []).append(name)
        self._by_trigram: dict[str, list[str]] = {}
        for bare in self._names:
            for trigram in _trigrams(bare):
                self._by_trigram.setdefault(trigram, []).append(bare)

    def near(self, wanted: str) -> list[str]:
        """The names that are nearly the wanted one, the nearest first; names that are equally near in alphabetical order."""
        bare = _bare(wanted)
        compared = ((_ratio(bare, each), each) for each in self.candidates(bare))
        ranked = sorted((-ratio, each) for ratio, each in compared if ratio >= LEAST_RATIO)
        return [name for _, each in ranked for name in self._names[each] if name != wanted]

    def candidates(self, bare: str) -> list[str]:
        """At most MAX_COMPARED bare names: those that share the most trigrams with the given one, in alphabetical order where
        that is equal.
        """
        shared: Counter[str] = Counter()
        for trigram in _trigrams(bare):
            having = self._by_trigram.get(trigram, ())
            if len(having) <= MAX_ALIKE:
                shared.update(having)
        if bare in self._names:
            shared[bare] += MAX_LENGTH
        return sorted(shared, key=lambda each: (-shared[each], each))[:MAX_COMPARED]


def _bare(name: str) -> str:
    return _PUNCTUATION.sub("", name[:MAX_LENGTH].lower())


def _trigrams(bare: str) -> set[str]:
    """The trigrams of a name. Padding gives its beginning more weight, because names differ rather at their ends."""
    padded = f"  {bare} "
    return {padded[place : place + 3] for place in range(len(padded) - 2)}


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
