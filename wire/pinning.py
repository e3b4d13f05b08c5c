"""Pinning: a master is known by the hash of its certificate, before anything is said to it."""

from __future__ import annotations

import hashlib
import ssl

#: Every master's own certificate is made out to this name: it is known by its hash, whatever its address.
SERVER_NAME = "manyhands"


def fingerprint(pem: bytes) -> bytes:
    """The SHA-256 of the first certificate in `pem`, which is what a token names it by. Raises ValueError."""
    first, footer, _ = pem.decode("ascii").partition(ssl.PEM_FOOTER)
    _, header, body = first.partition(ssl.PEM_HEADER)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(header + body + footer)).digest()
