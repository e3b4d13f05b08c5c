"""What the page of `./scripts/bench optimize` says of figures and bars."""

from __future__ import annotations

import json

from benchmarks.optimize.findings import Findings, Judged, short
from benchmarks.optimize.functions import CASES
from benchmarks.optimize.quality import Found, findings
from benchmarks.optimize.report import Run, markdown


def test_bars_are_met_from_their_side() -> None:
    assert Judged("low", 1.0, 1.0, 0.5).reach_met is True
    assert Judged("low", 1.0, 1.0, 0.5).aim_met is False
    assert Judged("high", 0.9, 0.8, 0.95, "higher").reach_met is True
    assert Judged("high", 0.9, 0.8, 0.95, "higher").aim_met is False


def test_a_bar_that_is_not_there_is_neither_met_nor_missed() -> None:
    assert Judged("nothing measured", None, 1.0).reach_met is None
    assert Judged("no aim", 1.0, 1.0).aim_met is None


def test_to_equal_a_strict_aim_is_not_enough() -> None:
    equal = Judged("volume", 0.7, 0.7, 0.7, "higher", aim_is_strict=True)
    assert (equal.reach_met, equal.aim_met) == (True, False)
    assert Judged("volume", 0.71, 0.7, 0.7, "higher", aim_is_strict=True).aim_met is True


def test_two_digits_of_a_score() -> None:
    assert [short(value) for value in (0.0, 1.234e-13, 0.5, 12.34, 12345.0, None)] == [
        "0",
        "1.2e-13",
        "0.5",
        "12.3",
        "1.2e+04",
        "",
    ]


def quality(best: float) -> Findings:
    found = {
        ("rastrigin", "ga"): [Found(best / 2, 1.0), Found(best, 1.0), Found(best * 2, 1.0)],
        ("rastrigin", "PyGAD"): [Found(5.0, 1.0)] * 3,
        ("rastrigin", "pymoo GA"): [Found(0.002, 1.0)] * 3,
        ("rastrigin", "pymoo DE"): [Found(1e-6, 1.0)] * 3,
    }
    return findings(found, ["DEAP tutorial on Rastrigin-10D, seed 1: RuntimeError()"])


def page(part: Findings) -> str:
    run = Run("2026-01-02", "abc", "quick", 90.0, 5, 3, {"cores": "2"}, {"numpy": "2"}, ["Quiet."], {"quality": part})
    assert json.loads(json.dumps(run.as_json()))["parts"]["quality"]["judged"]
    return markdown(run)


def test_the_median_of_the_seeds_is_judged_and_shown_with_its_quartiles() -> None:
    lines = page(quality(1e-4)).splitlines()
    assert "| Rastrigin-10D, 20,000 evaluations | 1.0e-04 | 1.8e-03 | yes | 1.0e-05 | **no** |" in lines
    assert any(line.startswith("| ga | 1.0e-04 (7.5e-05 to 1.5e-04) |") for line in lines)


def test_the_best_of_the_genetic_peers_of_this_run_is_shown() -> None:
    [line] = [line for line in page(quality(1.0)).splitlines() if "best GA among the peers" in line]
    assert line.startswith("| **best GA among the peers** | 2.0e-03 |")


def test_what_was_not_measured_has_no_figure() -> None:
    lines = page(quality(1.0)).splitlines()
    missing = [line for line in lines if "no figure" in line]
    assert len(missing) == len(CASES) - 1
    assert all("unknown" in line for line in missing)


def test_failures_and_the_kind_of_run_are_told() -> None:
    text = page(quality(1.0))
    assert "- failed: DEAP tutorial on Rastrigin-10D, seed 1: RuntimeError()" in text
    assert "This is a quick run: do not quote its figures." in text
    assert "--seed 5" in text
