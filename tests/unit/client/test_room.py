"""A master that is short of room: who adds work waits, whoever he is, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from tests.support.daemons import wait_until
from tests.support.fake_master import FakeMaster, make_client

from manyhands import AsyncClient, Client
from manyhands.client import map_job, room
from manyhands.client.jobs import cancels
from manyhands.errors import MasterFull
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import RANGES_MAX


class Master(FakeMaster):
    """Says whether it is short of room, and waits until it was heard."""

    def tell(self, client: Client, *, short_of_room: bool) -> None:
        self.send_cluster(1, 2, short_of_room=short_of_room)
        wait_until(lambda: client.is_full == short_of_room, 5)


@pytest.fixture
def master() -> Iterator[Master]:
    master = Master()
    yield master
    master.stop()


@pytest.fixture
def client(master: Master) -> Iterator[Client]:
    client = make_client(master)
    yield client
    master.tell(client, short_of_room=False)
    client.shutdown()


class Waiting:
    """Submits in a thread of its own."""

    def __init__(self, client: Client) -> None:
        self.outcome: list[object] = []
        self._client = client
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome.append(self._client.submit(abs, -1).result(10))
        except Exception as error:
            self.outcome.append(error)

    def end(self) -> object:
        self._thread.join(10)
        (outcome,) = self.outcome
        return outcome


def test_a_submit_waits_until_there_is_room(client: Client, master: Master) -> None:
    master.tell(client, short_of_room=True)
    waiting = Waiting(client)
    time.sleep(0.1)
    assert not waiting.outcome
    master.tell(client, short_of_room=False)
    assert waiting.end() == 1


def test_a_shutdown_ends_the_wait(client: Client, master: Master) -> None:
    master.tell(client, short_of_room=True)
    waiting = Waiting(client)
    time.sleep(0.05)
    client.shutdown()
    assert isinstance(waiting.end(), RuntimeError)


def test_a_session_that_is_lost_takes_the_shortage_with_it(client: Client, master: Master) -> None:
    assert client.submit(abs, -1).result(5) == 1
    master.tell(client, short_of_room=True)
    waiting = Waiting(client)
    master.forget()
    assert waiting.end() == 1


def test_the_callback_thread_does_not_wait(client: Client, master: Master) -> None:
    called: list[object] = []
    first = client.submit(abs, -1)
    first.result(5)
    master.tell(client, short_of_room=True)
    first.add_done_callback(lambda _: called.append(client._connection.background.is_current))
    client._connection.background.call(lambda: called.append(client.submit(abs, -2)))
    wait_until(lambda: len(called) == 2, 5)


def test_a_map_sends_on_as_its_results_are_read(client: Client, master: Master) -> None:
    results = client.map(abs, (-n for n in range(20_000)))
    assert next(results) == 0
    master.tell(client, short_of_room=True)
    assert list(results) == list(range(1, 20_000)), "a block at a time"


def test_an_eager_map_waits_for_room(client: Client, master: Master) -> None:
    master.tell(client, short_of_room=True)
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.extend(client.map(abs, list(range(200_000)))), daemon=True)
    thread.start()
    wait_until(lambda: master.blocks, 5)
    time.sleep(0.1)
    assert sum(block.count for block in master.blocks) == 32
    master.tell(client, short_of_room=False)
    thread.join(10)
    assert results == list(range(200_000))


def test_an_eager_map_whose_results_nobody_can_read_yet_leaves_the_rest_to_the_reader(
    client: Client, master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "STALLED_TIMEOUT", 0.1)
    monkeypatch.setattr(map_job, "STALLED_BYTES", 10)
    master.tell(client, short_of_room=True)
    results = client.map(abs, list(range(100_000)))
    assert sum(block.count for block in master.blocks) == 32
    assert list(results) == list(range(100_000))


def test_unread_results_do_not_hold_up_a_submit_for_ever(
    client: Client, master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "STALLED_TIMEOUT", 0.1)
    monkeypatch.setattr(map_job, "STALLED_BYTES", 10)
    results = client.map(abs, iter(range(1000)), buffersize=10)
    (job,) = client._connection.jobs()
    wait_until(lambda: job.is_stalled, 5)
    master.tell(client, short_of_room=True)
    assert client.submit(abs, -1).result(5) == 1
    assert list(results) == list(range(1000))


def test_an_async_submit_awaits_room(master: Master) -> None:
    async def body() -> None:
        made = AsyncClient("nowhere:1")
        made._connect = lambda: make_client(master)  # type: ignore[assignment]
        async with made as client:
            await asyncio.to_thread(master.tell, client._started, short_of_room=True)
            future = client.submit(abs, -1)
            await asyncio.sleep(0.05)
            assert not future.done()
            await asyncio.to_thread(master.tell, client._started, short_of_room=False)
            assert await future == 1

    asyncio.run(asyncio.wait_for(body(), 20))


def test_who_was_refused_is_told_why(client: Client, master: Master) -> None:
    master.running.clear()
    future = client.submit(abs, -1)
    (number,) = [job.number for job in client._connection.jobs()]
    failure = pb.Failure(
        job=number, index=0, end=1, kind=pb.Failure.KIND_NO_ROOM, text="this client has 1 GiB", limit="queued"
    )
    master.send(pb.Body(failure=failure))
    with pytest.raises(MasterFull, match=r"this client has 1 GiB\).*submit again when some of that is done"):
        future.result(5)
    late = client.submit(abs, -1)
    code = pb.JobRejected.CODE_FULL
    master.send(pb.Body(job_rejected=pb.JobRejected(job=number, sentence="it has 3 jobs", code=code)))
    with pytest.raises(MasterFull, match="it has 3 jobs"):
        late.result(5)
    master.running.set()


def test_a_cancel_of_scattered_tasks_is_cut_to_what_a_message_may_say() -> None:
    indices = range(0, 4 * RANGES_MAX, 2)
    bodies = list(cancels(1, indices))
    assert [len(body.cancel.ranges) for body in bodies] == [RANGES_MAX, RANGES_MAX]
    assert [each.lo for body in bodies for each in body.cancel.ranges] == list(indices)
    assert not list(cancels(1, [])), "an empty list would cancel the whole job"
