"""An Azure DevOps and a client for it, new for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.fakes.azure_devops import FakeAzureDevOps, Reach, reaching


@pytest.fixture
async def reach() -> AsyncIterator[Reach]:
    async with reaching(FakeAzureDevOps()) as made:
        yield made
