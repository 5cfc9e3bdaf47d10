"""The access file is changed by one at a time, and never half."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from creditmeter.core.access import EVERY_SCOPE, Credential, Credentials, Rights
from creditmeter.forms.access import AccessFileError, read_credentials
from creditmeter.server.access.access_file import change
from creditmeter.server.locks import lock


def with_one_more(number: int) -> Callable[[Credentials], Credentials]:
    """Adds a credential."""
    made = Credential("a" * 7 + chr(ord("a") + number), Rights(str(number), EVERY_SCOPE), bytes([number]) * 32)
    return lambda known: Credentials([*known.known, made])


def test_changes_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """One after the other."""
    file = tmp_path / "access.json"
    threads = [threading.Thread(target=change, args=(file, with_one_more(number))) for number in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    names = {int(each.rights.name) for each in read_credentials(file.read_bytes()).known}
    assert names == set(range(20))


def test_one_that_waits_in_vain_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so."""
    file = tmp_path / "access.json"
    change(file, with_one_more(0))
    monkeypatch.setattr("creditmeter.server.access.access_file.PATIENCE_SECONDS", 0)
    held = lock(tmp_path / "access.json.lock")
    with pytest.raises(BlockingIOError):
        change(file, with_one_more(1))
    os.close(held)
    assert len(read_credentials(file.read_bytes()).known) == 1


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """And nothing beside it but the lock."""
    file = tmp_path / "access.json"
    change(file, with_one_more(0))
    before = file.read_bytes()

    def fails(_: Credentials) -> Credentials:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change(file, fails)
    change(file, with_one_more(1))
    assert before != file.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["access.json", "access.json.lock"]


def test_what_would_be_no_access_file_is_not_written(tmp_path: Path) -> None:
    """Else nothing could be revoked any more."""
    file = tmp_path / "access.json"
    change(file, with_one_more(0))
    before = file.read_bytes()
    with pytest.raises(AccessFileError, match="is there twice"):
        change(file, with_one_more(0))
    assert file.read_bytes() == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_it_stays_its_owners(tmp_path: Path) -> None:
    """A sidecar of another user goes on reading it when root changes it."""
    file = tmp_path / "access.json"
    change(file, with_one_more(0))
    os.chown(file, 12_345, 23_456)
    file.chmod(0o400)
    change(file, with_one_more(1))
    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12_345, 23_456, 0o400)
