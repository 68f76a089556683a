"""Subscriptions (https://learn.microsoft.com/rest/api/resources/subscriptions/get)."""

from __future__ import annotations

from typing import Final

from defender_devops.azure.arm.client import ArmClient, ArmRequest, arm_path
from defender_devops.errors import AzureUnavailable

__all__ = ["tenant_of_subscription"]

_API_VERSION: Final = "2022-12-01"


async def tenant_of_subscription(arm: ArmClient, subscription_id: str) -> str:
    """Return the id of the Entra tenant that a subscription trusts.

    Raises:
        AzureError: Azure refused, failed or did not respond.
        CredentialsError: there is no token.
    """
    request = ArmRequest(
        "read subscription",
        "GET",
        path=arm_path("subscriptions", subscription_id),
        api_version=_API_VERSION,
        subscription=subscription_id,
    )
    content = (await arm.send(request)).content
    tenant, identifier = content.get("tenantId"), content.get("subscriptionId")
    is_other = isinstance(identifier, str) and identifier.lower() != subscription_id.lower()
    if not isinstance(tenant, str) or not tenant or is_other:
        raise AzureUnavailable("The response of Azure does not name the tenant of the subscription.")
    return tenant
