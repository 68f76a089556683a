from __future__ import annotations

import pytest

from defender_devops.azure.resources.pricings import is_defender_cspm_enabled
from defender_devops.errors import AzureUnavailable, Forbidden
from tests.unit.azure.fakes import SUBSCRIPTION, answer, arm_error, azure_with


def pricing(tier: object) -> dict[str, object]:
    identifier = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Security/pricings/CloudPosture"
    return {"id": identifier, "name": "CloudPosture", "properties": {"pricingTier": tier}}


@pytest.mark.parametrize(("tier", "is_enabled"), [("Standard", True), ("Free", False), ("standard", True)])
async def test_the_tier_says_whether_the_plan_is_on(tier: str, *, is_enabled: bool) -> None:
    azure = azure_with(answer(200, pricing(tier)))
    assert await is_defender_cspm_enabled(azure.arm, SUBSCRIPTION) is is_enabled
    (request,) = azure.requests
    assert request.url.path == f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Security/pricings/CloudPosture"
    assert request.url.params["api-version"] == "2024-01-01"


@pytest.mark.parametrize("content", [{}, {"name": "CloudPosture"}, pricing(None), pricing("Platinum"), pricing(1)])
async def test_a_tier_that_is_not_known_is_not_off(content: dict[str, object]) -> None:
    with pytest.raises(AzureUnavailable):
        await is_defender_cspm_enabled(azure_with(answer(200, content)).arm, SUBSCRIPTION)


async def test_a_refusal_has_its_own_error() -> None:
    azure = azure_with(arm_error(403, "AuthorizationFailed", "The client does not have authorization."))
    with pytest.raises(Forbidden):
        await is_defender_cspm_enabled(azure.arm, SUBSCRIPTION)
