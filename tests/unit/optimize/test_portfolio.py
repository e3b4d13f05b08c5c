"""The portfolio: two islands share the evaluations, and each other's best."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.optimize.functions import continuous, sphere

from manyhands.optimize.algorithm import Told
from manyhands.optimize.plan import Mode, Plan
from manyhands.optimize.portfolio import Portfolio
from manyhands.optimize.random_streams import Use, stream
from manyhands.optimize.search import Search


def islands(portfolio: Portfolio, blocks: int, n: int) -> list[float]:
    """The share of the genetic algorithm in each block."""
    shares = []
    for first in range(0, blocks * n, n):
        proposal = portfolio.propose(first, n, stream(1, Use.PROPOSE, first))
        shares.append(float((proposal.own["island"] == 0).mean()))
        F = ((proposal.U - 0.3) ** 2).sum(axis=1)
        told = Told(np.arange(first, first + n), proposal.U, F[:, None], np.zeros(n), F >= 0, proposal.own)
        portfolio.commit(told, stream(1, Use.COMMIT, first))
    return shares


@pytest.mark.parametrize("n", [1, 7, 100])
def test_evaluations_are_shared_as_said_whatever_the_blocks(n: int) -> None:
    portfolio = Portfolio(continuous(3), budget=10_000, period=10_000)
    assert np.mean(islands(portfolio, 600 // n, n)) == pytest.approx(0.6, abs=0.02)


def test_the_share_moves_and_stays_within_its_bounds() -> None:
    portfolio = Portfolio(continuous(3), budget=10_000, period=50)
    shares = islands(portfolio, 60, 100)
    assert min(shares) >= 0.19
    assert max(shares) <= 0.81
    assert abs(shares[-1] - shares[0]) > 0.02


def test_the_genetic_algorithm_is_planned_for_what_it_will_get() -> None:
    portfolio = Portfolio(continuous(3), budget=4000)
    islands(portfolio, 40, 100)
    ga = portfolio._islands[0].state()["counts"]
    assert ga["committed"] == pytest.approx(ga["horizon"], rel=0.05)


@pytest.mark.parametrize("mode", list(Mode))
def test_it_converges_in_every_mode(mode: Mode) -> None:
    problem = sphere(5, 2)
    search = Search(Plan(problem.cube, budget=1500, mode=mode), algorithm=Portfolio(problem.cube, budget=1500))
    while not search.done():
        batch = search.ask()
        search.tell(batch.ids, problem.values(batch.U))
    best = search.best()
    assert best is not None
    assert best.score < 0.1


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        Portfolio(continuous(2), share=0.9)
