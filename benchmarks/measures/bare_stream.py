"""Owns the floor under every round trip: a bare grpc.aio stream between two processes, echoing 100 bytes."""

import asyncio
import time

import grpc.aio

from benchmarks.measures.round_trip import percentiles
from benchmarks.readings import Reading, Scale
from benchmarks.systems import STREAMS
from benchmarks.systems.grpc_echo import Echo, run_loop

NAME = "bare-stream"
SYSTEMS = STREAMS
TIMEOUT = 60.0
REPETITIONS = 3

ROUNDS = 3_000
WARM_UP_ROUNDS = 200
MESSAGES = 20_000
PAYLOAD = b"x" * 100


def run(name: str, scale: Scale) -> list[Reading]:
    seconds: list[float] = []
    rates: list[float] = []
    rounds, messages = scale.count(ROUNDS), scale.count(MESSAGES)

    async def main() -> None:
        async with Echo(unix=name == "grpc-unix") as stream:
            for _ in range(WARM_UP_ROUNDS + rounds):
                begun = time.perf_counter()
                await stream.write(PAYLOAD)
                await stream.read()
                seconds.append(time.perf_counter() - begun)
            rates.append(await _pipelined(stream, messages))
            await stream.done_writing()

    loop = run_loop(main())
    readings = percentiles("bare-stream", seconds[WARM_UP_ROUNDS:])
    detail: dict[str, float | str] = {"messages": messages, "payload_bytes": len(PAYLOAD), "loop": loop}
    return [*readings, Reading("bare-stream.rate", rates[0], "1/s", "higher", detail)]


async def _pipelined(stream: "grpc.aio.StreamStreamCall[bytes, bytes]", messages: int) -> float:
    """Echoed messages a second with a writer that never waits for the echo."""

    async def write() -> None:
        for _ in range(messages):
            await stream.write(PAYLOAD)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for _ in range(messages):
            await stream.read()
    return messages / (time.perf_counter() - begun)
