"""Connections at the turning points of a process: its end, and a fork."""

from __future__ import annotations

import os
import threading
from functools import partial
from weakref import WeakSet

from manyhands.client.connection import Connection
from manyhands.wire.errors import ForkedClient

#: Seconds by which a shutdown's cancel is held back. A task submitted just before counts as started if a slot is
#: free, as in any executor; but here it, and the news of its start, need a moment.
CANCEL_DELAY = 0.05

_connections: WeakSet[Connection] = WeakSet()


def register(connection: Connection) -> None:
    """Have the connection closed when the interpreter ends, and refused to children of a fork."""
    _connections.add(connection)


def begin_shutdown(connection: Connection, *, cancel: bool = False, spare_running: bool = True) -> None:
    """Refuse new work; what was accepted runs to its end, then the session is closed. Does not wait.

    `cancel`: what has not started is cancelled instead, and without `spare_running` what runs as well.
    """
    if os.getpid() != connection.pid:
        return
    if connection.refusal is None:
        connection.refusal = _refuse
    jobs = connection.jobs()
    for job in jobs:
        job.stop_intake()
        job.read_no_more()
    if cancel:
        connection.background.post(partial(_cancel_soon, connection, spare_running))
    connection.background.post(connection.close)


def _cancel_soon(connection: Connection, spare_running: bool) -> None:
    connection.background.loop.call_later(CANCEL_DELAY, partial(connection.cancel_jobs, spare_running=spare_running))


def dropped(connection: Connection) -> None:
    """Nobody holds the client any more. A finalizer, run wherever the garbage collector was: takes no lock."""
    if not connection.closed.is_set() and os.getpid() == connection.pid:
        connection.background.post(partial(begin_shutdown, connection))


def _refuse() -> BaseException:
    return RuntimeError("cannot schedule new futures after shutdown")


def _refuse_at_exit() -> BaseException:
    return RuntimeError("cannot schedule new futures after interpreter shutdown")


def _close_all() -> None:
    """At exit, as the standard library's executors do: what was submitted is still done, unless nobody is there to."""
    connections = [each for each in _connections if not each.closed.is_set() and each.pid == os.getpid()]
    for connection in connections:
        connection.refusal = _refuse_at_exit
        begin_shutdown(connection)
    for connection in connections:
        connection.wait_closed_at_exit()


def _same(error: BaseException) -> BaseException:
    return error


def _fork() -> None:
    """In a forked child: the loop's thread and the connection stayed in the parent."""
    for connection in list(_connections):
        error = ForkedClient(connection.pid, os.getpid())
        connection.refusal = partial(_same, error)
        connection.forked = error


# Like concurrent.futures: before the interpreter joins its threads, so before any atexit handler.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]  # noqa: SLF001
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork)
