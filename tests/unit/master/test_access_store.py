"""A master's certificate and tokens on disk: made once, for one user, changed beside a master that runs."""

import json
import stat
import threading
from pathlib import Path

import pytest

from manyhands.master.access import Role
from manyhands.master.access_store import AccessFault, AccessStore


def made(directory: Path) -> AccessStore:
    store = AccessStore(directory)
    assert store.create(lambda: (b"certificate", b"key"), 12.5)
    return store


def test_the_first_start_makes_all_of_it(tmp_path: Path) -> None:
    store = made(tmp_path / "data" / "access")
    assert store.identity().certificate_pem == b"certificate"
    assert store.identity().key_pem == b"key"
    entries = store.tokens().entries
    assert [(entry.name, entry.role) for entry in entries] == [
        ("worker", Role.WORKER),
        ("client", Role.CLIENT),
        ("read-only", Role.READ_ONLY),
    ]
    assert len({entry.secret for entry in entries}) == 3


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    store = made(tmp_path / "access")
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    for path in store.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    (store.directory / "tokens.json").chmod(0o640)
    with pytest.raises(AccessFault, match="open to other users"):
        store.tokens()


def test_the_next_start_changes_nothing(tmp_path: Path) -> None:
    store = made(tmp_path)
    before = store.tokens().entries
    assert not AccessStore(tmp_path).create(lambda: (b"other", b"other"), 99.0)
    assert store.tokens().entries == before
    assert store.certificate() == b"certificate"


def test_of_two_masters_that_start_together_one_makes_it(tmp_path: Path) -> None:
    came = threading.Barrier(2)
    found: list[tuple[bool, bytes, bytes]] = []

    def start(name: bytes) -> None:
        store = AccessStore(tmp_path / "access")
        came.wait(10)
        is_new = store.create(lambda: (b"certificate " + name, b"key " + name), 0.0)
        identity = store.identity()
        found.append((is_new, identity.certificate_pem, identity.key_pem))

    threads = [threading.Thread(target=start, args=(name,)) for name in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(is_new for is_new, _, _ in found) == [False, True]
    (_, certificate, key), (_, other_certificate, other_key) = ((n, c, k) for n, c, k in found)
    assert (certificate, key) == (other_certificate, other_key)
    assert certificate.split()[1] == key.split()[1]


def test_changes_are_seen(tmp_path: Path) -> None:
    store = made(tmp_path)
    before = store.stamp()
    assert store.stamp() == before
    with store.changing() as entries:
        del entries[0]
    assert store.stamp() != before
    assert [entry.name for entry in store.tokens().entries] == ["client", "read-only"]


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    store = made(tmp_path)
    with pytest.raises(ZeroDivisionError), store.changing() as entries:
        del entries[0]
        raise ZeroDivisionError
    assert len(store.tokens().entries) == 3


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 1}', '{"version": 1, "tokens": [{"secret": "abc"}]}', '{"version": 1, "tokens": 3}'],
)
def test_a_damaged_file_is_said_without_what_it_holds(tmp_path: Path, content: str) -> None:
    store = made(tmp_path)
    (tmp_path / "tokens.json").write_text(content)
    with pytest.raises(AccessFault, match="is damaged") as fault:
        store.tokens()
    assert "abc" not in str(fault.value)
    assert fault.value.__cause__ is None


def test_another_versions_file(tmp_path: Path) -> None:
    store = made(tmp_path)
    (tmp_path / "tokens.json").write_text(json.dumps({"version": 2, "tokens": []}))
    with pytest.raises(AccessFault, match="another version of manyhands"):
        store.tokens()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    store = made(tmp_path)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(AccessFault, match=r"key\.pem"):
        store.identity()


def test_the_address_is_noted(tmp_path: Path) -> None:
    store = made(tmp_path)
    assert store.noted_address() == "HOST:PORT"
    store.note_address("192.0.2.7:7077")
    assert store.noted_address() == "192.0.2.7:7077"
