"""Grouping and merging, put together as a job does it, against a plain dict; and what they hold in memory meanwhile."""

import functools
import operator
import pickle
import tracemalloc
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire.errors import UnstableKey
from manyhands.wire.pair_chunks import AIM_BYTES, CHUNK_BYTES_MAX, ChunkError, read_chunks, write_pairs
from manyhands.wire.stable_hash import stable_hash
from manyhands.worker import merging
from manyhands.worker.grouping import group
from manyhands.worker.merging import gather, merge

dumps = functools.partial(pickle.dumps, protocol=5)


def pairs_in(data):
    for chunk in read_chunks(data):
        yield from zip(*pickle.loads(chunk), strict=True)


def map_reduce_by_key(map_fn, leaves, reduce_fn, partitions, limit_bytes, folder=None):
    """All pairs, of one partition after the other."""
    limits = {"limit_bytes": limit_bytes, "folder": folder}
    data, places = [], []
    for leaf in leaves:
        grouped = group(map_fn, reduce_fn, leaf, partitions, dumps, **limits)
        segments = [b"".join(parts) for parts in grouped]
        ends = functools.reduce(lambda ends, segment: [*ends, ends[-1] + len(segment)], segments, [0])
        data.append(b"".join(segments))
        places.append(list(pairwise(ends)))
    pairs = []
    for partition in range(partitions):
        segments = [memoryview(datum)[slice(*place[partition])] for datum, place in zip(data, places, strict=True)]
        merged = merge(reduce_fn, segments, partitions, pickle.loads, dumps, **limits)
        mine = list(pairs_in(b"".join(merged)))
        assert all(stable_hash(key) % partitions == partition for key, _ in mine)
        pairs += mine
    return pairs


def model(map_fn, leaves, reduce_fn):
    values = {}
    for leaf in leaves:
        for item in leaf:
            for key, value in map_fn(item):
                values.setdefault(key, []).append(value)
    return {key: functools.reduce(reduce_fn, each) for key, each in values.items()}


def typed(pairs):
    """Which of the equal keys it is shows in its repr."""
    return sorted((repr(key), value) for key, value in pairs)


keys = st.one_of(
    st.integers(0, 5), st.booleans(), st.sampled_from([1.0, 2.0, 2.5, "a", "b", None, (1, "a"), (True, "a")])
)
item = st.lists(st.tuples(keys, st.text(max_size=3)), max_size=4)
leaves = st.lists(st.lists(item, max_size=4), max_size=4)


@given(leaves, st.integers(1, 5), st.sampled_from([1, 500, 1000, 1 << 20]))
def test_equals_a_dict_reduced_in_the_order_of_the_items(leaves, partitions, limit_bytes):
    """Concatenation depends on the order; and of equal keys the first one stays."""
    ours = map_reduce_by_key(iter, leaves, operator.add, partitions, limit_bytes)
    assert typed(ours) == typed(model(iter, leaves, operator.add).items())


@given(st.lists(st.integers(0, 2000), min_size=100, max_size=400), st.integers(1, 3))
def test_a_partition_that_outgrows_memory_again_and_again_is_cut_again_and_again(numbers, partitions):
    leaves = [numbers[:50], numbers[50:]]
    pair = lambda number: [(number, [number]), (0, [number])]  # noqa: E731
    ours = map_reduce_by_key(pair, leaves, operator.add, partitions, limit_bytes=600)
    assert typed(ours) == typed(model(pair, leaves, operator.add).items())


def test_keys_of_one_and_the_same_hash_end_the_cutting(monkeypatch):
    monkeypatch.setattr(merging, "stable_hash", lambda key: 0)
    chunks = list(write_pairs(list(range(50)), list(range(50)), dumps))
    merged = list(merge(operator.add, [*chunks, *chunks], 1, pickle.loads, dumps, limit_bytes=1000))
    assert dict(pairs_in(b"".join(merged))) == {number: 2 * number for number in range(50)}


def test_what_spills_goes_to_the_given_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        map_reduce_by_key(iter, [[[("a", 1), ("b", 1)]]], operator.add, 1, limit_bytes=1, folder=tmp_path / "nowhere")
    ours = map_reduce_by_key(iter, [[[("a", 1), ("b", 1)]]], operator.add, 1, limit_bytes=1, folder=tmp_path)
    assert dict(ours) == {"a": 1, "b": 1}
    assert list(tmp_path.iterdir()) == [], "it has no name there"


def test_nothing_gives_nothing():
    assert group(iter, operator.add, [], 3, dumps) == [[], [], []]
    assert list(merge(operator.add, [b"", b""], 3, pickle.loads, dumps)) == []


# ---------------------------------------------------------------- memory


def peak_bytes(function):
    tracemalloc.start()
    try:
        result = function()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def numbered(first):
    yield from ((f"key number {number}", float(number)) for number in range(first, first + 100))


def in_lists(first):
    yield from ((number % 100, [float(number)]) for number in range(first, first + 100))


def in_lists_of_few(first):
    """Key 0 has most of the values."""
    yield from ((max(0, number % 1000 - 900), [float(number)]) for number in range(first, first + 100))


@pytest.mark.parametrize("map_fn", [numbered, in_lists, in_lists_of_few], ids=lambda map_fn: map_fn.__name__)
def test_memory_stays_within_its_limit(map_fn):
    limit_bytes = 1 << 20
    items = range(0, 40_000, 100)
    peak, grouped = peak_bytes(lambda: group(map_fn, operator.iadd, items, 4, dumps, limit_bytes=limit_bytes))
    assert peak < 2 * limit_bytes
    assert sum(len(part) for parts in grouped for part in parts) > 300_000, "no case"
    if map_fn is numbered:  # of the others, one pair of the result may be larger than that

        def read():
            segments = (segment for parts in grouped for segment in parts)
            chunks = merge(operator.iadd, segments, 1, pickle.loads, dumps, limit_bytes=limit_bytes)
            return sum(len(pickle.loads(chunk)[0]) for part in chunks for chunk in read_chunks(part))

        peak, count = peak_bytes(read)
        assert peak < 3 * limit_bytes
        assert count == 40_000


def test_what_is_gathered_beyond_memory_is_mapped(tmp_path):
    chunks = [bytes([number]) * 100 for number in range(10)]
    for memory_bytes, kind in ((1000, bytes), (999, memoryview), (0, memoryview)):
        pairs = gather(iter(chunks), memory_bytes=memory_bytes, folder=tmp_path)
        assert isinstance(pairs.chunks, kind)
        assert pairs.chunks == b"".join(chunks)
    buffers = []
    pickled = pickle.dumps(pairs, protocol=5, buffer_callback=buffers.append)
    assert len(pickled) < 100
    (buffer,) = buffers
    assert pickle.loads(pickled, buffers=[buffer.raw()]).chunks == b"".join(chunks)
    assert pickle.loads(pickle.dumps(pairs, protocol=5)).chunks == b"".join(chunks)


# ---------------------------------------------------------------- chunks


@given(st.lists(st.sampled_from([1, 100, AIM_BYTES, CHUNK_BYTES_MAX]), max_size=30))
def test_chunks_are_small_unless_a_pair_is_large(sizes):
    sizes = [size for size in sizes for _ in range(1 if size > 100 else 40)]
    values = [size * b"x" for size in sizes]
    parts = list(write_pairs(list(range(len(values))), values, dumps))
    chunks = [chunk for part in parts for chunk in read_chunks(part)]
    assert [pickle.loads(chunk) for chunk in chunks] == [pickle.loads(part[4:]) for part in parts]
    assert list(pairs_in(b"".join(parts))) == list(enumerate(values))
    assert all(len(chunk) <= CHUNK_BYTES_MAX or len(pickle.loads(chunk)[0]) == 1 for chunk in chunks)


def test_many_pairs_make_few_chunks():
    assert len(list(write_pairs(list(range(100_000)), list(range(100_000)), dumps))) < 20


@pytest.mark.parametrize("cut", [1, 3, 4, 10, -1])
def test_damaged_chunks_are_told(cut):
    (chunk,) = write_pairs([1], [2], dumps)
    with pytest.raises(ChunkError):
        list(read_chunks(chunk[:cut]))


# ---------------------------------------------------------------- the user's faults


@pytest.mark.parametrize("found", [5, None, "ab", ["a", 1], ("a",), ("a", 1, 2), {"a": 1, "b": 2}], ids=repr)
def test_what_is_no_pair_is_named_with_its_item(found):
    with pytest.raises(TypeError) as caught:
        group(lambda item: [("a", 1), found] if item == 3 else [("a", 1)], operator.add, range(9), 2, dumps, first=100)
    assert (
        str(caught.value) == f"the map function yielded {found!r} for item 103, 3: it has to yield pairs (key, value)"
    )


def test_a_map_function_that_yields_nothing_at_all_is_told_so():
    with pytest.raises(TypeError, match=r"returned None for item 0, 'spam'; it has to yield pairs"):
        group(lambda item: None, operator.add, ["spam"], 2, dumps)


class Count(NamedTuple):
    word: str
    count: int


def test_pairs_of_any_iterable_and_class_will_do():
    for map_fn in (lambda item: {item: 1}.items(), lambda item: iter([Count(item, 1)])):
        ours = map_reduce_by_key(map_fn, [["a", "b", "a"]], operator.add, 1, 1 << 20)
        assert ours == [("a", 2), ("b", 1)]


class Plain:
    pass


@pytest.mark.parametrize("key", [Plain(), [1], (1, [2]), {}], ids=lambda key: type(key).__name__)
def test_a_key_that_has_no_stable_hash_is_named(key):
    with pytest.raises(UnstableKey, match=r"list|Plain|dict"):
        group(lambda item: [(item, 1)], operator.add, [1, key], 2, dumps)


def test_what_the_functions_raise_comes_out():
    for functions in ((lambda item: [(1 / item, 1)], operator.add), (lambda item: [("a", item)], lambda a, b: a / b)):
        with pytest.raises(ZeroDivisionError) as caught:
            group(*functions, [1, 0], 1, dumps, first=7)
        assert caught.value.__notes__ == ["(raised at item 8 of the reduction)"]
