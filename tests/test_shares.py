"""A share of the tests."""

import pytest

from tests.shares import ALL, Share, leave

NAMES = [f"tests/test_{number % 7}.py::test_it[{number}]" for number in range(3_000)]


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_each_test_is_in_one_share(parts: int) -> None:
    """And the shares are about as large as each other."""
    shares = [[name for name in NAMES if Share(number + 1, parts).has(name)] for number in range(parts)]
    assert sorted(name for share in shares for name in share) == sorted(NAMES)
    assert all(0.8 < len(share) * parts / len(NAMES) < 1.2 for share in shares)


def test_how_it_is_written() -> None:
    """Its number and how many there are."""
    assert Share.of("2/3") == Share(2, 3)
    assert Share.of("1/1") == ALL


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "2/0", "a/b", "1/3 "])
def test_what_is_no_share(text: str) -> None:
    """The run ends before its first test."""
    with pytest.raises(pytest.UsageError, match=r"TESTS_SHARE is .*: write 2/3"):
        Share.of(text)


def test_what_is_left_of_a_run(request: pytest.FixtureRequest) -> None:
    """The tests of the share, in order. The others are told of."""
    make = pytest.Function.from_parent
    items: list[pytest.Item] = [make(request.node.parent, name=each, callobj=lambda: None) for each in NAMES[:99]]
    left = list(items)
    others = leave(Share(2, 3), left)
    assert left == [each for each in items if Share(2, 3).has(each.nodeid)]
    assert others == [each for each in items if each not in left]
    assert 10 < len(left) < 60
