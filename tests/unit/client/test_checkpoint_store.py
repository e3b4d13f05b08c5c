"""A checkpoint's file: what was added is found, by other processes too; what is not ours or not whole is refused."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.client.checkpoint_file import FILE_NAME
from manyhands.client.checkpoint_index import NOWHERE, POSITION_BITS, KeyIndex
from manyhands.client.checkpoint_path import checkpoint_directory
from manyhands.client.checkpoint_store import CheckpointStore, Found, Missing, Run, StoredClass
from manyhands.errors import CheckpointError


def key(number: int) -> bytes:
    """Numbers beyond 2**64 share their first halves with smaller ones."""
    return (number * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "little") + (number >> 64).to_bytes(8, "little")


def run(numbers: Sequence[int], text: str = "") -> Run:
    outcomes = [f"{number}{text}".encode() for number in numbers]
    ends = np.cumsum([len(each) for each in outcomes]).tolist()
    return Run(b"".join(map(key, numbers)), ends, b"".join(outcomes))


def recall(store: CheckpointStore, numbers: Sequence[int]) -> list[str | None]:
    found: list[str | None] = []
    store.look_again()
    for segment in store.find(b"".join(map(key, numbers))):
        if isinstance(segment, Missing):
            found += [None] * segment.length
        else:
            found += [each.decode() for each in store.outcomes(segment)]
    return found


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=20), max_size=12), st.lists(st.integers(0, 70)))
def test_the_index_finds_the_latest_place_of_each_key(runs: list[list[int]], wanted: list[int]) -> None:
    index, expected, new = KeyIndex(), {}, []
    for number, keys in enumerate(runs, 1):
        new.append((number, b"".join(map(key, keys))))
        if number % 3 != 1:
            index.add(new)
            new = []
        for position, each in reversed(list(enumerate(keys))):
            expected[each] = (number << POSITION_BITS) + position
    index.add(new)
    places = index.find(b"".join(map(key, wanted)))
    assert places.tolist() == [expected.get(each, NOWHERE) for each in wanted]
    assert [index.find_one(key(each)) for each in wanted] == places.tolist()


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=20), max_size=8), st.lists(st.integers(0, 70)))
def test_what_was_added_is_found(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[int]], wanted: list[int]
) -> None:
    store = CheckpointStore(str(tmp_path_factory.mktemp("store")))
    for keys in runs:
        store.add([run(keys)], [], [])
    there = {each for keys in runs for each in keys}
    assert recall(store, wanted) == [str(each) if each in there else None for each in wanted]
    store.close()


def test_half_a_key_is_not_enough(tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path))
    store.add([run([1, 2, 3])], [], [])
    assert recall(store, [1, (1 << 64) + 1, 3]) == ["1", None, "3"]
    assert store.find_one(key(1)) == Found(1, 0, 1)
    assert store.find_one(key((1 << 64) + 1)) is None
    assert store.find_one(key(4)) is None
    store.close()


def test_runs_are_found_as_runs(tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path))
    store.add([run(range(10)), run(range(10, 20))], [], [])
    segments = store.find(b"".join(key(each) for each in (*range(2, 15), 99, 98, 3)))
    assert segments == [Found(1, 2, 10), Found(2, 0, 5), Missing(2), Found(1, 3, 4)]
    assert store.find(b"") == []
    store.close()


def test_two_stores_see_what_the_other_adds(tmp_path: Path) -> None:
    one, other = CheckpointStore(str(tmp_path)), CheckpointStore(str(tmp_path))
    one.add([run([1])], [(b"hash", b"blob")], [StoredClass("t", "m", "n", b"c")])
    other.add([run([2]), run([1], "again")], [(b"hash", b"blob")], [StoredClass("t", "m", "n", b"c")])
    for store in (one, other):
        assert recall(store, [1, 2, 3]) == ["1again", "2", None]
        assert store.find_blob(b"hash") == b"blob"
        assert store.find_blob(b"other") is None
        assert store.classes() == [StoredClass("t", "m", "n", b"c")]
        store.close()


def test_several_make_the_file_at_once(tmp_path: Path) -> None:
    for number in range(30):
        folder = tmp_path / str(number)
        at_once = threading.Barrier(4)

        def make(folder: Path = folder, at_once: threading.Barrier = at_once) -> None:
            at_once.wait(20)
            CheckpointStore(str(folder)).close()

        with ThreadPoolExecutor(4) as threads:
            for made in [threads.submit(make) for _ in range(4)]:
                made.result(30)


WRITING = """
import sys
from tests.unit.client.test_checkpoint_store import run
from manyhands.client.checkpoint_store import CheckpointStore
store = CheckpointStore(sys.argv[1])
for number in range(int(sys.argv[2]), 10_000, 2):
    store.add([run([number])], [], [])
    print(number, flush=True)
"""


def test_two_writing_processes_killed_in_the_middle_lose_nothing(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITING, tmp_path, str(first)], stdout=subprocess.PIPE, text=True, cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        for first in (0, 1)
    ]  # fmt: skip
    told = []
    for writer in writers:
        assert writer.stdout is not None
        told += [int(writer.stdout.readline()) for _ in range(100)]
    for writer in writers:
        writer.kill()
        rest, _ = writer.communicate()
        told += [int(line) for line in rest.splitlines()]
    store = CheckpointStore(str(tmp_path))
    assert recall(store, told) == [str(each) for each in told]
    store.close()


# ---------------------------------------------------------------- files that are refused


def made(folder: Path) -> Path:
    store = CheckpointStore(str(folder))
    for number in range(40):
        store.add([run(range(100 * number, 100 * number + 100))], [], [])
    store.close()
    return folder / FILE_NAME


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text("my thesis, do not overwrite\n" * 100)
    with pytest.raises(CheckpointError, match="is no checkpoint but some other file; name another one") as caught:
        CheckpointStore(str(tmp_path))
    assert str(path) in str(caught.value)
    assert path.read_text().startswith("my thesis")


def test_other_databases_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE letters (text TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="is another program's database"):
        CheckpointStore(str(tmp_path))
    assert path.read_bytes() == before


def test_another_version_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(made(tmp_path))
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(CheckpointError, match=r"another version of manyhands \(its format is 99\)"):
        CheckpointStore(str(tmp_path))


def test_a_directory_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be used: .*check the path"):
        CheckpointStore(str(tmp_path / "file" / "below"))


@pytest.mark.parametrize("part", ["first page", "a page", "cut short"])
def test_damage_is_refused(tmp_path: Path, part: str) -> None:
    path = made(tmp_path)
    content = bytearray(path.read_bytes())
    if part == "cut short":
        del content[len(content) // 2 :]
    else:
        at = 100 if part == "first page" else len(content) // 2 // 4096 * 4096
        content[at : at + 64] = os.urandom(64)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{path} .*damaged.*move it away to begin anew"):
        recall(CheckpointStore(str(tmp_path)), range(4000))


def test_a_changed_byte_in_a_result_is_noticed(tmp_path: Path) -> None:
    path = made(tmp_path)
    content = path.read_bytes()
    assert content.count(b"373837393740") == 1, "where 3738, 3739 and 3740 lie"
    path.write_bytes(content.replace(b"373837393740", b"373837390740"))
    store = CheckpointStore(str(tmp_path))
    assert recall(store, [3600]) == ["3600"]
    with pytest.raises(CheckpointError, match="row 38 is not as stored"):
        recall(store, [3750])
    store.close()


def test_what_is_left_of_a_beginning_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()  # killed before the first page was written
    store = CheckpointStore(str(tmp_path))
    assert recall(store, [1]) == [None]
    store.close()


# ---------------------------------------------------------------- names and paths


def test_names_are_in_the_data_directory_and_paths_where_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert checkpoint_directory("night run") == str(tmp_path / "data/manyhands/checkpoints/night run")
    for relative in ("data", "", "relative/data"):
        monkeypatch.setenv("XDG_DATA_HOME", "" if relative == "data" else relative)
        assert checkpoint_directory("n") == str(tmp_path / "home/.local/share/manyhands/checkpoints/n")
    assert checkpoint_directory("./n") == str(tmp_path / "n")
    assert checkpoint_directory(".n") == str(tmp_path / ".n")
    assert checkpoint_directory("a/b") == str(tmp_path / "a/b")
    assert checkpoint_directory("~/b") == str(tmp_path / "home/b")
    assert checkpoint_directory(Path("n")) == str(tmp_path / "n")
    for bad in ("", "  ", "a\0b"):
        with pytest.raises(ValueError, match="must be a name or the path of a directory"):
            checkpoint_directory(bad)
    with pytest.raises(TypeError, match="not 3"):
        checkpoint_directory(3)  # type: ignore[arg-type]
