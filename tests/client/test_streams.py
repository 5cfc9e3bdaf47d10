"""`Hold.stream`: a provider's stream is counted, told to the sidecar, ended where the credit ends, and charged once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from creditmeter.client import Client, Hold, InsufficientCredits, MeterStopReason, Unreachable, UsageSource
from creditmeter.client.streaming import REPORT_TOKENS
from tests.client.conftest import ACCOUNT, CREDIT, give
from tests.client.holds import ProviderError, assert_charged, charges
from tests.client.proxy import Proxy, Treatment

MODEL = "claude-sonnet-4-5"
"""0.3 credits for 1,000 input tokens, 1.5 for 1,000 output tokens."""

WORD = "word"
"""About one token."""


def text(words: int) -> dict[str, Any]:
    """An event of Anthropic's with so much text."""
    return {"type": "content_block_delta", "delta": {"type": "text_delta", "text": WORD * words}}


BEGINNING = {"type": "message_start", "message": {"model": MODEL, "usage": {"input_tokens": 900, "output_tokens": 1}}}


def ending(output_tokens: int) -> dict[str, Any]:
    """Anthropic's last event with usage."""
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": output_tokens}}


class Provider:
    """A provider's stream of these events. It may break after them."""

    def __init__(self, *events: Any, breaks: bool = False) -> None:
        self.events = list(events)
        self.breaks = breaks
        self.given = 0
        self.was_closed = False

    async def __aiter__(self) -> AsyncIterator[Any]:
        for each in self.events:
            self.given += 1
            await asyncio.sleep(0)
            yield each
        if self.breaks:
            raise ProviderError

    async def close(self) -> None:
        """As the SDKs have it."""
        self.was_closed = True


def text_hold(meter: Client, **terms: Any) -> Hold:
    """A hold for a stream of at most 2,000 output tokens."""
    defaults: dict[str, Any] = {"model": MODEL, "input_tokens": 1_000, "max_output_tokens": 2_000}
    return meter.hold(ACCOUNT, **defaults | terms)


async def read(hold: Hold, provider: Provider) -> None:
    """A block that reads a stream and ends."""
    async with hold:
        async for _ in hold.stream(provider):
            pass


@pytest.mark.parametrize("metered", [False, True])
async def test_a_stream_is_charged_as_its_provider_reports_it(meter: Client, metered: bool) -> None:
    """Every chunk is passed on, and the block may simply be left."""
    provider = Provider(BEGINNING, *[text(10)] * 20, ending(190))
    async with text_hold(meter, metered=metered) as hold:
        chunks = [chunk async for chunk in hold.stream(provider)]
    assert chunks == provider.events
    assert provider.was_closed
    assert hold.charge is not None
    assert hold.charge.usage is not None
    assert (hold.charge.usage.input_tokens, hold.charge.usage.output_tokens) == (900, 190)
    assert (hold.charge.usage.source, hold.charge.flags) == (UsageSource.PROVIDER, ())
    assert hold.stop_reason is None
    assert len(await charges(meter)) == 1


async def test_what_nobody_reported_is_estimated(meter: Client) -> None:
    """A token for each 4 bytes, flagged as what it is. A tokenizer counts better."""
    async with text_hold(meter) as hold:
        async for _ in hold.stream(Provider(*["any text"] * 10, "ü")):
            pass
        charge = await hold.commit()
    assert charge.usage is not None
    assert (charge.usage.output_tokens, charge.usage.source) == (21, UsageSource.PARTIAL_STREAM)
    async with text_hold(meter) as hold:
        async for _ in hold.stream(Provider(*["any text"] * 10), tokenizer=lambda text: len(text.split())):
            pass
        charge = await hold.commit()
    assert charge.usage is not None
    assert (charge.usage.output_tokens, charge.usage.source) == (20, UsageSource.PARTIAL_STREAM)


async def test_a_stream_that_breaks_is_charged_for_what_came(meter: Client) -> None:
    """What the provider reported, and the text since then."""
    provider = Provider(BEGINNING, *[text(10)] * 20, breaks=True)
    hold = text_hold(meter)
    with pytest.raises(ProviderError):
        await read(hold, provider)
    assert hold.charge is not None
    assert hold.charge.usage is not None
    assert (hold.charge.usage.input_tokens, hold.charge.usage.output_tokens) == (900, 201)
    assert hold.charge.usage.source is UsageSource.PARTIAL_STREAM


async def test_a_reader_that_goes_away_is_charged_for_what_came(meter: Client) -> None:
    """It leaves the loop, and the block without an exception."""
    provider = Provider(*[text(10)] * 20)
    async with text_hold(meter) as hold:
        stream = hold.stream(provider)
        async for _ in stream:
            if provider.given == 5:
                break
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert provider.was_closed
    assert provider.given == 5
    assert hold.charge is not None
    assert hold.charge.usage is not None
    assert hold.charge.usage.output_tokens == 50


async def test_a_stream_on_three_credits_ends_within_a_report_of_the_limit(meter: Client, address: str) -> None:
    """Of a call that may cost 6 credits. What was generated is charged, all of it is paid, and other accounts go on."""
    await give(address, "poor", 3 * CREDIT)
    with pytest.raises(InsufficientCredits):
        async with meter.hold("poor", model=MODEL, input_tokens=1_000, max_output_tokens=4_000):
            pass
    provider = Provider(BEGINNING, *[text(10)] * 400, ending(4_000))
    terms: dict[str, Any] = {"model": MODEL, "input_tokens": 1_000, "max_output_tokens": 4_000}
    async with meter.hold("poor", metered=True, **terms) as hold:
        chunks = []
        async for chunk in hold.stream(provider):
            chunks.append(chunk)
            async with text_hold(meter):  # of another account; and the report is answered meanwhile
                pass
    assert hold.stop_reason is MeterStopReason.HOLD_USED_UP
    assert provider.was_closed
    assert hold.charge is not None
    assert hold.charge.usage is not None
    assert hold.charge.usage.output_tokens == 10 * (len(chunks) - 1) + 1
    assert 1_820 - 2 * REPORT_TOKENS <= hold.charge.usage.output_tokens <= 1_820
    settled = await meter.settled(hold.charge.charge_id)
    assert settled.uncovered_microcredits == settled.debt_microcredits == 0


@pytest.mark.parametrize("loss", [Treatment.LOSE_REQUEST, Treatment.LOSE_REPLY, Treatment.BREAK])
@pytest.mark.parametrize("metered", [False, True])
@pytest.mark.parametrize("lost_as", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
async def test_the_stream_to_the_sidecar_may_break(
    meter: Client, proxy: Proxy, loss: Treatment, metered: bool, lost_as: grpc.StatusCode
) -> None:
    """It is opened again, and nothing is charged twice. gRPC itself ends it with INTERNAL if it breaks during a write."""
    proxy.lost_as = lost_as
    proxy.next("Meter", loss, loss, loss)
    provider = Provider(BEGINNING, *[text(50)] * 20, ending(1_000))
    async with text_hold(meter, metered=metered) as hold:
        async for _ in hold.stream(provider):
            await asyncio.sleep(0.002)
    assert provider.given == 22
    assert hold.charge is not None
    assert hold.charge.usage is not None
    assert (hold.charge.usage.output_tokens, hold.charge.usage.source) == (1_000, UsageSource.PROVIDER)
    await assert_charged(meter, hold.charge.cost_microcredits)


async def test_steps_of_an_agent_are_streams_of_their_own(meter: Client) -> None:
    """Each is charged with keep_open, and counted from 0."""
    async with text_hold(meter, metered=True, max_output_tokens=20_000) as hold:
        costs = []
        for _ in range(3):
            async for _ in hold.stream(Provider(BEGINNING, *[text(10)] * 60, ending(600))):
                pass
            costs.append((await hold.commit(keep_open=True)).cost_microcredits)
    assert costs == [2 * CREDIT] * 3
    assert [-each.amount_microcredits for each in await charges(meter)] == costs


async def test_what_it_cannot_count_is_told(meter: Client) -> None:
    """Before anything is lost."""
    async with text_hold(meter) as hold:
        with pytest.raises(TypeError, match="int is no usage"):
            async for _ in hold.stream(Provider(1)):
                pass
        with pytest.raises(RuntimeError, match="one stream for each commit"):
            async for _ in hold.stream(Provider()):
                pass
        with pytest.raises(RuntimeError, match="counts by itself"):
            hold.report(output_tokens=1)
        await hold.release()
    async with meter.hold(ACCOUNT, amount_microcredits=CREDIT) as hold:
        with pytest.raises(ValueError, match="needs a hold of text"):
            async for _ in hold.stream(Provider()):
                pass
    assert await charges(meter) == []


@pytest.mark.parametrize("metered", [False, True])
async def test_an_older_sidecar_meters_nothing(meter: Client, proxy: Proxy, metered: bool) -> None:
    """The stream is counted here, and charged when it is committed."""
    proxy.has_meter = False
    async with text_hold(meter, metered=metered) as hold:
        async for _ in hold.stream(Provider(BEGINNING, *[text(10)] * 60, ending(600))):
            pass
    assert hold.charge is not None
    await assert_charged(meter, hold.charge.cost_microcredits)


async def test_a_stream_without_a_chunk_is_charged_for_its_input(meter: Client) -> None:
    """By a commit as by leaving the block. Another provider's stream may take its place."""
    async with text_hold(meter, metered=True) as hold:
        with pytest.raises(ProviderError):
            async for _ in hold.stream(Provider(breaks=True)):
                pass
        async for _ in hold.stream(Provider()):
            pass
        charge = await hold.commit()
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (1_000, 0)
    assert charge.usage.source is UsageSource.ESTIMATED


@pytest.mark.parametrize("keep_open", [True, False])
async def test_a_stream_is_committed_once_it_was_read(meter: Client, keep_open: bool) -> None:
    """A commit in its middle is a mistake of the program, which is told of it with the next chunk."""
    provider = Provider(*[text(10)] * 20)
    async with text_hold(meter) as hold:
        with pytest.raises(RuntimeError, match="committed or left"):
            await commit_too_early(hold, provider, keep_open=keep_open)
        assert provider.was_closed
        assert hold.charge is not None
    await assert_charged(meter, hold.charge.cost_microcredits)


async def commit_too_early(hold: Hold, provider: Provider, *, keep_open: bool) -> None:
    """Commit after the first chunk, and read on."""
    async for _ in hold.stream(provider):
        if hold.charge is None:
            await hold.commit(keep_open=keep_open)


@pytest.mark.parametrize("metered", [False, True])
async def test_a_stream_is_read_inside_its_block(meter: Client, metered: bool) -> None:
    """What is generated after it would be nobody's."""
    first, second = Provider(*[text(10)] * 20), Provider(text(10))
    async with text_hold(meter, metered=metered) as hold:
        stream = hold.stream(first)
        await anext(stream)
    for each in (stream, hold.stream(second)):
        with pytest.raises(RuntimeError, match="left"):
            await anext(each)
    assert first.was_closed
    assert second.was_closed
    assert hold.charge is not None
    assert hold.charge.usage is not None
    assert hold.charge.usage.output_tokens == 10


async def test_a_step_without_an_answer_is_sent_before_a_stream(meter: Client, proxy: Proxy) -> None:
    """And the stream is metered as any other."""
    async with text_hold(meter, metered=True, max_output_tokens=8_000) as hold:
        proxy.next("Commit", *[Treatment.LOSE_REQUEST] * 50)
        with pytest.raises(Unreachable):
            await hold.commit(input_tokens=900, output_tokens=100, keep_open=True)
        proxy.forget()
        await read_within(hold, Provider(BEGINNING, *[text(10)] * 200, ending(2_000)))
    found = [-each.amount_microcredits for each in await charges(meter)]
    assert sorted(found) == [CREDIT, 4 * CREDIT]


async def read_within(hold: Hold, provider: Provider) -> None:
    """Read a stream in a block that goes on."""
    async for _ in hold.stream(provider):
        pass
