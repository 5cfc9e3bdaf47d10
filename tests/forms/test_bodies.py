"""What is stored stays what it was, whatever the core calls it; and what this program does not know is refused."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from creditmeter.core.credit.accounts import Account, AccountState
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.grants import GrantKind, GrantSource
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from creditmeter.core.prices.price_list import Operator
from creditmeter.core.values import Value, replace
from creditmeter.core.work import ChargeFlag, UsageSource, Work
from creditmeter.forms.accounts import ACCOUNT
from creditmeter.forms.administration import CENTRAL_REQUEST
from creditmeter.forms.answers import ANSWER
from creditmeter.forms.body import Body, BodyUnreadable, Form, Kinds, Stored, defaults_of, form_of
from creditmeter.forms.charges import CHARGE
from creditmeter.forms.labels import LABELS
from creditmeter.forms.requests import FIRST_REPLY, REQUEST
from creditmeter.forms.reservations import RESERVATION
from tests.forms.examples import ANSWERED, CHARGED, EXAMPLES, HELD, RESERVE, WORK, Example

PARTS = "creditmeter.forms.posted_charges"
"""The module of forms that have a part of what another one has."""

BODIES = Path(__file__).parent / "1"
WORDS: dict[type[Enum], str] = {
    AccountState: "ACTIVE SUSPENDED CLOSED",
    ChargeFlag: "FALLBACK_PRICE CONTRADICTORY_USAGE MINIMUM CAPPED ESTIMATED DUPLICATE UNKNOWN_TIER UNREAD_USAGE LIST_PRICE",
    GrantKind: "DAILY MONTHLY PERMANENT",
    GrantSource: "PLAN REFERRAL PROMOTION BONUS PURCHASE GOODWILL",
    Operator: "equals starts_with ends_with contains regex any all",
    RefundMode: "ORIGINAL GOODWILL",
    ReservationState: "HELD COMMITTED RELEASED EXPIRED",
    UsageSource: "PROVIDER PARTIAL_STREAM ESTIMATED",
}


@pytest.fixture(params=EXAMPLES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of an example, one after another."""
    return str(request.param)


@pytest.fixture
def example(name: str) -> Example:
    """The example."""
    return EXAMPLES[name]


def body_of(name: str) -> bytes:
    """The body of an example, as it was stored when the form was new."""
    return (BODIES / f"{name}.json").read_bytes().rstrip(b"\n")


def with_form(body: bytes, form: object) -> bytes:
    """A body with another number; what is a list without one is an object where it has one."""
    stored = json.loads(body)
    if isinstance(stored, list) and stored[0] == 1:
        return json.dumps([form, *stored[1:]], separators=(",", ":")).encode()
    return json.dumps((stored if isinstance(stored, dict) else {}) | {"form": form}).encode()


def values_in(value: Any) -> Iterator[Any]:
    """A value, and all values with fields in it."""
    if isinstance(value, Value) or is_dataclass(value):
        yield value
        for name in defaults_of(type(value)):
            yield from values_in(getattr(value, name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from values_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from values_in(item)


# Stored names.


def test_each_value_is_stored_as_it_was(name: str, example: Example) -> None:
    """To the byte: every name, the order, and how amounts, moments, prices and words are written."""
    assert example.encode(example.value) == body_of(name)


def test_each_body_is_read_as_what_it_was(name: str, example: Example) -> None:
    """Whatever the value and its fields are called now."""
    assert example.decode(body_of(name)) == example.value


def test_there_is_an_example_of_each_body() -> None:
    """And a body of each example."""
    assert {each.stem for each in BODIES.iterdir()} == EXAMPLES.keys()


def test_examples_have_every_form_and_every_field() -> None:
    """No field has its default in all examples: a body without it would look the same."""
    found = [each for example in EXAMPLES.values() for each in values_in(example.value)]
    assert set(forms()) == {each for example in EXAMPLES.values() for each in forms_in(example.stored, set())}
    defaults = {(type(each), name): default for each in found for name, default in defaults_of(type(each)).items()}
    assert [key for key, default in defaults.items() if all(is_at(each, key, default) for each in found)] == []


def forms() -> Iterator[type[Stored]]:
    """All forms of whole values that the program has."""
    waiting: list[type[Stored]] = [Stored]
    while waiting:
        found = waiting.pop().__subclasses__()
        waiting += found
        whole = (each for each in found if not each.__name__.startswith("_") and each is not Body)
        yield from (each for each in whole if each.__module__.startswith("creditmeter.") and each.__module__ != PARTS)


def forms_in(stored: Any, seen: set[type[Stored]]) -> set[type[Stored]]:
    """The forms that a type has in it, itself too, added to those that were seen."""
    if isinstance(stored, type) and issubclass(stored, Stored):
        if stored not in seen:
            seen.add(stored)
            for each in msgspec.structs.fields(stored):
                forms_in(each.type, seen)
        return seen
    for part in get_args(stored):
        forms_in(part, seen)
    return seen


def is_at(value: Any, key: tuple[type, str], default: object) -> bool:
    """Whether a value is of another class, or has its default in the field."""
    return type(value) is not key[0] or getattr(value, key[1]) == default


@pytest.mark.parametrize("words", WORDS)
def test_words_of_an_enum_are_stored_words(words: type[Enum]) -> None:
    """A member may be renamed, its value may not be changed."""
    assert " ".join(each.value for each in words) == WORDS[words]


# Names of the core.


@dataclass(frozen=True)
class Renamed:
    """A value of the core whose field `size` was called `length` when bodies were written first."""

    size: int
    colour: str = "red"


@form_of(Renamed)
class RenamedForm(Body):
    """Its form."""

    size: int = msgspec.field(name="length")
    colour: str = "red"


def test_a_renamed_field_keeps_its_stored_name() -> None:
    """Bodies that were written before the renaming are read, and new ones look the same."""
    form = Form(RenamedForm, Renamed)
    assert form.encode(Renamed(3, "blue")) == b'{"length":3,"colour":"blue"}'
    assert form.decode(b'{"length":3}') == Renamed(3)


def test_a_form_has_the_fields_of_its_value() -> None:
    """A field that was renamed, added or dropped in the core alone is found as the program starts."""

    class Forgetful(Body):
        size: int = 0

    with pytest.raises(AssertionError, match="Forgetful and Renamed differ in colour"):
        form_of(Renamed)(Forgetful)


def test_a_form_has_the_defaults_of_its_value() -> None:
    """A body that leaves a field out means what the core means by that."""

    class Another(Body):
        size: int
        colour: str = "blue"

    class Optional(Body):
        size: int = 0
        colour: str = "red"

    for form, name in ((Another, "colour"), (Optional, "size")):
        with pytest.raises(AssertionError, match=f"{form.__name__} and Renamed differ in {name}"):
            form_of(Renamed)(form)


# Numbers of forms.


@pytest.mark.parametrize("form", [0, 2, 99])
def test_a_body_of_an_unknown_form_is_refused(name: str, example: Example, form: int) -> None:
    """Even if all its fields could be read."""
    with pytest.raises(BodyUnreadable, match=f"its form is {form}, and this program knows form 1 alone"):
        example.decode(with_form(body_of(name), form))


def test_the_number_of_a_form_is_a_number() -> None:
    """Anything else is damage."""
    with pytest.raises(BodyUnreadable, match=r"\$\.form"):
        ACCOUNT.decode(with_form(body_of("account"), "1"))


def test_a_body_may_say_that_it_is_of_form_1() -> None:
    """It is the same then as one that does not say it."""
    assert ACCOUNT.decode(with_form(body_of("account"), 1)) == EXAMPLES["account"].value


def test_a_body_inside_another_one_has_a_number_of_its_own() -> None:
    """One of an unknown form is refused, wherever it stands."""
    newer = body_of("first_reply").replace(b'"release_reason"', b'"form":2,"release_reason"')
    with pytest.raises(BodyUnreadable, match=r"\$\.reservation\.form"):
        FIRST_REPLY.decode(newer)


def test_a_label_may_be_called_form() -> None:
    """Labels have the caller's own keys, and no number."""
    labels = {"form": "2"}
    assert LABELS.decode(LABELS.encode(labels)) == labels


def test_a_field_that_a_form_does_not_have_is_left_out_of_account() -> None:
    """A newer program may add one to a form, with a default, as long as older ones may overlook it."""
    added = body_of("account").replace(b'{"account_id"', b'{"added":[1],"account_id"', 1)
    assert ACCOUNT.decode(added) == EXAMPLES["account"].value


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"null", b'{"account_id":1}', b"\xff", b'{"account_id":"a"}'])
def test_a_damaged_body_is_refused(damaged: bytes) -> None:
    """The fault says what is wrong with it."""
    with pytest.raises(BodyUnreadable, match=r".+"):
        ACCOUNT.decode(damaged)


def test_what_the_core_could_not_have_made_is_found() -> None:
    """Rules that hold of every value hold of those that are read."""
    with pytest.raises(AssertionError, match="parts make up its cost"):
        EXAMPLES["charge"].decode(body_of("charge").replace(b'"cost":49', b'"cost":50'))


# Kinds.


@pytest.mark.parametrize("kinds", [REQUEST, CENTRAL_REQUEST])
def test_an_unknown_kind_is_refused(kinds: Kinds[Any]) -> None:
    """Its body says nothing without it."""
    with pytest.raises(BodyUnreadable, match="its kind 'Borrow' is not known"):
        kinds.decode("Borrow", body_of("Reserve"))


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        (REQUEST, "Reserve Extend Commit Release ChargeNow RefundCharge"),
        (CENTRAL_REQUEST, "CreateAccount UpdateAccount GrantCredits VoidGrant RefundCharge"),
    ],
)
def test_kinds_have_stored_names(kinds: Kinds[Any], names: str) -> None:
    """A kind is stored under its example's name, whatever its class is called."""
    assert [kinds.name(EXAMPLES[each].value) for each in names.split()] == names.split()


# Older bodies.


def test_an_account_of_an_older_body_has_defaults() -> None:
    """What was added to form 1 later."""
    assert ACCOUNT.decode(b'{"account_id":"a","created_at":1}') == Account(AccountId("a"), Instant(1))


def test_no_stream_meters_the_call_of_an_older_body() -> None:
    """Of a reservation, and of a Reserve. Nor is it known who opened the reservation."""
    stored, asked = json.loads(body_of("reservation")), json.loads(body_of("Reserve"))
    del stored["metered"], stored["credential_id"], asked["is_metered"]
    assert RESERVATION.decode(json.dumps(stored).encode()) == replace(HELD, metered=None, credential_id="")
    assert REQUEST.decode("Reserve", json.dumps(asked).encode()) == replace(RESERVE, is_metered=False)


def test_an_answer_of_an_older_body_names_nobody() -> None:
    """Who was awaited was not stored."""
    body = b"".join(ANSWER.encode(ANSWERED).partition(b',"awaited"')[:1]) + b"}"
    assert ANSWER.decode(body) == replace(ANSWERED, awaited=())


def test_a_charge_of_an_older_body_has_defaults() -> None:
    """No responses of its own, nothing unread, no cost that its provider reported, no moment of its prices, no stand-in, and
    nobody who is known to have made it.
    """
    added = ("priced_parts", "unread", "reported_cost_usd", "priced_at", "stand_in", "credential_id")
    stored = json.loads(body_of("charge"))
    older = {name: value for name, value in stored.items() if name not in added}
    assert older.keys() | set(added) == stored.keys()
    expected = replace(
        CHARGED, priced_parts=(), unread=(), reported_cost_usd=None, priced_at=None, stand_in=None, credential_id=""
    )
    assert CHARGE.decode(json.dumps(older).encode()) == expected


def test_a_response_of_an_older_body_has_defaults() -> None:
    """What served it but for the tier, and what was reported of it, it does not say."""
    stored = json.loads(body_of("charge"))
    added = ("speed", "region", "search_type", "reported_cost_usd")
    assert stored["priced_parts"][1].keys() >= set(added)
    for part in stored["priced_parts"]:
        for name in added:
            part.pop(name, None)
    first, second = CHARGED.priced_parts
    older = replace(second, speed="", region="", search_type="", reported_cost_usd=None)
    assert CHARGE.decode(json.dumps(stored).encode()) == replace(CHARGED, priced_parts=(first, older))


def test_work_of_an_older_body_has_defaults() -> None:
    """It says of no token that it may cost more than plain input."""
    added = (
        "cache_creation_input_tokens",
        "cache_creation_1h_input_tokens",
        "units",
        "audio_input_tokens",
        "image_input_tokens",
    )
    stored = json.loads(body_of("reservation"))
    assert stored["work"].keys() >= set(added)
    stored["work"] = {name: value for name, value in stored["work"].items() if name not in added}
    assert RESERVATION.decode(json.dumps(stored).encode()) == replace(
        HELD, work=Work(*(getattr(WORK, name) for name in Work.__struct_fields__ if name not in added))
    )
