"""What SQLite says of a store's file: at a start, beside the work, and when everything is verified."""

import contextlib
import shutil
from pathlib import Path

import pytest

from creditmeter.central.engine.examination import findings_in
from creditmeter.central.engine.faults import CentralDamaged, CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify
from tests.central.accounts import ACME, opened
from tests.central.engine.reaching import noon
from tests.central.engine.spoiling import index_of, spoil_index, spoil_page

AMPLE_SECONDS = 30.0


@pytest.fixture
async def path(migrated_file: Path, tmp_path: Path) -> Path:
    """The file of a store with an account, which nobody has open."""
    path = tmp_path / "central.db"
    shutil.copyfile(migrated_file, path)
    async with CentralStore(f"sqlite:///{path}", noon) as store:
        await opened(store, ACME, permanent=5)
    return path


async def test_a_start_finds_a_damaged_page(path: Path) -> None:
    """One line, which names the file and says what to do."""
    spoil_page(path, "history")
    async with CentralStore(f"sqlite:///{path}", noon) as store:
        with pytest.raises(CentralDamaged) as refused:
            await store.examine(AMPLE_SECONDS)
    assert "\n" not in str(refused.value)
    assert f"{path} is damaged" in str(refused.value)
    assert "put back a copy" in str(refused.value)


async def test_what_is_found_after_the_start(path: Path) -> None:
    """The start did not wait for it. From then on the store is said not to work."""
    spoil_page(path, "history")
    async with CentralStore(f"sqlite:///{path}", noon) as store:
        with contextlib.suppress(CentralDamaged):
            await store.examine(0)
        examination = store.database._examination
        assert examination is not None
        examination._thread.join()
        with pytest.raises(CentralUnavailable, match="is damaged"):
            await store.ping()


async def test_a_whole_file(path: Path) -> None:
    """Nothing is found; a store is examined once."""
    async with CentralStore(f"sqlite:///{path}", noon) as store:
        await store.examine(AMPLE_SECONDS)
        await store.examine(AMPLE_SECONDS)
        await store.ping()
    assert (await verify(f"sqlite:///{path}")).problems == ()


async def test_an_index_that_lacks_a_row(path: Path) -> None:
    """A start does not compare indexes; verifying does."""
    spoil_index(path, index_of(path, "history"), "DELETE FROM history WHERE rowid = (SELECT min(rowid) FROM history)")
    async with CentralStore(f"sqlite:///{path}", noon) as store:
        await store.examine(AMPLE_SECONDS)
    with pytest.raises(
        CentralUnavailable, match=r"is damaged \(wrong # of entries in index|is damaged \(row \d+ missing"
    ) as found:
        await verify(f"sqlite:///{path}")
    assert found.value.is_damage


async def test_a_store_on_a_server_has_no_file(postgres_url: str) -> None:
    """The server looks after its own."""
    async with CentralStore(postgres_url, noon) as store:
        await store.examine(AMPLE_SECONDS)
        await store.database.check_whole()


def test_a_cell_of_another_type_is_a_row_that_is_damaged() -> None:
    """Such a row stops its account alone, and verifying names it."""
    rows = [
        ("*** in database main ***\nTree 4 page 4: btreeInitPage() returns error code 11",),
        ("NULL value in accounts.state",),
        ("TEXT value in grants.amount",),
        ("row 3 missing from index known",),
    ]
    assert findings_in(rows) == ["Tree 4 page 4: btreeInitPage() returns error code 11", "row 3 missing from index known"]
    assert findings_in([("ok",)]) == []
