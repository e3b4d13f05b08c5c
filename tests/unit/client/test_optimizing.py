"""What a client says of a search, beside its result."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from manyhands.client.optimizing import advise, check, name_of
from manyhands.client.options import Options
from manyhands.optimize.request import request


def asked(**changes: Any) -> Any:
    return request(lambda params: params["x"], {"x": (0.0, 1.0)}, **changes)


def test_more_slots_than_evaluations_are_worth_a_word() -> None:
    with pytest.warns(UserWarning, match='200 slots, and about 64 evaluations.* window=400 .* mode="async"'):
        advise(asked(), 200)
    with pytest.warns(UserWarning, match="about 100 evaluations"):
        advise(asked(window=100), 101)


@pytest.mark.parametrize("changes", [{"mode": "async"}, {"window": 400}, {"population": 300}])
def test_who_has_chosen_is_told_nothing(changes: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advise(asked(**changes), 200)
        advise(asked(), 64)


def test_options_that_mean_nothing_to_a_search_are_refused() -> None:
    for changes, match in (({"keep_results": True}, "keep_results="), ({"checkpoint": "file"}, "checkpoint=")):
        with pytest.raises(ValueError, match=match):
            check(Options().changed(changes))


def test_a_search_is_named_after_its_objective() -> None:
    assert name_of(asked) == "asked"
    assert name_of(Named()) == "Named"


class Named:
    def __call__(self, params: dict[str, Any]) -> float:
        return 0.0
