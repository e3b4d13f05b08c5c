"""What a task saves its next attempt loads: on another worker, in another slot, after the master was restarted."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client, current_task
from manyhands.errors import NotInTask, ResultEncodeError


def note(folder: str, *words: object) -> None:
    with Path(folder, "story").open("a") as file:
        print(*words, file=file)


def story(folder: Path) -> list[str]:
    path = folder / "story"
    return path.read_text().splitlines() if path.exists() else []


def count_up(folder: str, steps: int, dies_at: int, how: str, seconds: float = 0.0) -> int:
    """Steps of a long computation, each saved; the first attempt ends at `dies_at`."""
    task = current_task()
    step, total = task.load((0, 0))
    note(folder, "begins at", step, "attempt", task.attempt)
    while step < steps:
        total += step
        step += 1
        task.save((step, total))
        time.sleep(seconds)
        if step == dies_at and task.attempt == 0:
            if how == "raise":
                raise OSError("for now")
            os.kill(os.getpid(), signal.SIGKILL)
    return total


@pytest.fixture(scope="module")
def client() -> Client:
    with Client(slots=2) as client:
        yield client


@pytest.mark.parametrize("how", ["raise", "kill"])
def test_the_next_attempt_goes_on(client: Client, tmp_path: Path, how: str) -> None:
    patient = client.with_options(retries=1, retry_delay=0.0)
    futures = [patient.submit(count_up, str(tmp_path), 20, 10 if n == 3 else 99, how) for n in range(8)]
    assert [future.result(timeout=30) for future in futures] == [190] * 8
    assert sorted(story(tmp_path)) == ["begins at 0 attempt 0"] * 8 + ["begins at 10 attempt 1"]


def test_each_task_has_its_own_and_a_later_one_begins_anew(client: Client) -> None:
    def remember(number: int) -> tuple[object, object]:
        task = current_task()
        before = task.load("nothing")
        task.save(number)
        return before, task.load()

    assert list(client.map(remember, range(50))) == [("nothing", number) for number in range(50)]


def test_what_cannot_be_saved_is_said(client: Client) -> None:
    def save_a_lock() -> None:
        current_task().save(threading.Lock())

    def save_from_a_thread() -> str:
        task = current_task()
        caught: list[BaseException] = []

        def save() -> None:
            try:
                task.save(1)
            except RuntimeError as error:
                caught.append(error)

        thread = threading.Thread(target=save)
        thread.start()
        thread.join()
        return str(caught[0])

    with pytest.raises(ResultEncodeError):
        client.submit(save_a_lock).result(timeout=30)
    assert "only the thread that runs the task" in client.submit(save_from_a_thread).result(timeout=30)
    with pytest.raises(NotInTask):
        current_task()


def test_on_another_worker_and_after_a_restart_of_the_master(tmp_path: Path) -> None:
    arguments = ["--data-dir", str(tmp_path / "state")]
    master, address = start_master(*arguments)
    port = address.rpartition(":")[2]
    with Client(address) as client:
        first = Daemon("worker", address, "--name", "first", "--slots", "1")
        future = client.submit(count_up, str(tmp_path), 40, 99, "", 0.02)
        wait_until(lambda: story(tmp_path))
        time.sleep(0.4)
        first.kill()
        first.stop()
        master.kill()
        master.stop()
        with Daemon("master", "--port", port, *arguments) as again:
            again.wait_for("serves at")
            with Daemon("worker", address, "--name", "second", "--slots", "1"):
                assert future.result(timeout=60) == sum(range(40))
    begins = [int(line.split()[2]) for line in story(tmp_path)]
    assert begins[0] == 0
    assert len(begins) == 2
    assert begins[1] > 5
