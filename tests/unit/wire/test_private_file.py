"""Private files: modes, owners, whole or not at all."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from manyhands.wire import private_file
from manyhands.wire.private_file import NotPrivate


@pytest.fixture(params=[0o022, 0o000, 0o077], ids="umask {:03o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_is_its_owners_alone_with_the_folders_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "secrets"
    before = mode(tmp_path)
    private_file.write(path, b"one")
    assert private_file.read(path) == b"one"
    assert (mode(path), mode(path.parent), mode(path.parent.parent)) == (0o600, 0o700, 0o700)
    assert mode(tmp_path) == before


def test_replaces_what_was_there_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_bytes(b"a longer text than the new one")
    path.chmod(0o644)
    private_file.write(path, b"new")
    assert private_file.read(path) == b"new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "theirs", tmp_path / "secrets"
    target.write_bytes(b"theirs")
    path.symlink_to(target)
    private_file.write(path, b"ours")
    assert target.read_bytes() == b"theirs"
    assert not path.is_symlink()


def test_what_cannot_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secrets"
    private_file.write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        private_file.write(path, b"new")
    assert private_file.read(path) == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("open_to", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_refuses_what_is_open_to_others(tmp_path: Path, open_to: int) -> None:
    path = tmp_path / "secrets"
    private_file.write(path, b"known to others")
    path.chmod(0o600 | open_to)
    with pytest.raises(NotPrivate, match=rf"mode {0o600 | open_to:04o}.*chmod 600 {path}") as caught:
        private_file.read(path)
    assert isinstance(caught.value, OSError)
    assert "known" not in str(caught.value)


def test_refuses_what_another_user_owns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secrets"
    private_file.write(path, b"ours")
    owner = path.stat().st_uid
    if not owner:  # root's files are read by all who may: give this one away
        owner = 12345
        os.chown(path, owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(NotPrivate, match=rf"{path} belongs to another user \(uid {owner}\)"):
        private_file.read(path)


def test_a_file_that_is_missing_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        private_file.read(tmp_path / "none")
