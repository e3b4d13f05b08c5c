"""Attacks on a real master from another process: sessions over its Unix socket and over gRPC, and plain bytes."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import traceback
from random import Random

from tests.fuzz import rubbish
from tests.fuzz.attack import Attack, Nature
from tests.fuzz.tally import Tally

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import grpc_links
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.joining import Way
from manyhands.wire.links import Link

#: Sessions at a time, on each way in.
SOCKET_AT_ONCE, GRPC_AT_ONCE, BYTES_AT_ONCE = 40, 8, 8

#: A session over gRPC is done with after so long, should it hang, in seconds.
SESSION_TIMEOUT = 60.0

#: The first job of the master's n-th life with a journal is numbered n << 36.
_LIFE_BITS = 36


def may_change(body: pb.Body) -> bool:
    """Whether a worker may say that on a master on which others have work: a worker is trusted with its results, and so
    an attacker must not happen to name one of their jobs.
    """
    kind = body.WhichOneof("kind") or ""
    if kind == "held":
        return False
    job = getattr(getattr(body, kind), "job", 0) if kind in ("results", "failure", "crash", "saved_state") else 0
    return not (1 << _LIFE_BITS) <= job < (1 << _LIFE_BITS) + (1 << 32)


async def attack_master(address: str, seed: str, seconds: float, inputs: int) -> Tally:
    """Attackers with valid tokens, found as any joiner of this user finds them; plain bytes come without."""
    client, worker = Way(address, "client"), Way(address, "worker")
    trust = await client.find_trust()
    await worker.find_trust()
    secrets = client.credential.secret, worker.credential.secret
    nature = Nature(*secrets, is_shared=True, may_change=may_change)
    tally = Tally()
    end = time.monotonic() + seconds
    sessions = 0

    def is_over() -> bool:
        return time.monotonic() >= end or tally.total >= inputs or bool(tally.crashes)

    async def session(link: Link, name: str) -> None:
        attack = Attack(name, nature, tally)
        try:
            async with asyncio.timeout(SESSION_TIMEOUT):
                await attack.run(link)
        except Exception:
            tally.crashes.append(f"session {name}, after {attack.last}: {traceback.format_exc()}")

    async def attacker(way: str) -> None:
        nonlocal sessions
        while not is_over():
            sessions += 1
            name = f"{seed}/{way}/{sessions}"
            try:
                if way == "bytes":
                    await rubbish.throw(address, Random(name), tally)
                else:
                    link = await (client.open_link() if way == "socket" else grpc_links.dial(address, trust))
                    await session(link, name)
            except OSError as error:
                tally.crashes.append(f"{name}: the master does not take connections any more: {error}")

    ways = ["socket"] * SOCKET_AT_ONCE + ["grpc"] * GRPC_AT_ONCE + ["bytes"] * BYTES_AT_ONCE
    await asyncio.gather(*map(attacker, ways))
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.attackers", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--inputs", type=int, default=sys.maxsize)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        tally = runner.run(attack_master(arguments.address, arguments.seed, arguments.seconds, arguments.inputs))
    print(json.dumps(tally.as_json()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
