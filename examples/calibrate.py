"""Calibrate a simulation: finds the rates of an epidemic (SIR) that explain the cases that were seen.

Each evaluation simulates it event by event (Gillespie 1977), so one with a large outbreak takes many times as long as
one that dies out at once. With mode="async" a slot takes the next point as soon as it is free, instead of waiting for
the slowest of a generation; `--mode windowed` is nearly as quick, and the same each time.
"""

import argparse
from collections import Counter

import numpy as np

from manyhands import Client, current_task
from manyhands.optimize import Float, Space

PEOPLE, INFECTED, DAYS = 300, 5, 40
TRUE = {"contact": 0.6, "recovery": 0.2}


def simulate(contact, recovery, rng):
    """New cases on each day."""
    healthy, ill, now = PEOPLE - INFECTED, INFECTED, 0.0
    cases = np.zeros(DAYS)
    while ill:
        infects = contact * ill * healthy / PEOPLE
        now += rng.exponential(1 / (infects + recovery * ill))
        if now >= DAYS:
            break
        if rng.random() * (infects + recovery * ill) < infects:
            healthy, ill = healthy - 1, ill + 1
            cases[int(now)] += 1
        else:
            ill -= 1
    return cases


def mean_cases(params, runs, seed):
    rng = np.random.default_rng(seed)
    return np.mean([simulate(params["contact"], params["recovery"], rng) for _ in range(runs)], axis=0)


observed = mean_cases(TRUE, 100, seed=1)


def distance(params):
    """Root of the mean square of what a day's cases differ by. Each evaluation has random numbers of its own."""
    cases = mean_cases(params, 4, current_task().seed)
    return float(np.sqrt(np.mean((cases - observed) ** 2)))


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--budget", type=int, default=600, help="evaluations")
parser.add_argument("--mode", default="async", choices=["async", "windowed", "generational"])
parser.add_argument("--seed", type=int, default=7)
arguments = parser.parse_args()

space = Space(contact=Float(0.05, 2.0, log=True), recovery=Float(0.02, 1.0, log=True))
with Client() as client:
    # noisy: the same point, evaluated again, has another score.
    result = client.optimize(
        distance, space, budget=arguments.budget, mode=arguments.mode, seed=arguments.seed, noisy=True, progress=True
    )

# One lucky score of a noisy objective says little; what the best ones have in common says more.
history, stats = result.history, result.stats
best = np.argsort(history.scores)[: max(1, len(history) // 20)]
for name, true in TRUE.items():
    values = history.params[name][best]
    print(f"{name:<9} {np.median(values):.3f}, give or take {np.std(values):.3f}; it was {true}")
shares = Counter(min(int(10 * cost / history.cost.max()), 9) for cost in history.cost)
print(
    f"an evaluation took {1000 * np.median(history.cost):.1f} ms, and the longest {1000 * history.cost.max():.1f} ms:"
)
for share in range(10):
    bar = "#" * round(50 * shares[share] / len(history))
    print(f"  from {10 * share:>2} % of that: {shares[share]:>4}  {bar}".rstrip())
print(f"{stats.total_evaluations} evaluations in {stats.seconds:.1f} s, slots busy for {stats.efficiency:.0%} of it")
