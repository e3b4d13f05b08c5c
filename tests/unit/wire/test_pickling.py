"""Items to bytes and back: independence, limits, errors that name the culprit."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import itertools
import pickle
import random
import socket
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire import pickling
from manyhands.wire.definitions import LoadedDefinitions
from manyhands.wire.errors import DecodeError, EncodeError, RemoteModuleError, ResultEncodeError
from manyhands.wire.local_modules import LocalModules
from manyhands.wire.pickling import SHARED_BYTES, EncodedItems, Encoder, Feed, split
from manyhands.wire.registry import DefinitionRegistry

BIG = 1 << 30
LONGER_THAN_A_FRAME = 70_000

atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    atoms,
    lambda children: (
        st.lists(children) | st.dictionaries(st.text(), children) | st.tuples(children, children) | st.sets(atoms)
    ),
    max_leaves=10,
)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(DefinitionRegistry(LocalModules([str(Path(__file__).parent)])))


def make_encoder() -> Encoder:
    return Encoder(DefinitionRegistry(LocalModules([])))


def loads(data: bytes) -> Any:
    return LoadedDefinitions("here").loads(data)


def decode(encoded: EncodedItems) -> list[Any]:
    assert len(encoded.payload) == (encoded.ends[-1] if encoded.ends else 0)
    return [loads(data) for data in split(encoded.payload, encoded.ends)]


# ---------------------------------------------------------------- round trips


@given(st.lists(values))
def test_every_item_can_be_decoded_alone(items: list[Any]) -> None:
    encoded = make_encoder().encode_items(Feed(items), BIG, BIG)
    assert list(encoded.ends) == sorted(set(encoded.ends))
    order = list(range(len(items)))
    random.Random(0).shuffle(order)
    data = list(split(encoded.payload, encoded.ends))
    for index in order:
        back = pickle.loads(data[index])
        assert back == items[index]
        assert type(back) is type(items[index])


@given(st.lists(values), st.integers(0, 200), st.integers(1, 5))
def test_limits(items: list[Any], max_bytes: int, max_items: int) -> None:
    encoder, feed = make_encoder(), Feed(iter(items))
    seen: list[Any] = []
    while not feed.is_exhausted:
        encoded = encoder.encode_items(feed, max_bytes, max_items)
        count = len(encoded.ends)
        assert count <= max_items
        assert count > 0 or feed.is_exhausted
        assert count <= 1 or encoded.ends[-1] <= max_bytes
        seen += decode(encoded)
        assert feed.position == len(seen)
    assert seen == items


def test_the_same_object_twice_is_two_items(encoder: Encoder) -> None:
    text, bag = "x" * 50, ["y"]
    encoded = encoder.encode_items(Feed([text, text, bag, bag]), BIG, BIG)
    first, second, third, fourth = decode(encoded)
    assert first == second == text
    assert third == fourth == bag
    assert third is not fourth


def test_big_items_travel_alone(encoder: Encoder) -> None:
    big = bytes(LONGER_THAN_A_FRAME)
    feed = Feed([1, 2, big, 3, big, big, [big]])
    blocks = []
    while not feed.is_exhausted:
        encoded = encoder.encode_items(feed, 1000, BIG)
        blocks.append(decode(encoded))
    assert blocks == [[1, 2], [big], [3], [big], [big], [[big]], []]


def test_nothing_is_pulled_that_is_not_taken(encoder: Encoder) -> None:
    pulled: list[int] = []

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            pulled.append(number)
            yield number

    feed = Feed(numbers())
    assert pulled == []
    assert decode(encoder.encode_items(feed, BIG, 3)) == [0, 1, 2]
    assert pulled == [0, 1, 2]
    assert decode(encoder.encode_items(feed, BIG, 1, max_seconds=0.0)) == [3]
    assert decode(encoder.encode_items(feed, BIG, 1000, max_seconds=-1.0)) == [4]
    assert not feed.has_ended


def test_a_generator_may_use_the_encoder(encoder: Encoder) -> None:
    def nested() -> Iterator[bytes]:
        for number in range(3):
            yield encoder.encode_one(("nested", number))[0]
            yield encoder.encode_items(Feed([number]), BIG, BIG).payload

    assert [loads(data) for data in decode(encoder.encode_items(Feed(nested()), BIG, BIG))] == [
        *(("nested", 0), 0),
        *(("nested", 1), 1),
        *(("nested", 2), 2),
    ]


class Submits:
    """Its __reduce__ uses the encoder that is pickling it, as a user's might call submit."""

    encoder: Encoder

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (self.encoder.encode_one("inner")[0],)


def test_a_reduce_method_may_use_the_encoder(encoder: Encoder) -> None:
    Submits.encoder = encoder
    data = encoder.encode_one([Submits(), Submits()]).data
    del Submits.encoder
    assert [pickle.loads(each) for each in pickle.loads(data)] == ["inner", "inner"]


def test_an_item_is_as_it_was_at_the_call(encoder: Encoder) -> None:
    bag = [1]
    first = encoder.encode_one(bag).data
    bag.append(2)
    second = encoder.encode_one(bag).data
    assert (loads(first), loads(second)) == ([1], [1, 2])


def test_shared_parts_of_one_item_stay_shared(encoder: Encoder) -> None:
    part: list[Any] = []
    part.append(part)
    back = loads(encoder.encode_one([part, part])[0])
    assert back[0] is back[1]
    assert back[0][0] is back[0]


def test_a_closure_shares_data_with_its_item(encoder: Encoder) -> None:
    data = [1]
    back, function = loads(encoder.encode_one((data, lambda: data))[0])
    assert function() is back


def test_encoded_items_are_not_kept_alive(encoder: Encoder) -> None:
    class Local:
        pass

    item = Local()
    gone = weakref.ref(item)
    encoder.encode_one(item)
    encoder.encode_items(Feed([item]), BIG, BIG)
    del item
    assert gone() is None


def test_standard_streams_and_builtins_go_by_name(encoder: Encoder) -> None:
    assert loads(encoder.encode_one([len, int, type(None), sys.stderr, io.BytesIO])[0]) == [
        *(len, int, type(None), sys.stderr, io.BytesIO)
    ]


# ---------------------------------------------------------------- errors


def failing_iterator() -> Iterator[int]:
    yield 1
    yield 2
    raise KeyError("the iterator's own")


def test_the_iterators_exception_comes_after_its_items(encoder: Encoder) -> None:
    feed = Feed(failing_iterator())
    assert decode(encoder.encode_items(feed, BIG, BIG)) == [1, 2]
    assert not feed.is_exhausted
    with pytest.raises(KeyError, match="own"):
        encoder.encode_items(feed, BIG, BIG)
    assert feed.is_exhausted
    assert feed.position == 2


def test_an_iterator_that_fails_at_once(encoder: Encoder) -> None:
    feed = Feed(1 // zero for zero in [0])
    with pytest.raises(ZeroDivisionError):
        encoder.encode_items(feed, BIG, BIG)
    assert feed.is_exhausted
    assert feed.position == 0


def test_an_item_that_cannot_be_pickled_fails_alone(encoder: Encoder) -> None:
    lock = threading.Lock()
    feed = Feed([0, [bytes(LONGER_THAN_A_FRAME), lock], lock, 3, 4])
    outcomes: list[Any] = []
    while not feed.is_exhausted:
        position = feed.position
        try:
            encoded = encoder.encode_items(feed, BIG, BIG)
        except EncodeError as error:
            assert error.what == f"item {position}"
            assert isinstance(error.__cause__, TypeError)
            outcomes.append(error.path)
        else:
            outcomes += decode(encoded)
        assert feed.position == len(outcomes)
    assert outcomes == [0, "[1]", "", 3, 4]


class Holder:
    def __init__(self, value: object) -> None:
        self.value = value


class Slotted:
    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = threading.Lock()


def numbers() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("make", "path", "culprit", "way_out"),
    [
        (threading.Lock, "", "_thread.lock", "inside the task"),
        (lambda: {"key": Holder(threading.RLock())}, "['key'].value", "_thread.RLock", "inside the task"),
        (lambda: [1, (2, {3: numbers()})], "[1][1][3]", "generator", "list(...)"),
        (lambda: Holder(Slotted()), ".value.lock", "_thread.lock", "inside the task"),
        (lambda: {"f": concurrent.futures.Future()}, "['f']", "concurrent.futures._base.Future", "future.result()"),
        (lambda: Path(__file__).open(), "", "_io.TextIOWrapper", "pass its path"),  # noqa: SIM115
        (lambda: [Path(__file__).open("rb")], "[0]", "_io.BufferedReader", "inside the task"),  # noqa: SIM115
        (lambda: [socket.socket()], "[0]", "socket.socket", "inside the task"),
        (lambda: [lambda: UNPICKLABLE], "[0] global 'UNPICKLABLE'", "generator", "list(...)"),
    ],
)
def test_the_error_names_the_culprit(
    encoder: Encoder, make: Any, path: str, culprit: str, way_out: str, recwarn: pytest.WarningsRecorder
) -> None:
    value = make()
    with pytest.raises(EncodeError) as caught:
        encoder.encode_one(value)
    error = caught.value
    assert isinstance(error, TypeError)
    assert (error.path, error.culprit) == (path, culprit)
    assert way_out in error.way_out
    assert error.path in str(error)
    assert error.way_out in str(error)
    for each in (value, *(value if isinstance(value, list) else ())):
        getattr(each, "close", lambda: None)()


UNPICKLABLE = numbers()


def test_asyncio_futures_do_not_travel(encoder: Encoder) -> None:
    async def main() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with pytest.raises(EncodeError, match=r"future\.result"):
            encoder.encode_one(future)

    asyncio.run(main())


def test_classes_can_forbid_to_travel(encoder: Encoder) -> None:
    class Handle:
        __manyhands_unsendable__ = "send its name instead"

    class Derived(Handle):
        pass

    with pytest.raises(EncodeError) as caught:
        encoder.encode_call((1,), {"handles": [Derived()]})
    assert str(caught.value).startswith("argument 'handles': [0] (")
    assert str(caught.value).endswith("; send its name instead")


def test_arguments_are_counted_from_one(encoder: Encoder) -> None:
    with pytest.raises(EncodeError) as caught:
        encoder.encode_call((1, {"key": threading.Lock()}), {})
    assert caught.value.what == "argument 2"
    assert caught.value.path == "['key']"
    args, kwargs = loads(encoder.encode_call((1, [2]), {"self": 3})[0])
    assert (args, kwargs) == ((1, [2]), {"self": 3})


def test_too_deep(encoder: Encoder) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EncodeError, match="too deeply"):
        encoder.encode_one(deep)
    assert loads(encoder.encode_one([1])[0]) == [1]
    while deep:
        deep = deep.pop()


def test_a_class_that_cannot_travel_tells_its_own_story(encoder: Encoder) -> None:
    class Guarded:
        lock = threading.Lock()

    with pytest.raises(EncodeError) as caught:
        encoder.encode_one([Guarded()])
    assert "class" in caught.value.what
    assert "Guarded" in caught.value.what
    assert caught.value.path == ".lock"


def test_results(encoder: Encoder) -> None:
    assert loads(encoder.encode_result([1])[0]) == [1]
    with pytest.raises(ResultEncodeError) as caught:
        encoder.encode_result({"a": threading.Lock()})
    assert caught.value.path == "['a']"
    assert str(caught.value).startswith("the task's result: ['a'] (_thread.lock) cannot be sent back")


def test_a_reloaded_module_is_looked_up_again(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    import colorsys

    old = colorsys.rgb_to_hls
    assert encoder.encode_one([old])[1] == frozenset()
    monkeypatch.setattr(colorsys, "rgb_to_hls", lambda: None)
    assert len(encoder.encode_one([old])[1]) == 1  # by value now


def raise_here(error: Exception) -> None:
    raise error


class FailsToLoad:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return raise_here, (self.error,)


def test_decoding_errors() -> None:
    loaded = LoadedDefinitions("worker 'w'")
    with pytest.raises(DecodeError, match=r"on worker 'w': .*UnpicklingError"):
        loaded.loads(b"garbage")
    with pytest.raises(DecodeError, match="ValueError: no") as caught:
        loaded.loads(pickle.dumps(FailsToLoad(ValueError("no"))))
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(RemoteModuleError, match=r"no module 'nowhere' on worker 'w'.*install it.*keep it under"):
        loaded.loads(b"cnowhere.x\nf\n.")


# ---------------------------------------------------------------- what goes in by name


def test_numpy_arrays_round_trip(encoder: Encoder) -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.arange(10), numpy.zeros((3, 4), dtype="f4"), numpy.float64(3), numpy.array(["a", None], object)]
    for array, back in zip(arrays, decode(encoder.encode_items(Feed(arrays), BIG, BIG)), strict=True):
        assert numpy.array_equal(array, back)
        assert array.dtype == back.dtype
    assert decode(encoder.encode_items(Feed([arrays[0]]), BIG, BIG))[0].flags.writeable


def test_importing_this_layer_is_cheap() -> None:
    import subprocess

    code = (
        "import sys, cloudpickle; before = set(sys.modules)\n"
        "import manyhands.wire.pickling, manyhands.wire.definitions, manyhands.wire.exception_codec\n"
        "new = {name for name in set(sys.modules) - before if not name.startswith('manyhands')}\n"
        "print(sorted(new - {'__future__', 'array', 'signal', 'time'}))"
    )
    source = Path(__file__).parents[3] / "src"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env={"PYTHONPATH": str(source)}
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_what_no_message_can_carry_is_said_at_once(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickling, "ITEM_BYTES_MAX", 2048)
    large = bytes(3000)
    with pytest.raises(EncodeError, match=r"argument 2 \(bytes\).*it is 3018 bytes long when pickled.*at most 2 KiB"):
        encoder.encode_call((1, large), {})
    with pytest.raises(EncodeError, match=r"argument 'data' \(bytes\)"):
        encoder.encode_call((1,), {"data": large})
    with pytest.raises(EncodeError, match=r"the argument \(tuple\).*30.. bytes"):
        encoder.encode_call((bytes(1500), bytes(1500)), {})
    with pytest.raises(ResultEncodeError, match=r"3018 bytes long.*cut it into parts"):
        encoder.encode_result(large)


@pytest.mark.parametrize("before", [[], [b"x"] * 3])
def test_an_item_of_a_map_that_no_message_can_carry_fails_alone(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, before: list[bytes]
) -> None:
    monkeypatch.setattr(pickling, "ITEM_BYTES_MAX", 2048)
    feed = Feed([*before, bytes(3000), b"y"])
    if before:
        assert len(encoder.encode_items(feed, 100, 10).ends) == 3
    with pytest.raises(EncodeError, match=rf"item {len(before)} \(bytes\).*3017 bytes"):
        encoder.encode_items(feed, 100, 10)
    assert len(encoder.encode_items(feed, 100, 10).ends) == 1
    assert feed.is_exhausted


def test_parts_leave_large_buffers_out() -> None:
    encoder = make_encoder()
    small, large = bytearray(100), bytearray(SHARED_BYTES)
    objects = [pickle.PickleBuffer(small), pickle.PickleBuffer(large)]
    for _ in range(2):  # nothing is left of the first
        parts = encoder.encode_parts(objects)
        assert [buffer.raw().obj for buffer in parts.buffers] == [large]
        assert pickle.loads(parts.data, buffers=parts.buffers) == [small, large]
        assert len(parts.data) < 1000


def test_parts_that_cannot_be_pickled_leave_nothing_behind() -> None:
    encoder = make_encoder()
    with pytest.raises(EncodeError, match="the object"):
        encoder.encode_parts([pickle.PickleBuffer(bytearray(SHARED_BYTES)), threading.Lock()])
    parts = encoder.encode_parts("text")
    assert parts.buffers == []
    assert pickle.loads(parts.data) == "text"


def test_the_parts_of_what_needs_others_while_it_is_pickled() -> None:
    class Outer:
        def __reduce__(self) -> Any:
            inner = encoder.encode_parts(pickle.PickleBuffer(bytearray(SHARED_BYTES)))
            return len, ([*inner.buffers],)

    encoder = make_encoder()
    parts = encoder.encode_parts(Outer())
    assert pickle.loads(parts.data, buffers=parts.buffers) == 1
