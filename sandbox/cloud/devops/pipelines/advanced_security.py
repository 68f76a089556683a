"""GitHub Advanced Security for Azure DevOps (advsec.dev.azure.com): which switches are on."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.devops.call import DevOpsCall
from sandbox.cloud.devops.pipelines.files import find_repository
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.devops import Project, Repository
from sandbox.cloud.world.pipelines.model import AdvancedSecurity

__all__ = ["get_enablement", "get_repository_enablement"]

_CHANGED = "2024-02-14T00:31:18.3Z"
_OFF = AdvancedSecurity()


def get_enablement(call: DevOpsCall) -> Reply:
    """GET [{project}/]_apis/management/enablement: not paged; repositories that were never touched are missing."""
    untouched = _OFF if call.world.variants["enablementRows"] == "all" else None
    statuses = [
        _status(call, project, repository, switches)
        for project in call.projects()
        if not project.tfvc
        for repository in project.repositories.existing()
        if (switches := repository.advanced_security or untouched) is not None
    ]
    features = {"codeSecurityFeatures": None, "secretProtectionFeatures": None}
    on_create = {"enableCodeSecurityOnCreate": False, "enableSecretProtectionOnCreate": False}
    return json_reply({**features, "enablementOnCreateSettings": on_create, "reposEnablementStatus": statuses})


def get_repository_enablement(call: DevOpsCall) -> Reply:
    """GET {project}/_apis/management/repositories/{repository}/enablement."""
    project, repository = find_repository(call)
    return json_reply(_status(call, project, repository, repository.advanced_security or _OFF))


def _status(call: DevOpsCall, project: Project, repository: Repository, switches: AdvancedSecurity) -> dict[str, Any]:
    changed = None if switches is _OFF else _CHANGED
    secrets: dict[str, Any] = {
        "secretProtectionEnabled": switches.secret_protection,
        "secretProtectionEnablementLastChangedDate": changed,
    }
    if call.flag("includeAllProperties"):
        secrets["blockPushes"] = switches.block_pushes
    return {
        "projectId": project.id,
        "repositoryId": repository.id,
        "codeSecurityFeatures": {
            "codeSecurityEnabled": switches.code_security,
            "codeSecurityEnablementLastChangedDate": changed,
            "codeQLEnabled": switches.code_ql,
            "dependencyScanningInjectionEnabled": switches.dependency_scanning_injection,
            "autofixEnabled": False,
        },
        "secretProtectionFeatures": secrets,
    }
