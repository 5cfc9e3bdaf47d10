"""Pages of reservations, while they are made, end and leave their books."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import AccountId, ReservationId
from creditmeter.core.instants import MINUTE, Instant
from creditmeter.core.metering.listing import Listing, MadeAt, ReservationQuery, made_at
from creditmeter.core.values import replace
from tests.core.builders import reservation

ACCOUNTS = [AccountId("a"), AccountId("b"), AccountId("ab")]

Step = tuple[str, int, int, int]
"""What is done, to which reservation, of which account, and the moment at which it is made if it is new."""

steps = st.tuples(st.sampled_from(["hold", "hold", "end", "drop"]), st.integers(0, 30), st.integers(0, 2), st.integers(0, 4))


class Model:
    """A listing, and beside it a plain dictionary of what it has to have."""

    def __init__(self) -> None:
        self.listing = Listing()
        self.reservations: dict[ReservationId, Reservation] = {}
        self.changed: set[ReservationId] = set()

    def take(self, step: Step) -> None:
        """Change both."""
        what, number, account, moment = step
        name = ReservationId(f"r{number}")
        known = self.reservations.get(name)
        if what == "hold" and known is None:
            made = reservation(name, (), created=Instant(moment), expires=Instant(MINUTE))
            self._put(replace(made, account_id=ACCOUNTS[account]))
        elif what == "end" and known is not None and known.state is ReservationState.HELD:
            self._put(known.end(ReservationState.RELEASED, Instant(9)))
        elif what == "drop" and known is not None:
            del self.reservations[name]
            self.changed.add(name)
            self.listing.drop(name)

    def _put(self, new: Reservation) -> None:
        self.reservations[new.reservation_id] = new
        self.changed.add(new.reservation_id)
        self.listing.put(new)

    def pages(self, account_id: AccountId | None, state: ReservationState | None, size: int) -> Iterator[list[Reservation]]:
        """The pages of a listing, each looked for when the one before it was taken."""
        before: MadeAt | None = None
        while page := self.listing.newest(ReservationQuery(account_id, state, size, before)):
            yield page
            before = made_at(page[-1])


@given(
    st.lists(steps, max_size=60),
    st.lists(st.lists(steps, max_size=5), max_size=10),
    st.sampled_from([None, *ACCOUNTS]),
    st.sampled_from([None, *ReservationState]),
    st.integers(1, 7),
)
def test_no_page_has_one_twice_or_leaves_one_out(
    first: list[Step],
    between: list[list[Step]],
    account_id: AccountId | None,
    state: ReservationState | None,
    size: int,
) -> None:
    """Whatever changes between two pages: what was there throughout is on one of them, and each page is what it has to be."""
    model = Model()
    for step in first:
        model.take(step)
    model.changed.clear()
    wanted = ReservationQuery(account_id, state, size)
    there = {each.reservation_id for each in model.reservations.values() if wanted.has(each)}
    found: list[Reservation] = []
    for number, page in enumerate(model.pages(account_id, state, size)):
        assert all(model.reservations[each.reservation_id] == each for each in page)
        found += page
        for step in between[number] if number < len(between) else ():
            model.take(step)
    places = [made_at(each) for each in found]
    assert places == sorted(set(places), reverse=True)
    assert there - model.changed <= {each.reservation_id for each in found}
