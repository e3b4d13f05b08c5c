"""How a process joins a master: which token it shows, and that it shows it to nobody else."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from manyhands.wire import access_file, given_certificates, private_file, same_host
from manyhands.wire.credential import Credential
from manyhands.wire.errors import AccessDenied
from manyhands.wire.links import Link, LinkLost
from manyhands.wire.pinning import Identity, NotTls, PinFault, Trust, fetch_certificate, pin
from manyhands.wire.tokens import TOKEN_VARIABLE, Token, TokenFault, parse_token

#: Seconds that the master's certificate may take to come.
FETCH_TIMEOUT = 5.0
#: Seconds for which a token that was found may be another master's: whoever takes its place writes its own soon.
SUCCESSION_TIMEOUT = 10.0


class KeysFault(ValueError):
    """What was given to join with does not fit together; the text says how."""


@dataclass(frozen=True)
class OwnCertificates:
    """PEM files of mutual TLS: our certificate and key, and who signs the master's."""

    certificate: Path
    key: Path
    authority: Path

    def trust(self) -> Trust:
        """Raises OSError if one cannot be read, CertificateFault if it is of no use."""
        identity = Identity(self.certificate.read_bytes(), self.key.read_bytes())
        authority = self.authority.read_bytes()
        given_certificates.check(identity, authority)
        return Trust(authority, None, identity)


@dataclass(frozen=True, repr=False)
class Keys:
    """What the user gave this process to join with, if anything."""

    token: str = ""
    token_file: str | os.PathLike[str] = ""
    certificates: OwnCertificates | None = None

    def __post_init__(self) -> None:
        """Raises KeysFault, TokenFault, CertificateFault or OSError for what can be seen to be wrong at once."""
        given = [bool(self.token), bool(self.token_file), self.certificates is not None]
        if sum(given) > 1:
            raise KeysFault("give only one of these: a token, a token file, own certificates")
        if self.certificates is not None:
            self.certificates.trust()
        self.written()

    def written(self) -> Token | None:
        """The token that was given, or that MANYHANDS_TOKEN has; of a file what it has now."""
        if self.certificates is not None:
            return None
        if self.token_file:
            return parse_token(_read(Path(self.token_file).expanduser()))
        text = self.token or os.environ.get(TOKEN_VARIABLE, "")
        return parse_token(text) if text else None


def make_keys(
    token: str = "",
    token_file: str | os.PathLike[str] = "",
    tls_cert: str | os.PathLike[str] = "",
    tls_key: str | os.PathLike[str] = "",
    tls_ca: str | os.PathLike[str] = "",
) -> Keys:
    """As users give them; empty: not given. Raises as `Keys` does."""
    return Keys(token, token_file, own_certificates(tls_cert, tls_key, tls_ca))


def own_certificates(
    certificate: str | os.PathLike[str], key: str | os.PathLike[str], authority: str | os.PathLike[str]
) -> OwnCertificates | None:
    """All three, or none. Raises KeysFault."""
    paths = [certificate, key, authority]
    if not any(map(os.fspath, paths)):
        return None
    if not all(map(os.fspath, paths)):
        raise KeysFault(
            "own certificates need all three: a certificate, its key, and who signs those of the other side"
        )
    return OwnCertificates(*(Path(path).expanduser() for path in paths))


def _read(path: Path) -> str:
    try:
        return private_file.read(path).decode().strip()
    except UnicodeDecodeError:
        raise TokenFault(f"{path} holds no token") from None


class Way:
    """The way to one master: `open_link` for a Dialer, and the `credential` to be shown there.

    is_network: the last link that was opened crosses a network, or might.
    """

    def __init__(self, address: str, role: str, keys: Keys = Keys()) -> None:
        """role: which of the access file's tokens to take, if none is given: worker, client or read-only."""
        self.address = address
        self.is_network = False
        self._role = role
        self._keys = keys
        self.credential = Credential()
        self._token: Token | None = None  # as it was last
        self._found = ""  # the access file
        self._is_found = False  # the token is from there
        self._disagree_since: float | None = None
        self._trust = keys.certificates.trust() if keys.certificates is not None else None
        self._is_plain = False

    async def open_link(self) -> Link:
        """Begin a connection. Raises LinkLost, and AccessDenied if it cannot become one."""
        if self._keys.certificates is None:
            await self._look_for_token()
            link = await same_host.dial(self.address)
            if link is not None:
                await self._look_again()
                self.is_network = False
                return link
        await self._make_sure()
        self.is_network = True
        from manyhands.wire import grpc_links  # only now: a process without gRPC starts sooner, and may be forked

        return await grpc_links.dial(self.address, self._trust)

    @property
    def is_secret(self) -> bool:
        """Whether the master is known by its certificate: then nothing is said in plain text."""
        return self._trust is not None or self._token is not None

    async def find_trust(self) -> Trust | None:
        """Likewise, for a call of gRPC's own, which `credential` is to be shown in."""
        if self._keys.certificates is None:
            await self._look_for_token()
        await self._make_sure()
        return self._trust

    async def _look_for_token(self) -> None:
        """Files may have changed since the last time: a token that is new there counts."""
        try:
            token = self._keys.written()
            self._is_found = token is None
            if token is None:
                if not self._found:
                    self._found = await same_host.find_access_file(self.address) or ""
                text = access_file.read_token(self._found, self._role) if self._found else ""
                token = parse_token(text) if text else None
        except (TokenFault, OSError) as error:
            raise LinkLost(str(error)) from error  # it was good when we started, and may become so again
        if token != self._token:
            if token is None or self._token is None or token.certificate != self._token.certificate:
                self._trust, self._is_plain = None, False
            self._token = token
            self.credential.secret = token.secret if token is not None else ""

    async def _look_again(self) -> None:
        """The master is there: when we looked before, it may have been about to start, and its file is there now."""
        if self._token is None:
            await self._look_for_token()

    async def _make_sure(self) -> None:
        """Before anything is shown to the other side: is it the master that the token names?"""
        if self._trust is not None or self._is_plain:
            return
        try:
            host, _, port = self.address.rpartition(":")
            certificate = await fetch_certificate(host, int(port), FETCH_TIMEOUT)
            await self._look_again()
        except NotTls as fault:
            if self._token is not None:
                raise AccessDenied(str(fault), self.address) from fault
            self._is_plain = True
            return
        except OSError as error:
            raise LinkLost(error.strerror or str(error)) from error
        if self._token is None:
            raise AccessDenied(
                f"it wants a token: set {TOKEN_VARIABLE} to one that `manyhands token show` prints on its host",
                self.address,
            )
        try:
            self._trust = pin(certificate, self._token, self.address)
        except PinFault as fault:
            if self._may_change():
                raise LinkLost(str(fault)) from fault
            raise AccessDenied(str(fault), self.address) from fault
        self._disagree_since = None

    def _may_change(self) -> bool:
        """Whether the access file may be that of a master that died, whose successor is about to write its own."""
        now = asyncio.get_running_loop().time()
        if self._disagree_since is None:
            self._disagree_since = now
        return self._is_found and now - self._disagree_since < SUCCESSION_TIMEOUT
