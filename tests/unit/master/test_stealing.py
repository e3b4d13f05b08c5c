"""Who gives up work: the richest deque's tail, then what a victim would start last."""

from tests.support.builders import make_job

from manyhands.master import stealing
from manyhands.master.profiles import Profile
from manyhands.master.workers import Lease, Staged, Worker
from manyhands.wire.spans import SpanSet


def make_worker(number=1, slots=1, now=0.0):
    return Worker(number, slots, now)


def profile_of(seconds):
    profile = Profile()
    profile.observe(1, seconds)
    return profile


def stage(worker, lo, hi):
    worker.stage(Staged(make_job(), profile_of(0.01), 0.0, [(lo, hi)]))


def lease(worker, number, lo, hi, *, job=None, tag=0.0, seconds=0.01):
    worker.lease(Lease(number, job or make_job(), profile_of(seconds), tag, 1, SpanSet([(lo, hi)])))


def test_the_richest_is_found_and_nobody_if_all_are_poor():
    workers = [make_worker(number) for number in range(3)]
    assert stealing.richest(workers) is None
    assert stealing.richest([]) is None
    stage(workers[0], 0, 3)
    stage(workers[2], 10, 15)
    assert stealing.richest(workers) is workers[2]


def test_half_of_the_tail_is_stolen_and_at_least_one():
    victim = make_worker()
    stage(victim, 0, 4)
    stage(victim, 10, 15)
    assert [part.spans for part in stealing.steal_half(victim)] == [[(10, 15)]]
    assert [part.spans for part in stealing.steal_half(victim)] == [[(2, 4)]]
    victim.unstage(1)
    assert [part.spans for part in stealing.steal_half(victim)] == [[(1, 2)]]
    assert not victim.deque
    assert victim.staged == 0


def test_a_victim_is_asked_for_what_it_would_start_last():
    victim = make_worker()
    urgent = make_job(2, priority=5)
    lease(victim, 1, 0, 10, tag=1.0)
    lease(victim, 2, 10, 20, tag=2.0)
    lease(victim, 3, 0, 10, job=urgent, tag=9.0)
    asked = stealing.give_back(victim, 14)
    assert [(held.number, spans) for held, spans in asked] == [(2, [(10, 20)]), (1, [(6, 10)])]
    asked = stealing.give_back(victim, 100)
    assert [held.number for held, _ in asked] == [2, 1, 3]


def test_nobody_is_asked_twice_or_too_soon_or_for_what_it_runs():
    victim = make_worker(slots=2)
    lease(victim, 1, 0, 2, seconds=10.0)
    assert not stealing.is_worth_asking(victim, 0.0, 0.002, 0.1), "both run"
    lease(victim, 2, 10, 14, seconds=10.0)
    assert stealing.is_worth_asking(victim, 0.0, 0.002, 0.1)
    victim.revokes[1] = 2
    assert not stealing.is_worth_asking(victim, 0.0, 0.002, 0.1), "its answer is on the way"
    victim.revokes.clear()
    victim.revoke_after = 5.0
    assert not stealing.is_worth_asking(victim, 4.9, 0.002, 0.1)
    assert stealing.is_worth_asking(victim, 5.0, 0.002, 0.1)


def test_work_that_will_have_begun_before_the_answer_is_not_worth_asking_for():
    victim = make_worker(slots=1)
    lease(victim, 1, 0, 4, seconds=0.0001)
    victim.progress_at = 1.0
    assert not stealing.is_worth_asking(victim, 1.05, 0.002, 0.1)
    assert stealing.is_worth_asking(victim, 1.2, 0.002, 0.1), "silent for long: one task may hold up the rest"
