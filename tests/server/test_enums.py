"""The enums of the core and of the contract have the same values, by name."""

from enum import Enum
from typing import Any

import pytest

from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.cost_lines import PriceSource
from creditmeter.core.credit.grants import GrantKind, GrantSource
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.holders import SidecarState
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.prices.explaining import Outcome
from creditmeter.core.prices.price_table import Unit
from creditmeter.core.prices.rate_card import CostBasis
from creditmeter.core.reports.findings import Reason
from creditmeter.core.reports.usage_summary import Dimension
from creditmeter.core.work import ChargeFlag, UsageSource
from creditmeter.server.enums import number_of, value_of
from creditmeter.sidecar.status import Condition
from creditmeter.v1 import account_pb2, admin_pb2, charges_pb2, explanations_pb2, grants_pb2, reservations_pb2, work_pb2

PAIRS: list[tuple[Any, type[Enum]]] = [
    (account_pb2.CostBasis, CostBasis),
    (account_pb2.ForecastReason, Reason),
    (account_pb2.HistoryType, EntryType),
    (account_pb2.PriceUnit, Unit),
    (account_pb2.UsageDimension, Dimension),
    (admin_pb2.AccountState, AccountState),
    (admin_pb2.SidecarState, SidecarState),
    (charges_pb2.ChargeFlag, ChargeFlag),
    (charges_pb2.RefundMode, RefundMode),
    (explanations_pb2.ExplanationOutcome, Outcome),
    (explanations_pb2.PriceSource, PriceSource),
    (grants_pb2.GrantKind, GrantKind),
    (grants_pb2.GrantSource, GrantSource),
    (reservations_pb2.ReservationState, ReservationState),
    (work_pb2.UsageSource, UsageSource),
]


@pytest.mark.parametrize(("contract", "kind"), PAIRS, ids=lambda each: getattr(each, "__name__", None))
def test_every_value_is_in_both(contract: Any, kind: type[Enum]) -> None:
    """A number of the contract for each value of the core, and back. 0 is unspecified."""
    numbers = {number_of(contract, each): each for each in kind}
    assert {0, *numbers} == set(contract.values())
    assert {number: value_of(contract, number, kind) for number in contract.values()} == {0: None} | numbers
    assert number_of(contract, None) == 0


def test_a_sidecar_that_answers_has_started() -> None:
    """So STARTING, which the contract has, is no condition of a sidecar."""
    numbers = {number_of(admin_pb2.ServingState, each) for each in Condition}
    assert {*admin_pb2.ServingState.values()} - numbers == {0, admin_pb2.SERVING_STATE_STARTING}
