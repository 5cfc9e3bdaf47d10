"""What a webhook is sent, to the letter. A delivery's row has it as text. The event's `type` tells its reader which fields
to expect.
"""

import msgspec

from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.core.ids import entry_id
from creditmeter.core.instants import to_datetime

EVENT_TYPE = "creditmeter.low_balance"


def low_balance_event(fired: LowBalance) -> str:
    """The event of an alert that fired, as JSON; amounts in microcredits."""
    kind, _, starts_on = fired.period.partition(" ")
    alert = fired.alert
    threshold = {"percent": alert.percent} if alert.percent else {"amount_microcredits": alert.amount}
    event = {
        "type": EVENT_TYPE,
        "timestamp": to_datetime(fired.fired_at).isoformat().replace("+00:00", "Z"),
        "data": {
            "account_id": fired.account_id,
            "threshold": threshold,
            "left_microcredits": fired.measure.left,
            "granted_microcredits": fired.measure.granted,
            "period": {"kind": kind, "starts_on": starts_on},
            "entry_id": entry_id(fired.account_id, fired.number),
        },
    }
    return msgspec.json.encode(event).decode()
