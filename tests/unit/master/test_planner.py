"""Who is given what there is: those with free slots first."""

from random import Random

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
