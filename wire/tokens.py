"""Tokens: what a process shows to be let in, and by which certificate it knows the master; written in one word."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass
from typing import NoReturn

#: Where a process looks for one.
TOKEN_VARIABLE = "MANYHANDS_TOKEN"  # noqa: S105 - the variable's name

#: The form that this version writes and reads.
_VERSION = "mh1"
_HASH_BYTES = 32
_HASH = re.compile(r"[A-Za-z0-9_-]{43}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{20,200}")


class TokenFault(ValueError):
    """A text is not a token. The message holds nothing of the text: any part of it may be a secret."""


@dataclass(frozen=True, slots=True)
class Token:
    """certificate: the SHA-256 of the master's certificate (DER); secret: what the master knows the bearer by.

    Neither str() nor repr() shows the secret, and it does not travel with pickle: use `written`. Raises TokenFault.
    """

    certificate: bytes
    secret: str

    def __post_init__(self) -> None:
        if len(self.certificate) != _HASH_BYTES:
            raise TokenFault(f"a token names a certificate by {_HASH_BYTES} bytes, not {len(self.certificate)}")
        if not _SECRET.fullmatch(self.secret):
            raise TokenFault("a token's secret is 20 to 200 letters, digits, - and _: copy the whole token")

    def written(self) -> str:
        """With the secret: for whoever may know it."""
        return f"{_VERSION}.{_unpadded(self.certificate)}.{self.secret}"

    def __str__(self) -> str:
        return f"{_VERSION}.{_unpadded(self.certificate)}.(secret)"

    def __repr__(self) -> str:
        return f"<Token {self}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not pickled, for its secret would travel along: send what written() returns")


def parse_token(text: str) -> Token:
    """What `Token.written` wrote; space around it is ignored. Raises TokenFault."""
    version, *parts = text.strip().split(".")
    if re.fullmatch(r"mh[0-9]{1,4}", version) and version != _VERSION:
        raise TokenFault(f"this token is for another version of manyhands: here they begin with {_VERSION}")
    if version != _VERSION or len(parts) != 2:
        raise TokenFault(
            f"this is not a token: one is written {_VERSION}.CERTIFICATE.SECRET; "
            "`manyhands token show` on the master's machine prints it"
        )
    certificate, secret = parts
    if not _HASH.fullmatch(certificate):
        raise TokenFault("the middle of the token is not the hash of a certificate: copy the whole token")
    token = Token(base64.urlsafe_b64decode(certificate + "="), secret)
    if _unpadded(token.certificate) != certificate:  # 43 characters have two bits more than 32 bytes
        raise TokenFault("the middle of the token is not the hash of a certificate: copy the whole token")
    return token


def new_secret() -> str:
    """Thirty-two random bytes, as text."""
    return secrets.token_urlsafe(32)


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
