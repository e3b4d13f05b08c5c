"""What a code object does: its instructions, without line numbers, file names, docstrings and names of functions."""

from __future__ import annotations

import dis
from types import CodeType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

_CONSTANTS = frozenset(dis.hasconst)
_NAMES = frozenset((*dis.hasname, *dis.haslocal, *dis.hasfree, *dis.hasjrel, *dis.hasjabs))
_GLOBAL_READS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS"))
_ATTRIBUTE_READS = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
#: Set by Python 3.13 where there is a docstring.
_HAS_DOCSTRING = 0x4000000


class CodeContent(NamedTuple):
    """The same for two codes that do the same in the same way. Nested functions are among the constants."""

    text: str
    constants: tuple[Any, ...]  # in the order in which they are used
    reads: tuple[tuple[str, tuple[str, ...]], ...]  # a.b.c, where a may be a global, as ("a", ("b", "c"))
    imports: tuple[tuple[str, int], ...]  # (module, level) of import statements


_known: WeakKeyDictionary[CodeType, CodeContent] = WeakKeyDictionary()


def code_content(code: CodeType) -> CodeContent:
    """Remembered as long as the code lives."""
    content = _known.get(code)
    if content is None:
        content = _known[code] = _read(code)
    return content


def _read(code: CodeType) -> CodeContent:
    lines = [
        repr((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_HAS_DOCSTRING)),
        repr((code.co_varnames, code.co_cellvars, code.co_freevars, code.co_exceptiontable)),
    ]
    constants: list[Any] = []
    reads: dict[tuple[str, tuple[str, ...]], None] = {}  # a dict keeps their order
    imports: dict[tuple[str, int], None] = {}
    instructions = list(dis.get_instructions(code))
    for index, instruction in enumerate(instructions):
        name = instruction.opname
        if instruction.opcode in _CONSTANTS:
            constants.append(instruction.argval)
            lines.append(name)
            continue
        lines.append(f"{name} {instruction.argval if instruction.opcode in _NAMES else instruction.arg}")
        if name in _GLOBAL_READS:
            attributes = []
            for following in instructions[index + 1 :]:
                if following.opname not in _ATTRIBUTE_READS:
                    break
                attributes.append(following.argval)
            reads[instruction.argval, tuple(attributes)] = None
        elif name == "IMPORT_NAME":
            imports[instruction.argval, _level(instructions, index)] = None
    return CodeContent("\n".join(lines), tuple(constants), tuple(reads), tuple(imports))


def _level(instructions: list[dis.Instruction], index: int) -> int:
    """Of the import statement whose IMPORT_NAME stands at `index`: two instructions earlier, its level is loaded."""
    level = instructions[index - 2].argval
    return level if isinstance(level, int) else 0
