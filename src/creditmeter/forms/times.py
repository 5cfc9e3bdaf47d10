"""The stored form of what is known of the time of day."""

from creditmeter.core.clocks import KeptTime
from creditmeter.forms.body import Body, Form, form_of


@form_of(KeptTime)
class KeptTimeForm(Body):
    """How far the time of day is from a machine's clocks, in microseconds."""

    boot_id: str
    offset: int
    error: int
    at: int
    correction: int = 0
    is_stores: bool = True
    own_steps: int = 0


KEPT_TIME = Form(KeptTimeForm, KeptTime)
