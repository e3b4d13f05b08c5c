"""CPython's own tests, which Debian packages apart from the interpreter (libpython3.x-testsuite)."""

import sys
from types import ModuleType

import pytest
import test

DEBIAN_TESTS = "/usr/lib/python{0.major}.{0.minor}/test"


def import_cpython_test(name: str) -> ModuleType:
    """The module `test.<name>`; skips the calling test where it is not installed."""
    debian = DEBIAN_TESTS.format(sys.version_info)
    if debian not in test.__path__:
        test.__path__.append(debian)  # another build of the same minor version can use Debian's copy
    return pytest.importorskip(f"test.{name}", reason=f"CPython's test.{name} is not installed")
