"""Results that were lost with their host: computed again, as far as that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.daemons import start_master
from tests.support.elsewhere import skip_unless_possible, worker_elsewhere

from manyhands import Client, Ref
from manyhands.errors import DataLost


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    skip_unless_possible()
    master, address = start_master()
    with master:
        yield address


def make(folder: Path, fill: float) -> np.ndarray:
    with (folder / "runs").open("a") as file:
        file.write(f"make {fill}\n")
    return np.full(100_000, fill)


def add(folder: Path, array: np.ndarray, more: np.ndarray) -> np.ndarray:
    with (folder / "runs").open("a") as file:
        file.write("add\n")
    if (folder / "broken").exists():
        raise OSError("the disk is gone")
    return array + more


def runs(folder: Path) -> list[str]:
    return (folder / "runs").read_text().splitlines()


def test_results_lost_with_their_host_are_computed_again_with_all_that_takes(address: str, tmp_path: Path) -> None:
    with Client(address) as client, worker_elsewhere(address) as first:
        keeping = client.with_options(keep_results=True)
        given = client.put(np.full(100_000, 0.5))
        made: Ref[np.ndarray] = keeping.submit(make, tmp_path, 1.0).result(30)
        added: Ref[np.ndarray] = keeping.submit(add, tmp_path, made, given).result(30)
        other: Ref[np.ndarray] = keeping.submit(make, tmp_path, 2.0).result(30)
        del made, given  # what was made from them still can be made again
        assert runs(tmp_path) == ["make 1.0", "add", "make 2.0"]
        first.kill()
        first.wait()
        with worker_elsewhere(address):
            total = client.submit(lambda a, b: float(a.sum() + b.sum()), added, other)
            assert total.result(30) == 350_000.0
            assert client.get(added)[7] == 1.5
            again = runs(tmp_path)[3:]
            assert sorted(again) == ["add", "make 1.0", "make 2.0"]
            assert again.index("make 1.0") < again.index("add")


def test_what_cannot_be_computed_again_says_why(address: str, tmp_path: Path) -> None:
    with Client(address) as client, worker_elsewhere(address) as first:
        keeping = client.with_options(keep_results=True)
        given = client.put(np.zeros(100_000))
        added: Ref[np.ndarray] = keeping.submit(add, tmp_path, given, given).result(30)
        (tmp_path / "broken").touch()
        with worker_elsewhere(address):
            client.wait_for_workers(2)
            first.kill()
            first.wait()
            with pytest.raises(DataLost, match="is gone; and it cannot be computed again: the task that"):
                client.get(added, timeout=30)
            with pytest.raises(DataLost, match="raised an exception this time"):
                client.submit(np.sum, added).result(30)
