"""with_options(checkpoint=): what was computed is not sent again, all comes in its place, nothing else is kept."""

import asyncio
import builtins
import concurrent.futures
import gc
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.fake_master import FakeMaster, make_client

from manyhands import Client
from manyhands.client import checkpoint_writer, recalling
from manyhands.client.aio import AsyncClient
from manyhands.client.checkpoint_file import FILE_NAME
from manyhands.client.checkpoint_store import CheckpointStore
from manyhands.client.checkpoint_writer import Arrived, CheckpointWriter
from manyhands.errors import CheckpointError, ContentError, DecodeError, EncodeError


def log(call: Any) -> None:
    """Where every copy of a function finds it, and where it is no part of what is computed."""
    builtins.calls_in_this_test[call] += 1  # type: ignore[attr-defined]


def square(x: Any) -> Any:
    log(x)
    if x == 13:
        raise ValueError(x)
    return x * x


def power(x: int, exponent: int = 2) -> int:
    log((x, exponent))
    return int(x**exponent)


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    counts: Counter[Any] = Counter()
    monkeypatch.setattr(builtins, "calls_in_this_test", counts, raising=False)
    return counts


@pytest.fixture
def kept(client: Client, tmp_path: Path) -> Client:
    return client.with_options(checkpoint=tmp_path / "kept")


def again(counts: Counter[Any]) -> list[Any]:
    """What has run since the last look."""
    ran = sorted(counts.elements(), key=str)
    counts.clear()
    return ran


def inputs_of(items: Any, is_sized: bool) -> Any:
    return list(items) if is_sized else iter(items)


@pytest.mark.parametrize("is_sized", [True, False])
def test_maps_skip_what_is_done(kept: Client, counts: Counter[Any], is_sized: bool) -> None:
    assert list(kept.map(square, inputs_of(range(10), is_sized))) == [x * x for x in range(10)]
    assert len(again(counts)) == 10
    assert list(kept.map(square, inputs_of(range(5, 12), is_sized))) == [x * x for x in range(5, 12)]
    assert again(counts) == [10, 11]
    assert sorted(kept.map_unordered(square, inputs_of(range(13), is_sized))) == [x * x for x in range(13)]
    assert again(counts) == [12]
    assert list(kept.starmap(square, inputs_of([(3,), (4,), (20,)], is_sized))) == [9, 16, 400]
    assert again(counts) == [20]
    assert list(kept.map(square, [])) == []


def test_the_same_call_is_the_same_however_it_is_made(kept: Client, counts: Counter[Any]) -> None:
    assert list(kept.map(power, [2, 3], [3, 2])) == [8, 9]
    assert again(counts) == [(2, 3), (3, 2)]
    assert list(kept.starmap(power, [(2, 3)])) == [8]
    kept.submit(power, 5, 3).result()
    again(counts)
    kept.session.flush()
    assert kept.submit(power, 5, 3).result() == 125
    assert list(kept.map(power, iter([5]), iter([3]))) == [125]
    assert again(counts) == []
    assert kept.submit(power, 5, exponent=3).result() == 125
    assert list(kept.map(power, [5])) == [25]
    assert again(counts) == [(5, 2), (5, 3)]


def test_other_checkpoints_and_none_know_nothing_of_it(
    client: Client, kept: Client, counts: Counter[Any], tmp_path: Path
) -> None:
    list(kept.map(square, range(3)))
    again(counts)
    list(client.map(square, range(3)))
    assert len(again(counts)) == 3
    list(client.with_options(checkpoint=str(tmp_path / "another")).map(square, range(3)))
    assert len(again(counts)) == 3
    list(client.with_options(checkpoint=str(tmp_path / "kept"), retries=2, priority=5).map(square, range(3)))
    assert again(counts) == [], "how it is run does not count"


def test_submits_skip_what_is_done(kept: Client, counts: Counter[Any]) -> None:
    assert [each.result() for each in [kept.submit(square, x) for x in range(5)]] == [0, 1, 4, 9, 16]
    kept.session.flush()
    again(counts)
    future = kept.submit(square, 3)
    assert future.done()
    assert not future.cancel()
    assert concurrent.futures.wait([future, kept.submit(square, 4)], timeout=20).not_done == set()
    called: list[Any] = []
    future.add_done_callback(lambda each: called.append(each.result()))
    assert again(counts) == []
    assert kept.submit(square, 6).result() == 36
    assert again(counts) == [6]
    assert kept.get_stats()["tasks_recalled"] == 2


def test_failures_are_not_kept(kept: Client, counts: Counter[Any]) -> None:
    for _ in range(2):
        results, failures = kept.fault_tolerant_map(square, range(12, 15), retries=0)
        assert results == [144, None, 196]
        assert [(each.index, each.item, type(each.exception)) for each in failures] == [(1, 13, ValueError)]
        with pytest.raises(ValueError, match="13"):
            kept.submit(square, 13).result()
    assert counts == {12: 1, 13: 4, 14: 1}


def test_cancelled_tasks_are_not_kept(kept: Client, master: FakeMaster, counts: Counter[Any]) -> None:
    master.running.clear()
    future = kept.submit(square, 1)
    assert future.cancel()
    master.running.set()
    assert kept.submit(square, 2).result() == 4
    kept.session.flush()
    again(counts)
    assert kept.submit(square, 1).result() == 1
    assert kept.submit(square, 2).result() == 4
    assert again(counts) == [1]


def test_force_recompute(kept: Client, counts: Counter[Any]) -> None:
    forced = kept.with_options(force_recompute=True)
    for view in (kept, forced, forced, kept):
        assert list(view.map(square, range(4))) == [0, 1, 4, 9]
        view.session.flush()
        assert view.submit(square, 2).result() == 4
        view.session.flush()
    assert counts == {0: 3, 1: 3, 2: 5, 3: 3}


SCALE = 2


def load_model() -> int:
    return SCALE


def test_what_makes_the_context_counts(kept: Client, counts: Counter[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    view = kept.with_options(context=load_model)

    def run() -> list[Any]:
        assert list(view.map(square, [2, 3])) == [4, 9]
        view.session.flush()
        assert view.submit(square, 2).result() == 4
        view.session.flush()
        return again(counts)

    list(kept.map(square, [2]))
    kept.session.flush()
    counts.clear()
    assert run() == [2, 3], "it is another call than without"
    assert run() == []
    monkeypatch.setitem(globals(), "SCALE", 3)
    assert run() == [2, 3]


def test_a_deleted_checkpoint_is_begun_anew(client: Client, tmp_path: Path, counts: Counter[Any]) -> None:
    for _ in range(2):
        view = client.with_options(checkpoint=tmp_path / "kept")
        assert list(view.map(square, range(4))) == [0, 1, 4, 9]
        view.session.flush()
        assert view.submit(square, 2).result() == 4
        assert again(counts) == [0, 1, 2, 3]
        shutil.rmtree(tmp_path / "kept")
    assert list(view.map(square, range(4))) == [0, 1, 4, 9]
    assert again(counts) == [0, 1, 2, 3]


def test_options_are_checked(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name it with checkpoint="):
        client.with_options(force_recompute=True)
    with pytest.raises(TypeError, match="force_recompute must be True or False"):
        client.with_options(checkpoint="x/y", force_recompute=1)
    with pytest.raises(TypeError, match="checkpoint must be a name or the path"):
        client.with_options(checkpoint=3)
    with pytest.raises(ValueError, match="the master keeps a detached job's results"):
        client.with_options(checkpoint=tmp_path).map(abs, [1], detach=True, name="x")


@pytest.mark.parametrize("is_sized", [True, False])
@pytest.mark.parametrize("run_count", [1, 1000])
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_everything_comes_in_its_place(
    data: st.DataObject, client: Client, master: FakeMaster, tmp_path_factory: pytest.TempPathFactory,
    counts: Counter[Any], is_sized: bool, run_count: int,
) -> None:  # fmt: skip
    master.run_count = run_count
    view = client.with_options(checkpoint=tmp_path_factory.mktemp("kept"))
    bad = threading.Lock()
    first = data.draw(st.lists(st.integers(0, 30), max_size=30))
    second = data.draw(st.lists(st.integers(0, 30) | st.just(bad), max_size=40))
    assert sum(1 for _ in view.map(square, first, return_exceptions=True)) == len(first)
    counts.clear()
    outcomes = list(view.map(square, inputs_of(second, is_sized), return_exceptions=True))
    plain = [type(each) if isinstance(each, Exception) else each for each in outcomes]
    assert plain == [EncodeError if x is bad else ValueError if x == 13 else x * x for x in second]
    assert set(counts) == ({x for x in second if x is not bad} - set(first)) | ({13} & set(second))
    unordered = view.map_unordered(square, inputs_of(second, is_sized), return_exceptions=True)
    assert Counter(map(str, unordered)) == Counter(map(str, outcomes))


def test_a_lazy_map_stays_ahead_by_its_buffer_only(kept: Client, counts: Counter[Any]) -> None:
    list(kept.map(square, range(0, 2000, 2)))
    again(counts)
    pulled = 0

    def inputs() -> Iterator[int]:
        nonlocal pulled
        for pulled in range(100_000_000):  # noqa: UP028 - counted on the way
            yield pulled

    results = kept.map(square, inputs(), buffersize=3)
    assert [next(results) for _ in range(12)] == [x * x for x in range(12)]
    results.close()
    assert len(again(counts)) <= 6 + 3


def test_millions_of_earlier_results_are_read_lazily(
    kept: Client, monkeypatch: pytest.MonkeyPatch, counts: Counter[Any]
) -> None:
    monkeypatch.setattr(recalling, "_MAX_ASIDE", 3)
    list(kept.map(power, range(5000)))
    again(counts)
    pulled = 0

    def inputs() -> Iterator[int]:
        nonlocal pulled
        for pulled in range(5000):  # noqa: UP028 - counted on the way
            yield pulled

    results = kept.map(power, inputs())
    assert [next(results) for _ in range(10)] == [x * x for x in range(10)]
    assert pulled < 5000
    assert list(results) == [x * x for x in range(10, 5000)]
    assert again(counts) == []


# ---------------------------------------------------------------- what is refused


def test_an_item_without_content_is_named(kept: Client, tmp_path: Path) -> None:
    with (tmp_path / "data").open("w") as file:
        with pytest.raises(ContentError, match=r"item 2: \['log'\].*open the file inside the task") as caught:
            list(kept.map(square, [0, 1, {"log": file}, 3]))
        assert isinstance(caught.value, EncodeError)
        outcomes = list(kept.map(square, [0, {"log": file}, 2], return_exceptions=True))
        assert [type(each) for each in outcomes] == [int, ContentError, int]
        with pytest.raises(ContentError, match="the call"):
            kept.submit(square, file).result()
        with pytest.raises(EncodeError, match="variable 'file'"):
            kept.map(lambda x: file, [1])


class HasContentButCannotTravel:
    def __manyhands_key__(self) -> int:
        return 1

    def __reduce__(self) -> Any:
        raise TypeError("stays at home")


def test_an_item_that_has_content_but_cannot_be_sent_is_named_by_its_number(kept: Client) -> None:
    list(kept.map(square, [0, 1, 4]))
    items = [0, 1, 2, HasContentButCannotTravel(), 4, 5]
    with pytest.raises(EncodeError, match=r"item 3 .*stays at home"):
        list(kept.map(square, items))
    outcomes = list(kept.map(square, iter(items), return_exceptions=True))
    assert [each if isinstance(each, int) else str(each)[:6] for each in outcomes] == [0, 1, 4, "item 3", 16, 25]


def test_what_ends_the_inputs_is_raised(kept: Client) -> None:
    def inputs() -> Iterator[int]:
        yield from range(6)
        raise RuntimeError("no more")

    for _ in range(2):
        results = kept.map(square, inputs())
        assert [next(results) for _ in range(6)] == [x * x for x in range(6)]
        with pytest.raises(RuntimeError, match="no more"):
            next(results)


def test_a_foreign_file_is_refused_at_once(client: Client, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("my thesis" * 1000)
    with pytest.raises(CheckpointError, match="is no checkpoint but some other file"):
        client.with_options(checkpoint=tmp_path)


class Brittle:
    def __reduce__(self) -> Any:
        return broken, ()


def broken() -> None:
    raise LookupError("broken")


def test_a_result_that_cannot_be_decoded(kept: Client) -> None:
    for _ in range(2):
        with pytest.raises(DecodeError, match="broken"):
            list(kept.map(lambda _: Brittle(), [1]))
        [outcome] = kept.map(lambda _: Brittle(), [1], return_exceptions=True)
        assert isinstance(outcome, DecodeError)


def fail_to_add(error: Exception) -> Callable[..., None]:
    def add(self: CheckpointStore, *rest: Any) -> None:
        raise error

    return add


def test_a_full_disk_is_told(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = client.with_options(checkpoint=tmp_path)
    list(view.map(square, range(3)))
    view.session.flush()
    monkeypatch.setattr(CheckpointStore, "add", fail_to_add(CheckpointError("the path", "is full", "free some space")))
    assert list(view.map(square, range(3, 6))) == [9, 16, 25], "what was computed is not withheld"
    with pytest.raises(CheckpointError, match="is full"):
        view.session.flush()
    with pytest.raises(CheckpointError, match="is full"):
        view.map(square, range(3))
    with pytest.raises(CheckpointError, match="is full"):
        view.submit(square, 77)
    with pytest.raises(CheckpointError, match="is full"):
        client.shutdown()


def test_what_nobody_was_told_is_told_at_exit(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    view = client.with_options(checkpoint=tmp_path)
    monkeypatch.setattr(CheckpointStore, "add", fail_to_add(CheckpointError("the path", "is full", "free some space")))
    list(view.map(square, range(3)))
    writer = view.session.checkpoint(view.options).writer
    writer.stop()
    writer.join()
    assert "is full" in caplog.text
    caplog.clear()
    with pytest.raises(CheckpointError, match="is full"):
        client.shutdown()
    writer.join()
    assert not caplog.text


# ---------------------------------------------------------------- definitions, processes, ends


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_the_asynchronous_client(tmp_path: Path, counts: Counter[Any]) -> None:
    async def story() -> None:
        master = FakeMaster()
        client = AsyncClient("nowhere:1")
        client._connect = lambda: make_client(master)  # type: ignore[assignment]
        async with client:
            view = client.with_options(checkpoint=tmp_path)
            assert [each async for each in view.map(square, range(5))] == [0, 1, 4, 9, 16]
            assert [each async for each in view.map(square, range(3, 7))] == [9, 16, 25, 36]
            assert [each async for each in view.map_unordered(square, [4])] == [16]
            assert (await view.fault_tolerant_map(square, [4, 13], retries=0)).results == [16, None]
            assert await view.submit(square, 6) == 36
        master.stop()

    asyncio.run(story())
    assert counts == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 13: 1}


def test_shutdown_stores_everything_and_its_end_frees_everything(
    master: FakeMaster, tmp_path: Path, counts: Counter[Any]
) -> None:
    others = threading.enumerate()
    client = make_client(master)
    view = client.with_options(checkpoint=tmp_path)
    results = view.map(square, range(100))
    client.shutdown()
    store = CheckpointStore(str(tmp_path))
    assert sum(len(keys) for (keys,) in store._connection.execute("SELECT keys FROM results")) // 16 == 99
    store.close()
    [thread] = [each for each in threading.enumerate() if each not in others]
    assert thread.name == "manyhands-checkpoint"
    del results, view, client
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def test_a_writer_that_lags_holds_its_readers_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_writer, "MAX_WAITING_BYTES", 1000)
    gate = threading.Event()
    add = CheckpointStore.add

    def slow(self: CheckpointStore, *rest: Any) -> None:
        gate.wait(20)
        add(self, *rest)

    monkeypatch.setattr(CheckpointStore, "add", slow)
    writer = CheckpointWriter(CheckpointStore(str(tmp_path)))

    class Job:
        def take(self, lo: int, hi: int) -> bytes:
            return b"".join(each.to_bytes(16, "little") for each in range(lo, hi))

        def needed(self, payload: bytes) -> Any:
            return (), ()

    job = Job()
    for number in range(3):
        writer.put(Arrived(job, 2 * number, 100, (400, 700), bytes(600)))
    waited = threading.Thread(target=writer.wait_for_room)
    waited.start()
    waited.join(0.2)
    assert waited.is_alive()
    gate.set()
    waited.join(20)
    assert not waited.is_alive()
    writer.flush()
    store = CheckpointStore(str(tmp_path))
    [found] = store.find(job.take(0, 6))
    assert [len(each) for each in store.outcomes(found)] == [300] * 6  # type: ignore[arg-type]
    store.close()
    writer.stop()
    writer.join()
