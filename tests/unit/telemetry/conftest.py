"""Tests of telemetry that do not run in an event loop bind the context of the process itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def unbound_context() -> Iterator[None]:
    """Clear the context after each test, as later tests expect that none is bound."""
    yield
    structlog.contextvars.clear_contextvars()
