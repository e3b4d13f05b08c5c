"""The error tree: every error tells its story from its fields, and survives pickling."""

from __future__ import annotations

import inspect
import pickle
import signal

import pytest

from manyhands.wire import errors
from manyhands.wire.errors import ManyhandsError

EXAMPLES = [
    errors.EncodeError("argument 1", "['key'].lock", "_thread.lock", "cannot pickle it", "create it inside the task"),
    errors.EncodeError("function 'f'"),
    errors.NestedClient(),
    errors.NotInTask(),
    errors.ForkedClient(client_pid=1, pid=2),
    errors.ResultEncodeError("[0]", "generator", "cannot pickle it"),
    errors.DecodeError("ValueError: no", "worker 'w1'"),
    errors.RemoteModuleError("No module named 'm'", "worker 'w1'", module="m"),
    errors.RemoteError("m.Strange", "it failed", "its class is not here"),
    errors.TaskCrashed(signal=signal.SIGSEGV, stderr_tail="Fatal", attempts=3, worker="w1", task="4@7"),
    errors.TaskTimeout(60.0, worker="w1", task="7"),
    errors.TaskTimeout(60.0, limit="total_timeout"),
    errors.TaskTimeout(60.0, task="7", limit="queue_timeout"),
    errors.TaskTimeout(60.0, worker="w1", task="7", limit="progress_timeout", progress="50.0%"),
    errors.ClusterError("the embedded cluster ended"),
    errors.NoWorkers(waited=5.0, command="manyhands worker host:7077"),
    errors.ConnectionFailed("host:7077", "reset"),
    errors.MasterUnreachable(address="host:7077", reason="timed out"),
    errors.UnstableKey("<object object at 0x7f>", "object", "[1].name"),
    errors.TooManyFailures(40, 60, 0.5, "Traceback: ValueError: no"),
    errors.Refused("Python 3.12 here, 3.11 there"),
    errors.AccessDenied("it wants a token", "h:1"),
    errors.SessionLost("the master was restarted"),
    errors.MasterFull("database or disk is full"),
    errors.JobNameTaken("there is a detached job 'x' already"),
    errors.DataLost(bytes(range(16)), "its host is gone"),
    errors.UnknownJob("there is no detached job 'x'"),
    errors.RemoteTraceback("Traceback ...\n"),
    errors.ContentError("item 3", "['log']", "TextIOWrapper", way_out="open it inside the task"),
    errors.CheckpointError("/a/b/results.sqlite", "is damaged", "move it away to begin anew"),
    errors.TaskMemoryExceeded(3 << 29, 1 << 30, worker="w1", task="7"),
    errors.TaskMemoryExceeded(3 << 29, 1 << 30, worker="w1", limit="--memory"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error: ManyhandsError) -> None:
    error.add_note("a note")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert vars(back) == vars(error)
    assert back.args == error.args
    assert str(back) == str(error)
    assert hash(error) == object.__hash__(error)  # by identity
    del error.__notes__


def test_there_is_an_example_of_every_error_that_is_raised() -> None:
    classes = {cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, ManyhandsError)}
    assert classes - {type(error) for error in EXAMPLES} == {ManyhandsError, errors.InfrastructureError}
    assert all(cls.__name__ in errors.__doc__ for cls in classes)


def test_standard_classes_catch_what_they_stand_for() -> None:
    assert issubclass(errors.EncodeError, TypeError)
    assert issubclass(errors.RemoteModuleError, ModuleNotFoundError)
    assert issubclass(errors.NestedClient, RuntimeError)


def test_sentences() -> None:
    texts = [str(error) for error in EXAMPLES]
    assert texts[0] == (
        "argument 1: ['key'].lock (_thread.lock) cannot be sent to a worker: cannot pickle it; "
        "create it inside the task"
    )
    assert texts[1] == "function 'f' cannot be sent to a worker"
    assert "process 1" in texts[4]
    assert "forked child 2" in texts[4]
    assert texts[9] == (
        "task 4@7 took down the process that ran it on worker 'w1', 3 times, the last time by signal 11 (SIGSEGV); "
        "run it alone to see why\nThe last lines of its stderr:\nFatal"
    )
    assert texts[15].endswith("for 5 s; start one with: manyhands worker host:7077")
    assert texts[-4] == (
        "item 3: ['log'] (TextIOWrapper) has no content by which a checkpoint could know it again; "
        "open it inside the task"
    )
    assert texts[-3] == "the checkpoint /a/b/results.sqlite is damaged; move it away to begin anew"
    assert texts[-2] == (
        "task 7 used 1.5 GiB of private memory on worker 'w1', and its process was killed: its limit is 1 GiB; "
        "have it hold less at a time, or give it more with with_options(memory=)"
    )
    assert "this worker allows 1 GiB for each slot; " in texts[-1]


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (errors.TaskCrashed(exit_code=3), "by exit code 3; run it alone"),
        (errors.TaskCrashed(), "by an unknown cause"),
        (errors.TaskCrashed(signal=signal.SIGKILL), "ran out of memory"),
        (errors.TaskCrashed(signal=signal.SIGKILL, stderr_tail=f"{errors.KILLED_BY_US}why"), "run it alone"),
        (errors.TaskCrashed(signal=250), "by signal 250;"),
        (errors.TaskTimeout(2.0), "the task ran longer than its timeout of 2 s and was stopped"),
        (errors.Refused("no", address="h:1"), "the master at h:1 refused: no"),
        (errors.RemoteError("ValueError", ""), "ValueError"),
        (errors.NoWorkers(), "no worker"),
    ],
)
def test_parts_that_are_not_known_are_not_told(error: ManyhandsError, part: str) -> None:
    assert part in str(error)
    assert "None" not in str(error)
