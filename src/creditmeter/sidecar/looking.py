"""Messages at which the central store looks before they are sent: those that do nothing but ask, and are likely to be refused.

A look writes nothing there. So callers that keep asking for credit that an account does not have cost it no transaction that
writes. What a message reports beside its need makes it more than that, and so does a lease that is to be renewed.
"""

from creditmeter.core.credit.leases import Moment
from creditmeter.core.credit.messages import Message
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.composing import are_trusted

REFUSED_REPORTED_WITHIN = Span(10 * SECOND)
"""A refusal for lack of credit is part of the account's next message that is sent. After this long a message of its own reports
it, with all others of its account.
"""


def only_asks(book: Book, message: Message, at: Moment, lease_ttl: Span) -> bool:
    """Whether a message about a book only asks for credit that requests need: it posts nothing, is not the sidecar's last, and
    neither leases nor refused calls need it now.

    Leases are renewed in the second half of their time.
    """
    if message.need is None or not message.need.required or not message.authorises:
        return False
    first_refused = min((each.refused_at for each in message.refused), default=at.now)
    if message.charges or message.refunds or first_refused + REFUSED_REPORTED_WITHIN <= at.now:
        return False
    return are_trusted(book, Span(at.boot + lease_ttl // 2))
