"""The stored form of what credentials spent on a day."""

import msgspec

from creditmeter.core.metering.spending import Spent
from creditmeter.forms.body import Body, Form, form_of


@form_of(Spent)
class SpentForm(Body):
    """The cost of a UTC day's charges, in microcredits, by the id of a credential."""

    day: int = 0
    amounts: dict[str, int] = msgspec.field(default_factory=dict)


SPENT = Form(SpentForm, Spent)
