"""What a client says of a search, beside its result."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.client.optimizing import SearchJob, advise, check
from manyhands.client.options import Options
from manyhands.optimize.request import request
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.function_name import name_of


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


@given(order=st.permutations(range(6)), again=st.lists(st.integers(0, 5), max_size=4))
def test_results_are_read_in_their_order_however_they_arrive(order: list[int], again: list[int]) -> None:
    job = SearchJob(SimpleNamespace(next_job_number=lambda: 1))  # type: ignore[arg-type]  # all that it looks at
    for index in [*order, *again]:
        item = b"result %d" % index
        job.on_results(pb.Results(first=index, ends=len(item).to_bytes(4, "little"), payload=item))
    assert [job.arrived.get_nowait() for _ in range(6)] == [b"result %d" % index for index in range(6)]
    assert job.arrived.empty()


def test_a_search_is_named_after_its_objective() -> None:
    assert name_of(asked) == "asked"
    assert name_of(Named()) == "Named"


class Named:
    def __call__(self, params: dict[str, Any]) -> float:
        return 0.0
