"""Which plan would have been enough for what an account did.

A plan gives credit each local day and each month of the account. Neither rolls over, and daily credit is used before monthly.
So a plan fits a month exactly if what its days need beyond the daily credit adds up to no more than the monthly credit. The
order of the calls within a day does not matter: the sum of each day is enough.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from creditmeter.core.credit.accounts import Plan
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.instants import Instant

DAYS_OF_A_MONTH = 30
"""Days of the month by whose credit plans are compared."""


def size(plan: Plan) -> int:
    """What a plan gives in a month, in microcredits."""
    return plan.daily * DAYS_OF_A_MONTH + plan.monthly


def fits(plan: Plan, needs: Mapping[Instant, int], schedule: Schedule) -> bool:
    """Whether a plan alone, without permanent grants, would have paid for `needs`: microcredits by the start of the local day.

    A month that had begun before the first day has its whole monthly credit.
    """
    beyond: Counter[Instant] = Counter()
    for day, need in needs.items():
        beyond[schedule.month_at(day).starts_at] += max(0, need - plan.daily)
    return all(needed <= plan.monthly for needed in beyond.values())


def smallest_plan(plans: Iterable[Plan], needs: Mapping[Instant, int], schedule: Schedule) -> Plan | None:
    """The smallest plan that fits `needs`, of equally large ones the first by id; None if no plan fits."""
    ordered = sorted(plans, key=lambda each: (size(each), each.plan_id))
    return next((each for each in ordered if fits(each, needs, schedule)), None)
