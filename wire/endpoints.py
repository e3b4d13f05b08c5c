"""Hosts and ports as one string; and which of this machine's addresses lies on the way to one."""

from __future__ import annotations

import socket


def host_port(host: str, port: int) -> str:
    """One string for both, with the brackets that an IPv6 address needs."""
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_toward(address: str) -> str:
    """By which of its addresses this machine reaches whoever is at "host:port". Raises OSError."""
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(where)  # sends nothing: it only asks the routing table
        return str(probe.getsockname()[0])
