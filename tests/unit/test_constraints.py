"""Every package that the gate installs is pinned, those that others bring along included."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> Iterator[str]:
    """The packages that `name` needs here, itself included."""
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    yield canonicalize_name(name)
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield from needed(requirement.name, frozenset(requirement.extras), seen)


def test_what_is_installed_is_pinned() -> None:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r"([\w.-]+)==([\w.!+-]+)", line) for line in lines]
    pins = {canonicalize_name(pin[1]): pin[2] for pin in found if pin is not None}
    assert len(pins) == len(lines), "a line is no pin"
    names = set(needed("manyhands", frozenset({"dev"}), set())) - {"manyhands"}
    assert {"grpcio", "pytest", "typing-extensions"} <= names
    assert {name: metadata.version(name) for name in names} == {name: pins.get(name) for name in names}
