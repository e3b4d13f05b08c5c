"""Addresses as people write them: completed, checked, and why one cannot be used."""

from __future__ import annotations

import errno
import ipaddress
import socket

from manyhands.wire.endpoints import host_port, host_toward

DEFAULT_PORT = 7077

_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound


class AddressFault(OSError):
    """An address cannot be used; the text says why, and what to do."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a master that listens at `host`; a name must mean nothing else."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(str(where[0]).partition("%")[0]).is_loopback for *_, where in found)


def check_insecure(host: str, *, any_address: bool) -> None:
    """Whether a master may listen at `host` without access control. Raises AddressFault."""
    if not (any_address or is_loopback(host)):
        raise AddressFault(
            f"--insecure is for loopback addresses only, and {host} is none: everybody who reaches it could run code "
            "on the workers. Leave --insecure out, or say --insecure-any-address if that is what you want"
        )


def check_address(text: str) -> str:
    """A master's "host:port", with the default port filled in; the host must resolve. Raises AddressFault."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, str(DEFAULT_PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise AddressFault(f"{text!r} is not an address: write HOST:PORT, such as 192.0.2.7:{DEFAULT_PORT}")
    try:
        socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressFault(f"{_unknown(host, error)}: check the name, or use its address") from None
    return host_port(host, int(port))


def _unknown(host: str, error: OSError | UnicodeError) -> str:
    reason = error.strerror if isinstance(error, OSError) else "it is not a host name"
    return f"the host {host!r} is unknown ({reason})"


def reachable_host(host: str) -> str:
    """What others may call the address that a master listens at."""
    if host.strip("[]") not in _EVERYWHERE:
        return host
    try:
        return host_toward("192.0.2.1:9")
    except OSError:  # not connected to any network
        return socket.gethostname()


def why_not_listening(host: str, port: int) -> AddressFault:
    """After a failed attempt to listen: why. gRPC does not tell, so a plain socket tries the same."""
    cannot = f"cannot listen on {host_port(host, port)}"
    try:
        for family, kind, protocol, _, where in socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(where)
    except socket.gaierror as error:
        return AddressFault(f"{_unknown(host, error)}: --host takes an address of this machine, or 0.0.0.0 for all")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return AddressFault(f"{cannot}: is another master running there? If so, choose another with --port")
        if error.errno == errno.EADDRNOTAVAIL:
            return AddressFault(f"{cannot}: this machine has no such address; --host 0.0.0.0 means all that it has")
        if error.errno in {errno.EACCES, errno.EPERM}:
            return AddressFault(f"{cannot}: this user may not use that port; choose one above 1023 with --port")
        return AddressFault(f"{cannot}: {error.strerror}")
    return AddressFault(f"{cannot}: gRPC refuses it")
