"""Scoring with a model: each slot loads it once from its file, and then scores many batches with it.

The model is a small neural network, made up here so that there is a file to load. In earnest it lies where every worker
finds it, and may be of any size: it does not travel, and is in memory once a slot, not once a task.
"""

import argparse
import functools
import tempfile
from pathlib import Path

import numpy as np

from manyhands import Client


def make_model(path):
    generator = np.random.default_rng(seed=7)
    np.savez(path, hidden=generator.normal(size=(64, 32)), output=generator.normal(size=32))


def load_model(path):
    """The set-up: its time is not the first task's, and if it raises, that task tells."""
    with np.load(path) as arrays:
        return dict(arrays)


def score(batch, context):
    """The mean score of a batch of inputs; `context` is what `load_model` returned in this slot."""
    inputs = np.random.default_rng(seed=batch).normal(size=(1000, 64))
    hidden = np.maximum(inputs @ context["hidden"], 0.0)
    return float(np.mean(1 / (1 + np.exp(-hidden @ context["output"]))))


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", nargs="?", type=Path, help="an .npz file; default: one made for the occasion")
parser.add_argument("--batches", type=int, default=200)
arguments = parser.parse_args()

with tempfile.TemporaryDirectory() as folder, Client() as client:
    model = arguments.model or Path(folder, "model.npz")
    if arguments.model is None:
        make_model(model)
    scoring = client.with_options(context=functools.partial(load_model, model.absolute()))
    scores = list(scoring.map(score, range(arguments.batches), progress=True))

print(f"{len(scores)} batches scored; mean {np.mean(scores):.4f}, best {max(scores):.4f} (batch {np.argmax(scores)})")
