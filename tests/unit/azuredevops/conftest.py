"""An Azure DevOps and a client for it, new for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.fakes.azure_devops import AzureDevOpsSetup, FakeAzureDevOps, serve_azure_devops


@pytest.fixture
async def reach() -> AsyncIterator[AzureDevOpsSetup]:
    async with serve_azure_devops(FakeAzureDevOps()) as setup:
        yield setup
