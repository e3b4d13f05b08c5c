"""The by-key driver: whatever is lost, and when, each partition is merged once, from what was there."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from manyhands.master.drivers.by_key import LOSSES_MAX, ByKey
from manyhands.master.drivers.driver import Again, Deliver, Drop, Finish, Keep, Phase, Reject, Run
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import pack_ends
from manyhands.wire.segments import NO_ID, Grouped, Segment, pack_merge


def run_of(first, *payloads):
    ends = array("I")
    for payload in payloads:
        ends.append((ends[-1] if ends else 0) + len(payload))
    return pb.Results(first=first, ends=pack_ends(ends), payload=b"".join(payloads))


class World:
    """A job, and what the workers run and hold. A leaf's datum has another id and other lengths each time."""

    def __init__(self, leaves, partitions):
        self.driver = ByKey(partitions)
        self.partitions = partitions
        self.versions = [0] * leaves
        self.running = set(range(leaves))
        self.here = {}
        self.reported = {}
        self.done = set()
        self.rows = {}
        self.merging = {}
        self.delivered = set()
        self.total = None
        self.is_finished = False
        self.restarts = 0

    def choices(self):
        yield from (("group", leaf) for leaf in self.running)
        yield from (("lose", leaf) for leaf in self.here if self.versions[leaf] < 3 and leaf % 3 < 2)
        yield from (("merge", name) for name in self.merging)
        if self.total is None:
            yield "seal", 0
        if self.restarts < 3:
            yield "restart", 0

    def take(self, commands):
        assert not self.is_finished
        for command in commands:
            match command:
                case Keep(key, results):
                    self.rows[key] = results
                case Again(leaf):
                    assert leaf in self.done
                    assert leaf not in self.running
                    self.running.add(leaf)
                case Run(name, item, data):
                    assert self.total is not None
                    assert name not in self.merging
                    needs = [Segment(need.id, need.offset, need.length) for need in data]
                    parts = [self.part(leaf, name % self.partitions) for leaf in range(self.total)]
                    parts = [part for part in parts if part]
                    assert item == pack_merge(self.partitions, parts)
                    assert needs == [part for part in parts if isinstance(part, Segment)]
                    self.merging[name] = needs
                case Deliver(index, results):
                    assert index not in self.delivered
                    assert results.payload == b"partition %d" % index
                    self.delivered.add(index)
                case Finish():
                    assert self.delivered == set(range(self.partitions))
                    self.is_finished = True
                case Reject() | Drop():
                    raise AssertionError(command)

    def part(self, leaf, partition):
        lengths, id, content = self.reported[leaf]
        begin = sum(lengths[:partition])
        if id == NO_ID:
            return content[begin : begin + lengths[partition]]
        return Segment(id, begin, lengths[partition]) if lengths[partition] else None

    def seal(self, _):
        self.total = len(self.versions)
        self.take(self.driver.sealed(self.total))

    def group(self, leaf):
        self.running.remove(leaf)
        self.done.add(leaf)
        version = self.versions[leaf]
        lengths = tuple((leaf + 2 * partition + version) % 4 for partition in range(self.partitions))
        if leaf % 3 == 2:
            datum = Grouped(lengths, content=bytes([leaf]) * sum(lengths))
        else:
            datum = Grouped(lengths, bytes([leaf + 1, version]).ljust(16, b"\0"))
        self.here[leaf] = self.reported[leaf] = datum
        self.take(self.driver.leaves(run_of(leaf, datum.pack())))

    def lose(self, leaf):
        del self.here[leaf]
        self.versions[leaf] += 1

    def merge(self, name):
        needs = self.merging.pop(name)
        ids = {datum.id for datum in self.here.values()}
        gone = [need.id for need in needs if need.id not in ids]
        if gone:
            self.take(self.driver.lost(name, gone[-1]))
            return
        self.take(self.driver.task(name, run_of(0, b"partition %d" % (name % self.partitions))))

    def restart(self, _):
        """What ran is run anew, and so are leaves that were to be run again but are not: somebody will miss them."""
        self.restarts += 1
        self.driver = ByKey(self.partitions)
        self.merging.clear()
        self.running = set(range(len(self.versions))) - self.done
        self.take(self.driver.restored(list(self.rows.items()), len(self.done), self.total))


@given(st.data(), st.integers(0, 4), st.integers(1, 4))
def test_each_partition_is_merged_once_from_what_is_there_of_every_leaf(data, leaves, partitions):
    world = World(leaves, partitions)
    while not world.is_finished:
        kind, number = data.draw(st.sampled_from(list(world.choices())))
        getattr(world, kind)(number)
        world.driver.check_invariants()
        grouped, merged = world.driver.phases(leaves)
        assert merged == Phase("reduce", len(world.delivered), partitions)
        assert grouped.name == "map"
        assert len(world.here) <= grouped.done <= grouped.total == leaves
    assert not world.merging


def test_leaves_are_reported_in_runs_and_kept_one_by_one():
    data = [Grouped((leaf, 1), bytes([leaf + 1]) * 16) for leaf in range(3)]
    driver = ByKey(2)
    assert driver.leaves(run_of(1, data[1].pack(), data[2].pack())) == [
        Keep(leaf, run_of_slice(leaf, data[leaf])) for leaf in (1, 2)
    ]
    assert driver.phases(3)[0] == Phase("map", 2, 3)


def run_of_slice(leaf, datum):
    base = (leaf - 1) * len(datum.pack())
    return pb.Results(
        first=leaf, base=base, ends=pack_ends(array("I", [base + len(datum.pack())])), payload=datum.pack()
    )


def test_a_job_without_items_merges_nothing_into_empty_partitions():
    driver = ByKey(2)
    assert driver.sealed(0) == [Run(0, pack_merge(2, [])), Run(1, pack_merge(2, []))]


def test_a_leaf_that_is_lost_again_and_again_ends_the_job():
    driver = ByKey(1)
    driver.sealed(1)
    for time in range(LOSSES_MAX + 1):
        id = bytes([time + 1]) * 16
        _, run = driver.leaves(run_of(0, Grouped((5,), id).pack()))
        (command,) = driver.lost(run.name, id)
        assert command == Again(0) if time < LOSSES_MAX else isinstance(command, Reject)


def test_a_report_that_is_none_ends_the_job():
    (command,) = ByKey(2).leaves(run_of(7, bytes(16 + 8)))
    assert isinstance(command, Reject)
    assert command.sentence.startswith("leaf 7: ")
