"""One worker for all tests of a file: starting slots is what takes time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.worker.running import RunningWorker

from manyhands import Client


@pytest.fixture(scope="module")
def worker() -> Iterator[RunningWorker]:
    with RunningWorker() as running:
        yield running


@pytest.fixture
def client(worker: RunningWorker) -> Client:
    return worker.client
