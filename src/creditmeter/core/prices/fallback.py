"""Which model a call is priced by, and which one stands in for a model that has no price.

A call that was made is priced by the model that served it. If that has no price, others stand in, because what was used is a
fact and has to be charged: the model that was asked for, the one that was reserved and the card's `fallback`. The dearest of
them counts, so that a name that nobody knows never makes a call cheaper.
"""

from collections.abc import Iterator

from creditmeter.core.prices.providers import price_list_name
from creditmeter.core.prices.rate_card import IMAGE, RateCard, TextRule
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage, Work


def priced_model(call: Work | Usage) -> tuple[str, str]:
    """The provider, as price lists name it, and the model: the one that served the call if it is known, or else the one that
    was asked for. Either is empty if the call does not name it.
    """
    served = call.response_model if isinstance(call, Usage) else ""
    return price_list_name(call.provider), served or call.request_model


def text_rule(
    card: RateCard, call: Work | Usage, *, by_fallback: bool = True
) -> tuple[TextRule | None, tuple[ChargeFlag, ...]]:
    """The rule of the call's model, without a flag; or else that of the card's fallback, with the flag that says so.

    None if the model has no price, and the card has no fallback or `by_fallback` is false.
    """
    rule = card.text_rule(*priced_model(call))
    if rule is None and by_fallback and card.fallback:
        return card.text_rule("", card.fallback), (ChargeFlag.FALLBACK_PRICE,)
    return rule, ()


def stand_ins(card: RateCard, usage: Usage, work: Work | None) -> Iterator[Usage]:
    """The usages that may stand in for one that has no price: at the model that was asked for, in the variant that was
    reserved, and as the reserved work describes it. Of images that nothing was reserved for, in each variant of the model.
    """
    if usage.response_model and usage.request_model:
        yield replace(usage, response_model="")
    if work is not None and work.action == usage.action:
        yield replace(usage, variant=work.variant)
        yield replace(usage, provider=work.provider, request_model=work.request_model, response_model="", variant=work.variant)
    elif usage.action == IMAGE and (rule := card.image_rule(*priced_model(usage))) is not None:
        yield from (replace(usage, variant=variant) for variant in ("", *rule.variants))
