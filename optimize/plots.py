"""Pictures of a search: how it went, which parameters mattered, and what can be had of one objective for another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from manyhands.optimize.cube import Floats, Ints
from manyhands.optimize.evaluations import Status
from manyhands.optimize.front import nondominated
from manyhands.optimize.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Parts that a parameter's values are divided into.
_BINS = 16
#: More points than these do not make a picture clearer.
_DRAWN = 10_000
#: Parameters that are shown, the most important ones.
_SHOWN = 20
#: A best score that falls by more than this factor is shown on a log scale.
_WIDE = 1000


def plot(result: Any) -> Figure:
    """result: a History, or anything with one as its `history`. One objective: scores and the best so far, with failed
    evaluations marked; two or three: their Pareto front. Beside it the parameters' importance, see `importance`.

    Raises ImportError without matplotlib. The figure is pyplot's: show it with its `show`, or save and close it.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "manyhands[plots]"') from error
    history: History = result if isinstance(result, History) else result.history
    objectives = len(history.signs)
    figure = plt.figure(figsize=(12, 4.8), layout="constrained")
    if objectives == 1:
        _convergence(history, figure.add_subplot(1, 2, 1))
    elif objectives == 2:
        _front(history, figure.add_subplot(1, 2, 1))
    elif objectives == 3:
        _front(history, figure.add_subplot(1, 2, 1, projection="3d"))
    _importance(history, figure.add_subplot(1, 2, 2) if objectives <= 3 else figure.add_subplot())
    return figure


def importance(history: History, objective: int = 0) -> dict[str, float]:
    """From 0 to 1 by name: the share of the variance of the scores' ranks that goes with this parameter alone: the
    correlation ratio of up to 16 parts of its values, adjusted for their number (Kelley 1935: epsilon squared).

    Ranks, so that no outlier decides; infinite scores are the last ones. It does not see what only a combination of
    parameters does, and says what mattered where the search has looked. Evaluations that failed, and those that were
    not evaluated again, are left out; 0 for all if nothing is left that differs.
    """
    used = history.rows.status == Status.OK
    ranks = _ranks(history.rows.F[used, objective])
    n = len(ranks)
    total = float(((ranks - ranks.mean()) ** 2).sum()) if n else 0.0
    shares = {}
    for at, name in enumerate(history.space.names):
        shares[name] = 0.0
        if total > 0:
            parts = _parts(history.rows.U[used, at], history.space.cube.columns[at].levels)
            counts = np.bincount(parts)
            sums = np.bincount(parts, ranks - ranks.mean())
            k = int((counts > 0).sum())
            within = total - float((sums**2 / np.maximum(counts, 1)).sum())
            if n > k:
                shares[name] = min(1.0, max(0.0, 1 - within / (n - k) / (total / (n - 1))))
    return shares


def _ranks(scores: Floats) -> Floats:
    """(n,): from 0, the mean of them for equals."""
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean: Floats = np.cumsum(counts) - (counts + 1) / 2
    return mean[which]


def _parts(u: Floats, levels: int) -> Ints:
    """(n,): each level is a part if they are few; otherwise as many points are in each, as far as equals allow."""
    if 0 < levels <= _BINS:
        return np.unique(u, return_inverse=True)[1]
    edges = np.unique(np.quantile(u, np.arange(1, _BINS) / _BINS))
    return np.searchsorted(edges, u, side="right")


def _convergence(history: History, axes: Axes) -> None:
    sign = history.signs[0]
    at = np.arange(len(history))
    scores = np.where(history.is_failed, np.nan, history.rows.F[:, 0])
    counts = ~history.is_failed & (history.rows.V <= 0) & ~np.isnan(scores)
    best = np.minimum.accumulate(np.where(counts, scores * sign, np.inf)) * sign
    seen = np.isfinite(scores)
    drawn = _thinned(np.flatnonzero(seen))
    axes.scatter(at[drawn], scores[drawn], s=4, color="0.7", label="score", rasterized=True)
    known = np.flatnonzero(np.isfinite(best))
    if len(known):
        turns = known[np.append(True, best[known][1:] != best[known][:-1])]
        turns = np.append(turns, known[-1])
        axes.plot(at[turns], best[turns], drawstyle="steps-post", color="C0", label="best so far")
        _scale(axes, best[turns], scores[seen], sign)
    failed = _thinned(np.flatnonzero(history.is_failed))
    if len(failed):
        label = f"failed ({int(history.is_failed.sum())})"
        low = np.full(len(failed), 0.02)
        axes.plot(failed, low, "x", color="C3", markersize=4, transform=axes.get_xaxis_transform(), label=label)
    axes.set_xlabel("evaluations")
    axes.set_ylabel("score" if sign > 0 else "score (maximised)")
    axes.legend(loc="best")


def _scale(axes: Axes, best: Floats, scores: Floats, sign: float) -> None:
    """So that the best ones are not pressed flat by a few that are very bad."""
    if best.min() > 0 and best.max() > _WIDE * best.min():
        axes.set_yscale("log")
        return
    ends = [best.min(), best.max(), float(np.quantile(scores * sign, 0.9)) * sign]
    margin = 0.1 * (max(ends) - min(ends)) or 1.0
    axes.set_ylim(min(ends) - margin, max(ends) + margin)


def _front(history: History, axes: Axes) -> None:
    F = history.rows.F
    ok = ~history.is_failed & np.isfinite(F).all(axis=1)
    front = np.flatnonzero(nondominated(np.where(ok[:, np.newaxis], F * history.signs, np.inf), history.rows.V, ok))
    others = _thinned(np.flatnonzero(ok))
    scatter: Any = axes.scatter  # which has one more dimension where the axes do
    scatter(*F[others].T, s=4, color="0.7", label="evaluated")
    front = front[np.argsort(F[front, 0], kind="stable")]
    scatter(*F[front].T, s=12, color="C0", label=f"Pareto front ({len(front)})")
    for number, sign in enumerate(history.signs):
        label = f"score {number}" if sign > 0 else f"score {number} (maximised)"
        getattr(axes, f"set_{'xyz'[number]}label")(label)
    axes.legend(loc="best")


def _importance(history: History, axes: Axes) -> None:
    objectives = range(len(history.signs))
    shares = np.array([list(importance(history, number).values()) for number in objectives])
    shown = np.argsort(-shares.max(axis=0), kind="stable")[:_SHOWN][::-1]
    height = 0.8 / len(shares)
    for number in objectives:
        place = np.arange(len(shown)) + (len(shares) - 1 - 2 * number) * height / 2
        label = f"score {number}" if len(shares) > 1 else None
        axes.barh(place, shares[number, shown], height=height, color=f"C{number}", label=label)
    axes.set_yticks(np.arange(len(shown)), [history.space.names[at] for at in shown])
    axes.set_xlim(0, 1)
    axes.set_xlabel("importance: share of the scores' rank variance")
    if len(shares) > 1:
        axes.legend(loc="best")


def _thinned(at: Ints) -> Ints:
    return at[:: max(1, -(-len(at) // _DRAWN))]
