"""The figures that docs/failure*.md and the command line promise are those that the code has."""

from __future__ import annotations

from manyhands.client.client import Client
from manyhands.master.config import MasterConfig
from manyhands.worker.stopping import STOP_GRACE


def test_figures_of_the_docs() -> None:
    config = MasterConfig()
    assert (config.reconnect_timeout, config.heartbeat_timeout) == (1.0, 15.0)
    assert (config.client_timeout, config.client_end_timeout) == (900.0, 60.0)
    assert (config.reattach_timeout, config.result_timeout) == (2.0, 7 * 86400.0)
    assert config.scheduler.max_crashes == 3
    assert STOP_GRACE == 1.0
    assert (Client.__init__.__kwdefaults__ or {})["reconnect_timeout"] == 900.0
