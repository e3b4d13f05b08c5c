"""Both tasks of map_reduce_by_key, through a store; with values whose classes travel as the slot's codec takes them."""

import operator
from collections import Counter

import pytest

from manyhands.wire.host_store import DataMissing, HostStore
from manyhands.wire.pair_chunks import read_chunks
from manyhands.wire.segments import pack_merge
from manyhands.worker.slot_by_key import run_group, run_merge
from manyhands.worker.slot_codec import SlotCodec


@pytest.fixture
def store(tmp_path):
    store = HostStore.join(b"cluster", folder=tmp_path / "memory", disk=tmp_path / "disk")
    yield store
    store.close()


LEAVES = [[["the cat"], ["the dog"]], [], [["the end", "of the cat"]]]


def words(line):
    return ((word, Counter([line])) for word in line.split())


@pytest.mark.parametrize("partitions", [1, 4])
def test_words_are_counted(store, partitions):
    codec = SlotCodec("w1")
    leaves = [run_group(words, operator.add, iter([(0, partitions), *leaf]), codec.encode, store) for leaf in LEAVES]
    assert store.ids() == sorted(leaf.id for leaf in leaves if any(leaf.lengths))
    assert len(store.ids()) == 2, "nothing is stored of nothing"
    counts = {}
    for segments in zip(*(leaf.segments() for leaf in leaves), strict=True):
        item = pack_merge(partitions, [segment for segment in segments if segment.length])
        merged = run_merge(operator.add, memoryview(item), codec.definitions.loads, codec.encode, store)
        for chunk in read_chunks(merged.chunks):
            keys, values = codec.definitions.loads(chunk)
            assert not counts.keys() & set(keys)
            counts.update(zip(keys, values, strict=True))
    assert {word: sum(count.values()) for word, count in counts.items()} == Counter(
        word for leaf in LEAVES for lines in leaf for line in lines for word in line.split()
    )


def test_a_segment_that_is_gone_is_told(store):
    codec = SlotCodec("w1")
    leaf = run_group(words, operator.add, iter([(0, 1), *LEAVES[0]]), codec.encode, store)
    store.drop(leaf.id)
    with pytest.raises(DataMissing) as caught:
        run_merge(operator.add, pack_merge(1, leaf.segments()), codec.definitions.loads, codec.encode, store)
    assert caught.value.id == leaf.id
