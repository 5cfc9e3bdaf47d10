"""Which plan would have been enough for what an account did.

A plan gives credit each local day and each month of the account, and neither rolls over; daily credit is used before monthly.
So a month sees no refusal exactly if what its days need beyond the daily credit adds up to no more than the monthly credit:
the order of the calls within a day does not matter, and a day's sum is all that has to be kept of them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from creditmeter.core.credit.accounts import Plan
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.instants import Instant

DAYS_OF_A_MONTH = 30
"""Plans are compared by what they give in a month of so many days."""


def size(plan: Plan) -> int:
    """What a plan gives in a month, in microcredits."""
    return plan.daily * DAYS_OF_A_MONTH + plan.monthly


def is_enough(plan: Plan, needs: Mapping[Instant, int], schedule: Schedule) -> bool:
    """Whether a plan alone, without permanent grants, would have paid for what each day (by its start) needed, in microcredits.

    A month that had begun before the first day has its whole monthly credit.
    """
    beyond: Counter[Instant] = Counter()
    for day, need in needs.items():
        beyond[schedule.month_at(day).starts_at] += max(0, need - plan.daily)
    return all(needed <= plan.monthly for needed in beyond.values())


def smallest_plan(plans: Iterable[Plan], needs: Mapping[Instant, int], schedule: Schedule) -> Plan | None:
    """The smallest plan that would have been enough, the first by id of those that are equally large; None if none would."""
    ordered = sorted(plans, key=lambda each: (size(each), each.plan_id))
    return next((each for each in ordered if is_enough(each, needs, schedule)), None)
