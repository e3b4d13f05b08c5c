"""Tune a model: finds the settings with the least error in cross-validation, on data with noise.

By default the model is kernel ridge regression, written here in a few lines of numpy. With `--model forest` it is
scikit-learn's random forest, for which scikit-learn has to be installed here and on the workers; any other estimator
is tuned in the same way: a space for its settings, and a function that returns its score.
"""

import argparse
import importlib.util
import sys

import numpy as np

from manyhands import Client
from manyhands.optimize import Categorical, Float, Int, Space

FOLDS, NOISE = 4, 0.2

generator = np.random.default_rng(seed=7)
points = generator.uniform(-3, 3, size=(240, 3))  # the third column says nothing
values = np.sin(2 * points[:, 0]) + np.abs(points[:, 1]) + generator.normal(0, NOISE, size=len(points))


class KernelRidge:
    """As scikit-learn has it: `fit` and `predict`."""

    def __init__(self, kernel, width, penalty, scales):
        self.kernel, self.width, self.penalty, self.scales = kernel, width, penalty, np.array(scales)

    def gram(self, rows, columns):
        rows, columns = rows * self.scales / self.width, columns * self.scales / self.width
        squares = np.maximum((rows**2).sum(1)[:, None] + (columns**2).sum(1) - 2 * rows @ columns.T, 0.0)
        return np.exp(-squares) if self.kernel == "gauss" else np.exp(-np.sqrt(squares))

    def fit(self, points, values):
        self.points, self.mean = points, values.mean()
        regular = self.gram(points, points) + self.penalty * np.eye(len(points))
        self.weights = np.linalg.solve(regular, values - self.mean)
        return self

    def predict(self, points):
        return self.gram(points, self.points) @ self.weights + self.mean


def make_ridge(params):
    scales = [1.0, params["second"], params["third"]]
    return KernelRidge(params["kernel"], params["width"], params["penalty"], scales)


def make_forest(params):
    from sklearn.ensemble import RandomForestRegressor  # in the worker

    return RandomForestRegressor(random_state=0, n_jobs=1, **params)


def error(params):
    """The root of the mean square, of predictions for those that the model has not seen."""
    fold = np.arange(len(points)) % FOLDS
    predicted = np.empty(len(points))
    for number in range(FOLDS):
        model = make(params).fit(points[fold != number], values[fold != number])
        predicted[fold == number] = model.predict(points[fold == number])
    return float(np.sqrt(np.mean((predicted - values) ** 2)))


MODELS = {
    "ridge": (
        make_ridge,
        600,
        Space(
            kernel=Categorical(["gauss", "exponential"]),
            width=Float(0.1, 10, log=True),
            penalty=Float(1e-4, 10, log=True),
            second=Float(0, 2),
            third=Float(0, 2),
        ),
    ),
    "forest": (
        make_forest,
        40,
        Space(
            n_estimators=Int(5, 40, log=True),
            max_depth=Int(2, 12),
            max_features=Float(0.3, 1.0),
            min_samples_leaf=Int(1, 10),
        ),
    ),
}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--model", default="ridge", choices=MODELS)
parser.add_argument("--budget", type=int, help="evaluations")
parser.add_argument("--plot", metavar="FILE", help="draw how it went, and which settings matter; needs matplotlib")
arguments = parser.parse_args()
for package, is_needed in (("sklearn", arguments.model == "forest"), ("matplotlib", arguments.plot)):
    if is_needed and importlib.util.find_spec(package) is None:
        sys.exit(f"tune_model: needs {package.replace('sklearn', 'scikit-learn')}, which is not installed")

make, budget, space = MODELS[arguments.model]
with Client() as client:
    result = client.optimize(error, space, budget=arguments.budget or budget, seed=7, progress=True)

first = result.history.scores[0]
print(
    f"{result.stats.total_evaluations} models: error {result.best_score:.4f}; the first one had {first:.4f}, noise 0.2"
)
for name, value in result.best_params.items():
    print(f"  {name:<16} {value if isinstance(value, str) else format(value, '.4g')}")
if arguments.plot:
    result.plot().savefig(arguments.plot)
