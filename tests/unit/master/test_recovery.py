"""What a new life of the master makes of the journal: deadlines count on from the tasks' arrival."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import make_block

from manyhands.master import events as ev
from manyhands.master.expiry import LATENESS
from manyhands.master.journal_batch import Counters, Opening
from manyhands.master.journal_schema import KeptJob
from manyhands.master.recovery import recovered
from manyhands.master.scheduler import Scheduler
from manyhands.protos import manyhands_pb2 as pb

times = st.floats(0.0, 1e6)


def recover(arrivals: list[float], wall: float, opening: pb.OpenJob, *dispatched: tuple[int, int]) -> ev.JobRecovered:
    """A job of one task a block, which arrived at these times; of these it is known that they were dispatched."""
    blocks = [make_block(index, [b"x"]) for index in range(len(arrivals))]
    messages = [pb.Block(first=block.first, ends=block.ends, payload=block.payload) for block in blocks]
    kept = KeptJob(1, Opening(b"", 1, opening), len(blocks), Counters())
    kept.blocks = list(zip(arrivals, messages, strict=True))
    for span in dispatched:
        kept.marks["dispatched"].add(*span)
    return recovered(kept, 1, blocks, wall)


def ended_by(event: ev.JobRecovered, now: float) -> list[int]:
    """The tasks whose time is up `now`, with nobody there to run them, if the job was recovered at 1000."""
    scheduler = Scheduler(Random(0))
    scheduler.handle(event, 1000.0)
    commands = scheduler.plan(now)
    failures = [command.message for command in commands if hasattr(command, "message")]
    return [index for message in failures for index in range(message.index, message.end)]


@given(st.lists(times, min_size=1, max_size=6), times)
def test_ages_whatever_becomes_of_the_clock(arrivals: list[float], wall: float) -> None:
    ages = recover(arrivals, wall, pb.OpenJob()).ages
    assert list(ages) == sorted(ages, reverse=True), "a deadline of a later block would strike before an earlier one's"
    for arrived_at, age in zip(arrivals, ages, strict=True):
        assert age >= max(0.0, wall - arrived_at)
    if arrivals == sorted(arrivals) and wall >= arrivals[-1]:  # nobody touched it
        assert list(ages) == [wall - arrived_at for arrived_at in arrivals]


def test_what_is_left_of_a_timeout_counts_on() -> None:
    for opening in (pb.OpenJob(total_timeout=100.0), pb.OpenJob(queue_timeout=100.0)):
        event = recover([5000.0, 5060.0, 5090.0], 5095.0, opening)
        late = 100.0 * LATENESS
        assert ended_by(event, 1004.9) == []
        assert ended_by(event, 1005.0 + late) == [0]
        assert ended_by(event, 1065.0 + late) == [0, 1]
        assert ended_by(event, 1095.0 + late) == [0, 1, 2]


def test_time_that_was_up_while_the_master_was_away_is_up() -> None:
    assert ended_by(recover([5000.0, 5060.0], 5150.0, pb.OpenJob(total_timeout=100.0)), 1000.0) == [0]


def test_a_clock_that_was_set_back_gives_no_more_than_the_whole_timeout() -> None:
    event = recover([5000.0, 5060.0], 1200.0, pb.OpenJob(total_timeout=100.0))
    assert ended_by(event, 1099.9) == []
    assert ended_by(event, 1100.0 * (1 + LATENESS)) == [0, 1]


def test_what_was_sent_to_a_worker_before_has_not_waited_for_too_long() -> None:
    event = recover([5000.0, 5000.0], 5200.0, pb.OpenJob(queue_timeout=100.0), (1, 2))
    assert ended_by(event, 1000.0) == [0]
