"""Who is given what there is: those with free slots first."""

from random import Random

import pytest
from tests.support.builders import make_block, make_results

from manyhands.master import events as ev
from manyhands.master.commands import Dispatch, Revoke
from manyhands.master.scheduler import Scheduler

BUSY, IDLE = 1, 2


def test_what_a_busy_worker_gives_back_goes_to_an_idle_one():
    scheduler = Scheduler(Random(0))
    now = 0.0

    def tell(event):
        return scheduler.handle(event, now) + scheduler.plan(now)

    tell(ev.WorkerJoined(BUSY, 1))
    tell(ev.JobOpened(1, 9, ev.JobOptions()))
    (first,) = tell(ev.BlockArrived(1, make_block(0, [b"x"] * 3)))
    now += 1.0
    message = make_results(1, first.lease, 0, [b"x"], 1.0)
    _, *more = tell(ev.RunSucceeded(BUSY, 1, first.lease, 0, 1, 1.0, message))
    assert [dispatch.worker for dispatch in more] == [BUSY, BUSY], "one to run and one ahead"
    (revoke,) = tell(ev.WorkerJoined(IDLE, 1))
    assert isinstance(revoke, Revoke)
    assert revoke.worker == BUSY
    (dispatch,) = tell(ev.SpansReturned(BUSY, revoke.revoke, revoke.lease, revoke.spans))
    assert isinstance(dispatch, Dispatch)
    assert dispatch.worker == IDLE


def test_what_is_set_aside_is_sent_a_window_at_a_time():
    """Not task by task: a deque is small beside the job, and says nothing of how much there is to share."""
    scheduler = Scheduler(Random(0))
    for number in range(1, 101):
        scheduler.handle(ev.WorkerJoined(number, 1), 0.0)
    scheduler.handle(ev.JobOpened(1, 9, ev.JobOptions()), 0.0)
    scheduler.handle(ev.BlockArrived(1, make_block(0, [b"x"] * 100_000)), 0.0)
    now, sent = 0.0, []
    commands = scheduler.plan(now)
    while not any(worker.staged for worker in scheduler.workers.values()):
        commands = report_all(scheduler, commands, now := now + 0.01)
    for _ in range(10):
        commands = report_all(scheduler, commands, now := now + 0.01)
        sent += [sum(piece.hi - piece.lo for piece in command.pieces) for command in commands]
    assert sum(sent) / len(sent) > 2, sent


def report_all(scheduler, commands, now):
    """Every dispatch has been run, at 10 ms a task, and is reported; what the next plan dispatches."""
    for dispatch in commands:
        for piece in dispatch.pieces:
            count = piece.hi - piece.lo
            message = make_results(1, dispatch.lease, piece.lo, [b"x"] * count, 0.01 * count)
            event = ev.RunSucceeded(dispatch.worker, 1, dispatch.lease, piece.lo, count, 0.01 * count, message)
            scheduler.handle(event, now)
    return scheduler.plan(now)


def test_no_more_large_results_are_on_order_than_their_connection_carries_in_a_moment():
    """By their time alone thousands would be ahead of the next client's."""
    scheduler = Scheduler(Random(0))
    scheduler.handle(ev.WorkerJoined(1, 2), 0.0)
    scheduler.handle(ev.JobOpened(1, 9, ev.JobOptions()), 0.0)
    scheduler.handle(ev.BlockArrived(1, make_block(0, [b"x"] * 20_000)), 0.0)
    (worker,) = scheduler.workers.values()
    commands = scheduler.plan(0.0)
    now, most = 0.0, 0
    for _ in range(20):
        for dispatch in commands:
            for piece in dispatch.pieces:
                count = piece.hi - piece.lo
                message = make_results(1, dispatch.lease, piece.lo, [bytes(100_000)] * count, 1e-5 * count)
                event = ev.RunSucceeded(1, 1, dispatch.lease, piece.lo, count, 1e-5 * count, message)
                scheduler.handle(event, now)
        commands = scheduler.plan(now := now + 0.01)
        scheduler.check_invariants()
        most = max(most, worker.leased)
    assert 40 < most <= (8 << 20) // 100_000 + 2


@pytest.mark.parametrize(
    ("stop", "go_on"),
    [
        (ev.ClientLagging(8, lags=True), ev.ClientLagging(8, lags=False)),
        (ev.JobLacksData(1, lacks=True), ev.JobLacksData(1, lacks=False)),
    ],
    ids=["a client that does not read", "a job whose data are nowhere"],
)
def test_who_is_handed_out_no_more_keeps_nobody_else_from_it(stop, go_on):
    scheduler = Scheduler(Random(0))
    scheduler.handle(ev.WorkerJoined(1, 1), 0.0)
    for job, client in ((1, 8), (2, 9)):
        scheduler.handle(ev.JobOpened(job, client, ev.JobOptions()), 0.0)
        scheduler.handle(ev.BlockArrived(job, make_block(0, [b"x"] * 1000)), 0.0)
    commands, now = scheduler.plan(0.0), 0.0

    def run_on() -> set[int]:
        """The jobs that are served for a while."""
        nonlocal commands, now
        served = set()
        for _ in range(6):
            commands = report_whole(scheduler, commands, now := now + 0.01)
            served |= {command.job for command in commands}
        return served

    assert run_on() == {1, 2}
    scheduler.handle(stop, now)
    scheduler.check_invariants()
    assert run_on() == {2}
    scheduler.handle(go_on, now)
    scheduler.check_invariants()
    assert 1 in run_on()


def report_whole(scheduler, commands, now):
    """Every dispatch has been run, at 10 ms a task; what the next plan dispatches."""
    for dispatch in (command for command in commands if isinstance(command, Dispatch)):
        for piece in dispatch.pieces:
            count = piece.hi - piece.lo
            message = make_results(dispatch.job, dispatch.lease, piece.lo, [b"x"] * count, 0.01 * count)
            seconds = 0.01 * count
            scheduler.handle(ev.RunSucceeded(1, dispatch.job, dispatch.lease, piece.lo, count, seconds, message), now)
    return scheduler.plan(now)


def test_large_saved_states_do_not_travel_in_one_message():
    scheduler = Scheduler(Random(0))
    scheduler.handle(ev.JobOpened(1, 9, ev.JobOptions()), 0.0)
    scheduler.handle(ev.BlockArrived(1, make_block(0, [b"x"] * 6)), 0.0)
    for index in (0, 1, 4):
        scheduler.handle(ev.StateSaved(7, 1, 1, index, 0, bytes(1 << 20)), 0.0)
    scheduler.handle(ev.WorkerJoined(1, 6), 0.0)
    spans = [[(piece.lo, piece.hi) for piece in dispatch.pieces] for dispatch in scheduler.plan(0.0)]
    assert spans == [[(0, 1)], [(1, 2)], [(2, 4), (4, 5)], [(5, 6)]]
    scheduler.check_invariants()
