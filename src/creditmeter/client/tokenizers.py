"""Counts the tokens of a text with tiktoken, where that is installed and knows the model.

tiktoken reads the vocabulary of a model from a file or from the network when it is first needed. That is done in a thread, for
each model once. Until it is there, and where it does not come, nothing is counted here.
"""

import importlib
import importlib.util
import logging
import threading
from collections.abc import Callable
from typing import TypeAlias

Tokenizer: TypeAlias = Callable[[str], int]
"""How many tokens a text has."""

_log = logging.getLogger("creditmeter.client")
_loading = threading.Lock()
_loaded: dict[str, Tokenizer | None] = {}
"""The tokenizer of each model that was asked for; None while it is loaded, and if there is none."""


def tokenizer_of(model: str) -> Tokenizer | None:
    """The tokenizer of a model, if it was loaded by now. The first call for a model begins to load it."""
    with _loading:
        if model not in _loaded:
            _loaded[model] = None
            if importlib.util.find_spec("tiktoken") is not None:
                threading.Thread(target=_load, args=(model,), name="creditmeter-tokenizer", daemon=True).start()
        return _loaded[model]


def _load(model: str) -> None:
    try:
        encoding = importlib.import_module("tiktoken").encoding_for_model(model)
    except KeyError:
        return  # a model that it does not know
    except Exception as error:  # noqa: BLE001 - of the network, of the disk: the output is estimated then
        _log.warning("tiktoken has no vocabulary of %s (%s): output is estimated while a call goes on", model, error)
        return
    _loaded[model] = lambda text: len(encoding.encode_ordinary(text))
