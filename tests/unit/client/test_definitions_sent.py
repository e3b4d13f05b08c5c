"""Definitions on their way: what is big, or often used, travels once."""

import itertools
import threading
from collections.abc import Callable

import numpy as np
import pytest
from tests.support.fake_master import FakeMaster, make_client

from manyhands import Client
from manyhands.client.encoding import Encoding
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.definitions import LoadedDefinitions
from manyhands.wire.told import Told

TABLE = np.zeros(1 << 17)


def look_up(index: int) -> float:
    return float(TABLE[index])


def defined(master: FakeMaster) -> list[int]:
    """Sizes of the definitions that arrived, in order."""
    return [len(body.define.blob) for body in master.received if body.HasField("define")]


def test_a_function_with_a_big_global_is_sent_once(client: Client, master: FakeMaster) -> None:
    futures = [client.submit(look_up, n) for n in range(100)]
    assert {future.result(20) for future in futures} == {0.0}
    assert sum(client.map(look_up, range(100))) == 0
    assert client.with_options(priority=1).submit(look_up, 1).result(5) == 0
    assert [size > TABLE.nbytes for size in defined(master)] == [True]
    assert sum(len(block.payload) for block in master.blocks) < 10_000


def test_and_once_more_when_it_has_changed(client: Client, master: FakeMaster) -> None:
    try:
        before = client.submit(look_up, 7)
        TABLE[7] = 1.5
        after = client.submit(look_up, 7)
        TABLE[7] = 0
        again = client.submit(look_up, 7)
        assert [future.result(10) for future in (before, after, again)] == [0, 1.5, 0]
        assert len(defined(master)) == 2
    finally:
        TABLE[7] = 0


def test_a_closure_over_something_big_is_sent_once(client: Client, master: FakeMaster) -> None:
    data = bytes(1 << 20)

    def size(n: int) -> int:
        return len(data) + n

    assert [client.submit(size, n).result(5) for n in range(20)] == [len(data) + n for n in range(20)]
    assert list(client.map(size, range(3))) == [len(data) + n for n in range(3)]
    assert len(defined(master)) == 1


def test_each_session_gets_its_own(master: FakeMaster) -> None:
    for _ in range(2):
        with make_client(master) as client:
            assert client.submit(look_up, 1).result(5) == 0
    assert len(defined(master)) == 2


@pytest.mark.parametrize("leave", [True, False])
def test_a_cancelled_map_does_not_take_its_definition_along(client: Client, master: FakeMaster, leave: bool) -> None:
    """Dropping what a cancelled map had not sent yet drops its definitions too; the master then asks."""
    for _ in range(20):
        results = client.map(look_up, itertools.repeat(1))
        if leave:
            results.close()
        assert client.submit(look_up, 2).result(5) == 0


def test_several_threads_define_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions of several megabytes, made in several threads, that push one another out of the registry."""
    monkeypatch.setattr(LoadedDefinitions, "use", lambda self: None)  # those of the process stay what they are
    encoding, errors = Encoding(), []
    monkeypatch.setattr(encoding._registry._blobs, "_max_bytes", 1 << 20)

    def work(seed: int) -> None:
        try:
            for n in range(20):
                data = bytes([seed, n]) * (1 << 19)
                target, _, blobs, _ = encoding.encode_call(lambda data=data: data, (), {})
                assert target.blobs
                assert not blobs
                encoding.target(lambda _, data=data: data, pb.CALL_ITEM)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors


def test_what_was_sent_is_not_remembered_without_end(client: Client, master: FakeMaster) -> None:
    client.session.connection._told = Told(3)

    def add(change: int) -> Callable[[int], int]:
        return lambda x: x + change

    functions = [add(change) for change in range(10)]
    for _ in range(2):
        assert [client.submit(function, 1).result(5) for function in functions] == list(range(1, 11))
        assert len(client.session.connection._told) <= 3
    assert len(defined(master)) == 20
