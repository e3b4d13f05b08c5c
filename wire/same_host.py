"""The short way between processes of one user on one machine: a Unix socket beside the master's port.

Its name lies in Linux's abstract namespace: it leaves no file behind, and a container with a network of its own has
names of its own. Anybody may take such a name, so either side asks the kernel whose process the other one is.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
from collections.abc import Callable
from struct import Struct
from typing import Any

from manyhands.wire import access_file
from manyhands.wire.links import Link
from manyhands.wire.socket_link import SocketLink

_IS_SUPPORTED = sys.platform == "linux"
#: pid, uid, gid
_CREDENTIALS = Struct("3i")
#: What a master that listens at every address of the machine is called.
_EVERYWHERE = "*"


async def dial(address: str) -> Link | None:
    """Begin a connection to the master at "host:port"; None unless one of our user listens there on this machine."""
    return await _dial_here(address) if _IS_SUPPORTED else None


async def find_access_file(address: str) -> str | None:
    """The path of the access file that this user's master at "host:port" wrote, if there is one."""
    host, _, port = address.rpartition(":")
    return access_file.find(int(port), await _resolve(host.strip("[]"), int(port)), _is_this_machine)


class SameHostServer:
    """What a master listens on beside its port."""

    def __init__(self, on_connected: Callable[[SocketLink], None]) -> None:
        self._on_connected = on_connected
        self._servers: list[asyncio.Server] = []

    async def start(self, host: str, port: int) -> None:
        """Listen for those who dial the master at `host` and `port`, where the system can do that.

        A name that is taken is left alone: its owner is not who they look for, and they will take the long way.
        """
        for name in await _listening_names(host, port) if _IS_SUPPORTED else ():
            listener = socket.socket(socket.AF_UNIX)
            try:
                listener.bind(name)
            except OSError:
                listener.close()
            else:
                serving = asyncio.get_running_loop().create_unix_server(self._accept, sock=listener)
                self._servers.append(await serving)

    def _accept(self) -> SocketLink:
        return SocketLink(self._on_accepted)

    def _on_accepted(self, link: SocketLink) -> None:
        if _is_our_user(link.socket):
            self._on_connected(link)
        else:
            link.abort("another user's process")

    def close(self) -> None:
        """Accept nobody any more."""
        for server in self._servers:
            server.close()


async def _dial_here(address: str) -> Link | None:
    host, _, port = address.rpartition(":")
    for family, where in await _resolve(host.strip("[]"), int(port)):
        if not _is_this_machine(family, where):
            continue
        for name in (_name(where[0], int(port)), _name(_EVERYWHERE, int(port))):
            opened = _connect(name)
            if opened is not None:
                _, link = await asyncio.get_running_loop().create_unix_connection(SocketLink, sock=opened)
                return link
    return None


def _connect(name: str) -> socket.socket | None:
    connecting = socket.socket(socket.AF_UNIX)
    connecting.setblocking(False)
    try:
        connecting.connect(name)
        if _is_our_user(connecting):
            return connecting
    except OSError:  # nobody there, or too many before us
        pass
    connecting.close()
    return None


def _is_our_user(connected: Any) -> bool:  # a socket, or what a transport shows of it
    _, uid, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return bool(uid == os.geteuid())


def _name(address: str, port: int) -> str:
    """Begins with the zero that marks the abstract namespace."""
    return f"\0manyhands/{os.geteuid()}/{address}:{port}"


async def _listening_names(host: str, port: int) -> list[str]:
    """A master's, by the address that it listens at."""
    addresses = dict.fromkeys(str(where[0]) for _, where in await _resolve(host.strip("[]"), port))
    return [
        _name(_EVERYWHERE if ipaddress.ip_address(each.partition("%")[0]).is_unspecified else each, port)
        for each in addresses
    ]


async def _resolve(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    """(family, socket address) of `host`; none if it is unknown: gRPC will complain, or has found it in its own way."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(family, where) for family, *_, where in found]


def _is_this_machine(family: int, where: tuple[Any, ...]) -> bool:
    """Whether an address is one of ours: whoever sends to his own address would send from it. Nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(where)
            return bool(probe.getsockname()[0] == where[0])
    except OSError:
        return False
