"""Both tasks of map_reduce_by_key, through a store; with values whose classes travel as the slot's codec takes them."""

import operator
import os
from collections import Counter

import pytest

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.host_store import DataMissing, HostStore
from manyhands.wire.pair_chunks import read_chunks
from manyhands.wire.segments import INLINE_BYTES, NO_ID, Grouped, Segment, pack_merge
from manyhands.worker.slot_by_key import GROUP, MERGE, group_leaf, keep, merge_partition
from manyhands.worker.slot_codec import SlotCodec


@pytest.fixture
def store(tmp_path):
    store = HostStore.join(b"cluster", folder=tmp_path / "memory", disk=tmp_path / "disk")
    yield store
    store.close()


LEAVES = [[["the cat"], ["the dog"]], [], [["the end", "of the cat"]], [[f"word{n}" for n in range(300)]]]


def words(line):
    return ((word, Counter([line])) for word in line.split())


def grouped(leaf, partitions, codec, store):
    """As the master is told."""

    def put(parts, size):
        assert sum(map(len, parts)) == size
        id = os.urandom(16)
        store.put(id, parts)
        return id

    segments = group_leaf(words, operator.add, iter([(0, partitions), *leaf]), codec.encode)
    return Grouped.read(keep(segments, put), partitions)


def merged(segments, partitions, codec, store):
    item = memoryview(pack_merge(partitions, segments))
    return merge_partition(operator.add, item, codec.definitions.loads, codec.encode, store.map)


def part(leaf, partition):
    begin, length = sum(leaf.lengths[:partition]), leaf.lengths[partition]
    return Segment(leaf.id, begin, length) if leaf.id != NO_ID else leaf.content[begin : begin + length]


@pytest.mark.parametrize("partitions", [1, 4])
def test_words_are_counted(store, partitions):
    codec = SlotCodec("w1")
    leaves = [grouped(leaf, partitions, codec, store) for leaf in LEAVES]
    assert [leaf.id == NO_ID for leaf in leaves] == [True, True, True, False], "what is small is not stored"
    assert store.ids() == [leaves[3].id]
    counts = {}
    for partition in range(partitions):
        pairs = merged([part(leaf, partition) for leaf in leaves], partitions, codec, store)
        for chunk in read_chunks(pairs.chunks):
            keys, values = codec.definitions.loads(chunk)
            assert not counts.keys() & set(keys)
            counts.update(zip(keys, values, strict=True))
    assert {word: sum(count.values()) for word, count in counts.items()} == Counter(
        word for leaf in LEAVES for lines in leaf for line in lines for word in line.split()
    )


def test_what_finds_no_room_is_told(store):
    segments = [[bytes(INLINE_BYTES)], [b"x"]]
    with pytest.raises(OSError, match="no room for the"):
        keep(segments, lambda parts, size: None)


def test_a_segment_that_is_gone_is_told(store):
    codec = SlotCodec("w1")
    leaf = grouped(LEAVES[3], 1, codec, store)
    store.drop(leaf.id)
    with pytest.raises(DataMissing) as caught:
        merged([part(leaf, 0)], 1, codec, store)
    assert caught.value.id == leaf.id


def test_numbers_are_the_protocols():
    assert (GROUP, MERGE) == (pb.CALL_GROUP, pb.CALL_MERGE)
