"""A master with its slots in this very process: speaks the protocol over memory, runs tasks in threads."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue

import cloudpickle

from manyhands.client.client import Client
from manyhands.client.starting import join
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block, pack_ends, read_block, unpack_ends
from manyhands.wire.definitions import LoadedDefinitions
from manyhands.wire.exception_codec import encode_exception
from manyhands.wire.links import Link, LinkLost, MemoryLink
from manyhands.wire.pickling import Encoder
from manyhands.wire.pump import Pump
from manyhands.wire.session import Session
from manyhands.wire.spans import SpanSet


class _FakeJob:
    def __init__(self, opening: pb.OpenJob) -> None:
        self.opening = opening
        self.started = SpanSet()
        self.cancelled = SpanSet()
        self.count = 0
        self.sealed_at: int | None = None
        self.consumed = 0
        self.unlimited = False
        self.closed = False
        self.inbox: deque[pb.Body] = deque()


class _Ear:
    """The fake master's end of a link: reads nothing while it is deaf."""

    def __init__(self, link: MemoryLink, deaf: threading.Event) -> None:
        self._link = link
        self._deaf = deaf
        self.write = link.write
        self.close = link.close
        self.reason = link.reason

    async def read(self) -> pb.Frame | None:
        frame = await self._link.read()
        while self._deaf.is_set():
            await asyncio.sleep(0.002)
        return frame

    async def read_all(self, on_frame: Callable[[pb.Frame], None]) -> None:
        while (frame := await self.read()) is not None:
            on_frame(frame)


class FakeMaster:
    """Runs what it is sent, `slots` tasks at a time, in the order it came; keeps everything it saw."""

    def __init__(self, slots: int = 2, *, workers: int = 1, run_count: int = 1000) -> None:
        self.slots = slots
        self.workers = workers
        self.run_count = run_count
        self.jobs: dict[int, _FakeJob] = {}
        self.blocks: list[Block] = []
        self.received: list[pb.Body] = []
        self.definitions: dict[bytes, bytes] = {}
        #: What was put and came with its message, while it is held.
        self.data: dict[bytes, bytes] = {}
        self.loaded = LoadedDefinitions("the fake worker")
        self.accepting = True
        #: Cleared: nothing new is started.
        self.running = threading.Event()
        self.running.set()
        #: Set: reads nothing, and so acknowledges nothing.
        self.deaf = threading.Event()
        self._session = Session()
        self._session_id = b""
        self._pump: Pump | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: SimpleQueue[tuple[_FakeJob, Block, int, int] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._serving: set[asyncio.Task[None]] = set()
        self._threads = [threading.Thread(target=self._run_tasks, daemon=True) for _ in range(slots)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.running.set()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(10)

    # ------------------------------------------------------------ connections

    async def open_link(self) -> Link:
        if not self.accepting:
            raise LinkLost("the fake master accepts nobody")
        ours, theirs = MemoryLink.pair()
        self._loop = asyncio.get_running_loop()
        serving = self._loop.create_task(self._serve(ours))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        return theirs

    async def _serve(self, link: MemoryLink) -> None:
        frame = await link.read()
        if frame is None:
            return
        hello = frame.hello
        if hello.resume and hello.session != self._session_id:
            refusal = pb.Refusal(code=pb.Refusal.CODE_UNKNOWN_SESSION, sentence="it has forgotten everything")
            await link.write(pb.Frame(refusal=refusal))
            return
        if not hello.resume:
            self._session, self._session_id = Session(), hello.session
            self.send_cluster(self.workers, self.slots)
        self._session.resume(hello.received)
        welcome = pb.Welcome(
            epoch=1,
            received=self._session.received,
            resumed=hello.resume,
            heartbeat_interval=1.0,
            heartbeat_timeout=30.0,
        )
        await link.write(pb.Frame(welcome=welcome))
        self._pump = Pump(self._session, _Ear(link, self.deaf), self._on_bodies, 1.0, 30.0)
        self._pump.ack_delay = 0.005
        await self._pump.run()

    def forget(self) -> None:
        """Break the connection and lose every memory of the client."""
        self._session_id = b""
        for job in list(self.jobs.values()):
            job.closed = True
        self.jobs.clear()
        self.break_link()

    def break_link(self) -> None:
        pump, loop = self._pump, self._loop
        assert pump is not None
        assert loop is not None
        asyncio.run_coroutine_threadsafe(pump.end("broken by the test"), loop).result(5)

    def send(self, body: pb.Body, flow: int | None = None) -> None:
        """From any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._send, body, flow)

    def _send(self, body: pb.Body, flow: int | None = None) -> None:
        self._session.send(body, flow)
        if self._pump is not None:
            self._pump.wake()

    def send_cluster(self, workers: int, slots: int, *, short_of_room: bool = False) -> None:
        self.send(pb.Body(cluster=pb.Cluster(workers=workers, slots=slots, short_of_room=short_of_room)))

    # ------------------------------------------------------------ jobs

    def _on_bodies(self, bodies: Sequence[pb.Body]) -> None:
        for body in bodies:
            self.received.append(body)
            kind = body.WhichOneof("kind")
            if kind == "define":
                self.definitions[body.define.hash] = body.define.blob
                self.loaded.add_blob(body.define.hash, body.define.blob)
                for waiting in list(self.jobs.values()):
                    self._work_off(waiting)
            elif kind == "open_job":
                self.jobs[body.open_job.job] = _FakeJob(body.open_job)
            elif kind in ("block", "seal_job"):
                number = body.block.job if kind == "block" else body.seal_job.job
                if (job := self.jobs.get(number)) is not None:  # else its beginning was dropped, as it was cancelled
                    job.inbox.append(body)
                    self._work_off(job)
            elif kind == "consumed":
                if (metered := self.jobs.get(body.consumed.job)) is not None:
                    metered.consumed = max(metered.consumed, body.consumed.bytes)
                    metered.unlimited |= body.consumed.unlimited
            elif kind == "cancel":
                self._on_cancel(body.cancel)
            else:
                self._on_data(kind, body)

    def _on_data(self, kind: str | None, body: pb.Body) -> None:
        if kind == "put_data":
            self.data[body.put_data.id] = body.put_data.content
        elif kind == "release_data":
            for id in body.release_data.ids:
                del self.data[id]
        elif kind == "await_data":
            for id in body.await_data.ids:
                self._send(pb.Body(data_state=pb.DataState(id=id, size=len(self.data[id]), is_kept=True)))
        elif kind == "fetch":
            asked = body.fetch
            content = self.data[asked.id][asked.offset : asked.offset + asked.length]
            self._send(pb.Body(part=pb.Part(id=asked.id, offset=asked.offset, data=content)))

    def _work_off(self, job: _FakeJob) -> None:
        """Blocks and seal, in order, as far as their definitions are here; asks for what is not."""
        while job.inbox:
            body = job.inbox[0]
            needed = [body.block.function, *body.block.definitions] if body.HasField("block") else []
            missing = [each for each in needed if each and each not in self.definitions]
            if missing:
                self._send(pb.Body(want=pb.Want(hashes=missing)))
                return
            job.inbox.popleft()
            if body.HasField("block"):
                self._on_block(job, body.block)
            else:
                assert body.seal_job.total == job.count
                job.sealed_at = job.count

    def _on_block(self, job: _FakeJob, message: pb.Block) -> None:
        block = read_block(message)
        self.blocks.append(block)
        assert block.first == job.count
        job.count = block.end
        for lo in range(block.first, block.end, self.run_count):
            self._queue.put((job, block, lo, min(lo + self.run_count, block.end)))

    def _on_cancel(self, message: pb.Cancel) -> None:
        job = self.jobs.get(message.job)
        if job is None:
            return
        if not message.ranges:
            job.closed = True
            return
        gone = []
        with self._lock:
            for span in message.ranges:
                for lo, hi in job.started.missing(span.lo, min(span.hi, job.count)):
                    for a, b in job.cancelled.missing(lo, hi):
                        job.cancelled.add(a, b)
                        gone.append(pb.Range(lo=a, hi=b))
        if gone:
            self._send(pb.Body(cancelled=pb.Cancelled(job=message.job, ranges=gone)))

    # ------------------------------------------------------------ slots

    def _run_tasks(self) -> None:
        while (work := self._queue.get()) is not None:
            job, block, lo, hi = work
            while lo < hi and not job.closed:
                self.running.wait()
                lo = self._run_some(job, block, lo, hi)

    def _run_some(self, job: _FakeJob, block: Block, lo: int, hi: int) -> int:
        """Run tasks until one fails or is cancelled; return where to go on."""
        first, ends, payload, size = lo, array("I"), [], 0
        begun = time.perf_counter()
        function = self.loaded.load(block.function) if block.function else None
        base, packed, items = block.slice(lo, hi)
        start = 0
        failure = None
        for absolute in unpack_ends(packed):
            end = absolute - base
            with self._lock:
                if lo in job.cancelled:
                    break
                job.started.add(lo, lo + 1)
            try:
                result = cloudpickle.dumps(_call(function, block.call, self.loaded.loads(items[start:end])))
            except BaseException as error:
                failure = pb.Failure(
                    job=job.opening.job,
                    index=lo,
                    kind=pb.Failure.KIND_EXCEPTION,
                    payload=encode_exception(error, Encoder(self.loaded), self.loaded)[0],
                )
                break
            size += len(result)
            ends.append(size)
            payload.append(result)
            start = end
            lo += 1
        seconds = time.perf_counter() - begun
        if ends:
            run = pb.Results(
                job=job.opening.job, first=first, ends=pack_ends(ends), payload=b"".join(payload), seconds=seconds
            )
            self.send(pb.Body(results=run))
        if failure is not None:
            self.send(pb.Body(failure=failure))
            return lo + 1
        if len(ends) < len(packed) // 4:
            return lo + 1  # cancelled
        return lo


def _call(function: object, call: int, item: object) -> object:
    if call == pb.CALL_ITEM:
        return function(item)
    if call == pb.CALL_STAR:
        return function(*item)
    if call == pb.CALL_FULL:
        args, kwargs = item
        return function(*args, **kwargs)
    function, args, kwargs = item
    return function(*args, **kwargs)


def make_client(master: FakeMaster, **options: float) -> Client:
    return Client.over(join(master.open_link, f"fake:{os.getpid()}", **options))
