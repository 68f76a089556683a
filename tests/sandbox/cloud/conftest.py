"""A cloud without sockets, and one over TLS for third-party clients.

Over TLS the cloud is a process whose clock is stopped. When a client waits for a long-running operation, its transport
advances the clock instead: no test sleeps, and every client handles the real waiting times.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from sandbox.cloud.control.client import ControlClient
from tests.conftest import StartCloud
from tests.sandbox.cloud.direct import Direct
from tests.sandbox.cloud.remote import Remote


@pytest.fixture
def direct() -> Direct:
    """A cloud without sockets, with the default world."""
    return Direct()


@pytest.fixture(scope="session")
def _process(start_cloud: StartCloud) -> Iterator[Remote]:
    cloud = start_cloud("--speed", "0")
    with ControlClient(cloud.control) as control:
        yield Remote(cloud.endpoints, cloud.ca, control, ssl.create_default_context(cafile=cloud.ca))


@pytest.fixture
def remote(_process: Remote) -> Iterator[Remote]:
    """A cloud over TLS, reset to the default world."""
    _process.control.reset()
    _process.control.speed(0)
    yield _process
    assert not [entry for entry in _process.control.journal() if entry["status"] >= 500], "the sandbox has a bug"
