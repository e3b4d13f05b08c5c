"""Owns the picture of the scale benchmark: three panels over the number of workers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PANELS = (
    ("scheduler_us_per_task", "scheduler CPU per task, us", 20, "reach"),
    ("messages_per_second", "messages a second through the master", 8_000, "reach at 1 000"),
    ("efficiency", "of ideal list scheduling", None, ""),
)


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams.update({"svg.hashsalt": "manyhands", "svg.fonttype": "none"})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    workers = [row["workers"] for row in rows]
    for axis, (key, title, bound, name) in zip(axes, PANELS, strict=True):
        axis.plot(workers, [row[key] for row in rows], "o-", color="tab:orange")
        if bound is not None:
            axis.axhline(bound, color="tab:gray", linestyle="--", linewidth=1)
            axis.annotate(name, (workers[0], bound), fontsize=8, va="bottom", color="tab:gray")
            axis.set_ylim(0, None)
        else:
            axis.set_ylim(min(0.9, *(row[key] for row in rows)), 1.0)
        axis.set_xscale("log")
        axis.set_xlabel("workers of 16 slots", fontsize=9)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
