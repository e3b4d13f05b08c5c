"""What became of all evaluations, as a table: in the order in which they counted."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import Floats, Ints
from manyhands.optimize.evaluations import Rows, Status, failed
from manyhands.optimize.space import Space

#: Rows that are hashed at a time, so that a mapped history is not loaded whole.
_HASHED = 2**16

_STATUS_NAMES = np.array([status.name.lower().replace("_", " ") for status in Status])


class History:
    """All arrays are of the same length, `len(history)`, and not to be written to: they may be mapped from a file."""

    def __init__(self, space: Space, rows: Rows, signs: tuple[float, ...] = (1.0,)) -> None:
        """signs: 1.0 for each objective that was minimised, -1.0 for one that was maximised. Raises ValueError for rows
        of another number of parameters or objectives.
        """
        if rows.U.shape[1] != space.cube.d or rows.F.shape[1] != len(signs):
            found = f"{rows.U.shape[1]} parameters and {rows.F.shape[1]} objectives"
            raise ValueError(f"a history of {space.cube.d} parameters and {len(signs)} objectives, not of {found}")
        self.space = space
        self.rows = rows
        self.signs = signs

    def __len__(self) -> int:
        return len(self.rows.ids)

    @property
    def ids(self) -> Ints:
        """(n,): when each was proposed, from 0 on."""
        return self.rows.ids

    @cached_property
    def params(self) -> dict[str, NDArray[Any]]:
        """(n,) values by name, see Space.decode."""
        return self.space.decode(self.rows.U)

    @property
    def scores(self) -> Floats:
        """(n,), or (n, m) of m > 1 objectives: as the objective returned them; nan where it failed."""
        return self.rows.F[:, 0] if len(self.signs) == 1 else self.rows.F

    @cached_property
    def status(self) -> NDArray[np.str_]:
        """(n,): "ok", "failed", "timed out", "crashed", or "cached" for a point that had been evaluated before."""
        names: NDArray[np.str_] = _STATUS_NAMES[self.rows.status]
        return names

    @property
    def is_failed(self) -> NDArray[np.bool_]:
        """(n,)."""
        return failed(self.rows.status)

    @property
    def cost(self) -> Floats:
        """(n,): seconds that each took; 0 for a cached one."""
        return self.rows.cost

    @property
    def violations(self) -> Floats:
        """(n,): by how much the constraints are violated in all; 0 where they hold."""
        return self.rows.V

    def to_pandas(self) -> Any:
        """A DataFrame, one evaluation a row: id, each parameter by its name, score (or score_0, score_1, ...), status,
        cost, violation. A parameter of one of these names is param_ and its name. Raises ImportError without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("a table needs pandas: pip install pandas") from error
        scores = {"score": self.scores}
        if len(self.signs) > 1:
            scores = {f"score_{number}": column for number, column in enumerate(self.rows.F.T)}
        ends = {**scores, "status": self.status, "cost": self.cost, "violation": self.violations}
        taken = {"id", *ends}
        params = {}
        for name, column in self.params.items():
            # Objects stay what they are: among strings, pandas would make None a nan.
            kept = pd.Series(column, dtype=object) if column.dtype == object else column
            params[f"param_{name}" if name in taken else name] = kept
        return pd.DataFrame({"id": self.ids, **params, **ends}, copy=True)

    def digest(self) -> str:
        """A hash of ids, points, scores and status: the same for two runs only if they were identical."""
        whole = hashlib.blake2b(digest_size=16)
        for name, kind in (("ids", "<i8"), ("U", "<f8"), ("F", "<f8"), ("status", "|u1")):
            column = getattr(self.rows, name)
            part = hashlib.blake2b(repr((name, column.shape)).encode())
            for first in range(0, len(column), _HASHED):
                piece = np.array(column[first : first + _HASHED], dtype=kind)
                if name == "F":
                    piece[np.isnan(piece)] = np.nan  # there are several
                part.update(piece.tobytes())
            whole.update(part.digest())
        return whole.hexdigest()

    def __repr__(self) -> str:
        return f"History({len(self)} evaluations, {int(self.is_failed.sum())} failed, of {self.space})"
