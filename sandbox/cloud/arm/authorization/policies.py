"""Azure Policy with effect deny."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.world.azure import Policy

__all__ = ["check_policies"]


def check_policies(call: Call, location: str, tags: Mapping[str, str]) -> None:
    """Check a connector against the policies of its subscription.

    Raises:
        ArmError: 403 RequestDisallowedByPolicy, naming the policy.
    """
    for policy in call.subscription.policies:
        misplaced = bool(policy.locations) and location not in policy.locations
        if misplaced or any(tag not in tags for tag in policy.required_tags):
            raise _violation(call, policy)


def _violation(call: Call, policy: Policy) -> ArmError:
    definition = f"/providers/Microsoft.Authorization/policyDefinitions/{policy.name}"
    assignment = f"{policy.scope}/providers/Microsoft.Authorization/policyAssignments/{policy.name}"
    message = (
        f"Resource '{call.name}' was disallowed by policy. Policy identifiers: "
        f'\'[{{"policyAssignment":{{"name":"{policy.display_name}","id":"{assignment}"}}}}]\'.'
    )
    info = {
        "policyDefinitionDisplayName": policy.display_name,
        "policyDefinitionId": definition,
        "policyDefinitionName": policy.name,
        "policyDefinitionEffect": "deny",
        "policyAssignmentId": assignment,
        "policyAssignmentName": policy.name,
        "policyAssignmentDisplayName": policy.display_name,
        "policyAssignmentScope": policy.scope,
    }
    return ArmError(
        403,
        "RequestDisallowedByPolicy",
        message,
        target=call.name,
        additional_info=[{"type": "PolicyViolation", "info": info}],
    )
