"""Spaces: values and the cube, there and back; what is refused, and how it is said."""

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyhands.optimize.cube import Column, Cube, Kind
from manyhands.optimize.operators import mutate
from manyhands.optimize.space import Categorical, Float, Int, Parameter, Space

LAST = float(np.nextafter(1.0, 0.0))


def column(parameter: Parameter, u: list[float]) -> list[Any]:
    return [row["x"] for row in Space(x=parameter).params(np.array(u)[:, np.newaxis])]


def example() -> Space:
    return Space(
        lr=Float(1e-5, 1e-1, log=True),
        layers=Int(1, 8),
        width=Int(16, 512, step=16),
        act=Categorical(["relu", "tanh"]),
    )


def test_the_issues_space_reads_as_it_was_written() -> None:
    space = example()
    assert space.names == ("lr", "layers", "width", "act")
    written = (
        "Space(lr=Float(1e-05, 0.1, log=True), layers=Int(1, 8), width=Int(16, 512, step=16), "
        "act=Categorical(['relu', 'tanh']))"
    )
    assert repr(space) == written
    assert eval(repr(space)) == space
    assert [kind for kind, _, _ in space.cube.columns] == ["continuous", "ordered", "ordered", "categorical"]
    assert [levels for _, levels, _ in space.cube.columns] == [0, 8, 32, 2]


def test_spaces_are_equal_by_parameters_and_order_and_survive_pickling() -> None:
    space = example()
    copy = pickle.loads(pickle.dumps(space))
    assert copy == space
    assert hash(copy) == hash(space)
    assert Space(a=Int(1, 2), b=Int(1, 3)) != Space(b=Int(1, 3), a=Int(1, 2))
    assert Space(a=Categorical([1])) != Space(a=Categorical([True]))
    assert Space(a=Int(1, 2)) != Space(a=Float(1, 2))
    assert Space(a=Categorical([[1], np.zeros(3)])) == Space(a=Categorical([[1], np.zeros(3)]))


def test_names_of_any_form_and_plain_bounds_make_a_space() -> None:
    space = Space.of({"learning rate": (0.1, 1), "n": (1, 8), "m": (np.int64(1), 4), "act": ["a", "b"], "f": Int(2, 4)})
    kinds = [type(parameter) for parameter in space.parameters.values()]
    assert kinds == [Float, Int, Int, Categorical, Int]
    assert Space.of(space) is space
    assert repr(Space({"a b": Int(1, 2)})) == "Space({'a b': Int(1, 2)})"
    assert Space({"self": Int(1, 2)}, parameters=Int(1, 2)).names == ("self", "parameters")


def test_cardinality_is_exact_or_infinite() -> None:
    assert example().cardinality() == math.inf
    assert Space({str(i): Int(1, 10**6) for i in range(5)}).cardinality() == 10**30
    assert Space(a=Float(0, 1, step=0.1), b=Categorical([1, 2, 3])).cardinality() == 33


def test_decoded_columns_have_plain_types() -> None:
    columns = example().decode(np.full((3, 4), 0.5))
    assert [columns[name].dtype.kind for name in columns] == ["f", "i", "i", "U"]
    row = example().params([[0.5, 0.5, 0.5, 0.5]])[0]
    assert [type(value) for value in row.values()] == [float, int, int, str]
    assert row == {"lr": pytest.approx(1e-3), "layers": 5, "width": 272, "act": "tanh"}
    json.dumps(row)


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0, 1, False), (-3, 7.3, False), (1e-5, 1e-1, True), (0.3, 0.7, True)]
)
def test_both_ends_of_a_float_are_reached_exactly(low: float, high: float, log: bool) -> None:
    parameter = Float(low, high, log=log)
    assert column(parameter, [0.0, LAST]) == [low, high]
    assert column(parameter, column_of(parameter, [low, high])) == [low, high]


def column_of(parameter: Parameter, values: list[Any]) -> list[float]:
    points: list[float] = Space(x=parameter).encode({"x": values})[:, 0].tolist()
    return points


def test_log_floats_are_spread_by_orders_of_magnitude() -> None:
    assert column(Float(1e-4, 1, log=True), [0.25, 0.5, 0.75]) == pytest.approx([1e-3, 1e-2, 1e-1])


def test_whole_numbers_are_uniform_over_their_levels() -> None:
    numbers = column(Int(-3, 6), ((np.arange(1000) + 0.5) / 1000).tolist())
    values, counts = np.unique(numbers, return_counts=True)
    assert values.tolist() == list(range(-3, 7))
    assert counts.tolist() == [100] * 10


def test_steps_begin_at_low_and_never_pass_high() -> None:
    assert sorted(set(column(Int(16, 100, step=25), np.linspace(0, LAST, 99).tolist()))) == [16, 41, 66, 91]
    tenths = Float(0, 1, step=0.1)
    assert sorted(set(column(tenths, np.linspace(0, LAST, 99).tolist()))) == [i / 10 for i in range(11)]
    assert sorted(set(column(Float(0, 1, step=0.3), np.linspace(0, LAST, 99).tolist()))) == [0, 0.3, 0.6, 0.9]
    tiny = column(Float(1e-19, 1e-18, step=2e-19), np.linspace(0, LAST, 99).tolist())
    assert sorted(set(tiny)) == pytest.approx([1e-19, 3e-19, 5e-19, 7e-19, 9e-19])


def test_log_ints_give_the_same_share_to_each_octave() -> None:
    numbers = np.array(column(Int(1, 1023, log=True), ((np.arange(100_000) + 0.5) / 100_000).tolist()))
    octaves = np.bincount(np.floor(np.log2(numbers)).astype(int))
    assert octaves.tolist() == pytest.approx([10_000] * 10, abs=1)
    assert len(np.unique(numbers)) == 1023


def test_points_of_the_same_params_have_the_same_key() -> None:
    cube = Space(a=Int(1, 50, log=True), b=Int(1, 3), c=Float(0.5, 9, step=0.5, log=True)).cube
    space = Space(a=Int(1, 50, log=True), b=Int(1, 3), c=Float(0.5, 9, step=0.5, log=True))
    U = np.random.default_rng(1).random((5000, 3))
    snapped = cube.snap(U)
    assert space.params(snapped) == space.params(U)
    assert len(set(cube.keys(snapped))) == len({tuple(row.values()) for row in space.params(U)})
    assert Cube.from_json(json.loads(json.dumps(cube.to_json()))).columns == cube.columns


def test_values_of_single_columns_have_the_levels_of_whole_points() -> None:
    cube = Cube([Column(Kind.CONTINUOUS), Column(Kind.ORDERED, 50, 1.0), Column(Kind.CATEGORICAL, 3)])
    U = cube.snap(np.random.default_rng(2).random((100, 3)))
    rows, columns = np.nonzero(np.random.default_rng(3).random(U.shape) < 0.5)
    level = cube.level_of(U[rows, columns], columns)
    assert level.tolist() == cube.level_of(U)[rows, columns].tolist()
    discrete = columns > 0
    assert cube.at_level(level, columns)[discrete].tolist() == U[rows, columns][discrete].tolist()
    log = columns == 1
    begin, end = (cube.at_level(level + half, columns)[log] for half in (-0.5, 0.5))
    assert cube.level_of(begin + 1e-9, columns[log]).tolist() == level[log].tolist()
    assert cube.level_of(end - 1e-9, columns[log]).tolist() == level[log].tolist()
    assert end == pytest.approx(np.log(level[log] + 2) / np.log(51))


def test_a_mutation_goes_at_least_to_the_next_level_of_a_logarithmic_column() -> None:
    cube = Space(x=Int(1, 1000, log=True)).cube
    U = cube.at_level(np.arange(1000)[:, np.newaxis])
    rng = np.random.default_rng(1)
    moved = mutate(cube, U, np.ones((1000, 1), dtype=np.bool_), rng, lambda x, _: np.minimum(x + 1e-9, LAST))
    steps = cube.level_of(cube.snap(moved))[:, 0] - np.arange(1000)
    assert steps.tolist() == [1] * 999 + [-1]


@given(st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_levels_survive_the_cube_at_any_size(data: st.DataObject) -> None:
    is_log = data.draw(st.booleans())
    levels = data.draw(st.integers(1, 2**40 if is_log else 2**51))
    begin = data.draw(st.floats(1e-3, 1e12)) if is_log else 0.0
    cube = Cube([Column(Kind.ORDERED, levels, begin)])
    level = np.array([[data.draw(st.integers(0, levels - 1))], [levels - 1], [0]])
    U = cube.at_level(level)
    assert ((U >= 0) & (U < 1)).all()
    assert cube.level_of(U).tolist() == level.tolist()
    assert cube.snap(U).tolist() == U.tolist()


PARAMETERS = [
    Float(-5, 5),
    Float(1e-9, 1e9, log=True),
    Float(-1, 1, step=0.001),
    Float(1, 100, step=0.5, log=True),
    Int(-7, 2**50),
    Int(2**62, 2**63 - 1, step=2**20),
    Int(3, 10**12, log=True),
    Categorical(["a", "bc\0", ""]),
    Categorical([None, math.inf, "None", (1, 2), True, 1, 1.0, [1]]),
    Categorical([0.1, 0.25, 7.0], ordered=True),
]


@given(st.sampled_from(PARAMETERS), st.lists(st.floats(0, LAST), min_size=1, max_size=20))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_encode_is_the_inverse_of_decode(parameter: Parameter, u: list[float]) -> None:
    space = Space(x=parameter)
    U = space.cube.snap(np.array(u)[:, np.newaxis])
    again = space.encode(space.params(U))
    if parameter.column.kind is Kind.CONTINUOUS:
        assert again == pytest.approx(U, abs=1e-14)
    else:
        assert again.tolist() == U.tolist()
    assert space.encode(space.decode(U)).tolist() == again.tolist()


def test_points_one_by_one_have_the_values_of_columns() -> None:
    space = Space(
        x=Float(-5.0, 5.0), n=Int(1, 9), y=Float(1e-5, 1e-1, log=True), z=Float(0.1, 0.3), s=Float(0, 1, step=0.1)
    )
    U = np.random.default_rng(5).random((500, 5))
    U[:20] = np.repeat([0.0, LAST], 10)[:, np.newaxis]
    columns = space.decode(U)
    assert space.params(U) == [{name: columns[name][at] for name in space.names} for at in range(len(U))]
    assert space.params(U) == [params for at in range(len(U)) for params in space.params(U[at : at + 1])]
    assert all(type(value) is float for name, value in space.params(U)[0].items() if name != "n")


def test_choices_stay_the_objects_that_they_are() -> None:
    model = object()
    choices = [None, model, "al_7075", True, 1, 1.0, math.nan, (1, 2), [3], {"a": 1}, np.zeros(2)]
    space = Space(x=Categorical(choices))
    U = space.cube.at_level(np.arange(len(choices))[:, np.newaxis])
    assert all(row["x"] is choice for row, choice in zip(space.params(U), choices, strict=True))
    decoded = space.decode(U)["x"]
    assert decoded.dtype == object
    assert all(value is choice for value, choice in zip(decoded, choices, strict=True))
    assert space.encode({"x": choices}).tolist() == U.tolist()


@pytest.mark.parametrize(
    ("choices", "kind"),
    [
        (["a", "longer"], "U"),
        ([1, 2], "i"),
        ([1.0, 2.0], "f"),
        ([True, False], "b"),
        ([1, 2.0], "O"),
        ([2**70, 1], "O"),
    ],
)
def test_choices_of_one_type_make_an_array_of_it(choices: list[Any], kind: str) -> None:
    space = Space(x=Categorical(choices))
    decoded = space.decode(space.cube.at_level(np.arange(2)[:, np.newaxis]))["x"]
    assert decoded.dtype.kind == kind
    assert decoded.tolist() == choices


def test_equal_numbers_of_other_types_are_found() -> None:
    space = Space(x=Categorical([1, 2, 4]), y=Int(1, 9), z=Float(0, 1))
    columns = {"x": np.array([4, 1]), "y": np.array([2.0, 3.0]), "z": [1, np.float32(0.5)]}
    assert space.params(space.encode(columns)) == [{"x": 4, "y": 2, "z": 1.0}, {"x": 1, "y": 3, "z": 0.5}]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(5, 1), r"Float\(5.0, 1.0\): low has to be below high"),
        (lambda: Int(3, 3), r"Int\(3, 3\): low has to be below high"),
        (lambda: Float(0, 1, log=True), r"Float\(0.0, 1.0, log=True\): with log=True, low has to be above 0"),
        (lambda: Int(0, 8, log=True), "low has to be above 0"),
        (lambda: Float(0, 1, step=0), "step has to be above 0"),
        (lambda: Int(0, 1, step=-1), "step has to be above 0"),
        (lambda: Float(0, math.inf), "high has to be finite"),
        (lambda: Float(math.nan, 1), "low has to be finite"),
        (lambda: Float(0, "much"), "high has to be a number"),  # type: ignore[arg-type]
        (lambda: Float(-1.7e308, 1.7e308), "too far apart"),
        (lambda: Float(0, 1, step=1e-30), "use a Float without a step"),
        (lambda: Float(1e300, float(np.nextafter(1e300, 2e300)), log=True), "too close for log=True"),
        (lambda: Int(0, 1.5), "high has to be a whole number; use a Float"),  # type: ignore[arg-type]
        (lambda: Int(0, 2**63), "fit into 64 bits"),
        (lambda: Int(0, 2**60), "levels are more than"),
        (lambda: Categorical([]), "at least one choice"),
        (lambda: Categorical("relu"), "give a list"),
        (lambda: Categorical(["a", "b", "a"]), "'a' is there twice"),
        (lambda: Categorical([[1], [1]]), "twice"),
        (Space, "at least one parameter"),
        (lambda: Space({"a": Int(1, 2)}, a=Int(1, 2)), "'a' is given twice"),
        (lambda: Space(lr=3), "lr: 3 is no parameter; use Float"),
        (lambda: Space(lr=(1, 2, 3)), r"lr: \(1, 2, 3\) is no parameter"),
        (lambda: Space(lr=(5, 1)), r"lr: Int\(5, 1\): low has to be below high"),
        (lambda: Space(flag=(False, True)), "flag: .* is no parameter"),
        (lambda: Space({3: Int(1, 2)}), "a parameter's name is a string, not 3"),  # type: ignore[dict-item]
        (lambda: Space.of([("a", 1)]), "a space is a Space or a dict"),
    ],
)
def test_what_cannot_be_is_refused_at_once_and_says_what_to_do(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


POINT = {"lr": 1e-3, "layers": 2, "width": 32, "act": "relu"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([{"lr": 1e-3}], "'layers' is missing"),
        ([POINT, POINT | {"depth": 3}], "'depth' is no parameter; there are 'lr', 'layers'"),
        ([POINT | {"lr": 0.5}], "lr: 0.5 is outside of 1e-05 to 0.1"),
        ([POINT | {"lr": math.nan}], "lr: nan is not finite"),
        ([POINT | {"lr": None}], "lr: None is no number"),
        ([POINT | {"layers": 9}], "layers: 9 is outside of 1 to 8"),
        ([POINT | {"layers": 2.5}], "layers: 2.5 is no whole number"),
        ([POINT | {"width": 33}], "width: 33 is no whole number of steps of 16 from 16"),
        ([POINT | {"act": "sin"}], r"act: 'sin' is none of the choices \['relu', 'tanh'\]"),
        ([POINT | {"act": ["relu"]}], "act: .* is none of the choices"),
        (POINT, "lr: 0.001 is no column; for one point give a list of one dict"),
        ({"lr": [1e-3], "layers": [1, 2], "width": [16], "act": ["relu"]}, "of the same length"),
        ([3], "params are dicts by name, not 3"),
    ],
)
def test_encode_names_what_it_cannot_take(params: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        example().encode(params)


def test_steps_within_rounding_are_taken_and_others_are_not() -> None:
    space = Space(x=Float(0, 1, step=0.1))
    assert space.params(space.encode({"x": [0.1 + 0.2]})) == [{"x": 0.3}]
    with pytest.raises(ValueError, match="no whole number of steps"):
        space.encode({"x": [0.31]})


def test_no_points_are_no_problem() -> None:
    space = example()
    assert space.encode([]).shape == (0, 4)
    assert space.params(np.empty((0, 4))) == []
    assert {name: len(values) for name, values in space.decode(np.empty((0, 4))).items()} == dict.fromkeys(
        space.names, 0
    )


@pytest.mark.parametrize("U", [[0.5] * 4, [[0.5] * 3], [[0.5, 0.5, math.nan, 0.5]]])
def test_points_of_another_shape_are_refused(U: Any) -> None:
    with pytest.raises(ValueError, match="point"):
        example().decode(U)


def test_a_column_cannot_be_logarithmic_without_an_order() -> None:
    with pytest.raises(ValueError, match="cannot be logarithmic"):
        Cube([Column(Kind.CATEGORICAL, 3, 1.0)])
    with pytest.raises(ValueError, match="cannot be logarithmic"):
        Cube([Column(Kind.ORDERED, 2**41, 1.0)])
