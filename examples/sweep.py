"""A parameter sweep: back-tests a moving-average rule with each pair of window lengths of a grid.

The prices are drawn from a random walk. `prices` is a variable of the script that the objective uses: it travels with
it, once to each worker, however many points there are. A grid is never made as a list, and every score comes back.
"""

import argparse

import numpy as np

from manyhands import Client
from manyhands.optimize import Int, Space

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--days", type=int, default=5_000, help="of prices; more than 500")
parser.add_argument("--top", type=int, default=5, help="rows of the table")
arguments = parser.parse_args()

generator = np.random.default_rng(seed=7)
prices = 100 * np.exp(np.cumsum(generator.normal(0.0002, 0.01, size=arguments.days)))

# Not two windows, of which most pairs would be the wrong way round: one, and by how much the other is longer.
space = Space(fast=Int(5, 200, step=5), longer=Int(5, 195, step=5))


def backtest(params):
    """The growth of 1 that is invested while the fast average lies above the slow one, each trade costing 0.1 %."""
    fast, slow = params["fast"], params["fast"] + params["longer"]
    sums = np.concatenate(([0.0], np.cumsum(prices)))
    days = np.arange(slow, len(prices))
    above = (sums[days] - sums[days - fast]) / fast > (sums[days] - sums[days - slow]) / slow
    daily = prices[days] / prices[days - 1]
    trades = np.count_nonzero(np.diff(above, prepend=False))
    return float(np.prod(np.where(above, daily, 1.0)) * 0.999**trades)


with Client() as client:
    result = client.optimize(backtest, space, method="grid", direction="max", progress=True)

history = result.history
print(f"{space.cardinality()} pairs of windows; holding all the time: {prices[-1] / prices[0]:.2f}")
print(
    f"half of the pairs make less than {np.median(history.scores):.2f}; the best ones, which is what luck looks like:"
)
print(" fast   slow   growth")
for at in np.argsort(-history.scores, kind="stable")[: arguments.top]:
    fast, longer = history.params["fast"][at], history.params["longer"][at]
    print(f"{fast:>5}  {fast + longer:>5}  {history.scores[at]:>7.2f}")
