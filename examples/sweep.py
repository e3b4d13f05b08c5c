"""A parameter sweep: back-tests a moving-average rule with many window lengths, on prices drawn from a random walk.

`prices` is a variable of the script that the task uses. It travels with the function, once to each worker, however
many tasks there are.
"""

from itertools import combinations

import numpy as np

from manyhands import Client

generator = np.random.default_rng(seed=7)
prices = 100 * np.exp(np.cumsum(generator.normal(0.0002, 0.01, size=5_000)))


def backtest(fast, slow):
    """The growth of 1 that is invested while the fast average lies above the slow one, each trade costing 0.1 %."""
    sums = np.concatenate(([0.0], np.cumsum(prices)))
    days = np.arange(slow, len(prices))
    above = (sums[days] - sums[days - fast]) / fast > (sums[days] - sums[days - slow]) / slow
    daily = prices[days] / prices[days - 1]
    trades = np.count_nonzero(np.diff(above, prepend=False))
    return float(np.prod(np.where(above, daily, 1.0)) * 0.999**trades)


windows = list(combinations(range(5, 205, 5), 2))
with Client() as client:
    growth = list(client.starmap(backtest, windows, progress=True))

ranking = sorted(zip(growth, windows, strict=True), reverse=True)
print(f"{len(windows)} pairs of windows; holding all the time: {prices[-1] / prices[0]:.2f}")
for value, (fast, slow) in ranking[:5]:
    print(f"  {fast:>3} and {slow:>3} days: {value:.2f}")
