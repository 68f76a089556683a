"""A tenant in memory, old enough for every probe."""

from __future__ import annotations

import pytest

from tests.support.tenant_in_memory import TenantInMemory


@pytest.fixture
async def tenant() -> TenantInMemory:
    """A tenant with the default variants."""
    tenant = TenantInMemory()
    await tenant.age()
    return tenant
