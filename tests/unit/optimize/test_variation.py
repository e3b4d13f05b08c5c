"""Operators by name: what is allowed, what is refused, and children that are worth an evaluation."""

from typing import Any

import numpy as np
import pytest
from tests.unit.optimize.functions import continuous

from manyhands.optimize.cube import Column, Cube, Kind
from manyhands.optimize.ga_classic import ClassicGA
from manyhands.optimize.nsga2 import NSGA2
from manyhands.optimize.variation import CROSSOVERS, MUTATIONS, SELECTIONS, Variation

MIXED = Cube([Column(Kind.CONTINUOUS), Column(Kind.ORDERED, 5), Column(Kind.CATEGORICAL, 3), Column(Kind.ORDERED, 1)])


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("crossover", CROSSOVERS)
@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("n", [1, 2, 7])
def test_every_combination_makes_new_children(selection: str, crossover: str, mutation: str, n: int) -> None:
    variation = Variation(selection=selection, crossover=crossover, mutation=mutation)
    rng = np.random.default_rng(1)
    members = MIXED.snap(rng.random((2, 4)))
    for _ in range(20):
        children = MIXED.snap(variation.children(MIXED, members, n, rng))
        assert children.shape == (n, 4)
        assert not (children[:, np.newaxis] == members).all(axis=2).any()


def test_without_crossover_and_mutation_children_are_copies() -> None:
    members = MIXED.snap(np.random.default_rng(2).random((5, 4)))
    children = Variation(crossover_rate=0, mutation_rate=0).children(MIXED, members, 50, np.random.default_rng(3))
    assert (children[:, np.newaxis] == members).all(axis=2).any(axis=1).all()


def test_one_value_of_a_child_is_mutated_on_average() -> None:
    cube = continuous(10)
    members = np.full((1, 10), 0.5)
    children = Variation().children(cube, members, 4000, np.random.default_rng(4))
    # A child of which none would be is changed in one column.
    assert (children != 0.5).sum(axis=1).mean() == pytest.approx(1 + 0.9**10, abs=0.06)
    children = Variation(mutation_rate=0.5).children(cube, members, 4000, np.random.default_rng(4))
    assert (children != 0.5).mean() == pytest.approx(0.5, abs=0.02)


def test_a_space_of_one_point_has_only_that() -> None:
    cube = Cube([Column(Kind.CATEGORICAL, 1)])
    assert Variation().children(cube, np.array([[0.5]]), 3, np.random.default_rng(5)).tolist() == [[0.5]] * 3


@pytest.mark.parametrize("method", [ClassicGA, NSGA2])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"crossover": "sbxx"}, "crossover has to be one of blx, one-point, sbx, two-point, uniform, not 'sbxx'"),
        ({"selection": None}, "selection has to be one of random, ranking, tournament, not None"),
        ({"mutation": "bit"}, "mutation has to be one of gaussian, polynomial, uniform, not 'bit'"),
        ({"crossover_rate": 1.5}, "crossover_rate has to be a number, from 0 to 1, not 1.5"),
        ({"mutation_rate": -0.1}, "mutation_rate has to be a number, from 0 to 1, not -0.1"),
        ({"eta_mutation": float("nan")}, "eta_mutation has to be a number, at least 0, not nan"),
        ({"eta_crossover": "15"}, "eta_crossover has to be a number, at least 0, not '15'"),
        ({"alpha": float("inf")}, "alpha has to be a number, at least 0, not inf"),
        ({"sigma": True}, "sigma has to be a number, at least 0, not True"),
        ({"pressure": 3}, "pressure has to be a number, from 1 to 2, not 3"),
        ({"tournament": 0}, "tournament has to be a whole number, at least 1, not 0"),
        ({"population": 1}, "population has to be a whole number, from 2 to 100000, not 1"),
        ({"population": 50.5}, "population has to be a whole number, from 2 to 100000, not 50.5"),
        ({"mutaton": "uniform"}, "has no setting mutaton; it has .*mutation_rate, population"),
    ],
)
def test_what_is_refused_is_told_what_is_allowed(method: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        method(continuous(2), **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"survival": "comma"}, "survival has to be one of generational, plus, not 'comma'"),
        ({"elites": 100}, "elites has to be a whole number, from 0 to 99, not 100"),
    ],
)
def test_the_classic_settings_are_checked_too(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ClassicGA(continuous(2), **given)
