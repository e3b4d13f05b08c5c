"""Owns what a master costs that a thousand idle workers are connected to, each over a gRPC stream of its own."""

import asyncio
import time

import psutil

from benchmarks.measures.processes import cpu_seconds, masters
from benchmarks.readings import Reading, Scale
from benchmarks.systems.manyhands_cluster import ManyhandsTcp

NAME = "idle-workers"
SYSTEMS = (ManyhandsTcp.name,)
TIMEOUT = 180.0
REPETITIONS = 1

WORKERS = 1000
SETTLE_TIME = 5.0
WATCH_TIME = 20.0
LIMIT = 90.0


def run(name: str, scale: Scale) -> list[Reading]:
    system = ManyhandsTcp()
    system.start()
    try:
        return asyncio.run(_watch(system, scale))
    finally:
        system.stop()


async def _watch(system: ManyhandsTcp, scale: Scale) -> list[Reading]:
    from manyhands.protos import manyhands_pb2 as pb
    from manyhands.wire.dialer import Dialer
    from manyhands.wire.handshake import make_hello
    from manyhands.wire.joining import Way

    count = scale.count(WORKERS)
    welcomed = 0

    def on_welcome(_: object) -> None:
        nonlocal welcomed
        welcomed += 1

    way = Way(system.address, "worker")
    dialers = [
        Dialer(
            way.open_link,
            lambda number=number: make_hello(pb.ROLE_WORKER, f"idle-{number}", 16),  # type: ignore[misc]
            lambda _: None,
            on_welcome,
            lambda _reason, _known: None,
            credential=way.credential,
        )
        for number in range(count)
    ]
    running = [asyncio.create_task(dialer.run()) for dialer in dialers]
    deadline = time.monotonic() + LIMIT
    while welcomed < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{welcomed} of {count} workers were welcomed within {LIMIT:.0f} s")
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLE_TIME)
    master: list[psutil.Process] = masters()
    used, begun = cpu_seconds(master), time.monotonic()
    await asyncio.sleep(WATCH_TIME / 4 if scale.quick else WATCH_TIME)
    share = 100 * (cpu_seconds(master) - used) / (time.monotonic() - begun)
    assert welcomed == count, "a worker was lost meanwhile"
    memory = sum(process.memory_info().rss for process in master) / 1e6
    for dialer in dialers:
        await dialer.close()
    await asyncio.gather(*running)
    return [Reading("idle-workers", share, "%", "lower", {"workers": count, "master MB": memory})]
