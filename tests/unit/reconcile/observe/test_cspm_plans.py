"""The plan of a subscription is read once for all of its connectors."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest

from defender_devops.reconcile.observe.cspm_plans import CspmPlans
from tests.unit.azure.fakes import SUBSCRIPTION, FakeAzure, answer, arm_error
from tests.unit.reconcile.builder import NOW

INTERVAL = timedelta(minutes=10)
ON = answer(200, {"name": "CloudPosture", "properties": {"pricingTier": "Standard"}})
OFF = answer(200, {"name": "CloudPosture", "properties": {"pricingTier": "Free"}})
REFUSAL = arm_error(403, "AuthorizationFailed", "No.")


class Setup:
    """Plans with a clock, and an Azure that answers one request after another."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.now = NOW
        self.azure = FakeAzure([*answers])
        self.plans = CspmPlans(INTERVAL, lambda: self.now)

    async def enabled(self, subscription: str = SUBSCRIPTION, *, refresh: bool = False) -> bool | None:
        return (await self.plans.plan(self.azure.arm, subscription, refresh=refresh)).is_enabled


async def test_connectors_of_a_subscription_share_one_request() -> None:
    setup = Setup(ON)
    assert await asyncio.gather(*(setup.enabled(SUBSCRIPTION.upper()) for _ in range(5))) == [True] * 5
    assert len(setup.azure.requests) == 1
    assert await setup.enabled("33333333-3333-3333-3333-333333333333")
    assert len(setup.azure.requests) == 2


async def test_the_plan_is_read_again_after_an_interval() -> None:
    setup = Setup(ON, OFF)
    assert await setup.enabled()
    setup.now += INTERVAL - timedelta(seconds=1)
    assert await setup.enabled()
    setup.now += timedelta(seconds=1)
    assert await setup.enabled() is False


async def test_a_requested_reconcile_reads_it_at_once_and_only_once() -> None:
    setup = Setup(OFF, ON)
    assert await setup.enabled() is False
    setup.now += timedelta(seconds=30)
    assert await setup.enabled(refresh=True)
    assert await setup.enabled(refresh=True)
    assert len(setup.azure.requests) == 2


async def test_a_refusal_is_unknown_and_says_why() -> None:
    setup = Setup(ON, REFUSAL)
    assert await setup.enabled()
    setup.now += INTERVAL
    plan = await setup.plans.plan(setup.azure.arm, SUBSCRIPTION)
    assert plan.is_enabled is None
    assert plan.failure is not None
    assert plan.failure.code == "AuthorizationFailed"


@pytest.mark.parametrize(("earlier", "expected"), [(ON, True), (OFF, False), (REFUSAL, None)])
async def test_an_outage_keeps_the_last_plan(earlier: httpx.Response, *, expected: bool | None) -> None:
    setup = Setup(earlier, httpx.ConnectError("down"))
    await setup.enabled()
    setup.now += INTERVAL
    assert await setup.enabled() is expected


async def test_identities_have_plans_of_their_own() -> None:
    setup, other = Setup(ON), FakeAzure([REFUSAL])
    assert await setup.enabled()
    assert (await setup.plans.plan(other.arm, SUBSCRIPTION)).is_enabled is None
