"""Turns: nobody waits for more than a few calls of each other account, and everybody has a turn in the end."""

import random

from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.turns import LATELY, TIMES_FOR_FREEING, TurnLimits, Turns

LIMITS = TurnLimits(under_way_of_account=2, under_way_beside_quiet=2, under_way=6, waiting_of_account=100, waiting=1_000)
WIDE = TurnLimits(under_way_of_account=5, under_way_beside_quiet=2, under_way=20, waiting_of_account=2_000, waiting=2_000)


def _begun(turns: Turns[str, str]) -> list[str]:
    """What begins now of what waits, in order."""
    begun = []
    while (item := turns.next()) is not None:
        begun.append(item)
    return begun


def test_work_begins_at_once_while_there_is_room() -> None:
    """Up to the bound of its account, and up to that of all."""
    turns = Turns[str, str](LIMITS)
    assert [turns.begins("a") for _ in range(3)] == [True, True, False]
    assert [turns.begins(each) for each in "bbcc"] == [True] * 4
    assert not turns.begins("d")
    turns.end("a")
    assert turns.begins("d")


def test_accounts_are_served_in_turns() -> None:
    """A hundred calls of one account do not come before the first of another."""
    turns = Turns[str, str](LIMITS)
    for number in range(100):
        assert turns.waits("hot", f"hot {number}")
    assert turns.waits("quiet", "quiet 0")
    assert _begun(turns) == ["hot 0", "quiet 0", "hot 1"]
    turns.end("hot")
    assert _begun(turns) == ["hot 2"]


def test_what_comes_later_does_not_overtake_its_own_account() -> None:
    """Work that could begin waits behind what waits of its account."""
    turns = Turns[str, str](LIMITS)
    assert turns.begins("a")
    assert turns.waits("a", "first")
    assert not turns.begins("a")


def test_what_frees_credit_comes_first_and_is_refused_last() -> None:
    """Commits and releases find room where new work finds none."""
    turns = Turns[str, str](TurnLimits(1, 1, 1, waiting_of_account=2, waiting=3))
    assert turns.begins("a")
    assert turns.waits("a", "one")
    assert turns.waits("a", "two")
    assert not turns.waits("a", "three")
    assert turns.waits("a", "commit", frees=True)
    assert not turns.waits("b", "of another account, beyond the bound of all")
    assert [turns.waits("b", "commit", frees=True) for _ in range(4)] == [True, True, True, False]
    turns.end("a")
    assert turns.next() == "commit"


def test_heavy_work_counts_for_as_much_as_it_weighs() -> None:
    """It begins where there is any room, and nothing else does until it ends."""
    turns = Turns[str, str](LIMITS)
    assert turns.begins("a", 1)
    assert turns.begins("a", 5)
    assert not turns.begins("b")
    turns.end("a", 5)
    assert turns.begins("b")


def test_of_one_account_less_is_under_way_while_another_is_quiet() -> None:
    """Until so much was begun since the quiet one's last call. That an account was quiet itself does not count."""
    turns = Turns[str, str](WIDE)
    assert [turns.begins("hot") for _ in range(6)] == [True] * 5 + [False]
    for number in range(LATELY + 4):
        assert turns.waits("hot", f"hot {number}")
    assert turns.begins("quiet")
    turns.end("quiet")
    for _ in range(3):
        turns.end("hot")
        assert turns.next() is None, "more than two are under way"
    for number in range(LATELY - 1):
        turns.end("hot")
        assert turns.next() == f"hot {number}"
    turns.end("hot")
    assert len(_begun(turns)) == 4, "the quiet account is not known any more: five are under way"


def test_quiet_accounts_do_not_hinder_each_other() -> None:
    """Each has one call at a time. One that has more at a time is bounded like any other."""
    turns = Turns[str, str](WIDE)
    assert all(turns.begins(each) for each in "abc")
    assert [turns.begins("a") for _ in range(2)] == [True, False]
    for each in "abca":
        turns.end(each)
    assert turns.begins("c")
    assert [turns.begins("a") for _ in range(3)] == [True, True, False]


@given(st.integers(0, 1_000_000))
def test_the_bounds_hold_and_nothing_is_left(seed: int) -> None:
    """Of any order of events: no bound is passed, each piece of work begins once, and nothing is kept of what ended."""
    chance = random.Random(seed)  # noqa: S311 - the order of events, the same each time
    turns = Turns[str, tuple[str, int]](TurnLimits(2, 1, 5, waiting_of_account=3, waiting=7))
    under_way: list[str] = []
    waiting: set[tuple[str, int]] = set()
    for number in range(200):
        key = chance.choice("aaaabc")
        if chance.random() < 0.6:
            frees = chance.random() < 0.3
            if turns.begins(key):
                under_way.append(key)
            elif turns.waits(key, (key, number), frees=frees):
                waiting.add((key, number))
        elif under_way:
            turns.end(under_way.pop(chance.randrange(len(under_way))))
        if chance.random() < 0.7:
            while (item := turns.next()) is not None:
                waiting.remove(item)
                under_way.append(item[0])
        assert turns.under_way == len(under_way) <= 5
        assert all(under_way.count(each) <= 2 for each in "abc")
        assert turns.waiting == len(waiting) <= TIMES_FOR_FREEING * 7
    while under_way or waiting:
        while (item := turns.next()) is not None:
            waiting.remove(item)
            under_way.append(item[0])
        turns.end(under_way.pop())
    assert turns.accounts == 0
