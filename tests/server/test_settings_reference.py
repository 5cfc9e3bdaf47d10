"""What people read of the settings: the table in the documentation, and values without what is secret in them."""

import re
from pathlib import Path

import pytest

from creditmeter.server.config import Settings
from creditmeter.server.setting_values import HIDDEN
from creditmeter.server.settings_reference import described, markdown_table, plain_in_use, text_in_use
from tests.central.addresses import ODD_ADDRESSES, PARTS

DOCS = Path(__file__).parents[2] / "docs"
SECRET = "whsec_" + "QUJD" * 11


def test_the_table_in_the_documentation() -> None:
    """It is what scripts/generate-settings writes."""
    page = (DOCS / "operation.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- settings: [^\n]*-->\n(.*)\n<!-- end of settings -->", page, re.DOTALL)
    assert found is not None
    assert found[1] == markdown_table()


def test_every_default_may_be_written() -> None:
    """What help and documentation show as a default is taken, and is the default."""
    shown = {each.name: each.default for each in described() if Settings.known()[each.name].default is not None}
    assert Settings.load(None, **shown) == Settings()


@pytest.mark.parametrize("name", Settings.known())
def test_every_setting_is_described(name: str) -> None:
    """In a sentence, with a default, and with a word for what its option takes unless it is a flag."""
    (found,) = (each for each in described() if each.name == name)
    assert found.meaning.endswith(".")
    assert found.default
    assert bool(found.metavar) == (not isinstance(Settings.known()[name].default, bool))


def test_values_are_shown_without_what_is_secret() -> None:
    """For people and for programs."""
    found = Settings.load(
        None,
        central="postgresql://me:hunter2@db:5433/credits",
        alert_webhook_url="https://me:hunter2@example.com:8443/hunter2?key=hunter2",
        alert_webhook_secret=SECRET,
    )
    shown = {name: (text_in_use(found, name), plain_in_use(found, name)) for name in Settings.known()}
    assert "hunter2" not in str(shown)
    assert SECRET[6:] not in str(shown)
    assert shown["central"] == ("postgresql://me:***@db:5433/credits",) * 2
    assert shown["alert_webhook_url"] == ("https://example.com:8443/…",) * 2
    assert shown["alert_webhook_secret"] == (HIDDEN,) * 2


@pytest.mark.parametrize("central", [*ODD_ADDRESSES, "postgresql://db/x?password=hunter2"])
def test_a_password_in_an_odd_place(central: str) -> None:
    """Is not shown either."""
    found = Settings.load(None, central=central)
    shown = f"{text_in_use(found, 'central')} {plain_in_use(found, 'central')}"
    assert not [part for part in PARTS if part in shown]


def test_values_are_those_that_are_used(tmp_path: Path) -> None:
    """Paths from the root on, durations with units, and what holds where nothing is set."""
    found = Settings.load(None, data_dir=tmp_path, lease_ttl="5400", socket_mode="600", listen="a:1,b:2")
    text = {name: text_in_use(found, name) for name in Settings.known()}
    plain = {name: plain_in_use(found, name) for name in Settings.known()}
    assert text["central"] == plain["central"] == f"sqlite:///{tmp_path}/central.db"
    assert (text["lease_ttl"], plain["lease_ttl"]) == ("1h30m", 5400)
    assert (text["socket_mode"], plain["socket_mode"]) == ("0600", "0600")
    assert (text["listen"], plain["listen"]) == ("a:1,b:2", ["a:1", "b:2"])
    assert (text["rate_card"], plain["rate_card"]) == ("the package's own", None)
    assert (text["enable_admin"], plain["enable_admin"]) == ("false", False)
