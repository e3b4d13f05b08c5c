"""Settings all tests share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long one example takes depends on the machine; the 60 s of each test bound it instead.
settings.register_profile("manyhands", deadline=None, print_blob=True)
settings.load_profile("manyhands")

# Tests start hundreds of interpreters: if none may write bytecode, each compiles the project anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True, scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept by default, journals, checkpoints and tokens, is where it is in nobody's way; for daemons, too."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        yield
