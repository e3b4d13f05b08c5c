"""Runs one mutant's check against the mutated code, in a process of its own: `python -m tests.simulation.mutated NAME`.

Ends with FOUND if the check found the fault, which it then names; with 0 if it did not; with INAPPLICABLE if the code
has changed so that the mutant's place is no longer there. Anything else is a fault of this program.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from tests.simulation.mutants import MUTANTS, Mutant

FOUND, NOT_FOUND, INAPPLICABLE = 10, 0, 11


class MutatedLoader(importlib.machinery.SourceFileLoader):
    """Compiles the module from changed text, without a look at its cache."""

    def __init__(self, mutant: Mutant, path: str) -> None:
        super().__init__(mutant.module, path)
        self._source = mutated_source(mutant, path)

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class MutatedFinder(importlib.abc.MetaPathFinder):
    """Finds the one module, before anybody else does."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        loader = MutatedLoader(self._mutant, spec.origin)
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=loader)


def mutated_source(mutant: Mutant, path: str) -> str:
    """Raises LookupError if the mutant does not apply."""
    source = Path(path).read_text()
    count = source.count(mutant.old)
    if count != 1:
        raise LookupError(f"the mutant's text occurs {count} times in {mutant.module}: {mutant.old!r}")
    return source.replace(mutant.old, mutant.new)


def main(name: str, check: str = "") -> int:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    sys.meta_path.insert(0, MutatedFinder(mutant))
    try:
        importlib.import_module(mutant.module)
    except LookupError as error:
        print(error)
        return INAPPLICABLE
    from tests.simulation import checks

    try:
        checks.run(check or mutant.check)
    except Exception as error:
        print(str(error).partition("\n")[0] or repr(error))
        return FOUND
    return NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
