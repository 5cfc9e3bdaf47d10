"""Reads a listing page by page, up to a limit."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from creditmeter.cli.connection import PATIENCE
from creditmeter.client.stubs import Retry, call
from creditmeter.v1 import account_pb2, admin_pb2

LARGEST_PAGE = 1_000

_Request = TypeVar(
    "_Request",
    admin_pb2.ListAccountsRequest,
    admin_pb2.ListPlansRequest,
    admin_pb2.ListSidecarsRequest,
    admin_pb2.ListLeasesRequest,
    admin_pb2.ListRateCardsRequest,
    account_pb2.ListModelPricesRequest,
    account_pb2.ListHistoryRequest,
    account_pb2.ListGrantsRequest,
    account_pb2.SummarizeUsageRequest,
)
_Reply = TypeVar(
    "_Reply",
    admin_pb2.ListAccountsResponse,
    admin_pb2.ListPlansResponse,
    admin_pb2.ListSidecarsResponse,
    admin_pb2.ListLeasesResponse,
    admin_pb2.ListRateCardsResponse,
    account_pb2.ListModelPricesResponse,
    account_pb2.ListHistoryResponse,
    account_pb2.ListGrantsResponse,
    account_pb2.SummarizeUsageResponse,
)


async def pages(
    method: "grpc.aio.UnaryUnaryMultiCallable[_Request, _Reply]",
    request: _Request,
    count: Callable[[_Reply], int],
    limit: int,
    retry: Retry = PATIENCE,
) -> _Reply:
    """The first `limit` items of a listing as one reply. `count` returns the number of items of a page.

    Fields that are no lists are those of the last page. So next_page_token is where a later listing goes on, and empty if
    there is no more.
    """
    asked = type(request)()
    asked.CopyFrom(request)
    found: _Reply | None = None
    left = limit
    while True:
        asked.page_size = min(left, LARGEST_PAGE)
        page = await call(method, asked, retry)
        left -= count(page)
        found = page if found is None else _joined(found, page)
        if left <= 0 or not page.next_page_token:
            return found
        asked.page_token = page.next_page_token


def _joined(found: _Reply, page: _Reply) -> _Reply:
    plain: Message = found
    for field, value in plain.ListFields():
        if not isinstance(value, Sequence) or isinstance(value, str):
            plain.ClearField(field.name)
    found.MergeFrom(page)
    return found
