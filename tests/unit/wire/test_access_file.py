"""The access file: found by the address that somebody was told, on this machine or on one that shares the home."""

import os
import socket
from pathlib import Path

import pytest

from manyhands.wire import access_file
from manyhands.wire.access_file import AccessRecord

PORT = 7077
TOKENS = {"worker": "mh1.x.worker", "client": "mh1.x.client"}


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def record(host: str | None = None, port: int = PORT, pid: int = 0) -> AccessRecord:
    return AccessRecord(host or socket.gethostname(), ("192.0.2.7",), port, pid or os.getpid(), TOKENS)


def find(address: str, port: int = PORT, *, is_here: bool = False) -> str | None:
    return access_file.find(port, [(socket.AF_INET, (address, port))], lambda family, where: is_here)


def test_by_any_address_of_this_machine() -> None:
    ours = record()
    ours.write()
    found = find("127.0.0.1", is_here=True)
    assert found == str(ours.path)
    assert access_file.read_token(found, "worker") == "mh1.x.worker"
    assert access_file.read_token(found, "admin") == ""


def test_by_the_address_that_others_use() -> None:
    record("another-host").write()
    assert find("192.0.2.7") is not None
    assert find("192.0.2.8") is None
    assert find("127.0.0.1", is_here=True) is None  # that is this machine, and it is another's


def test_another_port_is_another_master() -> None:
    record().write()
    assert find("127.0.0.1", PORT + 1, is_here=True) is None


def test_two_machines_that_share_a_home() -> None:
    record("one").write()
    record("two").write()
    found = find("192.0.2.7")
    assert found is not None
    assert Path(found).name == f"two-{PORT}.json"


def test_it_goes_with_its_master_alone() -> None:
    ours = record()
    ours.write()
    record(pid=1).write()
    ours.remove()
    assert find("127.0.0.1", is_here=True) is not None
    ours.write()
    ours.remove()
    assert find("127.0.0.1", is_here=True) is None
    assert access_file.read_token(str(ours.path), "worker") == ""


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"host": 1}', "\xff"])
def test_what_cannot_be_read_is_no_help(content: str) -> None:
    ours = record()
    ours.write()
    ours.path.write_text(content)
    assert find("127.0.0.1", is_here=True) is None


def test_what_others_can_read_is_no_help() -> None:
    ours = record()
    ours.write()
    ours.path.chmod(0o644)
    assert find("127.0.0.1", is_here=True) is None


def test_it_does_not_show_its_tokens() -> None:
    assert "mh1" not in repr(record())


def test_a_user_without_a_home_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    assert find("127.0.0.1", is_here=True) is None
    with pytest.raises(OSError, match="no home directory"):
        record().write()
    record().remove()
