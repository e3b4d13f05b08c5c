"""Starting a client: which cluster, its own or another's, and the first contact with it."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path

from manyhands.client import lifecycle
from manyhands.client.connection import Connection
from manyhands.client.embedded import EmbeddedCluster, default_slots
from manyhands.client.loop import background
from manyhands.wire import socket_link
from manyhands.wire.credential import Credential
from manyhands.wire.dialer import Dialer
from manyhands.wire.errors import MasterUnreachable, NestedClient, SessionLost
from manyhands.wire.joining import Keys, Way
from manyhands.wire.links import OpenLink


def connect(
    address: str | None,
    *,
    slots: int | None,
    max_workers: int | None,
    workers: int,
    data_dir: str | os.PathLike[str] | None,
    keys: Keys = Keys(),  # noqa: B008 - frozen
    **timeouts: float,
) -> Connection:
    """A connection that stands; see `Client` for the arguments and what is raised."""
    if max_workers is not None and max_workers <= 0:
        raise ValueError("max_workers must be greater than 0")
    if slots is not None and max_workers is not None and slots != max_workers:
        raise ValueError(f"max_workers is another name for slots, but slots={slots} and max_workers={max_workers}")
    slots = max_workers if slots is None else slots
    if slots is not None and slots < 1:
        raise ValueError(f"slots must be at least 1, not {slots}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if "MANYHANDS_SLOT" in os.environ:
        raise NestedClient
    address = address or os.environ.get("MANYHANDS_ADDRESS")
    if address:
        if data_dir is not None:
            raise ValueError(
                f"data_dir is for a cluster that the client starts, and the master at {address} has its own"
            )
        _check_address(address)
        way = Way(address, "client", keys)
        return join(way.open_link, address, way.credential, **timeouts)
    if keys != Keys():
        raise ValueError("a token or certificates are for a master whose address is given, and there is none")
    journal = None if data_dir is None else Path(data_dir).expanduser().absolute()
    return _join_embedded(EmbeddedCluster(slots or default_slots(), workers, journal), **timeouts)


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ValueError(f'the master\'s address must look like "host:7077", not {address!r}')
    try:
        socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise MasterUnreachable(address, f"the host {host!r} is unknown") from error


def join(
    open_link: OpenLink,
    address: str,
    credential: Credential | None = None,
    *,
    connect_timeout: float = 10.0,
    reconnect_timeout: float = 900.0,
) -> Connection:
    """Connect and wait until the master has answered. Raises MasterUnreachable or Refused."""
    dial = partial(Dialer, open_link, credential=credential)
    connection = Connection(background(), dial, address, reconnect_timeout=reconnect_timeout)
    lifecycle.register(connection)
    connection.start()
    answered = connection.ready.wait(connect_timeout)
    if connection.failure is not None:
        raise connection.failure
    if not answered:
        reason = connection.last_trouble or f"no answer within {connect_timeout:g} s"
        error = MasterUnreachable(address, reason)
        connection.background.post(partial(connection.die, error))
        raise error
    return connection


def _join_embedded(embedded: EmbeddedCluster, **timeouts: float) -> Connection:
    try:
        connection = join(partial(socket_link.dial, embedded.path), embedded.path, None, **timeouts)
    except BaseException:
        embedded.kill()
        raise
    connection.after_close = embedded.stop
    connection.background.post(partial(embedded.watch, lambda reason: connection.die(SessionLost(reason))))
    embedded.announce()
    return connection
