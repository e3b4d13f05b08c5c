"""What was lost with its host is computed again from its recipe, after what that takes; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from manyhands.master.data import Datum
from manyhands.master.recipes import Recipe


@dataclass(slots=True)
class _Computation:
    """`inputs` are held until it has ended, also those that nobody else needs any more."""

    recipe: Recipe
    #: What became of the datum.
    why: str
    inputs: tuple[Datum, ...]
    waits_for: set[bytes]
    #: The job that it runs as, once it does.
    job: int | None = None


class Recomputing:
    """All that is being computed again. Nothing here is recursive: chains of results may be long.

    get: the datum of a name, if anybody holds it; revive: that of a recipe, held or not; start: run a recipe's task on
    its inputs, as the job whose number it returns; stop: end that job; lose: a datum is gone for good.
    """

    def __init__(
        self,
        get: Callable[[bytes], Datum | None],
        revive: Callable[[Recipe], Datum],
        start: Callable[[Recipe, tuple[Datum, ...]], int],
        stop: Callable[[int], None],
        lose: Callable[[Datum, str], None],
    ) -> None:
        self._get = get
        self._revive = revive
        self._start = start
        self._stop = stop
        self._lose = lose
        #: By the datum's id; and those that wait for a datum, by its id.
        self._all: dict[bytes, _Computation] = {}
        self._waiting: dict[bytes, set[bytes]] = {}
        #: (id, why it is lost if it is): what has changed and was not looked at yet.
        self._changed: deque[tuple[bytes, str]] = deque()
        self._is_looking = False
        #: Ended, and still to be let go of.
        self._ended: list[_Computation] = []

    def begin(self, datum: Datum, why: str) -> bool:
        """Nobody has the datum any more. Whether it will be computed again."""
        if datum.recipe is None:
            return False
        todo = [(datum.recipe, why)]
        while todo:
            recipe, why = todo.pop()
            if recipe.id in self._all:
                continue
            inputs = tuple([self._revive(each) if isinstance(each, Recipe) else each for each in recipe.inputs])
            missing = {each.id: each for each in inputs if not each.is_available}
            self._all[recipe.id] = _Computation(recipe, why, inputs, set(missing))
            for id, each in missing.items():
                self._waiting.setdefault(id, set()).add(recipe.id)
                if each.lost:
                    self._changed.append((id, ""))
                elif each.recipe is not None:
                    todo.append((each.recipe, "nobody has kept it"))
            if not missing:
                self._changed.append((recipe.id, ""))
        self._look()
        return True

    def changed(self, id: bytes) -> None:
        """A datum can be had, or is lost for good."""
        if id in self._all or id in self._waiting:
            self._changed.append((id, ""))
            self._look()

    def computed(self, job: int, id: bytes) -> None:
        """The job's task has written it."""
        computation = self._all.get(id)
        if computation is not None and computation.job == job:
            computation.job = None  # it has ended by itself
            self._end(computation)

    def failed(self, job: int, id: bytes, cause: str) -> None:
        """It has come to nothing."""
        computation = self._all.get(id)
        if computation is not None and computation.job == job:
            computation.job = None
            self._fail(computation, f"the task that computes {id.hex()} {cause}")
            self._look()

    def gone(self, id: bytes) -> None:
        """Nobody needs it any more. Inputs that only it needed go with it, which is heard of here, too."""
        computation = self._all.get(id)
        if computation is not None:
            self._end(computation)

    # ------------------------------------------------------------ deciding

    def _look(self) -> None:
        if self._is_looking:
            return
        self._is_looking = True
        while self._changed:
            id, cause = self._changed.popleft()
            datum = self._get(id)
            if datum is None:
                continue  # it has gone meanwhile
            if id in self._all:
                self._look_at(datum, self._all[id])
            if datum.is_available or datum.lost:
                cause = cause or f"the datum {id.hex()}, which that takes, is lost: {datum.lost}"
                for each in sorted(self._waiting.pop(id, ())):
                    if each in self._all:  # nobody needs it any more if it went with one before it
                        self._answered(self._all[each], datum, cause)
        self._is_looking = False

    def _look_at(self, datum: Datum, computation: _Computation) -> None:
        if datum.is_available:  # its host is back
            self._end(computation)
        elif computation.job is None and not computation.waits_for:
            computation.job = self._start(computation.recipe, computation.inputs)

    def _answered(self, computation: _Computation, datum: Datum, cause: str) -> None:
        computation.waits_for.discard(datum.id)
        if not datum.is_available:
            self._fail(computation, cause)
        elif not computation.waits_for:
            self._changed.append((computation.recipe.id, ""))

    def _fail(self, computation: _Computation, cause: str) -> None:
        id = computation.recipe.id
        self._end(computation)
        datum = self._get(id)
        if datum is not None:
            self._changed.append((id, cause))  # before whoever hears of it asks in its turn
            self._lose(datum, f"{computation.why}; and it cannot be computed again: {cause}")

    def _end(self, computation: _Computation) -> None:
        id = computation.recipe.id
        del self._all[id]
        for other in computation.waits_for:
            waiting = self._waiting.get(other, set())
            waiting.discard(id)
            if not waiting:
                self._waiting.pop(other, None)
        if computation.job is not None:
            self._stop(computation.job)
        self._ended.append(computation)
        if len(self._ended) == 1:  # or it is an input of one that is being let go of
            while self._ended:
                self._ended[0].inputs = ()
                self._ended.pop(0)

    def check_invariants(self) -> None:
        """Assert that indices agree, and that nobody waits for what is there. For tests."""
        assert not self._changed
        assert not self._ended
        for id, computation in self._all.items():
            assert computation.recipe.id == id
            datum = self._get(id)
            assert datum is not None
            assert not datum.is_available
            assert not datum.lost
            assert (computation.job is None) == bool(computation.waits_for)
            assert {each.id for each in computation.inputs} >= computation.waits_for
            assert all(id in self._waiting[other] for other in computation.waits_for)
        for id, waiting in self._waiting.items():
            assert waiting
            assert all(id in self._all[each].waits_for for each in waiting)
