"""Bringing data here that are elsewhere: the master is asked for them, range by range."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.errors import DataLost
from manyhands.wire.needs import Need
from manyhands.wire.pull import NotThere, Pull

if TYPE_CHECKING:
    from manyhands.client.connection import Connection

#: None: it is in the store of this host.
Content = concurrent.futures.Future[bytearray | None]


class _Coming:
    """A datum that somebody waits for, and as much of it as has come."""

    def __init__(self, is_here: Callable[[], bool]) -> None:
        self.waiting: list[Content] = []
        self.is_here = is_here
        self.content = bytearray()
        #: None: the master does not have it yet.
        self.pull: Pull | None = None

    def finish(self, content: bytearray | None) -> None:
        for future in self.waiting:
            future.set_result(content)

    def fail(self, cause: BaseException) -> None:
        for future in self.waiting:
            future.set_exception(cause)


class Bringing:
    """One connection's. All methods but `fetch` belong to the loop's thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._coming: dict[bytes, _Coming] = {}

    def fetch(self, id: bytes, is_here: Callable[[], bool]) -> Content:
        """From any thread: the datum's bytes. is_here: whether this host's store has it, asked when the master has.

        Fails with DataLost.
        """
        future: Content = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        self._connection.background.post(partial(self._fetch, id, is_here, future))
        return future

    def when_kept(self, id: bytes, is_here: Callable[[], bool], tell: Callable[[], None]) -> None:
        """Have `tell` called on the loop's thread once the master has it for good, or it is lost."""
        future: Content = concurrent.futures.Future()
        future.add_done_callback(lambda _: tell())
        self._fetch(id, is_here, future)

    def _fetch(self, id: bytes, is_here: Callable[[], bool], future: Content) -> None:
        if self._connection.failure is not None:
            future.set_exception(self._connection.failure)
            return
        coming = self._coming.get(id)
        if coming is None:
            coming = self._coming[id] = _Coming(is_here)
            self._connection.send_data(pb.Body(await_data=pb.AwaitData(ids=[id])))
        coming.waiting.append(future)

    def on_state(self, message: pb.DataState) -> None:
        """What has become of a datum."""
        coming = self._coming.get(message.id)
        if coming is None or coming.pull is not None:
            return
        if message.lost:
            del self._coming[message.id]
            coming.fail(DataLost(message.id, message.lost))
        elif coming.is_here():
            del self._coming[message.id]
            coming.finish(None)
        else:
            coming.content = bytearray(message.size)
            coming.pull = Pull(Need(message.id), message.size)
            self._go_on(message.id, coming, coming.pull)

    def _go_on(self, id: bytes, coming: _Coming, pull: Pull) -> None:
        for fetch in pull.fetches():
            self._connection.send_data(pb.Body(fetch=fetch))
        if pull.is_done:
            del self._coming[id]
            coming.finish(coming.content)

    def on_part(self, message: pb.Part) -> None:
        """Some of it has come. Raises ProtocolError."""
        coming = self._coming.get(message.id)
        if coming is None or coming.pull is None:
            return  # of a fetch that was given up
        try:
            if coming.pull.on_part(message):
                coming.content[message.offset : message.offset + len(message.data)] = message.data
        except NotThere:
            del self._coming[message.id]
            coming.fail(DataLost(message.id, "the master had it a moment ago, and no more"))
            return
        self._go_on(message.id, coming, coming.pull)

    def ask_again(self) -> None:
        """The master is another one, or has been restarted."""
        for id, coming in self._coming.items():
            coming.pull = None
            self._connection.send_data(pb.Body(await_data=pb.AwaitData(ids=[id])))

    def fail(self, cause: BaseException) -> None:
        """Nothing more will come."""
        coming, self._coming = self._coming, {}
        for each in coming.values():
            each.fail(cause)
