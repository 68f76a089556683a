"""Subscriptions (https://learn.microsoft.com/rest/api/resources/subscriptions/get)."""

from __future__ import annotations

from typing import Final

from defender_devops.azure.arm.client import ArmClient, Call, resource_path
from defender_devops.errors import AzureUnavailable

__all__ = ["tenant_of_subscription"]

_API_VERSION: Final = "2022-12-01"


async def tenant_of_subscription(arm: ArmClient, subscription_id: str) -> str:
    """The Entra tenant that a subscription trusts.

    Raises:
        AzureError: Azure refused, failed or did not answer.
        CredentialsError: there is no token.
    """
    call = Call(
        "read subscription",
        "GET",
        path=resource_path("subscriptions", subscription_id),
        api_version=_API_VERSION,
        subscription=subscription_id,
    )
    tenant = (await arm.send(call)).content.get("tenantId")
    if not isinstance(tenant, str) or not tenant:
        raise AzureUnavailable("Azure did not say which tenant the subscription belongs to.")
    return tenant
