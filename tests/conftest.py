"""Settings all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long one example takes depends on the machine; the 60 s of each test bound it instead.
settings.register_profile("manyhands", deadline=None, print_blob=True)
settings.load_profile("manyhands")

# Tests start hundreds of interpreters: if none may write bytecode, each compiles the project anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True, scope="session")
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is kept by default, journals and checkpoints, is kept where it is in nobody's way; for daemons, too."""
    before = os.environ.get("XDG_DATA_HOME")
    home = tmp_path_factory.mktemp("data-home")
    os.environ["XDG_DATA_HOME"] = str(home)
    yield home
    if before is None:
        del os.environ["XDG_DATA_HOME"]
    else:
        os.environ["XDG_DATA_HOME"] = before
