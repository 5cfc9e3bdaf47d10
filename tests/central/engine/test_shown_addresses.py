"""The address of a store as it is shown: what may be a password is not in it."""

import pytest

from creditmeter.central.engine.database import Database, parse_url, shown_address
from creditmeter.central.schema.migrating import owners_address

SECRET = "Zsecret"
WITH_SECRET = (
    f"postgresql://u:{SECRET}@h:1/db",
    f"postgresql://u:%5A{SECRET[1:]}@h:1/db",
    f"postgresql://u@h:1/db?password={SECRET}",
    f"postgresql://u@h:1/db?PASSWORD={SECRET}",
    f"postgresql://u@h:1/db?pass%77ord={SECRET}",
    f"postgresql://u@h:1/db?sslpassword={SECRET}&sslmode=verify-full",
    f"postgresql://u@h:1/db?passwd={SECRET}",
    f"postgresql://u@h:1/db?passfile=/run/{SECRET}",
    f"postgresql://u@h:1/db?options=-c%20x={SECRET}",
    f"postgresql://u@h:1/db;password={SECRET}",
    f"postgresql://u@h:1/db%3Fpassword={SECRET}",
    f"postgresql://u@/db?host=h:1&password={SECRET}&password={SECRET}2",
)


@pytest.mark.parametrize("address", WITH_SECRET)
def test_no_password_is_shown(address: str) -> None:
    """Wherever it stands, also where it does not belong; and to the owner of the database neither."""
    for shown in (shown_address(parse_url(address)), owners_address(Database(address))):
        assert SECRET not in shown
        assert SECRET[1:] not in shown
        assert "/db" in shown


def test_what_helps_to_find_the_store_is_shown() -> None:
    """The user, the hosts, the name, and how the connection is secured."""
    address = "postgresql://u:x@/db?host=one:1&host=two:2&sslmode=verify-full"
    assert shown_address(parse_url(address)) == "postgresql://u:***@/db?host=one%3A1&host=two%3A2&sslmode=verify-full"


@pytest.mark.parametrize("address", [f"mysql://u:{SECRET}@h/db", f"postgresql:u:{SECRET}@h", f"postgresql://u:{SECRET}@h:x/db"])
def test_what_is_no_address_is_not_repeated(address: str) -> None:
    """It may have a password anywhere."""
    with pytest.raises(Exception, match=r".") as refused:
        parse_url(address)
    assert SECRET not in str(refused.value)
