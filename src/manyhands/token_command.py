"""`manyhands token`: shows and changes the tokens of a master on this machine, whether it runs or not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from manyhands.master.access import Entry, Role
from manyhands.master.access_store import AccessFault, AccessStore
from manyhands.wire import certificate
from manyhands.wire.tokens import Token, new_secret

#: Long enough for whatever people call themselves, and kept out of terminals' and files' way.
_NAME_LENGTH_MAX = 64


def show(directory: Path) -> None:
    """Print all of them."""
    store = _store(directory)
    for entry in store.tokens().entries:
        _print(store, entry)


def create(directory: Path, name: str, role: str, ttl: float | None) -> None:
    """Make one, and print it; `ttl`: seconds. Raises AccessFault."""
    if not name.isprintable() or not name.strip() or len(name) > _NAME_LENGTH_MAX:
        raise AccessFault(f"a token's name has 1 to {_NAME_LENGTH_MAX} printable characters, and {name!r} has not")
    store, now = _store(directory), time.time()
    entry = Entry(name, Role(role), new_secret(), now, None if ttl is None else now + ttl)
    with store.changing() as entries:
        if any(other.name == name for other in entries):
            raise AccessFault(
                f"there is a token {name!r} already: `manyhands token rotate {name}` gives it a new secret, "
                f"`manyhands token revoke {name}` ends it"
            )
        entries.append(entry)
    _print(store, entry)


def rotate(directory: Path, names: Sequence[str]) -> None:
    """Give them new secrets, and print them."""
    store = _store(directory)
    with store.changing() as entries:
        _check_known(entries, names)
        for number, entry in enumerate(entries):
            if not names or entry.name in names:
                entries[number] = replace(entry, secret=new_secret(), previous=entry.secret)
                _print(store, entries[number])


def revoke(directory: Path, names: Sequence[str]) -> None:
    """Remove them."""
    store = _store(directory)
    with store.changing() as entries:
        _check_known(entries, names)
        entries[:] = [entry for entry in entries if entry.name not in names]
    for name in names:
        _say(f"revoked {name!r}: a master that runs sends its bearers away within seconds")


def _check_known(entries: Sequence[Entry], names: Sequence[str]) -> None:
    known = [entry.name for entry in entries]
    for name in names:
        if name not in known:
            raise AccessFault(f"there is no token {name!r}; these are there: {', '.join(map(repr, known)) or 'none'}")


def _store(directory: Path) -> AccessStore:
    store = AccessStore(directory)
    if not store.exists:
        raise AccessFault(
            f"there are no tokens in {directory}: a master makes them at its first start; if yours has a --data-dir or "
            "a --port of its own, give it here, too"
        )
    return store


def _print(store: AccessStore, entry: Entry) -> None:
    address = store.noted_address()
    written = Token(certificate.fingerprint(store.certificate()), entry.secret).written()
    left = ""
    if entry.expires_at is not None:
        until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.expires_at))
        left = f", {'until' if entry.expires_at > time.time() else 'expired at'} {until}"
    role = "" if entry.name == entry.role else f" ({entry.role})"
    _say(f"{entry.name}{role}{left}:\n  MANYHANDS_TOKEN={written} {command_for(entry.role, address)}")


def command_for(role: Role, address: str) -> str:
    """What a token of this role is used for."""
    match role:
        case Role.WORKER:
            return f"manyhands worker {address}"
        case Role.READ_ONLY:
            return f"manyhands status {address}"
    return f'python your_script.py   # with Client("{address}")'


def _say(text: str) -> None:
    print(text)  # noqa: T201 - what the command is for
