"""A datum that all hosts want at once spreads like a tree: its time grows with the logarithm of their number."""

import math

import pytest
from tests.simulation.broadcast import GIGABIT, broadcast

from manyhands.master.transfer_limits import TransferLimits

SIZE = 100_000_000
#: What one transfer takes when nobody else is on the network.
ALONE = SIZE / GIGABIT


@pytest.mark.parametrize("hosts", [1, 10, 100, 300])
def test_equal_hosts(hosts):
    outcome = broadcast(SIZE, [GIGABIT] * (hosts + 1), TransferLimits())
    assert outcome.most_at_once <= TransferLimits().large
    rounds = math.ceil(math.log2(hosts + 1))  # whole copies: in each of them everybody who has it serves one more
    assert ALONE * rounds <= outcome.makespan < 1.1 * ALONE * rounds


def test_one_that_is_very_slow_and_the_first_to_ask():
    limits = TransferLimits()
    outcome = broadcast(SIZE, [GIGABIT, GIGABIT / 200] + [GIGABIT] * 99, limits)
    assert outcome.makespan == pytest.approx(200 * ALONE, rel=0.02)
    patience = 2 + SIZE / limits.slow_bytes_per_second
    assert outcome.ends[-2] < patience + 8 * ALONE, "a slow host keeps the others waiting"


@pytest.mark.parametrize("large", [1, 2, 4])
def test_a_hundred_hosts_of_which_ten_are_slow(large):
    outcome = broadcast(SIZE, [GIGABIT] * 91 + [GIGABIT / 10] * 10, TransferLimits(large=large))
    assert outcome.most_at_once <= large
    assert outcome.ends[89] < 13 * ALONE, "slow hosts hold up the others"
    assert outcome.makespan < 21 * ALONE  # a slow one takes 10 by itself
