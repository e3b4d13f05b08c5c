"""What a slot does with points of a search: it evaluates them, and says what came of each."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from manyhands.wire.search_tasks import LETS_OUT, TEXT
from manyhands.worker import slot_context
from manyhands.worker.slot_frames import Buffer

# pb.Call, as in `slot_calls`.
EVALUATE = 9

#: Of the text of an exception the last so many characters are told.
TEXT_CHARACTERS = 4000


def evaluating(evaluator: Any) -> Callable[[Buffer], bytes]:
    """What to call with an item; `evaluator`: see optimize/evaluating.py."""

    def evaluate(item: Buffer) -> bytes:
        packed: bytes = evaluator.evaluate_packed(
            bytes(item[1:]), slot_context.evaluating, lets_out=item[:1] == LETS_OUT
        )
        return packed

    return evaluate


def with_context(evaluator: Any, context: Any) -> Any:
    """The same, whose objective is given `context=context`, too."""
    return replace(evaluator, objective=partial(evaluator.objective, context=context))


def text_of(error: BaseException) -> bytes:
    """What the master is told, which reads no pickles."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - a user's __str__
        text = f"{type(error).__qualname__}, whose text cannot be had"
    return TEXT + text[-TEXT_CHARACTERS:].encode(errors="replace")
