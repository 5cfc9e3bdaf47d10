"""The stored form of what credentials spent on a few days."""

import msgspec

from creditmeter.core.metering.spending import Spent
from creditmeter.forms.body import Body, Form, form_of


@form_of(Spent)
class SpentForm(Body):
    """The cost of UTC days' charges, in microcredits, by the day and the id of a credential."""

    days: dict[int, dict[str, int]] = msgspec.field(default_factory=dict)


SPENT = Form(SpentForm, Spent)
