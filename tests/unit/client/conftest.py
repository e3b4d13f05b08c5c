"""A client of a master that lives in this process."""

from collections.abc import Iterator

import pytest
from tests.support.fake_master import FakeMaster, make_client

from manyhands import Client


@pytest.fixture
def master() -> Iterator[FakeMaster]:
    master = FakeMaster(slots=2)
    yield master
    master.stop()


@pytest.fixture
def client(master: FakeMaster) -> Iterator[Client]:
    client = make_client(master)
    yield client
    master.running.set()
    client.shutdown(cancel_futures=True)
