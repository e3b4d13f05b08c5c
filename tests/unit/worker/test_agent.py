"""The agent's shell carries out commands in an order that the cut protocol rests on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from tests.unit.worker.worker_builders import make_piece

from manyhands.worker import slot_frames as frames
from manyhands.worker.agent import Agent
from manyhands.worker.commands import Feed, SendCut, SendDefinition, SetLimit


class Recorder:
    """Stands for a slot's shell."""

    def __init__(self, story: list[tuple[str, Any]]) -> None:
        self.story = story

    def set_limit(self, limit: int) -> None:
        self.story.append(("limit", limit))

    def write(self, parts: list[frames.Buffer]) -> None:
        kinds = [kind for kind, _ in frames.FrameCutter().feed(b"".join(parts))]
        self.story.append(("frames", kinds))


def test_page_words_are_written_before_pipes_and_pipes_once() -> None:
    async def play() -> list[tuple[str, Any]]:
        story: list[tuple[str, Any]] = []
        agent = Agent(lambda *_: SimpleNamespace(send=None), name="w", slots=1)
        agent._slots = [Recorder(story)]
        agent._core.limit_set = lambda slot, limit, now: story.append(("told", limit))
        piece = make_piece(1)
        agent._do([Feed(0, 1, piece, 0, 1), SendDefinition(0, b"h" * 16, b"blob"), SetLimit(0, 7), SendCut(0, 7)])
        return story

    assert asyncio.run(play()) == [
        ("limit", 7),
        ("told", 7),
        ("frames", [frames.CHUNK, frames.DEFINE, frames.CUT]),
    ]
