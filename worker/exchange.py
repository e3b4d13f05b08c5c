"""A source of data as whoever pulls from it sees it: asked for ranges, it answers with parts."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from manyhands.protos import manyhands_pb2 as pb


class SourceLost(Exception):
    """The source cannot be reached, or is no good; the text says why."""


class Exchange(Protocol):
    """With one source, for one transfer. Entered before it is used; left in whatever state, it is over."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...

    async def ask(self, fetch: pb.Fetch) -> None:
        """Ask for a range. Raises SourceLost."""
        ...

    async def answer(self) -> pb.Part:
        """The next part, in any order. Raises SourceLost."""
        ...
