"""Which account a reservation, charge or refund is of. Their ids have the account's key, from which its id cannot be told."""

from creditmeter.central.store import CentralStore
from creditmeter.core.ids import AccountId, ReservationId, origin_of
from creditmeter.journal.faults import AccountDamaged
from creditmeter.sidecar.books import Books


class AccountNames:
    """Finds the account of an id that a sidecar made: in the books if it is there, else at the central store."""

    def __init__(self, books: Books, central: CentralStore) -> None:
        self._books = books
        self._central = central

    def known(self, made_id: str) -> AccountId | None:
        """The account, as far as this sidecar knows it: of what is open, and of every reservation that it made. One that is in
        quarantine has a name, too.

        Raises:
            StorageUnavailable: the journal cannot be read.
        """
        origin = origin_of(made_id)
        if origin is None:
            return None
        book = self._books.find(origin.account_key)
        if book is not None:
            return book.account_id
        try:
            self._books.check(origin.account_key)
            reservation = self._books.reservation(ReservationId(made_id)) if origin.kind == "res" else None
        except AccountDamaged as damaged:
            return AccountId(damaged.account_id)
        return None if reservation is None else reservation.account_id

    async def find(self, made_id: str) -> AccountId | None:
        """The account; None if there is none.

        Raises:
            CentralUnavailable: this sidecar does not know, and the central store cannot be asked.
            StorageUnavailable: the journal cannot be read.
        """
        found, origin = self.known(made_id), origin_of(made_id)
        if found is not None or origin is None:
            return found
        return await self._central.reader.account_with_key(origin.account_key)
