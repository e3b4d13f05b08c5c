"""Search and evolution: spaces, optimizers to be asked and told, and `minimize` in this process. Needs no cluster."""

from manyhands.optimize.adapters import AskTell, Evaluation, Generations, OptunaStudy, run_ask_tell
from manyhands.optimize.evaluations import Batch, Status
from manyhands.optimize.history import History
from manyhands.optimize.minimize import minimize
from manyhands.optimize.optimizer import Optimizer
from manyhands.optimize.plan import Mode
from manyhands.optimize.progress import Progress
from manyhands.optimize.result import FrontPoint, OptimizeResult, Stats
from manyhands.optimize.space import Categorical, Float, Int, Space

__all__ = [
    "AskTell",
    "Batch",
    "Categorical",
    "Evaluation",
    "Float",
    "FrontPoint",
    "Generations",
    "History",
    "Int",
    "Mode",
    "OptimizeResult",
    "Optimizer",
    "OptunaStudy",
    "Progress",
    "Space",
    "Stats",
    "Status",
    "minimize",
    "run_ask_tell",
]
