"""The honest client beside the attackers: runs jobs all the time, checks every result, and measures its waits."""

from __future__ import annotations

import json
import select
import sys
import time
from typing import Any

from manyhands import Client

#: Tasks of a map, and seconds between two calls: it is there to be served, not to take the cores from the attackers.
TASKS, PAUSE = 50, 0.05


def squared(number: int) -> int:
    return number * number


def work(address: str) -> dict[str, Any]:
    """Until stdin is closed; what came of it."""
    done = wrong = failed = 0
    worst = 0.0
    troubles: list[str] = []
    rounds = 0
    with Client(address) as client:
        client.submit(squared, 1).result(60)
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], PAUSE)[0]:
            rounds += 1
            begun = time.monotonic()
            try:
                if rounds % 2:
                    got, due = list(client.map(squared, range(rounds, rounds + TASKS))), TASKS
                    is_right = got == [squared(number) for number in range(rounds, rounds + TASKS)]
                else:
                    got, due = client.submit(squared, rounds).result(60), 1
                    is_right = got == rounds * rounds
            except Exception as error:
                failed += 1
                troubles.append(f"{type(error).__name__}: {error}"[:2000])
                if failed > 20:
                    break
            else:
                done += due
                wrong += not is_right
            worst = max(worst, time.monotonic() - begun)
    return {"done": done, "wrong": wrong, "failed": failed, "worst": worst, "troubles": troubles[:5]}


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1])))
