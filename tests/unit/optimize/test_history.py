"""Histories: as columns, on disk, on the wire, as a table; and their digest."""

import gc
import pickle
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyhands.optimize import packing
from manyhands.optimize.evaluations import Rows, Status
from manyhands.optimize.history import History
from manyhands.optimize.history_file import HistoryFile
from manyhands.optimize.rows import pack_rows, unpack_rows
from manyhands.optimize.space import Categorical, Float, Int, Space

SPACE = Space(lr=Float(1e-3, 1, log=True), score=Int(1, 9), act=Categorical(["relu", None]))


def rows(n: int = 50, m: int = 1, seed: int = 1) -> Rows:
    rng = np.random.default_rng(seed)
    status = np.arange(n, dtype=np.uint8) % 5
    is_failed = np.isin(status, [1, 2, 3])
    F = np.where(is_failed[:, np.newaxis], np.nan, rng.normal(size=(n, m)))
    V = np.where(is_failed, np.inf, 0.0)
    return Rows(rng.permutation(n), SPACE.cube.snap(rng.random((n, 3))), F, V, status, rng.random(n))


def same(one: Rows, other: Rows) -> bool:
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(one, other, strict=True))


def part(whole: Rows, first: int, end: int) -> Rows:
    return Rows(*(column[first:end] for column in whole))


def test_columns_read_as_a_user_expects() -> None:
    table = rows(10)
    history = History(SPACE, table)
    assert len(history) == 10
    assert history.status.tolist() == ["ok", "failed", "timed out", "crashed", "cached"] * 2
    assert history.is_failed.tolist() == [False, True, True, True, False] * 2
    assert history.scores.shape == (10,)
    assert history.ids.tolist() == table.ids.tolist()
    assert history.cost.tolist() == table.cost.tolist()
    assert history.violations.tolist() == table.V.tolist()
    assert list(history.params) == ["lr", "score", "act"]
    assert [row["act"] for row in SPACE.params(table.U)] == history.params["act"].tolist()
    assert repr(history).startswith("History(10 evaluations, 6 failed, of Space(lr=")
    assert History(SPACE, rows(10, m=2), signs=(1.0, -1.0)).scores.shape == (10, 2)
    with pytest.raises(ValueError, match="3 parameters and 2 objectives, not of 3 parameters and 1 objectives"):
        History(SPACE, table, signs=(1.0, -1.0))


def test_every_status_has_a_name() -> None:
    table = rows(5)
    assert len(set(History(SPACE, table).status.tolist())) == len(Status)


def test_digests_tell_histories_apart_and_do_not_depend_on_where_they_are() -> None:
    table = rows(200_000)
    digest = History(SPACE, table).digest()
    assert len(digest) == 32
    with HistoryFile(3, 1) as file:
        for first in range(0, 200_000, 70_000):
            file.append(part(table, first, min(first + 70_000, 200_000)))
        assert History(SPACE, file.rows()).digest() == digest
    assert History(SPACE, table._replace(cost=table.cost + 1)).digest() == digest
    others = [part(table, 0, 199_999)]
    for name in ("ids", "U", "F", "status"):
        column = getattr(table, name).copy()
        column[150_000] = column[150_000] + 1 if name != "status" else 3
        others.append(table._replace(**{name: column}))
    digests = {History(SPACE, other).digest() for other in others}
    assert len(digests - {digest}) == 5


def test_all_nans_are_one_to_the_digest() -> None:
    table = rows(10)
    F = table.F.copy()
    F.view(np.uint64)[np.isnan(F)] |= np.uint64(7)
    assert F.tobytes() != table.F.tobytes()
    assert History(SPACE, table._replace(F=F)).digest() == History(SPACE, table).digest()


def test_rows_survive_the_wire() -> None:
    for table in (rows(10, m=2), rows(0)):
        again = unpack_rows(pack_rows(table))
        assert same(again, table)
        assert [column.dtype for column in again] == [np.int64, float, float, float, np.uint8, float]


def test_what_is_packed_is_not_kept_until_the_collector_comes_by() -> None:
    gc.collect()
    gc.disable()
    try:
        assert same(unpack_rows(pack_rows(rows(1000))), rows(1000))
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_are_no_rows_is_refused() -> None:
    good = rows(3)._asdict()
    wrong: list[dict[str, Any]] = [
        {},
        good | {"more": 1},
        good | {"ids": [1, 2, 3]},
        good | {"ids": good["ids"].astype(np.int32)},
        good | {"U": good["U"][:, 0]},
        good | {"cost": good["cost"][:2]},
        good | {"status": np.full(3, 9, dtype=np.uint8)},
    ]
    for document in wrong:
        with pytest.raises(packing.StateRefused):
            unpack_rows(packing.pack(document))
    with pytest.raises(packing.StateRefused):
        unpack_rows(b"rows")


def test_a_file_gives_back_what_was_appended(tmp_path: Path) -> None:
    table = rows(1000, m=2)
    path = tmp_path / "history"
    with HistoryFile(3, 2, path) as file:
        assert len(file.rows().ids) == 0
        for first in range(0, 1000, 7):
            file.append(part(table, first, min(first + 7, 1000)))
        file.append(part(table, 0, 0))
        assert len(file) == 1000
        assert same(file.rows(), table)
        assert same(file.rows(990), part(table, 990, 1000))
        assert same(file.rows(500, 3), part(table, 500, 503))
        assert len(file.rows(2000, 5).ids) == 0
    with HistoryFile(3, 2, path) as again:
        assert same(again.rows(), table)
        again.truncate(10)
        again.append(part(table, 10, 20))
        assert same(again.rows(), part(table, 0, 20))
        with pytest.raises(ValueError, match="21 rows of 20 cannot be kept"):
            again.truncate(21)


def test_a_row_that_was_not_written_to_its_end_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "history"
    table = rows(20)
    with HistoryFile(3, 1, path) as file:
        file.append(table)
    with path.open("r+b") as raw:
        raw.truncate(path.stat().st_size - 3)
    with HistoryFile(3, 1, path) as again:
        assert len(again) == 19
        again.append(part(table, 19, 20))
        assert same(again.rows(), table)
    path.write_bytes(path.read_bytes()[:5])  # not even its head
    with HistoryFile(3, 1, path) as anew:
        assert len(anew) == 0
        anew.append(table)
        assert same(anew.rows(), table)


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history"
    with HistoryFile(3, 1, path) as file:
        file.append(rows(5))
    content = path.read_bytes()
    with pytest.raises(ValueError, match="no history of 4 parameters and 1 objectives"):
        HistoryFile(4, 1, path)
    assert path.read_bytes() == content


def test_what_was_read_stays_when_its_file_is_gone() -> None:
    table = rows(100)
    file = HistoryFile(3, 1)
    file.append(table)
    history = History(SPACE, file.rows())
    file.close()
    assert same(history.rows, table)
    with pytest.raises(ValueError, match="read-only"):
        history.rows.F[0] = 0
    assert pickle.loads(pickle.dumps(history)).digest() == history.digest()


def test_many_rows_take_no_memory() -> None:
    block = rows(1000)
    with HistoryFile(3, 1) as file:
        file.append(block)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(400):
            file.append(block)
        assert file.rows().ids.nbytes == 8 * 401_000
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 10_000  # kB; the rows are 24 MB


def test_a_table_for_pandas() -> None:
    frame = History(SPACE, rows(10)).to_pandas()
    assert list(frame.columns) == ["id", "lr", "param_score", "act", "score", "status", "cost", "violation"]
    assert len(frame) == 10
    assert frame["param_score"].dtype == np.int64
    assert set(frame["act"]) == {"relu", None}
    assert frame["score"].isna().sum() == 6
    assert list(frame[frame.status == "ok"].index) == [0, 5]
    two = History(SPACE, rows(10, m=2), signs=(1.0, 1.0)).to_pandas()
    assert list(two.columns) == ["id", "lr", "score", "act", "score_0", "score_1", "status", "cost", "violation"]


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        History(SPACE, rows(10)).to_pandas()
