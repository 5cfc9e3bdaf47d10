"""The variants of an image: a size and a quality, in any order and written in any way.

`1024x1024-high`, `HIGH 1024 x 1024` and `high_1024x1024` are one variant of two parts. A rate card may name a size, a quality
or both. Of the variants that a card has, the one that names the most parts of the image counts. If two name as many, it is the
dearer: nothing says which of them the provider charges by. A size that the card does not name makes no difference to it; any
other word that it does not name may be mistyped, so such a variant has no price.

OpenAI's sizes, qualities and `auto`: https://platform.openai.com/docs/api-reference/images/create.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

_SIZE = re.compile(r"(?<!\d)(\d+)\s*[x*\u00d7]\s*(\d+)(?!\d)")
_BETWEEN = re.compile(r"[-_\s,/]+")
_UNSAID = frozenset({"auto"})
"""What leaves a part to the provider."""


def parts_of(variant: str) -> frozenset[str]:
    """The parts of a variant, in lower case: its size as `1024x1024`, and each other word."""
    return frozenset(filter(None, _BETWEEN.split(_SIZE.sub(r" \1x\2 ", variant.lower()))))


def is_unsaid(variants: Mapping[str, Decimal], variant: str) -> bool:
    """Whether a call leaves the variant to the provider."""
    return not variant or (variant not in variants and parts_of(variant) == _UNSAID)


def known_parts(variants: Mapping[str, Decimal], variant: str) -> str:
    """What these variants name of a variant, written as one; empty if they name nothing of it."""
    known = frozenset().union(*map(parts_of, variants))
    return "-".join(sorted(parts_of(variant) & known))


def variant_price(variants: Mapping[str, Decimal], variant: str) -> Decimal | None:
    """The price of the variant that says the most of what this one does, in credits; None if none says any of it, or if it has
    a word that none of them has.
    """
    if variant in variants:
        return variants[variant]
    by_parts = [(parts_of(name), price) for name, price in variants.items()]
    known = frozenset().union(*(parts for parts, _ in by_parts))
    wanted = parts_of(variant) - (_UNSAID - known)
    if any(not _SIZE.fullmatch(part) for part in wanted - known):
        return None
    meant = [(len(parts), price) for parts, price in by_parts if parts and parts <= wanted]
    return max(meant)[1] if meant else None
