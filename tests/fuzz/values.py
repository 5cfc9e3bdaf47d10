"""Values at and beyond each bound, for fields of any type."""

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from creditmeter.core.amounts import MAX_AMOUNT
from tests.core.prices.reports import CHAT, GEMINI, GROK, IMAGES, MESSAGE

LONE = "\1\2\3"
"""Stands for a lone surrogate, whose bytes no text of a message can have. They are put in its place in the request's bytes."""

LONE_BYTES = b"\xed\xa0\x80"

INTEGERS = [
    *(sign * (2**bits) + more for bits in (7, 15, 31, 32, 53, 62) for sign in (1, -1) for more in (-1, 0, 1)),
    *(
        0,
        1,
        -1,
        2**63 - 1,
        -(2**63),
        10**9,
        10**9 + 1,
        MAX_AMOUNT,
        MAX_AMOUNT + 1,
        9 * 10**18,
        16,
        17,
        50,
        100,
        101,
        1_000,
        1_001,
    ),
]
SECONDS = [0, 1, -1, 59, 61, 3_600, 86_400, 1_600_000_000, 4_000_000_000, 253_402_300_799, 253_402_300_800, -62_135_596_800]
SECONDS += [-62_135_596_801, 315_576_000_000, 315_576_000_001, -315_576_000_001, 2**63 - 1, -(2**63)]
NANOS = [0, 0, 0, 1, 999, 1_000, 999_999_999, 1_000_000_000, -1, -999_999_999, 2**31 - 1, -(2**31)]
LENGTHS = [1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 4_096, 65_535, 65_536, 65_537, 200_000]
TEXTS = [
    "",
    " ",
    "\0",
    "a\0b",
    LONE,
    "NaN",
    "-Infinity",
    "1e999999",
    "0x10",
    "-0",
    "None",
    "null",
    "{}",
    "[]",
    '"',
    "'; DROP TABLE accounts; --",
    "%s%n%d{}{0}{x.__class__}",
    "../../../etc/passwd",
    "line\nbreak",
    '\n{"event": "forged"}',
    "\r\n\t\x1b[31m\x7f",
    "\N{SNOWMAN}",
    "\N{RIGHT-TO-LEFT OVERRIDE}abc",
    "e\N{COMBINING ACUTE ACCENT}" * 20,
    "\N{PILE OF POO}" * 40,
    "\N{NO-BREAK SPACE}",
    "\ufeff",
    "\uffff",
    "\N{FULLWIDTH DIGIT ONE}",
    "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}",
]
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Africa/Cairo",
    "Pacific/Apia",
    "America",
    "../UTC",
    "/etc/localtime",
    "posixrules",
    "localtime",
]
ZONES += [
    "Factory",
    "utc",
    "UTC\0",
    "Etc/GMT+25",
    "Etc/GMT-14",
    "",
    ".",
    "..",
    "a" * 300,
    "zone.tab",
    "right/UTC",
    "posix/UTC",
    LONE,
]
DOCUMENTS: list[Any] = [
    CHAT,
    MESSAGE,
    GEMINI,
    GROK,
    IMAGES,
    {"id": "c1", "object": "chat.completion", "model": "gpt-4o-mini", "usage": CHAT},
    [
        {"id": f"r{number}", "model": "gpt-5", "usage": {"input_tokens": 150_000, "output_tokens": number}}
        for number in range(3)
    ],
    [
        {"type": "message_start", "message": {"id": "m", "model": "claude-sonnet-4-5", "usage": MESSAGE}},
        {"type": "message_delta", "usage": {"output_tokens": 550}},
    ],
    {"usageMetadata": GEMINI, "modelVersion": "gemini-2.5-flash"},
    {"usage": {"promptTokens": 150, "completionTokens": 30}, "providerMetadata": {"anthropic": {"cacheReadInputTokens": 100}}},
    {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50},
    {"prompt_tokens": 194, "completion_tokens": 20, "cost": 0.95, "cost_details": {"upstream_inference_cost": 19}},
    {"id": "r", "model": "grok-4", "usage": GROK, "server_side_tool_usage": {"SERVER_SIDE_TOOL_WEB_SEARCH": 2}},
]
_LEAVES: list[Any] = [
    None,
    True,
    0,
    -1,
    0.5,
    1e308,
    2**63,
    10**30,
    10**4_000,
    "",
    "12",
    "NaN",
    "\ud800",
    "\0",
    [],
    {},
    [[]],
    {"": {}},
]
_RAW = [
    "NaN",
    "Infinity",
    "1e999999",
    "-1e-999999",
    "0" * 50,
    "1" * 5_000,
    "1" * 60_000,
    '"\\ud800"',
    "tru",
    "'x'",
    "// x",
    '{"a":1,"a":2}',
]
CARD = """version = "{version}"
effective_from = 2099-01-01T00:00:00Z
increment = "0.001"
free = ["view"]

[text]
source = "genai-prices"
markup = "1.2"

[[text.models]]
model = "house-model"
input = 1
output = 2

[tiers]
flex = "0.5"

[fees]
web_searches = 10
"""
_TOML = [
    "nan",
    "-inf",
    "1e400",
    "9" * 5_000,
    "1979-13-99",
    "2099-01-01T00:00:00",
    '"',
    "[",
    "{a.b.c = 1}",
    "''",
    "true",
    "-1",
    "0.1e-9999",
]
_PATHS = [
    "plan_id",
    "time_zone",
    "state",
    "alerts",
    "created_at",
    "account_id",
    "*",
    "",
    "alerts.amount_microcredits",
    "a.b",
    LONE,
]


def an_integer(random: Random) -> int:
    """At a bound of some field or type, or near one."""
    return random.choice(INTEGERS) if random.random() < 0.8 else random.randint(-(2**63), 2**63 - 1)


def a_text(random: Random) -> str:
    """Odd, or as long as a bound or longer."""
    if random.random() < 0.7:
        return random.choice(TEXTS)
    return random.choice(["x", "\N{SNOWMAN}", " ", "\0", "("]) * random.choice(LENGTHS)


def mutated_text(random: Random, text: str) -> str:
    """A text with something changed: cut, doubled, in capitals, with another character."""
    if not text:
        return a_text(random)
    at = random.randrange(len(text))
    return random.choice(
        [
            text[:at],
            text[at:],
            text[:at] + random.choice(["-", "a", "\0", LONE, "\N{SNOWMAN}", " ", "=", "/", "~"]) + text[at + 1 :],
            text + text[at:],
            text.upper(),
            text + random.choice(TEXTS),
            text.replace("res-", "chg-").replace("ref-", "res-"),
        ]
    )


def a_report(random: Random) -> str:
    """What a provider reported, now and then as it would."""
    document = random.choice(DOCUMENTS)
    if random.random() < 0.35:
        return json.dumps(document)
    if random.random() < 0.25:
        return _nested(random, '[{"a":', "[", '{"usage":', '{"response":', '"\\')
    text = json.dumps(_changed(random, document))
    if random.random() < 0.3:
        numbers = [at for at, each in enumerate(text) if each.isdigit()]
        at = random.choice(numbers) if numbers else 0
        text = text[:at] + random.choice(_RAW) + text[at + 1 :]
    return mutated_text(random, text) if random.random() < 0.2 else text


def a_card(random: Random, version: str) -> str:
    """A rate card, mostly one that is none."""
    text = CARD.format(version=version)
    chance = random.random()
    if chance < 0.3:
        return text
    if chance < 0.45:
        return text + "\nx = " + _nested(random, "[", "{a=", "{a.b=")
    lines = text.splitlines()
    at = random.randrange(1, len(lines))  # not the version: each takes megabytes of the sidecar
    key = lines[at].partition("=")[0]
    lines[at] = random.choice(
        [f"{key}= {random.choice(_TOML)}", "", lines[at] * 2, f"[{'a.' * 2_000}a]", mutated_text(random, lines[at])]
    )
    return "\n".join(lines)


def _nested(random: Random, *opened: str) -> str:
    return random.choice(opened) * random.choice([10, 100, 1_000, 10_000, 20_000])


def _changed(random: Random, value: Any) -> Any:
    """A document in which something is otherwise, at any depth."""
    if random.random() < 0.15:
        return random.choice(_LEAVES)
    if isinstance(value, Mapping) and value:
        key = random.choice(list(value))
        changed = dict(value)
        changed[key] = _changed(random, value[key])
        if random.random() < 0.2:
            changed[random.choice(list(value))] = random.choice(_LEAVES)
        return changed
    if isinstance(value, list) and value:
        at = random.randrange(len(value))
        longer = value * random.choice([1, 1, 2, 300])
        return [*longer[:at], _changed(random, value[at]), *longer[at + 1 :]]
    return random.choice(_LEAVES)


_Of = Callable[[Random], Any]
BY_NAME: Mapping[str, _Of] = {
    "time_zone": lambda random: random.choice(ZONES),
    "provider_usage_json": a_report,
    "document": lambda random: a_card(random, f"v{random.randrange(3)}"),
    "paths": lambda random: random.choice(_PATHS),
    "seconds": lambda random: random.choice(SECONDS),
    "nanos": lambda random: random.choice(NANOS),
}
"""Values of fields that have a meaning of their own."""

_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}


def a_value(random: Random, field: FieldDescriptor) -> Any:
    """A value that a field of this type can have, of no message type."""
    if field.name in BY_NAME:
        return BY_NAME[field.name](random)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM and random.random() < 0.6:
        assert field.enum_type is not None
        return random.choice(field.enum_type.values).number
    if field.cpp_type in _BITS:
        least, most = _BITS[field.cpp_type]
        return min(max(an_integer(random), least), most)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return random.random() < 0.5
    if field.cpp_type in _FLOATS:
        return random.choice([0.0, -0.0, 1.5, float("nan"), float("inf"), 1e308])
    text = a_text(random)
    return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
