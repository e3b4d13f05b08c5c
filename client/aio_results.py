"""The results of an asynchronous map, taken and decoded in the user's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, Self, TypeVar

from manyhands.client.bridge import Bridge
from manyhands.client.encoding import undecodable
from manyhands.client.progress import Progress
from manyhands.client.reading import Reader
from manyhands.wire.errors import CheckpointError

T = TypeVar("T")


class AsyncResultIterator(AsyncIterator[T], Generic[T]):
    """Results of an asynchronous map. Closing it, or dropping it half read, cancels what has not been read."""

    __manyhands_unsendable__ = "an iterator of results cannot be sent to a task: pass a list of the results instead"

    def __init__(
        self, session: object, bridge: Bridge, reader: Reader, deadline: float | None, progress: Progress | None
    ) -> None:
        self._session = session
        self._bridge = bridge
        self._reader = reader
        self._deadline = deadline
        self._progress = progress
        self._values: Iterator[T] = iter(())
        self._entry: Any = None
        self._was_read = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        self._was_read = True
        try:
            return await self._next()
        except BaseException:
            self.close()
            raise

    async def _next(self) -> T:
        reader = self._reader
        while True:
            try:
                for value in self._values:
                    return value
            except CheckpointError:
                raise
            except Exception as error:
                raise undecodable(error) from error
            if self._entry is not None:
                entry, self._entry = self._entry, None
                count = reader.done_with(entry)
                if self._progress is not None:
                    self._progress.add(count)
                await asyncio.sleep(0)  # results that are there must not starve the user's loop
            entry = reader.poll()
            if entry is None:
                if reader.is_ended:
                    raise StopAsyncIteration
                await self._bridge.wait(reader, self._deadline)
                continue
            self._values = reader.values(entry)
            self._entry = entry

    def close(self) -> None:
        """Cancel what has not been read."""
        self._values = iter(())
        self._reader.close(was_read=True)
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    async def aclose(self) -> None:
        """Cancel what has not been read."""
        self.close()

    def __del__(self) -> None:
        self._reader.close(was_read=self._was_read)

    def __reduce__(self) -> Any:
        raise TypeError(self.__manyhands_unsendable__)
