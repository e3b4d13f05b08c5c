"""What a client, its views and its iterators share; when the last of them goes, the connection is closed."""

from __future__ import annotations

import weakref

from manyhands.client import lifecycle
from manyhands.client.connection import Connection
from manyhands.client.encoding import Encoding, encoding
from manyhands.client.options import Options
from manyhands.client.submitting import SubmitStream


class Session:
    """What a client and its views share."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.encoding: Encoding = encoding()
        connection.incoming.learn = self.encoding.learn
        self._streams: dict[Options, SubmitStream] = {}
        self._finalizer = weakref.finalize(self, lifecycle.dropped, connection)
        self._finalizer.atexit = False  # lifecycle deals with the interpreter's end

    def stream(self, options: Options) -> SubmitStream:
        """The job of this option set."""
        stream = self._streams.get(options)
        if stream is None:
            stream = self._streams.setdefault(options, SubmitStream(self.connection, self.encoding, options))
        return stream
