"""Branch policies of a project."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.devops.call import DevOpsCall, listing
from sandbox.cloud.transport.message import Reply
from sandbox.cloud.world.devops import Project
from sandbox.cloud.world.pipelines.model import BUILD_VALIDATION, BranchPolicy

__all__ = ["list_policies"]


def list_policies(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/policy/configurations: the continuation token is in a header."""
    project = call.project()
    kind = call.request.query.get("policyType", "").lower()
    policies = [policy for policy in project.pipelines.policies.values() if kind in ("", policy.type_id)]
    page, headers = call.page(policies, call.page_size)
    return listing([_policy(call, project, policy) for policy in page], headers)


def _policy(call: DevOpsCall, project: Project, policy: BranchPolicy) -> dict[str, Any]:
    scope: dict[str, Any] = {"repositoryId": policy.repository_id, "matchKind": policy.match_kind}
    if policy.branch is not None:
        scope["refName"] = policy.branch
    if policy.type_id == BUILD_VALIDATION:
        name = "Build"
        settings: dict[str, Any] = {
            "buildDefinitionId": policy.pipeline_id,
            "displayName": policy.display_name,
            "queueOnSourceUpdateOnly": False,
            "manualQueueOnly": policy.manual_queue_only,
            "validDuration": 0.0,
        }
    else:
        name = "Minimum number of reviewers"
        settings = {"minimumApproverCount": 2, "creatorVoteCounts": False}
    return {
        "id": policy.id,
        "revision": 1,
        "isEnabled": policy.enabled,
        "isBlocking": policy.blocking,
        "isDeleted": False,
        "isEnterpriseManaged": False,
        "type": {"id": policy.type_id, "displayName": name},
        "settings": {**settings, "scope": [scope]},
        "url": call.url(project.id, "_apis", "policy", "configurations", str(policy.id)),
    }
