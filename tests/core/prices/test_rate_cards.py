"""Which rate card is in force, which one a reservation is priced by, and which are needed no more."""

import pytest

from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_cards import UNPUBLISHED, RateCards


def card(version: str, effective_from: int) -> RateCard:
    """A card without prices."""
    return RateCard(version=version, effective_from=Instant(effective_from))


def cards(*published: tuple[str, int]) -> RateCards:
    """A sidecar's own card, and published ones in the order in which they were."""
    known = RateCards(card("own", 0))
    for number, (version, effective_from) in enumerate(published, start=1):
        known.add(card(version, effective_from), number)
    return known


@pytest.mark.parametrize(
    ("published", "at", "version"),
    [
        ((), 5, "own"),
        ((("a", 10),), 9, "own"),
        ((("a", 10),), 10, "a"),
        ((("a", 10), ("b", 20)), 15, "a"),
        ((("b", 20), ("a", 10)), 25, "b"),
        ((("a", 10), ("b", 10)), 10, "b"),
        ((("a", 0),), 0, "a"),
    ],
)
def test_the_card_that_took_effect_last_is_in_force(published: tuple[tuple[str, int], ...], at: int, version: str) -> None:
    """Of two that took effect at one moment the one published last; before all published ones the sidecar's own."""
    assert cards(*published).in_force(Instant(at)).version == version


def test_a_reservation_finds_its_card() -> None:
    """Whatever is in force; and if nobody knows it any more, the one that is."""
    known = cards(("a", 10), ("b", 20))
    assert [known.pinned(version, Instant(30)).version for version in ("own", "a", "gone")] == ["own", "a", "b"]


def test_a_card_of_an_earlier_start_is_pinned_and_never_in_force() -> None:
    """The sidecar is started with another one now."""
    known = cards()
    known.add(card("earlier", 5), UNPUBLISHED)
    assert known.in_force(Instant(10)).version == "own"
    assert known.pinned("earlier", Instant(10)).version == "earlier"
    assert known.unneeded((), Instant(10)) == {"earlier"}
    assert known.unneeded(("earlier",), Instant(10)) == set()


def test_what_is_superseded_and_pinned_by_nothing_is_needed_no_more() -> None:
    """What will be in force is, and so is the card to fall back to."""
    known = cards(("a", 10), ("b", 20), ("c", 30), ("late", 5))
    assert known.unneeded(("a",), Instant(25)) == {"late"}
    for version in known.unneeded((), Instant(25)):
        known.drop(version)
    assert known.in_force(Instant(25)).version == "b"
    assert known.in_force(Instant(35)).version == "c"
    assert known.newest == 4


def test_a_published_card_counts_before_an_own_one_of_its_version() -> None:
    """The file was published as it is."""
    known = cards(("own", 0))
    assert known.newest == 1
    assert known.unneeded((), Instant(1)) == set()


def test_a_version_keeps_its_content() -> None:
    """Another card under a version that is known takes no place; the same one does, with its number."""
    known = cards()
    edited = card("own", 5)
    assert (known.has_another(edited), known.has_another(card("own", 0)), known.has_another(card("b", 0))) == (
        True,
        False,
        False,
    )
    known.add(edited, 1)
    assert known.in_force(Instant(9)).effective_from == Instant(0)
    assert known.newest == 1
