"""Search and evolution: spaces, optimizers to be asked and told, and `minimize` in this process. Needs no cluster."""

from manyhands.optimize.evaluations import Batch, Status
from manyhands.optimize.history import History
from manyhands.optimize.minimize import minimize
from manyhands.optimize.optimizer import Optimizer
from manyhands.optimize.plan import Mode
from manyhands.optimize.progress import Progress
from manyhands.optimize.result import FrontPoint, OptimizeResult, Stats
from manyhands.optimize.space import Categorical, Float, Int, Space

__all__ = [
    "Batch",
    "Categorical",
    "Float",
    "FrontPoint",
    "History",
    "Int",
    "Mode",
    "OptimizeResult",
    "Optimizer",
    "Progress",
    "Space",
    "Stats",
    "Status",
    "minimize",
]
