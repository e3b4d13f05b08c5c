"""Monte Carlo: the price of an Asian option, averaged over millions of simulated paths by `map_reduce`.

Each task simulates a batch of paths and returns what its mean and its error need; workers add those up, and only
the sum of all comes back. The order of the additions depends on the batches alone: whatever the number of workers, and
whichever of them are lost on the way, the result is the same to the last bit.
"""

import argparse
import math

import numpy as np

from manyhands import Client

START, STRIKE, RATE, VOLATILITY, DAYS = 100.0, 105.0, 0.03, 0.2, 252
PATHS = 2_000  # in a batch


def simulate(batch):
    """(paths, sum of pay-offs, sum of their squares), discounted. The batch's number is its seed."""
    days = np.random.default_rng(seed=[7, batch]).normal(
        (RATE - VOLATILITY**2 / 2) / DAYS, VOLATILITY / math.sqrt(DAYS), size=(PATHS, DAYS)
    )
    mean_price = START * np.exp(np.cumsum(days, axis=1)).mean(axis=1)
    payoff = math.exp(-RATE) * np.maximum(mean_price - STRIKE, 0.0)
    return PATHS, float(payoff.sum()), float((payoff**2).sum())


def add(one, other):
    return tuple(a + b for a, b in zip(one, other, strict=True))


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--batches", type=int, default=500, help=f"of {PATHS:,} paths each")
arguments = parser.parse_args()

with Client() as client:
    count, total, squares = client.map_reduce(simulate, range(arguments.batches), add, initial=(0, 0.0, 0.0))

mean = total / count
error = math.sqrt((squares / count - mean**2) / count)
print(f"{count:,} paths: the option is worth {mean:.4f}, give or take {error:.4f} ({mean.hex()})")
