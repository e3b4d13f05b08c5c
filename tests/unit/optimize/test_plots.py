"""Plots: what is in them, and what the importance of a parameter says."""

import io
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from manyhands.optimize.cube import Floats
from manyhands.optimize.evaluations import Rows, Status
from manyhands.optimize.history import History
from manyhands.optimize.plots import importance, plot
from manyhands.optimize.space import Categorical, Float, Int, Space

SPACE = Space(x=Float(-1, 1), n=Int(1, 40, log=True), c=Categorical(["a", "b", "c"]), idle=Float(0, 1))


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def points(n: int = 2000) -> Floats:
    return SPACE.cube.snap(np.random.default_rng(4).random((n, 4)))


def history(U: Floats, F: Floats, failed: int = 0, signs: tuple[float, ...] = (1.0,)) -> History:
    n = len(U)
    status = np.zeros(n, dtype=np.uint8)
    status[n // 2 : n // 2 + failed] = Status.FAILED
    scores = np.where(status[:, np.newaxis] == 0, F.reshape(n, len(signs)), np.nan)
    V = np.where(status == 0, 0.0, np.inf)
    return History(SPACE, Rows(np.arange(n), U, scores, V, status, np.ones(n)), signs)


def drawn(figure: plt.Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def test_importance_is_a_share_of_the_variance() -> None:
    U = points()
    only_x = importance(history(U, (U[:, 0] - 0.5) ** 2))
    assert only_x["x"] > 0.95
    assert max(only_x[name] for name in ("n", "c", "idle")) < 0.03
    both = importance(history(U, 3 * U[:, 0] + 3 * U[:, 2], failed=100))
    assert 0.35 < both["x"] < 0.65
    assert 0.35 < both["c"] < 0.65
    assert sum(both.values()) == pytest.approx(1, abs=0.08)
    assert importance(history(U, np.exp(30 * U[:, 1])))["n"] > 0.95


def test_importance_of_nothing_is_none() -> None:
    nothing = dict.fromkeys(SPACE.names, 0.0)
    assert importance(history(points(0), np.zeros(0))) == nothing
    assert importance(history(points(1), np.ones(1))) == nothing
    assert importance(history(points(100), np.ones(100))) == nothing
    assert importance(history(points(100), np.ones(100), failed=50)) == nothing
    assert importance(history(points(3), np.arange(3.0)))["x"] == 0
    everything_failed = history(points(10), np.zeros(10), failed=5)
    everything_failed.rows.status[:] = Status.CRASHED
    assert importance(everything_failed) == nothing
    noise = importance(history(points(), np.random.default_rng(9).normal(size=2000)))
    assert max(noise.values()) < 0.03


def test_an_infinite_score_is_just_the_worst() -> None:
    U = points()
    F = U[:, 0].copy()
    F[F > 0.9] = np.inf
    assert importance(history(U, F))["x"] > 0.95


def test_convergence_shows_the_best_so_far_and_what_failed() -> None:
    F = np.array([5.0, 7, 3, 4, np.inf, 9, 1, 2])
    figure = plot(SimpleNamespace(history=history(points(8), F, failed=1)))
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    best = np.asarray(lines["best so far"].get_xydata())
    assert best.tolist() == [[0, 5], [2, 3], [6, 1], [7, 1]]
    assert lines["failed (1)"].get_xdata().tolist() == [4]  # type: ignore[union-attr]
    assert len(axes.collections[0].get_offsets()) == 7  # type: ignore[arg-type]
    assert axes.get_xlabel() == "evaluations"
    assert drawn(figure).startswith(b"\x89PNG")


def test_what_is_maximised_goes_up() -> None:
    figure = plot(history(points(4), np.array([1.0, 3, 2, 4]), signs=(-1.0,)))
    assert np.asarray(figure.axes[0].lines[0].get_xydata())[:, 1].tolist() == [1, 3, 4, 4]
    assert figure.axes[0].get_ylabel() == "score (maximised)"


def test_a_wide_range_of_scores_is_on_a_log_scale() -> None:
    assert plot(history(points(9), 10.0 ** -np.arange(9))).axes[0].get_yscale() == "log"
    assert plot(history(points(9), 9.0 - np.arange(9))).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("n", [0, 3])
def test_a_history_without_a_score_can_be_drawn(n: int) -> None:
    everything_failed = history(points(n), np.zeros(n))
    everything_failed.rows.status[:] = Status.CRASHED
    everything_failed.rows.F[:] = np.nan
    assert drawn(plot(everything_failed))


def test_two_objectives_show_their_front() -> None:
    F = np.array([[1.0, 1], [2, 3], [3, 2], [0, 0], [2, 2], [5, -1]])
    figure = plot(history(points(6), F, signs=(-1.0, -1.0)))
    evaluated, front = figure.axes[0].collections
    assert len(evaluated.get_offsets()) == 6  # type: ignore[arg-type]
    assert np.asarray(front.get_offsets()).tolist() == [[2, 3], [3, 2], [5, -1]]
    assert front.get_label() == "Pareto front (3)"
    assert len(figure.axes[1].patches) == 2 * 4
    assert drawn(figure)


@pytest.mark.parametrize("m", [3, 4])
def test_more_objectives_can_be_drawn(m: int) -> None:
    U = points(50)
    figure = plot(history(U, np.random.default_rng(3).random((50, m)), failed=5, signs=(1.0,) * m))
    assert len(figure.axes) == (2 if m == 3 else 1)
    assert drawn(figure)


def test_bars_are_ordered_by_importance() -> None:
    U = points()
    axes = plot(history(U, U[:, 2] + 0.1 * U[:, 0])).axes[1]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[-2:] == ["x", "c"]
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    assert widths == sorted(widths)


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "manyhands\[plots\]"'):
        plot(history(points(5), np.zeros(5)))
