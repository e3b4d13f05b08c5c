"""CPython's own executor tests, run on our Client: it is a `concurrent.futures.Executor` in all that they ask.

Most of the time is their own sleeping. Each test makes a new executor: in the tests of shutdown with a cluster of its
own, in all others as a client of one that is started once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import cloudpickle
import pytest
from tests.support.cpython import import_cpython_test
from tests.support.daemons import Daemon

from manyhands import Client
from manyhands.client.loop import background

# Inherits the mixins' own waits, of up to 6 s.
pytestmark = pytest.mark.timeout(120)


def _module(name: str) -> ModuleType:
    """Where a mixin lives: a package since Python 3.12, one module before."""
    if sys.version_info >= (3, 12):
        return import_cpython_test(f"test_concurrent_futures.{name}")
    return import_cpython_test("test_concurrent_futures")


class _ClientMixin(_module("util").ExecutorMixin):  # type: ignore[misc]  # not a known class
    executor_type = Client

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        for module in {sys.modules[base.__module__] for base in cls.__mro__ if base.__module__.startswith("test.")}:
            cloudpickle.register_pickle_by_value(module)  # the slots' interpreter may have no such module
        # The process's two threads are there for good; the tests count what their executor leaves behind.
        ready = background()
        ready.call(lambda: None)

    def setUp(self) -> None:
        super().setUp()
        # As mpi4py does: every slot has booted before a test asks how many tasks have started.
        list(self.executor.map(abs, range(self.worker_count)))


_bases: tuple[Any, ...] = (_ClientMixin, _module("util").BaseTestCase)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    slots = str(_ClientMixin.worker_count)
    with Daemon("local", "--port", "0", "--slots", slots) as daemon:
        yield daemon.wait_for(r"serves at (\S+)")[1]


@pytest.fixture(scope="class")
def shared(cluster: str) -> Iterator[None]:
    """Client() joins the cluster instead of starting its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "MANYHANDS_ADDRESS", cluster)
        yield


@pytest.mark.usefixtures("shared")
class ExecutorTest(_module("executor").ExecutorTest, *_bases):  # type: ignore[misc]
    pass


@pytest.mark.usefixtures("shared")
class WaitTest(_module("test_wait").WaitTests, *_bases):  # type: ignore[misc]
    pass


@pytest.mark.usefixtures("shared")
class AsCompletedTest(_module("test_as_completed").AsCompletedTests, *_bases):  # type: ignore[misc]
    pass


def _run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=60
    )


class ShutdownTest(_module("test_shutdown").ExecutorShutdownTest, *_bases):  # type: ignore[misc]
    # These three import their executor from concurrent.futures in a script: the same with ours.

    def test_interpreter_shutdown(self) -> None:
        done = _run("""
            import sys
            from manyhands import Client
            def sleep_and_print(seconds, text):
                import time
                time.sleep(seconds)
                print(text, flush=True)
            client = Client(max_workers=2)
            client.submit(sleep_and_print, 0.5, "apple")
        """)
        assert done.stderr == ""
        assert "apple" in done.stdout

    def test_submit_after_interpreter_shutdown(self) -> None:
        done = _run("""
            import atexit
            @atexit.register
            def run_last():
                try:
                    client.submit(id, None)
                except RuntimeError:
                    print("runtime-error")
                    raise
            from manyhands import Client
            client = Client(max_workers=2)
            client.submit(id, 42).result()
        """)
        assert "RuntimeError: cannot schedule new futures" in done.stderr
        assert done.stdout.strip() == "runtime-error"

    def test_hang_gh83386(self) -> None:
        done = _run("""
            from manyhands import Client
            def sleep_and_print(seconds, text):
                import time
                time.sleep(seconds)
                print(text, flush=True)
            client = Client(max_workers=2)
            client.submit(sleep_and_print, 0.5, "apple")
            client.shutdown(wait=False)
        """)
        assert done.stderr == ""
        assert "apple" in done.stdout
