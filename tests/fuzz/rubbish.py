"""Bytes that are no messages, at the raw TCP port and at the Unix socket: rubbish, and what is nearly right."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Iterable
from random import Random

from tests.fuzz.plausible import PlausibleClient, PlausibleWorker
from tests.fuzz.tally import TCP, TLS, UNIX, Tally

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.handshake import make_hello
from manyhands.wire.same_host import _name

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_METHOD = b"/manyhands.v1.Master/Connect"
#: HTTP/2 frame types.
_DATA, _HEADERS, _SETTINGS = 0, 1, 4

#: Seconds that an answer is waited for, and that a half-open connection stays.
ANSWER, HALF_OPEN = 0.02, 1.0

#: Writes into one connection, at most.
WRITES = 12


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header, as HPACK writes it without an index."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def _headers(path: bytes) -> bytes:
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
    return _frame(_HEADERS, 4, 1, b"".join(_literal(name, value) for name, value in fields))


def _grpc_message(data: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(data)) + data


def call(path: bytes, *messages: bytes) -> bytes:
    """The beginning of a call of that method."""
    return b"".join(_call(path, messages))


def _call(path: bytes, messages: Iterable[bytes]) -> list[bytes]:
    return [
        _PREFACE,
        _frame(_SETTINGS, 0, 0, b""),
        _headers(path),
        *[_frame(_DATA, 0, 1, _grpc_message(each)) for each in messages],
    ]


def _message(rng: Random) -> bytes:
    """A serialized frame, of somebody without a token."""
    if rng.random() < 0.3:
        hello = make_hello(pb.ROLE_CLIENT, "rubbish")
        hello.session = rng.randbytes(16)
        return pb.Frame(hello=hello).SerializeToString()
    player = (PlausibleClient if rng.random() < 0.5 else PlausibleWorker)(rng)
    return pb.Frame(sequence=rng.randrange(3), bodies=[player.next()]).SerializeToString()


def _flipped(data: bytes, rng: Random) -> bytes:
    """Some bytes other ones, some more, some less."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        if not out:
            break
        at = rng.randrange(len(out))
        kind = rng.randrange(4)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice((0, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del out[at : at + rng.randrange(1, 9)]
        else:
            out[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(out)


def _tls(rng: Random) -> bytes:
    """Something like a record of TLS: a ClientHello most often."""
    kind = rng.choice((20, 21, 22, 22, 22, 23, 24, 255))
    body = b"\1" + struct.pack(">I", rng.randrange(1 << 24))[1:] + b"\3\3" + rng.randbytes(rng.randrange(300))
    length = rng.choice((len(body), 0, 0xFFFF))
    return bytes((kind, 3, rng.randrange(5))) + struct.pack(">H", length) + body


def at_the_port(rng: Random) -> list[bytes]:
    """What one connection is sent, write by write; each is an input."""
    kind = rng.randrange(6)
    if kind == 0:
        return [rng.randbytes(rng.randrange(1, 2000)) for _ in range(rng.randrange(1, 4))]
    if kind == 1:
        return [_tls(rng) for _ in range(rng.randrange(1, 3))]
    if kind == 2:
        return [b"GET / HTTP/1.1\r\nHost: x\r\n" + rng.randbytes(rng.randrange(100)) + b"\r\n\r\n"]
    call = _call(_METHOD, [_message(rng) for _ in range(rng.randrange(1, 4))])
    if kind == 3:  # one of them wrong
        at = rng.randrange(len(call))
        call[at] = _flipped(call[at], rng)
    elif kind == 4:  # frames of any kind behind the preface
        call = [_PREFACE] + [
            _frame(
                rng.randrange(12), rng.randrange(256), rng.choice((0, 1, 3, 1 << 31)), rng.randbytes(rng.randrange(60))
            )
            for _ in range(rng.randrange(1, 8))
        ]
    else:  # out of order
        rng.shuffle(call)
    return call


def at_the_socket(rng: Random) -> list[bytes]:
    """The same for the Unix socket: length and frame."""
    writes = []
    for _ in range(rng.randrange(1, WRITES)):
        data = _message(rng)
        if rng.random() < 0.7:
            data = _flipped(data, rng)
        length = len(data)
        if rng.random() < 0.2:
            length = rng.choice((0, length + 1, max(0, length - 1), 1 << 22, (1 << 22) + 1, (1 << 32) - 1))
        writes.append(struct.pack("<I", length) + data)
    return writes


async def throw(address: str, rng: Random, tally: Tally) -> None:
    """One connection's worth of bytes. Raises OSError if there is none."""
    host, _, port = address.rpartition(":")
    way = rng.random()
    if way < 0.25:  # whoever wants to may agree on TLS
        await _throw_within_tls(host, int(port), at_the_port(rng), tally)
        return
    is_port = way < 0.55
    kind, writes = (TCP, at_the_port(rng)) if is_port else (UNIX, at_the_socket(rng))
    with socket.socket(socket.AF_INET if is_port else socket.AF_UNIX) as connection:
        connection.setblocking(False)
        where = (host, int(port)) if is_port else _name(host, int(port))
        await asyncio.get_running_loop().sock_connect(connection, where)
        tally.sessions += 1
        for data in writes:
            outcome = await _send(connection, data)
            tally.inputs[kind, outcome] += 1
            if outcome == "closed":
                return
        if rng.random() < 0.02:
            await asyncio.sleep(HALF_OPEN)


async def _throw_within_tls(host: str, port: int, writes: list[bytes], tally: Tally) -> None:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    anybody.set_alpn_protocols(["h2"])
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=anybody)
    except ssl.SSLError:  # the master serves plain text
        return
    tally.sessions += 1
    try:
        for data in writes:
            outcome = await _write(reader, writer, data)
            tally.inputs[TLS, outcome] += 1
            if outcome == "closed":
                return
    finally:
        writer.close()


async def _write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> str:
    if writer.is_closing():
        return "closed"
    writer.write(data)
    try:
        async with asyncio.timeout(ANSWER):
            answer = await reader.read(1 << 16)
    except TimeoutError:
        return "accepted"
    except OSError:
        return "closed"
    return "refused" if answer else "closed"


async def _send(connection: socket.socket, data: bytes) -> str:
    """Whether it was said why, or the connection was closed; nobody answers everything."""
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(connection, data)
        async with asyncio.timeout(ANSWER):
            answer = await loop.sock_recv(connection, 1 << 16)
    except TimeoutError:
        return "accepted"
    except OSError:
        return "closed"
    return "refused" if answer else "closed"
