"""An Entra ID and a sign-in that asks it, both new for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.fakes.entra import FakeEntra, serve_entra
from tests.support.fakes.sign_in import FakeClock, SignInSetup, assemble_sign_in


@pytest.fixture
def time() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def entra(time: FakeClock) -> AsyncIterator[FakeEntra]:
    async with serve_entra(FakeEntra(time)) as service:
        yield service


@pytest.fixture
async def world(entra: FakeEntra, time: FakeClock) -> AsyncIterator[SignInSetup]:
    async with assemble_sign_in(entra, time) as made:
        yield made
