"""What a function's code does to names outside it, read from its bytecode."""

from __future__ import annotations

import dis
from types import CodeType
from typing import NamedTuple
from weakref import WeakKeyDictionary

from manyhands.wire.cloudpickle_parts import global_names


class CodeFacts(NamedTuple):
    """Functions nested in the code are included."""

    names: tuple[str, ...]  # globals read or assigned
    stores: frozenset[str]  # globals assigned
    stores_attributes: bool  # an attribute of anything is assigned
    chains: tuple[tuple[str, tuple[str, ...]], ...]  # a.b.c, where a is a global, as ("a", ("b", "c"))


_known: WeakKeyDictionary[CodeType, CodeFacts] = WeakKeyDictionary()


def code_facts(code: CodeType) -> CodeFacts:
    """Remembered as long as the code lives."""
    facts = _known.get(code)
    if facts is None:
        facts = _known[code] = _read(code)
    return facts


def _read(code: CodeType) -> CodeFacts:
    stores: set[str] = set()
    chains: dict[tuple[str, tuple[str, ...]], None] = {}  # a dict keeps their order
    stores_attributes = False
    instructions = list(dis.get_instructions(code))
    for index, instruction in enumerate(instructions):
        match instruction.opname:
            case "STORE_GLOBAL" | "DELETE_GLOBAL":
                stores.add(instruction.argval)
            case "STORE_ATTR" | "DELETE_ATTR":
                stores_attributes = True
            case "LOAD_GLOBAL":
                attributes = []
                for following in instructions[index + 1 :]:
                    if following.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
                        break
                    attributes.append(following.argval)
                chains[instruction.argval, tuple(attributes)] = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = code_facts(constant)
            stores |= inner.stores
            stores_attributes |= inner.stores_attributes
            chains.update(dict.fromkeys(inner.chains))
    return CodeFacts(tuple(global_names(code)), frozenset(stores), stores_attributes, tuple(chains))
