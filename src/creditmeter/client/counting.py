"""Counts what a provider's stream has used so far.

What the provider reports counts. Output since its last report is counted by a tokenizer, or estimated as one token for each 4
bytes of UTF-8, which is about what OpenAI says of English text (https://help.openai.com/en/articles/4936856) and
more than most models need for other scripts. Such a count is marked PARTIAL_STREAM.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from creditmeter.client.chunks import Chunks
from creditmeter.client.generated import output_tokens_in, text_in
from creditmeter.client.tokenizers import Tokenizer, tokenizer_of
from creditmeter.client.usages import added, dumped, grown, usage_part
from creditmeter.client.values import Usage
from creditmeter.client.words import UsageSource

BYTES_PER_TOKEN = 4
"""Of text whose tokens nothing counts."""


class StreamCount:
    """What one stream has used so far.

    `bound` is the most output that the call may have, in tokens: what is estimated never exceeds it. `tokenizer` counts text;
    by default it is tiktoken's. `text` says what was generated in a chunk; by default that is read from it.
    """

    def __init__(
        self, model: str, bound: int | None, tokenizer: Tokenizer | None = None, text: Callable[[Any], str] | None = None
    ) -> None:
        self._model = model
        self._bound = bound
        self._tokenizer = tokenizer
        self._text = text
        self._reported: Any = None
        self._reported_output: int | None = None
        self._tokens = 0
        self._bytes = 0
        self._most = 0
        self._is_over = False
        self._has_begun = False
        self._chunks = Chunks()

    def take(self, chunk: object) -> None:
        """Count one chunk.

        Raises:
            TypeError: nothing can be counted of it, and `text` was not given.
        """
        self._has_begun = True
        if self._text is None:
            self._count(self._chunks.read(chunk))
            return
        self._generated(self._text(chunk))
        with suppress(TypeError):  # it may be anything: its text is said
            self._count(self._chunks.read(chunk))

    def end(self) -> None:
        """Note that the stream came to its end by itself."""
        self._count(self._chunks.rest())
        self._is_over = True

    def _count(self, documents: list[Any]) -> None:
        for document in (each for found in documents for each in (found if isinstance(found, list) else [found])):
            if self._text is None:
                self._generated(text_in(document))
            if (usage := usage_part(document)) is not None:
                self._report(usage)

    @property
    def output_tokens(self) -> int:
        """The output so far, in tokens, as well as it is known."""
        reported = self._reported_output or 0
        guess = reported + self._tokens + -(-self._bytes // BYTES_PER_TOKEN)
        return guess if self._bound is None else min(guess, max(self._bound, reported))

    @property
    def is_exact(self) -> bool:
        """Whether the provider has reported all that the stream used."""
        return self._is_over and self._reported_output is not None and not (self._tokens or self._bytes)

    @property
    def usage(self) -> Usage | None:
        """What the stream has used so far; None if it had no chunk."""
        if not self._has_begun:
            return None
        if self.is_exact:
            return Usage(provider_usage_json=dumped(self._reported))
        return replace(self._counted(self.output_tokens), source=UsageSource.PARTIAL_STREAM)

    @property
    def progress(self) -> Usage:
        """The same for a report while the call goes on. Its output never falls, although an estimate may have been too high."""
        self._most = max(self._most, self.output_tokens)
        return self._counted(self._most)

    def _counted(self, output_tokens: int) -> Usage:
        """What was reported, with this output. If no output is known, the report may say more than was understood of it."""
        if self._reported is None:
            return Usage(output_tokens=output_tokens)
        return Usage(provider_usage_json=dumped(self._reported), output_tokens=output_tokens or None)

    def _generated(self, text: str) -> None:
        if not text:
            return
        counted = self._tokenizer or tokenizer_of(self._model)
        if counted is None:
            self._bytes += len(text.encode(errors="replace"))
        else:
            self._tokens += math.ceil(counted(text))

    def _report(self, usage: Any) -> None:
        """Note a report. Counts of a stream are cumulative, so none falls; LangChain's are what is new."""
        together = added if usage.get("type") == "AIMessageChunk" else grown
        self._reported = usage if self._reported is None else together(self._reported, usage)
        if not (output := output_tokens_in(usage)):  # none, or 0: it does not count the text before it
            self._reported_output = output if self._reported_output is None else self._reported_output
            return
        self._reported_output = output_tokens_in(self._reported)
        self._tokens = self._bytes = 0
