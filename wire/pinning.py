"""Pinning: a master is known by the hash of its certificate, before anything is said to it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from manyhands.wire.tokens import Token

#: Every master's own certificate is made out to this name: it is known by its hash, whatever its address.
SERVER_NAME = "manyhands"


class PinFault(Exception):
    """Who answers is not the master that the token is for. The secret was not sent; trying again will not help."""


class NotTls(PinFault):
    """Who answers does not speak TLS 1.3."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate, with those that lead to its authority behind it, and its private key: PEM."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to take for the master: who shows `root_pem` or what it has signed, made out to `server_name`.

    server_name: None means the host that is dialled. identity: what to show in turn, where the master asks.
    """

    root_pem: bytes
    server_name: str | None = None
    identity: Identity | None = None


def fingerprint(pem: bytes) -> bytes:
    """The SHA-256 of the first certificate in `pem`, which is what a token names it by. Raises ValueError."""
    first, footer, _ = pem.decode("ascii").partition(ssl.PEM_FOOTER)
    _, header, body = first.partition(ssl.PEM_HEADER)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(header + body + footer)).digest()


def pin(certificate_pem: bytes, token: Token, address: str) -> Trust:
    """Trust in just that certificate, found at `address`, if it is the one that the token names. Raises PinFault."""
    if not hmac.compare_digest(fingerprint(certificate_pem), token.certificate):
        raise PinFault(
            f"the certificate at {address} is not the one that the token names: the token is of another master, or "
            "somebody stands between here and the master; the token's secret was not sent"
        )
    return Trust(certificate_pem, SERVER_NAME)


async def fetch_certificate(host: str, port: int, timeout: float) -> bytes:
    """The certificate (PEM) of whoever listens at `host` and `port`, unverified: nothing is said but the handshake.

    All addresses of `host` are tried. Raises OSError if nobody answers within `timeout` seconds, NotTls.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    async with asyncio.timeout(timeout):
        found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    faults: list[OSError | NotTls] = []
    for tried, (family, kind, protocol, _, where) in enumerate(found):
        opened = socket.socket(family, kind, protocol)
        try:
            async with asyncio.timeout((deadline - loop.time()) / (len(found) - tried)):
                return await _certificate_at(opened, where, f"{host}:{port}")
        except TimeoutError:
            faults.append(TimeoutError(f"no answer within {timeout:.0f} s"))
        except (OSError, NotTls) as fault:
            faults.append(fault)
        finally:
            opened.close()
    # Who answered the wrong way says more than who did not.
    raise next((fault for fault in faults if isinstance(fault, NotTls)), faults[-1])


async def _certificate_at(opened: socket.socket, where: Any, address: str) -> bytes:
    loop = asyncio.get_running_loop()
    opened.setblocking(False)
    try:
        await loop.sock_connect(opened, where)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno)) if error.errno else error from None
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = _unverified().wrap_bio(incoming, outgoing, server_hostname=SERVER_NAME)
    while True:
        try:
            is_done = _shake_hands(secured)
        except ssl.SSLError as error:
            raise NotTls(
                f"what answers at {address} does not speak TLS 1.3 ({error.reason}): it is a master that was started "
                "with --insecure, or no master; the token's secret was not sent"
            ) from None
        await loop.sock_sendall(opened, outgoing.read())
        if is_done:
            shown = secured.getpeercert(binary_form=True)
            assert shown is not None, "no server may be without one: no cipher of TLS 1.3 allows it"
            return ssl.DER_cert_to_PEM_cert(shown).encode()
        received = await loop.sock_recv(opened, 1 << 16)
        if not received:
            raise ConnectionResetError("the connection was closed during the handshake")
        incoming.write(received)


def _shake_hands(secured: ssl.SSLObject) -> bool:
    """As far as what was received allows; whether that was all. Raises ssl.SSLError."""
    try:
        secured.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _unverified() -> ssl.SSLContext:
    """Whom this meets is checked afterwards, by the hash of the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])  # gRPC's; its servers refuse whoever offers no protocol of theirs
    return context
