"""checkpoint_computation: computed once, again after a change, never over a file that is not its own."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from manyhands import checkpoint_computation
from manyhands.errors import CheckpointError, ContentError, DecodeError, ResultEncodeError


def counted(result: Any) -> Any:
    def compute() -> Any:
        ran()
        return result

    return compute


def ran() -> None:
    RUNS_OF_TEST.append("ran")


class _Runs:
    """What has run is no part of what is computed."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __manyhands_key__(self) -> None:
        """Nothing counts."""

    def append(self, name: str) -> None:
        self.names.append(name)


RUNS_OF_TEST = _Runs()


@pytest.fixture(autouse=True)
def runs() -> list[str]:
    RUNS_OF_TEST.names.clear()
    return RUNS_OF_TEST.names


def test_computed_once(tmp_path: Path, runs: list[str]) -> None:
    path = tmp_path / "new folder" / "result"
    for _ in range(3):
        assert checkpoint_computation(counted({"a": [1, 2]}), path) == {"a": [1, 2]}
    assert len(runs) == 1
    assert [each.name for each in path.parent.iterdir()] == ["result"], "nothing unfinished is left"
    assert checkpoint_computation(counted({"a": [1, 3]}), str(path)) == {"a": [1, 3]}
    assert checkpoint_computation(counted({"a": [1, 3]}), path, force_recompute=True) == {"a": [1, 3]}
    assert len(runs) == 3


def test_what_an_exception_ends_is_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "result"
    checkpoint_computation(lambda: 1, path)
    before = path.read_bytes()

    def failing() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        checkpoint_computation(failing, path)
    with pytest.raises(ResultEncodeError, match="lock"):
        checkpoint_computation(threading.Lock, path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["result"]


def test_functions_may_be_results(tmp_path: Path) -> None:
    path = tmp_path / "result"
    for _ in range(2):
        assert checkpoint_computation(lambda: lambda x: x + 1, path)(2) == 3


def test_what_cannot_be_recognized_again_is_named(tmp_path: Path) -> None:
    with (tmp_path / "data").open("w") as file:
        inner = {"log": [file]}
        with pytest.raises(ContentError, match=r"function .*variable 'inner'\['log'\]\[0\].*open the file inside"):
            checkpoint_computation(lambda: len(inner), tmp_path / "result")


@pytest.mark.parametrize("force", [False, True])
def test_other_files_are_never_overwritten(tmp_path: Path, force: bool) -> None:
    path = tmp_path / "thesis.txt"
    for content in (b"all my work", b"", b"manyhands computation\n\x02 of a later version"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"some other file|another version") as caught:
            checkpoint_computation(lambda: 1, path, force_recompute=force)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == content
    with pytest.raises(CheckpointError, match="cannot be used"):
        checkpoint_computation(lambda: 1, tmp_path, force_recompute=force)


def test_every_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "result"
    checkpoint_computation(counted("a result"), path)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(23, len(whole))]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(23, len(whole))]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"is damaged.*force_recompute=True"):
            checkpoint_computation(counted("a result"), path)
        assert path.read_bytes() == content
    assert checkpoint_computation(counted("a result"), path, force_recompute=True) == "a result"
    assert path.read_bytes() == whole


def fragile() -> None:
    raise LookupError("gone")


class Fragile:
    def __reduce__(self) -> Any:
        return fragile, ()


def test_a_result_that_cannot_be_read_any_more_says_so(tmp_path: Path) -> None:
    checkpoint_computation(Fragile, tmp_path / "result")
    with pytest.raises(DecodeError, match="LookupError: gone"):
        checkpoint_computation(Fragile, tmp_path / "result")


SCRIPT = """
import sys
from manyhands import checkpoint_computation

class Answer:
    def __init__(self, words): self.words = words

SIZE = {size}

def compute():  # {comment}
    print("computing")
    return Answer({{"one", "two"}} if SIZE else None)

answer = checkpoint_computation(compute, sys.argv[1])
assert type(answer) is Answer and SIZE == {size}
print(sorted(answer.words))
assert "manyhands.client.client" not in sys.modules, "no cluster, no gRPC"
"""


def test_in_another_process(tmp_path: Path) -> None:
    def run(seed: str, **values: Any) -> list[str]:
        script = tmp_path / "script.py"
        script.write_text(SCRIPT.format(**values))
        done = subprocess.run(
            [sys.executable, script, tmp_path / "result"], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=False, timeout=50,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert run("1", size=1, comment="") == ["computing", "['one', 'two']"]
    assert run("2", size=1, comment="which does not count") == ["['one', 'two']"]
    assert run("3", size=2, comment="") == ["computing", "['one', 'two']"]
