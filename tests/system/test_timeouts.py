"""Tasks that run too long, in real slots: stopped, told, tried again; the others go on."""

import ctypes
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manyhands import Client, current_task
from manyhands.errors import TaskTimeout


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(slots=1) as client:
        yield client


def hold_the_lock(seconds: float) -> None:
    """Sleep in C with the interpreter's lock: nothing in this process can run meanwhile."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@pytest.mark.parametrize("idle", [time.sleep, hold_the_lock])
def test_a_task_that_runs_too_long(client: Client, idle: object) -> None:
    began = time.monotonic()
    slow = client.with_options(timeout=0.3).submit(idle, 50)
    others = [client.submit(pow, 2, n) for n in range(20)]
    with pytest.raises(TaskTimeout, match=r"task \d+ ran longer than its timeout of 0\.3 s .* was stopped") as caught:
        slow.result(20)
    assert time.monotonic() - began > 0.3
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.timeout == 0.3
    assert [other.result(20) for other in others] == [2**n for n in range(20)]


def test_the_next_attempt(client: Client, tmp_path: Path) -> None:
    def slow_at_first(name: str) -> str:
        path = tmp_path / name
        path.open("a").write("x")
        time.sleep(50 if path.stat().st_size == 1 else 0)
        return name

    patient = client.with_options(timeout=0.3, retries=1, retry_delay=0.0)
    assert patient.submit(slow_at_first, "a").result(20) == "a"
    assert patient.with_options(retry_on=OSError).submit(slow_at_first, "b").result(20) == "b", "it is an OSError"
    with pytest.raises(TaskTimeout):
        patient.with_options(retry_on=ValueError).submit(slow_at_first, "c").result(20)
    assert (tmp_path / "c").stat().st_size == 1


def test_in_a_map(client: Client) -> None:
    def sleep(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    outcomes = list(client.with_options(timeout=0.5).map(sleep, [0.0, 50.0, 0.01, 0.0], return_exceptions=True))
    assert [isinstance(each, TaskTimeout) for each in outcomes] == [False, True, False, False]
    assert outcomes[2:] == [0.01, 0.0]


def test_each_task_has_its_own_time(client: Client) -> None:
    """A chunk as a whole may take longer."""
    assert len(list(client.with_options(timeout=0.4).map(time.sleep, [0.01] * 100))) == 100
    assert sum(client.with_options(timeout=5).map(abs, range(50_000))) == sum(range(50_000))


def test_all_attempts_together(client: Client, tmp_path: Path) -> None:
    def fail_or_stay(name: str) -> None:
        path = tmp_path / name
        path.open("a").write("x")
        if path.stat().st_size < 3:
            raise ValueError(name)
        time.sleep(60)

    limited = client.with_options(retries=100, retry_delay=0.05, retry_backoff=1.0, total_timeout=1.5)
    began = time.monotonic()
    with pytest.raises(TaskTimeout, match=r"task \d+ had not ended 1\.5 s after it was submitted"):
        limited.submit(fail_or_stay, "a").result(20)
    assert 1.5 <= time.monotonic() - began < 10
    assert (tmp_path / "a").stat().st_size == 3
    assert client.submit(abs, -1).result(20) == 1, "it has been stopped"


def test_waiting_for_a_slot(client: Client) -> None:
    """But for one task of each job, which is sent ahead; what is at a worker counts as started."""

    def echo(n: int) -> int:
        return n

    running = client.with_options(queue_timeout=0.5).submit(time.sleep, 1.2)
    impatient = client.with_options(queue_timeout=0.5, priority=-1)
    waiting = [impatient.submit(echo, n) for n in range(20)]
    outcomes = list(impatient.map(echo, range(1000), return_exceptions=True))
    for future in waiting[1:]:
        with pytest.raises(TaskTimeout, match=r"task \d+ waited 0\.5 s without being started"):
            future.result(20)
    assert all(isinstance(each, TaskTimeout) and each.limit == "queue_timeout" for each in outcomes[1:])
    assert [each.task for each in outcomes[1:]] == [str(n) for n in range(1, 1000)]
    assert running.result(20) is None, "it had started in time"


def test_who_says_that_he_gets_on(client: Client) -> None:
    def work(steps: int) -> str:
        task = current_task()
        for n in range(steps):
            task.progress(n / steps)
            time.sleep(0.1)
        return task.name

    limited = client.with_options(progress_timeout=0.6, name="steps")
    assert limited.submit(work, 10).result(20) == "steps"

    def get_stuck() -> None:
        current_task().progress("the first half")
        time.sleep(60)

    with pytest.raises(
        TaskTimeout, match=r"nothing of its progress for 0\.6 s since 'the first half' .* was stopped"
    ) as caught:
        limited.submit(get_stuck).result(20)
    assert caught.value.limit == "progress_timeout"
    with pytest.raises(TaskTimeout, match=r"nothing of its progress for 0\.6 s (on worker .* )?and was"):
        limited.submit(time.sleep, 60).result(20)


def test_a_sign_of_progress_costs_little(client: Client) -> None:
    def measure() -> float:
        progress = current_task().progress
        began = time.process_time()  # of a busy machine others have their share
        for _ in range(10_000):
            progress(0.5)
        return (time.process_time() - began) / 10_000

    assert min(client.submit(measure).result(20) for _ in range(5)) < 5e-6, "really below 1e-6, on an idle machine"
