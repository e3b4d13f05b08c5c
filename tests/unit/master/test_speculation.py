"""Second copies: which task gets one, when and where; what becomes of the other copy when one has ended."""

from random import Random

from tests.support.builders import make_block, make_results

from manyhands.master import events as ev
from manyhands.master.commands import DeliverFailure, DeliverRun, Dispatch, KeepTries, Revoke
from manyhands.master.profiles import Averages, Profile
from manyhands.master.scheduler import Scheduler
from manyhands.protos import manyhands_pb2 as pb

JOB = 1
TASKS = 4


class Cluster:
    """Workers 1 and 2 with two slots each; one job of four tasks of a second, of which the last does not end."""

    def __init__(self, **options):
        self.scheduler = Scheduler(Random(0))
        self.now = 0.0
        self.leases = {}  # (worker, task) -> lease
        self.tell(ev.WorkerJoined(1, 2))
        self.tell(ev.WorkerJoined(2, 2))
        self.tell(ev.JobOpened(JOB, 9, ev.JobOptions(**{"speculate": True, **options})))
        self.tell(ev.BlockArrived(JOB, make_block(0, [b"x"] * TASKS)))
        self.now = 1.0
        for task in range(TASKS - 1):
            (worker,) = [worker for worker, leased in self.leases if leased == task]
            self.succeed(worker, task)
        ((self.slow, _),) = [each for each in self.leases if each[1] == TASKS - 1]
        self.fast = 3 - self.slow
        self.now = 1.2  # who has just looked does not look again for a while
        self.plan()

    def tell(self, event):
        return self.note(self.scheduler.handle(event, self.now)) + self.plan()

    def plan(self):
        return self.note(self.scheduler.plan(self.now))

    def note(self, commands):
        self.scheduler.check_invariants()
        for command in commands:
            if isinstance(command, Dispatch):
                for piece in command.pieces:
                    self.leases |= {(command.worker, task): command.lease for task in range(piece.lo, piece.hi)}
        return commands

    def succeed(self, worker, task):
        lease = self.leases[worker, task]
        return self.tell(ev.RunSucceeded(worker, JOB, lease, task, 1, 1.0, make_results(JOB, lease, task, [b"r"])))

    def fail(self, worker, task, attempt=0, *, retryable=True):
        message = pb.Failure(index=task, kind=pb.Failure.KIND_EXCEPTION, retryable=retryable, attempt=attempt)
        return self.tell(ev.TaskFailed(worker, JOB, self.leases[worker, task], task, 1.0, message))

    def crash(self, worker, task, attempt=0):
        return self.tell(ev.TaskCrashed(worker, JOB, self.leases[worker, task], task, attempt, pb.CrashReport()))

    def give_back(self, worker, task):
        return self.tell(ev.SpansReturned(worker, 0, self.leases[worker, task], ((task, task + 1),)))

    def copy(self):
        """The copy of the last task is sent out."""
        self.now = self.scheduler.next_deadline()
        (dispatch,) = self.plan()
        assert isinstance(dispatch, Dispatch)
        assert (dispatch.worker, self.leases.get((self.fast, 3))) == (self.fast, dispatch.lease)


def test_it_is_copied_once_when_it_has_run_for_half_as_long_again():
    cluster = Cluster()
    assert cluster.scheduler.next_deadline() == 1.5
    cluster.now = 1.4
    assert not cluster.plan()
    cluster.copy()
    cluster.now = 100.0
    assert not cluster.plan()
    assert cluster.scheduler.next_deadline() is None


def test_nobody_copies_unasked_or_beyond_what_the_job_may_run():
    cluster = Cluster(speculate=False)
    cluster.now = 100.0
    assert not cluster.plan()
    assert cluster.scheduler.next_deadline() is None
    cluster = Cluster(max_parallel=1)
    cluster.now = 100.0
    assert not cluster.plan()


def test_not_where_it_runs_but_where_a_slot_becomes_free():
    cluster = Cluster()
    cluster.tell(ev.WorkerLost(cluster.fast, planned=True))
    cluster.now = 100.0
    assert not cluster.plan()
    cluster.fast = 3
    assert not cluster.tell(ev.WorkerJoined(3, 1)), "it has looked just now"
    cluster.copy()


def test_other_work_goes_first():
    cluster = Cluster()
    cluster.tell(ev.JobOpened(2, 9, ev.JobOptions()))
    assert cluster.tell(ev.BlockArrived(2, make_block(0, [b"x"] * 3)))
    assert not any(worker.free_slots for worker in cluster.scheduler.workers.values())
    cluster.now = 100.0
    assert not cluster.plan()


def test_what_waits_elsewhere_comes_before_a_copy():
    """Two slots are idle, and two tasks of another job stand behind the slow one: they are asked back."""
    cluster = Cluster()
    cluster.now = 100.0
    cluster.scheduler.handle(ev.JobOpened(2, 9, ev.JobOptions(priority=-1)), cluster.now)
    cluster.scheduler.handle(ev.BlockArrived(2, make_block(0, [b"x"] * 3)), cluster.now)
    (revoke,) = cluster.tell(ev.LeasesHeld(cluster.slow, ((99, 2, ((0, 3),)),)))
    assert isinstance(revoke, Revoke)
    assert cluster.scheduler.workers[cluster.fast].free_slots == 2


def test_the_first_result_counts_and_the_other_copy_is_stopped():
    for winner in (1, 2):
        cluster = Cluster()
        cluster.copy()
        loser = 3 - winner
        run, revoke = cluster.succeed(winner, 3)
        assert isinstance(run, DeliverRun)
        assert isinstance(revoke, Revoke)
        assert (revoke.worker, revoke.lease, revoke.spans, revoke.stop) == (
            loser,
            cluster.leases[loser, 3],
            ((3, 4),),
            True,
        )
        if winner == 1:
            assert not cluster.give_back(loser, 3)
        else:
            assert not cluster.succeed(loser, 3), "just in time to be of no use"
        assert all(worker.free_slots == 2 for worker in cluster.scheduler.workers.values())


def test_a_failure_ends_both():
    cluster = Cluster()
    cluster.copy()
    failure, revoke = cluster.fail(cluster.fast, 3)
    assert isinstance(failure, DeliverFailure)
    assert (revoke.worker, revoke.stop) == (cluster.slow, True)
    assert not cluster.fail(cluster.slow, 3)


def test_a_retry_runs_away_from_the_copy_that_stops_and_two_failures_are_one():
    cluster = Cluster(retry=ev.RetryOptions(retries=1, delay=0.0))
    cluster.copy()
    tries, revoke = cluster.fail(cluster.fast, 3)
    assert isinstance(tries, KeepTries)
    assert (tries.failures, revoke.worker, revoke.stop) == (1, cluster.slow, True)
    cluster.now += 1.0
    (retry,) = cluster.plan()
    assert isinstance(retry, Dispatch)
    assert retry.worker == cluster.fast
    assert [piece.attempt for piece in retry.pieces] == [1]
    assert not cluster.fail(cluster.slow, 3), "the same attempt"
    run, *_ = cluster.succeed(cluster.fast, 3)
    assert run.spans == ((3, 4),)


def test_a_retry_waits_for_the_other_copy_where_there_is_no_other_slot():
    cluster = Cluster(retry=ev.RetryOptions(retries=1, delay=0.0))
    cluster.copy()
    cluster.fail(cluster.fast, 3)
    cluster.tell(ev.WorkerLost(cluster.fast, planned=True))
    cluster.now += 1.0
    assert not cluster.plan()
    (retry,) = cluster.give_back(cluster.slow, 3)
    assert [piece.attempt for piece in retry.pieces] == [1]


def test_while_one_copy_runs_nothing_that_happens_to_the_other_starts_a_third():
    for survivor in (1, 2):
        for happens in ("crash", "loss", "return"):
            cluster = Cluster()
            cluster.copy()
            other = 3 - survivor
            if happens == "crash":
                commands = cluster.crash(other, 3)
            elif happens == "loss":
                commands = cluster.tell(ev.WorkerLost(other, planned=False))
            else:
                commands = cluster.give_back(other, 3)
            assert not any(isinstance(each, Dispatch) for each in commands)
            if happens != "return":
                (tries,) = commands
                assert (tries.attempts, tries.failures, len(tries.crashes)) == (1, 0, 1)
                cluster.now += 100.0
                assert not cluster.plan(), "what took a slot down is not copied"
            (run,) = cluster.succeed(survivor, 3)
            assert run.spans == ((3, 4),)


def test_two_crashes_of_one_attempt_are_charged_once():
    cluster = Cluster()
    cluster.copy()
    cluster.crash(cluster.slow, 3)
    (again,) = cluster.crash(cluster.fast, 3)
    assert [piece.attempt for piece in again.pieces] == [1]


def test_a_cancel_stops_both():
    cluster = Cluster()
    cluster.copy()
    revokes = cluster.tell(ev.CancelRequested(JOB, ((3, 4),)))
    assert sorted((each.worker, each.stop) for each in revokes) == [(1, True), (2, True)]
    assert not cluster.give_back(cluster.slow, 3)
    (cancelled,) = cluster.give_back(cluster.fast, 3)
    assert cancelled.spans == ((3, 4),)


def test_the_slowest_come_first_and_the_slow_worker_last():
    scheduler = Scheduler(Random(0))
    for number, slots in ((1, 2), (2, 1), (3, 3)):
        scheduler.handle(ev.WorkerJoined(number, slots), 0.0)
    scheduler.handle(ev.JobOpened(JOB, 9, ev.JobOptions(speculate=True)), 0.0)
    scheduler.handle(ev.BlockArrived(JOB, make_block(0, [b"x"] * 6)), 0.0)
    pieces = [(each, piece) for each in scheduler.plan(0.0) for piece in each.pieces]
    running = [(each.worker, each.lease, task) for each, piece in pieces for task in range(piece.lo, piece.hi)]
    assert len(running) == 6
    second = [each for each in running if each[0] == 1][1]
    for worker, lease, task in running:
        if worker == 3 or task == second[2]:
            event = ev.RunSucceeded(worker, JOB, lease, task, 1, 1.0, make_results(JOB, lease, task, [b"r"]))
            scheduler.handle(event, 1.0)
    copies = scheduler.plan(5.0)
    slow = sorted(task for worker, _, task in running if worker != 3 and task != second[2])
    assert [each.pieces[0].lo for each in copies] == slow
    assert [each.worker for each in copies] == [3, 3], "worker 1 has a free slot, but seems to be slow"
    scheduler.check_invariants()


def test_averages_forget_nothing():
    averages, profile = Averages(), Profile()
    assert averages.mean(profile) is None
    averages.observe(profile, 99, 99.0)
    averages.observe(profile, 1, 101.0)
    assert averages.mean(profile) == 2.0
    assert averages.mean(Profile()) is None
