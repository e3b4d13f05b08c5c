"""Owns the picture of a run: a panel for each measure that peers share, a bar for each system, log scale."""

from pathlib import Path

from benchmarks.report import ROWS, Run, quantity
from benchmarks.systems import OURS, PEERS, TITLES

PANELS = ("map", "submit", "round-trip", "shortest-task")


def plot(run: Run, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams.update({"svg.hashsalt": "manyhands", "svg.fonttype": "none"})
    from matplotlib import pyplot as plt

    figures = run.figures()
    systems = [name for name in (*OURS, *PEERS) if any((name, key) in figures for key in PANELS)]
    figure, axes = plt.subplots(2, 2, figsize=(11, 6.5), layout="constrained")
    for axis, key in zip(axes.flat, PANELS, strict=True):
        shown = [name for name in reversed(systems) if (name, key) in figures]
        readings = [figures[name, key] for name in shown]
        colours = ["tab:orange" if name in OURS else "tab:gray" for name in shown]
        bars = axis.barh([TITLES[name] for name in shown], [r.value for r in readings], color=colours)
        axis.bar_label(bars, [quantity(r.value, r.unit) for r in readings], padding=3, fontsize=8)
        better = readings[0].better if readings else "higher"
        axis.set_title(f"{ROWS[key].replace('`', '')} ({better} is better)", fontsize=9)
        if readings:
            axis.set_xscale("log")
            axis.set_xlim(min(r.value for r in readings) / 3, max(r.value for r in readings) * 8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
