"""Clients for tests whose tasks never end: gone with the test, not with the interpreter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from manyhands import Client
from manyhands.errors import SessionLost


@contextlib.contextmanager
def forsaken(address: str) -> Iterator[Client]:
    """At its end nothing is waited for: neither its tasks nor a master that is gone."""
    client = Client(address)
    try:
        yield client
    finally:
        connection = client._connection
        connection.background.post(partial(connection.die, SessionLost("the test is over")))
        assert connection.closed.wait(20)
