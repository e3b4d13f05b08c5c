"""What a client, its views and its iterators share; when the last of them goes, the connection is closed."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

from manyhands.client import lifecycle
from manyhands.client.connection import Connection
from manyhands.client.data import Data
from manyhands.client.encoding import Encoding, encoding
from manyhands.client.options import Options
from manyhands.client.submitting import SubmitStream

if TYPE_CHECKING:
    from manyhands.client.checkpoints import Checkpoint

#: Option sets whose submits go on as one job each when a view asks for them again, the latest.
MAX_STREAMS = 64


class Session:
    """What a client and its views share."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.encoding: Encoding = encoding()
        connection.incoming.learn = self.encoding.learn
        self.data = Data(connection, self.encoding)
        self.data.join_neighbours()
        self._streams: OrderedDict[Options, SubmitStream] = OrderedDict()
        self._checkpointing: dict[Options, SubmitStream] = {}
        self._lock = threading.RLock()  # a finalizer may make views, too
        self._finalizer = weakref.finalize(self, lifecycle.dropped, connection)
        self._finalizer.atexit = False  # lifecycle deals with the interpreter's end

    def stream(self, options: Options) -> SubmitStream:
        """The job of this option set. Raises CheckpointError."""
        with self._lock:
            streams = self._streams if options.checkpoint is None else self._checkpointing
            stream = streams.get(options)
            if stream is None or not stream.is_current:
                stream = streams[options] = self._make_stream(options)
            elif streams is self._streams:
                self._streams.move_to_end(options)
            if len(self._streams) > MAX_STREAMS:
                self._streams.popitem(last=False)
            return stream

    def _make_stream(self, options: Options) -> SubmitStream:
        checkpoint = self.checkpoint(options)
        if checkpoint is None:
            return SubmitStream(self.connection, self.encoding, options)
        from manyhands.client.recalling_submits import RecallingStream  # numpy and SQLite, for those who need them

        return RecallingStream(self.connection, self.encoding, options, checkpoint)

    def flush(self) -> None:
        """Return when all results that have arrived, and are to be kept, are stored. Raises CheckpointError."""
        for stream in list(self._checkpointing.values()):
            stream.flush()

    def checkpoint(self, options: Options) -> Checkpoint | None:
        """The checkpoint of these options. Raises CheckpointError."""
        if options.checkpoint is None:
            return None
        from manyhands.client.checkpoints import checkpoint  # likewise

        return checkpoint(options.checkpoint, self.encoding)
