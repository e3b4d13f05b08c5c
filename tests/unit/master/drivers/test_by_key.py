"""The by-key driver: in any order of reports and losses each partition is merged from what was there of every leaf."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.master.drivers.by_key import LOSSES_MAX, ByKey, GiveUp, Group, Merge
from manyhands.wire.segments import Grouped, Segment, SegmentsError, read_merge


class Workers:
    """What they run and hold. A leaf's datum has another id and other lengths each time."""

    def __init__(self, leaves, partitions):
        self.driver = ByKey(partitions)
        self.partitions = partitions
        self.versions = [0] * leaves
        self.grouping = set(range(leaves))
        self.here = set()
        self.reported = {}
        self.merging = {}
        self.merged = set()
        self.is_sealed = False

    def datum(self, leaf):
        version = self.versions[leaf]
        lengths = tuple((leaf + 2 * partition + version) % 4 for partition in range(self.partitions))
        return Grouped(bytes([leaf, version]).ljust(16, b"\0"), lengths)

    def choices(self):
        yield from (("group", leaf) for leaf in self.grouping)
        yield from (("lose", leaf) for leaf in self.here if self.versions[leaf] < 3)
        yield from (("merge", partition) for partition in self.merging)
        if not self.is_sealed:
            yield "seal", 0

    def take(self, steps):
        for step in steps:
            match step:
                case Group(leaf):
                    assert leaf not in self.grouping | self.here
                    self.grouping.add(leaf)
                case Merge(partition, item, needs):
                    assert partition not in self.merging.keys() | self.merged
                    assert self.is_sealed
                    assert not self.grouping
                    told, segments = read_merge(item)
                    assert (told, tuple(segments)) == (self.partitions, needs)
                    parts = [self.reported[leaf].segments()[partition] for leaf in range(len(self.versions))]
                    assert needs == tuple(part for part in parts if part.length)
                    self.merging[partition] = needs
                case GiveUp():
                    raise AssertionError(step.reason)

    def seal(self, _):
        self.is_sealed = True
        self.take(self.driver.sealed(len(self.versions)))

    def group(self, leaf):
        self.grouping.remove(leaf)
        self.here.add(leaf)
        self.reported[leaf] = self.datum(leaf)
        self.take(self.driver.grouped(leaf, self.reported[leaf].pack()))

    def lose(self, leaf):
        self.here.remove(leaf)
        self.versions[leaf] += 1

    def merge(self, partition):
        needs = self.merging.pop(partition)
        gone = [need.id for need in needs if need.id not in {self.reported[leaf].id for leaf in self.here}]
        if gone:
            self.take(self.driver.lost(partition, gone[-1]))
            return
        self.merged.add(partition)
        self.driver.merged_one(partition)


@given(st.data(), st.integers(0, 4), st.integers(1, 4))
def test_each_partition_is_merged_once_from_what_is_there_of_every_leaf(data, leaves, partitions):
    workers = Workers(leaves, partitions)
    driver = workers.driver
    while not driver.is_finished:
        kind, number = data.draw(st.sampled_from(list(workers.choices())))
        getattr(workers, kind)(number)
        driver.check_invariants()
        assert driver.merged == len(workers.merged)
    assert workers.merged == set(range(partitions))
    assert not workers.merging


def test_a_leaf_that_is_lost_again_and_again_ends_the_job():
    driver = ByKey(1)
    driver.sealed(1)
    for time in range(LOSSES_MAX + 1):
        id = bytes([time]) * 16
        assert driver.grouped(0, Grouped(id, (5,)).pack()) == [
            Merge(0, b"\x01\0\0\0" + id + bytes(8) + b"\x05".ljust(8, b"\0"), (Segment(id, 0, 5),))
        ]
        (step,) = driver.lost(0, id)
        assert step == Group(0) if time < LOSSES_MAX else isinstance(step, GiveUp)


def test_a_report_that_is_none_is_refused():
    with pytest.raises(SegmentsError):
        ByKey(2).grouped(0, bytes(16 + 8))
