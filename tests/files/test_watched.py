"""Files that are read again when they change."""

from collections.abc import Callable
from pathlib import Path

import pytest

from creditmeter.files.watched import LOOK_SECONDS, Watched


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file."""
    (file := tmp_path / "file").write_text("first")
    return file


class Time:
    """A clock that a test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def reading(file: Path) -> tuple[list[str], Callable[[], str]]:
    """What was read, and what reads."""
    read: list[str] = []

    def content() -> str:
        text = file.read_text()
        if text == "wrong":
            raise ValueError("it is wrong")
        read.append(text)
        return text

    return read, content


def test_a_change_is_seen_after_a_second_and_at_once_where_it_is_asked_for(file: Path) -> None:
    """It is read once for each change."""
    time, (read, content) = Time(), reading(file)
    watched = Watched([file], content, time)
    file.write_text("another")
    assert watched.content == "first"
    time.now = LOOK_SECONDS
    assert watched.content == watched.content == "another"
    file.write_text("a third one")
    assert watched.newest() == "a third one"
    time.now *= 3
    assert watched.content == "a third one"
    assert read == ["first", "another", "a third one"]


@pytest.mark.parametrize("is_missing", [True, False])
def test_what_cannot_be_used_leaves_what_was_read_before(
    file: Path, is_missing: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told of once, and read again when it changes."""
    time, (read, content) = Time(), reading(file)
    watched = Watched([file], content, time)
    if is_missing:
        file.unlink()
    else:
        file.write_text("wrong")
    assert watched.newest() == watched.newest() == "first"
    assert capsys.readouterr().out.count("what they said before still counts") == 1
    file.write_text("right")
    assert watched.newest() == "right"
    assert read == ["first", "right"]


def test_what_cannot_be_read_is_tried_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also when it was not changed: what kept it from being read may be gone. The same trouble is told of once."""
    troubles = ["one", "one", "another", ""]

    def content() -> str:
        if file.read_text() != "first" and (trouble := troubles.pop(0)):
            raise OSError(trouble)
        return file.read_text()

    watched = Watched([file], content, Time())
    file.write_text("second one")
    assert [watched.newest() for _ in range(4)] == ["first"] * 3 + ["second one"]
    assert capsys.readouterr().out.count("still counts") == 2


def test_permissions_count_as_a_change(file: Path) -> None:
    """They may be what was wrong."""
    read, content = reading(file)
    watched = Watched([file], content, Time())
    file.chmod(0o600)
    assert watched.newest() == "first"
    assert read == ["first", "first"]


def test_a_file_of_the_same_size_that_replaces_another(file: Path, tmp_path: Path) -> None:
    """Is another file; also behind a link, as Kubernetes changes secrets."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("one", "two"):
        (tmp_path / name / "f").write_text(name)
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "one")
    watched = Watched([link / "f"], (link / "f").read_text, Time())
    assert watched.content == "one"
    (new := tmp_path / "new").symlink_to(tmp_path / "two")
    new.rename(link)
    assert watched.newest() == "two"


def test_what_cannot_be_used_at_first_is_an_error(tmp_path: Path) -> None:
    """Nothing was said before."""
    with pytest.raises(FileNotFoundError):
        Watched([tmp_path / "none"], (tmp_path / "none").read_text, Time())
