"""Owns how a list of names is given on a command line."""

import argparse
from collections.abc import Sequence


class Names:
    """Splits a comma-separated list and refuses unknown names."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(self._known):
            message = f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(self._known)}"
            raise argparse.ArgumentTypeError(message)
        return names
