"""An Entra ID and a sign-in that asks it, both new for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.fakes.entra import FakeEntra, running
from tests.support.fakes.sign_in import FakeTime, World, assembled


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def entra(time: FakeTime) -> AsyncIterator[FakeEntra]:
    async with running(FakeEntra(time)) as service:
        yield service


@pytest.fixture
async def world(entra: FakeEntra, time: FakeTime) -> AsyncIterator[World]:
    async with assembled(entra, time) as made:
        yield made
