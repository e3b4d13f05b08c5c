"""One worker's leases and deque: whatever is moved, no task is lost or doubled and the counts are true."""

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import make_job

from manyhands.master.profiles import Profile
from manyhands.master.workers import UNKNOWN_SECONDS, Lease, Staged, Worker
from manyhands.wire.spans import SpanSet


def lease(worker, number, job, lo, hi, profile=None, bytes_per_task=8):
    worker.lease(Lease(number, job, profile or Profile(), 0.0, bytes_per_task, SpanSet([(lo, hi)])))
    return worker.leases[number]


def members(parts):
    return [(part.job.number, index) for part in parts for lo, hi in part.spans for index in range(lo, hi)]


def filled(sizes):
    """A worker whose deque holds parts of alternating jobs, each part in two spans."""
    worker, jobs, position = Worker(1, 2, 0.0), [make_job(1), make_job(2)], 0
    for number, size in enumerate(sizes):
        half = (size + 1) // 2
        spans = [(position, position + half)]
        if size > half:
            spans.append((position + half + 5, position + size + 5))
        worker.stage(Staged(jobs[number % 2], Profile(), float(number), spans))
        position += size + 10
    worker.check_invariants()
    return worker, jobs


sizes = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@given(sizes, st.lists(st.integers(1, 8), max_size=10))
def test_unstage_takes_the_head_in_order(parts, limits):
    worker, jobs = filled(parts)
    before = members(worker.deque)
    taken = []
    for limit in limits:
        if not worker.deque:
            break
        tag = worker.deque[0].tag
        part = worker.unstage(limit)
        assert 1 <= part.count <= limit
        assert part.tag == tag
        taken += members([part])
        worker.check_invariants()
        assert sum(job.staged for job in jobs) == worker.staged
    assert taken + members(worker.deque) == before


@given(sizes, st.integers(0, 40))
def test_unstage_tail_takes_the_last_ones_in_order(parts, count):
    worker, jobs = filled(parts)
    before = members(worker.deque)
    taken = worker.unstage_tail(count)
    worker.check_invariants()
    assert members(worker.deque) + members(taken) == before
    assert sum(part.count for part in taken) == min(count, len(before))
    assert sum(job.staged for job in jobs) == worker.staged


@given(sizes, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4))
def test_withdraw_takes_exactly_those_asked_for_of_that_job(parts, spans):
    worker, jobs = filled(parts)
    before = members(worker.deque)
    asked = {(1, index) for lo, hi in spans for index in range(lo, hi)}
    gone = worker.withdraw(jobs[0], spans)
    worker.check_invariants()
    assert sorted((1, index) for lo, hi in gone for index in range(lo, hi)) == sorted(asked & set(before))
    assert members(worker.deque) == [one for one in before if one not in asked]
    assert jobs[0].staged == sum(1 for number, _ in members(worker.deque) if number == 1)


def test_a_report_closes_what_it_names_and_the_empty_lease():
    worker, job = Worker(1, 4, 0.0), make_job()
    held = lease(worker, 7, job, 0, 10)
    assert worker.report(held, 3, 5) == 2
    assert worker.report(held, 4, 6) == 1, "named twice, counted once"
    assert worker.report(held, 20, 30) == 0
    assert list(held.open) == [(0, 3), (6, 10)]
    assert (worker.leased, job.leased, worker.leased_bytes) == (7, 7, 56)
    worker.check_invariants()
    worker.report(held, 0, 10)
    assert not worker.leases
    assert worker.report(held, 0, 10) == 0
    assert (worker.leased, job.leased, worker.leased_bytes, worker.leased_of(job)) == (0, 0, 0, 0)
    worker.check_invariants()


def test_load_counts_the_priority_and_those_above():
    worker = Worker(1, 2, 0.0)
    slow, unknown = Profile(), Profile()
    slow.observe(1, 0.5)
    lease(worker, 1, make_job(1, priority=0), 0, 4, slow)
    lease(worker, 2, make_job(2, priority=3), 0, 2, unknown)
    assert worker.leased_from(0) == 6
    assert worker.leased_from(1) == 2
    assert worker.leased_from(4) == 0
    assert worker.seconds(3) == 2 * UNKNOWN_SECONDS
    assert worker.seconds(0) == 2.0 + 2 * UNKNOWN_SECONDS
    assert worker.free_slots == 0
    assert worker.unstarted == 4
