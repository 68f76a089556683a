"""Whether a connector needs a one-time code now."""

from __future__ import annotations

from defender_devops.api.conditions import find_condition, is_true
from defender_devops.api.connector import AuthorizationMethod, AzureDevOpsConnector, ManagementPolicy
from defender_devops.api.reasons import ConditionType

__all__ = ["needs_code"]


def needs_code(connector: AzureDevOpsConnector) -> bool:
    """Whether the operator would send a code: the method is Code and Defender has no working authorization.

    Decided by the reported conditions. While they are missing or Unknown a working authorization is possible, and a new
    code would replace it.
    """
    spec, conditions = connector.spec, connector.status.conditions
    if spec.authorization.method is not AuthorizationMethod.CODE:
        return False
    if spec.suspend or spec.management_policy is ManagementPolicy.OBSERVE:
        return False
    authorized = find_condition(conditions, ConditionType.AUTHORIZED)
    if authorized is not None and authorized.status == "False":
        return True
    # ReauthRequired is also True for a lost sign-in of the operator. Where that works, it is about Defender.
    return is_true(conditions, ConditionType.REAUTH_REQUIRED) and is_true(conditions, ConditionType.SIGNED_IN)
