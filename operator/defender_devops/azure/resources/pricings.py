"""Plans of Defender for Cloud (https://learn.microsoft.com/rest/api/defenderforcloud/pricings/get)."""

from __future__ import annotations

from typing import Final

from defender_devops.azure.arm.client import ArmClient, ArmRequest, arm_path
from defender_devops.azure.resources.serialization import require_azure_properties
from defender_devops.errors import WILL_RETRY, AzureUnavailable

__all__ = ["is_defender_cspm_enabled"]

_API_VERSION: Final = "2024-01-01"
_CSPM: Final = "CloudPosture"
_ENABLED: Final = {"standard": True, "free": False}


async def is_defender_cspm_enabled(arm: ArmClient, subscription_id: str) -> bool:
    """Return whether the plan Defender CSPM of a subscription is on.

    Raises:
        AzureError: Azure refused, failed, did not respond, or named a tier that is not known.
        CredentialsError: there is no token.
    """
    path = arm_path("subscriptions", subscription_id, "providers", "Microsoft.Security", "pricings", _CSPM)
    request = ArmRequest(
        "read Defender plan",
        "GET",
        path=path,
        api_version=_API_VERSION,
        subscription=subscription_id,
    )
    properties = require_azure_properties((await arm.send(request)).content, "pricingTier", resource_id=path)
    is_enabled = _ENABLED.get(str(properties["pricingTier"]).lower())
    if is_enabled is None:
        raise AzureUnavailable(f"Azure names a tier of the plan Defender CSPM that is not known. {WILL_RETRY}")
    return is_enabled
