"""What items and results look like: each says whose it is, so that none can pass for another."""

from __future__ import annotations

from hashlib import blake2b

from manyhands.wire.blocks import HASH_BYTES


def item_of(client: str, job: int, index: int, size: int) -> bytes:
    """The pickle of a task's item, if it were one: of about `size` bytes."""
    return f"{client}/{job}/{index}:".encode().ljust(size, b".")


def result_of(item: bytes) -> bytes:
    return b"=" + item


def error_of(item: bytes) -> bytes:
    return b"!" + item[:40]


def definition(client: str, function: int) -> tuple[bytes, bytes]:
    """(hash, blob) of a function."""
    blob = f"function {function} of {client}".encode()
    return blake2b(blob, digest_size=HASH_BYTES).digest(), blob
