"""A client of a soak, as a process: does the tasks it is told to, and leaves at the end of its input.

    python -m tests.soak.client ADDRESS SEED

Each line of its input is a number of tasks to be done. It answers with lines of JSON: how many it has done, and
whether it waits for the next number; at its end, how many of its futures are open.
"""

from __future__ import annotations

import concurrent.futures
import gc
import json
import sys
import time
from random import Random

from tests.soak.load import Load

from manyhands import Client
from manyhands.idle_memory import give_back

#: Seconds that the master may take to confirm the end of a map that was dropped half read.
CONFIRM_TIMEOUT = 10.0
#: Seconds between two answers.
TELL_INTERVAL = 0.2


def main(address: str, seed: int) -> None:
    with Client(address, connect_timeout=60) as client:
        load = Load(client, Random(seed))
        done, told_at = load.warm_up(), 0.0
        for line in sys.stdin:
            due = done + int(line)
            while done < due:
                done += load.piece()
                if time.monotonic() - told_at >= TELL_INTERVAL:
                    told_at = time.monotonic()
                    tell(done=done, resting=False)
            give_back()  # as daemons do by themselves: what the allocator keeps of it is not what is measured
            tell(done=done, resting=True)
        stats = client.session.connection.stats
        deadline = time.monotonic() + CONFIRM_TIMEOUT
        while stats.open and time.monotonic() < deadline:
            time.sleep(0.01)
        tell(done=done, resting=True, open_futures=open_futures(), open_tasks=stats.open)


def open_futures() -> int:
    """Those that anything in this process still holds."""
    return sum(isinstance(each, concurrent.futures.Future) and not each.done() for each in gc.get_objects())


def tell(**facts: float) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
