"""The stored forms of accounts, of their alerts and when these fired ahead of time, and of changes of their calendar."""

from creditmeter.core.credit.accounts import Account, AccountState, Alert
from creditmeter.core.credit.calendar import Period
from creditmeter.core.credit.schedule import CalendarChange
from creditmeter.core.instants import Instant
from creditmeter.forms.body import Body, Form, Stored, form_of


@form_of(Alert)
class AlertForm(Stored):
    """A threshold of low credit: microcredits, or percent."""

    amount: int = 0
    percent: int = 0


@form_of(Account)
class AccountForm(Body):
    """What is agreed with one account; amounts in microcredits."""

    account_id: str
    created_at: int
    plan_id: str | None = None
    time_zone: str = "UTC"
    anchor_day: int = 1
    state: AccountState = AccountState.ACTIVE
    overdraft_limit: int = 0
    max_open_reservations: int = 0
    max_reservation: int = 0
    offline_allowance: int = 0
    alerts: tuple[AlertForm, ...] = ()


@form_of(Period)
class PeriodForm(Stored):
    """One day or one month."""

    key: str
    starts_at: int
    ends_at: int


@form_of(CalendarChange)
class CalendarChangeForm(Body):
    """The last change of an account's calendar."""

    changed_at: int
    day: PeriodForm
    month: PeriodForm


ACCOUNT = Form(AccountForm, Account)
ALERTS = Form(tuple[AlertForm, ...], tuple[Alert, ...])
CALENDAR_CHANGE = Form(CalendarChangeForm, CalendarChange)
AHEAD = Form(tuple[int, ...], tuple[Instant, ...])
