"""What a task raises, returns or needs that cannot travel, as its client gets to see it."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import pytest
from tests.integration.worker.running import RunningWorker

from manyhands import Client, current_task
from manyhands.errors import (
    DecodeError,
    EncodeError,
    NotInTask,
    RemoteError,
    RemoteModuleError,
    RemoteTraceback,
    ResultEncodeError,
)


class Coded(Exception):
    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


class Parent(Exception):
    pass


class Child(Parent):
    pass


def raise_coded() -> None:
    raise Coded("coded", code=7)


def raise_chained() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        error.add_note("the note of the cause")
        chained = ValueError("chained")
        chained.add_note("a note")
        raise chained from error


def raise_group() -> None:
    raise ExceptionGroup("several", [Coded("one", code=1), ValueError("two")])


def raise_locked() -> None:
    raise RuntimeError(threading.Lock())


def raise_huge() -> None:
    raise ValueError("x" * 20_000_000)


def return_lock() -> object:
    return {"key": threading.Lock()}


def test_as_itself_with_the_remote_traceback_as_its_cause(client: Client) -> None:
    with pytest.raises(Coded) as caught:
        client.submit(raise_coded).result(20)
    assert (str(caught.value), caught.value.code) == ("coded", 7)
    remote = caught.value.__cause__
    assert isinstance(remote, RemoteTraceback)
    assert 'raise Coded("coded", code=7)' in str(remote)
    assert "slot_loop" not in str(remote)


def test_chain_and_notes(client: Client) -> None:
    with pytest.raises(ValueError, match="chained") as caught:
        client.submit(raise_chained).result(20)
    assert caught.value.__notes__ == ["a note"]
    cause = caught.value.__cause__.__cause__
    assert type(cause) is KeyError
    assert cause.__notes__ == ["the note of the cause"]
    assert "direct cause of the following" in str(caught.value.__cause__)


def test_group(client: Client) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        client.submit(raise_group).result(20)
    one, two = caught.value.exceptions
    assert (type(one), one.code, type(two)) == (Coded, 1, ValueError)


def test_unpicklable_exception(client: Client) -> None:
    with pytest.raises(RemoteError, match="RuntimeError") as caught:
        client.submit(raise_locked).result(20)
    assert "in raise_locked" in str(caught.value.__cause__)


def test_huge_message(client: Client) -> None:
    with pytest.raises(ValueError, match="x") as caught:
        client.submit(raise_huge).result(30)
    assert len(str(caught.value)) == 20_000_000
    assert len(str(caught.value.__cause__)) < 1_000_000


def test_unpicklable_argument_and_result(client: Client) -> None:
    with pytest.raises(EncodeError, match="argument 1"):
        client.submit(str, threading.Lock()).result(20)
    with pytest.raises(ResultEncodeError, match=r"\['key'\]"):
        client.submit(return_lock).result(20)


def test_result_over_the_limit(client: Client) -> None:
    def too_large() -> object:
        from manyhands.wire import pickling

        pickling.ITEM_BYTES_MAX = 1000
        try:
            return bytes(2000)
        finally:
            threading.Timer(0.2, setattr, (pickling, "ITEM_BYTES_MAX", 1 << 30)).start()

    with pytest.raises(ResultEncodeError, match="2018 bytes long when pickled"):
        client.submit(too_large).result(20)


class Refusing:
    def __reduce__(self) -> tuple[object, ...]:
        return int, ("not a number",)


def test_an_argument_that_does_not_decode_fails_alone(client: Client) -> None:
    futures = [client.submit(repr, item) for item in (1, Refusing(), 3)]
    with pytest.raises(DecodeError, match="worker 'w'"):
        futures[1].result(20)
    assert (futures[0].result(20), futures[2].result(20)) == ("1", "3")


def test_module_missing_on_the_worker(worker: RunningWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    only_here = importlib.import_module("only_here")
    try:
        items = [only_here.Thing() if index == 5 else index for index in range(10)]
        futures = [worker.client.submit(repr, item) for item in items]
        with pytest.raises(RemoteModuleError, match="no module 'only_here' on worker 'w'"):
            futures[5].result(20)
        assert [future.result(20) for index, future in enumerate(futures) if index != 5] == list("012346789")
    finally:
        del sys.modules["only_here"]


# ---------------------------------------------------------------- retries


def fail_at_first(error: type[Exception], times: int) -> int:
    task = current_task()
    assert task is not None
    if task.attempt < times:
        raise error("again")
    return task.attempt


@pytest.mark.parametrize("retry_on", [(Parent,), (KeyError, Child), (Exception,)])
def test_retried_if_named(client: Client, retry_on: tuple[type[Exception], ...]) -> None:
    patient = client.with_options(retries=3, retry_delay=0.01, retry_on=retry_on)
    assert patient.submit(fail_at_first, Child, 3).result(20) == 3
    with pytest.raises(Child):
        patient.submit(fail_at_first, Child, 4).result(20)


def test_not_retried_if_not_named(client: Client) -> None:
    choosy = client.with_options(retries=3, retry_delay=0.01, retry_on=(Child,))
    with pytest.raises(Parent):
        choosy.submit(fail_at_first, Parent, 1).result(20)
    with pytest.raises(SystemExit):
        client.with_options(retries=3, retry_delay=0.01).submit(fail_at_first, SystemExit, 1).result(20)


def where(index: int) -> tuple[int, int]:
    task = current_task()
    assert task is not None
    return task.index, task.attempt


def test_current_task(client: Client) -> None:
    with pytest.raises(NotInTask, match="no task runs here"):
        current_task()
    assert list(client.map(where, range(500))) == [(index, 0) for index in range(500)]
