"""Who is served next: priorities strictly, jobs of one priority by fair shares."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import make_job

from manyhands.master.queues import FairQueue


def serve(queue, times, cost=lambda job: 1.0):
    """Hand out `times` portions; how many each job got."""
    got = {}
    for _ in range(times):
        job = queue.best()
        queue.in_service(queue.charge(job, cost(job)))
        got[job.number] = got.get(job.number, 0) + 1
    return got


def test_a_higher_priority_is_served_first_whatever_its_tag():
    queue = FairQueue()
    low, high = make_job(1), make_job(2, priority=5)
    queue.add(low)
    queue.add(high)
    assert serve(queue, 10) == {2: 10}
    queue.discard(high)
    assert queue.best() is low


def test_jobs_of_one_priority_get_equal_time_not_equal_turns():
    queue = FairQueue()
    for number in (1, 2):
        queue.add(make_job(number))
    got = serve(queue, 110, cost=lambda job: 10.0 if job.number == 1 else 1.0)
    assert abs(got[1] - 10) <= 1
    assert abs(got[2] - 100) <= 1


def test_who_comes_later_neither_waits_nor_makes_up_for_time_it_did_not_ask_for():
    queue = FairQueue()
    old, new = make_job(1), make_job(2)
    queue.add(old)
    serve(queue, 1000)
    queue.add(new)
    assert queue.is_fresh(new)
    got = serve(queue, 20)
    assert abs(got[1] - got[2]) <= 2


def test_work_taken_but_not_begun_does_not_hold_a_newcomer_back():
    queue = FairQueue()
    old, new = make_job(1), make_job(2)
    queue.add(old)
    for _ in range(1000):
        queue.charge(old, 1.0)  # staged far ahead, nothing of it in service
    queue.add(new)
    assert queue.is_fresh(new)
    assert not queue.is_fresh(old)
    assert queue.best() is new
    assert serve(queue, 900) == {2: 900}


def test_a_discarded_job_is_not_served_and_keeps_its_place():
    queue = FairQueue()
    one, other = make_job(1), make_job(2)
    queue.add(one)
    queue.add(other)
    queue.charge(one, 5.0)
    queue.discard(one)
    assert one not in queue
    assert len(queue) == 1
    assert serve(queue, 3) == {2: 3}
    queue.add(one)
    assert queue.best() is other  # 3.0 of its 5.0 have passed


def test_coming_and_going_at_the_same_tag_is_harmless():
    queue = FairQueue()
    jobs = [make_job(number) for number in (1, 2)]
    for _ in range(5):
        for job in jobs:
            queue.add(job)
            queue.discard(job)
    for job in jobs:
        queue.add(job)
    assert queue.best() in jobs
    queue.discard(jobs[0])
    queue.discard(jobs[1])
    assert queue.best() is None


def test_adding_twice_changes_nothing():
    queue = FairQueue()
    job = make_job(1)
    queue.add(job)
    queue.add(job)
    assert len(queue) == 1
    queue.discard(job)
    assert queue.best() is None
    assert not queue


def test_stale_entries_do_not_pile_up():
    queue = FairQueue()
    jobs = [make_job(number) for number in range(3)]
    for job in jobs:
        queue.add(job)
    for _ in range(10_000):
        queue.charge(jobs[0], 1.0)
    assert len(queue._heap) < 100


steps = st.lists(
    st.tuples(st.sampled_from(["add", "discard", "charge"]), st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])),
    max_size=60,
)


@given(steps, st.randoms(use_true_random=False))
def test_best_is_always_the_lowest_tag_of_the_highest_priority(operations, rng: Random):
    queue, ready = FairQueue(), {}
    jobs = [make_job(number, priority=rng.randrange(2)) for number in range(4)]
    for kind, which, cost in operations:
        job = jobs[which]
        if kind == "add":
            queue.add(job)
            ready[job.number] = job
        elif kind == "discard":
            queue.discard(job)
            ready.pop(job.number, None)
        else:
            before = job.tag
            assert queue.charge(job, cost) == before
            queue.in_service(before)
            assert job.tag == before + cost
        best = queue.best()
        if not ready:
            assert best is None
        else:
            assert best is not None
            assert (-best.priority, best.tag) == min((-j.priority, j.tag) for j in ready.values())
        assert len(queue) == len(ready)
