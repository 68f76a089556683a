"""Settings of an organization or a project that scan, or that annotations need: extension, features, policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from defender_devops.api.pipelines.evidence import BranchPolicy, ExtensionState, RepositoryFeatures
from defender_devops.azuredevops.client import AzureDevOpsClient, azure_devops_list, quote_path_segment
from defender_devops.azuredevops.pipelines.fields import flag, identifier, object_field, text
from defender_devops.azuredevops.pipelines.inventory import project_url
from defender_devops.errors import AzureDevOpsUnavailable

__all__ = ["extension_state", "list_build_policies", "list_features"]

_EXTENSION: Final = ("ms-securitydevops", "microsoft-security-devops-azdevops")
_EXTENSION_VERSION: Final = "7.1-preview.1"
_FEATURES_VERSION: Final = "7.2-preview.3"
_BUILD_VALIDATION: Final = "0609b952-1397-4640-95ec-e00a01b2c241"
_BROKEN_FLAGS: Final = frozenset({"disabled", "error", "needsreauthorization", "nonexistent"})


async def extension_state(client: AzureDevOpsClient, organization: str) -> ExtensionState:
    """Return whether the extension Microsoft Security DevOps is installed and works.

    The extension of container mapping brings a copy of the same task and is another one.

    Raises:
        AzureDevOpsError: the extensions cannot be listed.
    """
    url = (
        f"{client.endpoints.extension}/{quote_path_segment(organization)}/_apis/extensionmanagement/installedextensions"
    )
    for item in azure_devops_list(await client.get(url, {"includeDisabledExtensions": "true"}, _EXTENSION_VERSION)):
        if (text(item, "publisherId").lower(), identifier(item, "extensionId").lower()) == _EXTENSION:
            # Flags are separated by commas, such as "trusted, needsReauthorization".
            flags = {flag.strip().lower() for flag in text(object_field(item, "installState"), "flags").split(",")}
            return ExtensionState.DISABLED if flags & _BROKEN_FLAGS else ExtensionState.INSTALLED
    return ExtensionState.MISSING


async def list_features(client: AzureDevOpsClient, organization: str) -> dict[str, RepositoryFeatures]:
    """Return the features of GitHub Advanced Security by id of the repository, without those that have none.

    Raises:
        AzureDevOpsError: they cannot be read.
    """
    url = f"{client.endpoints.advanced_security}/{quote_path_segment(organization)}/_apis/management/enablement"
    body = await client.get(url, {"includeAllProperties": "true"}, _FEATURES_VERSION)
    items = body.get("reposEnablementStatus") if isinstance(body, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise AzureDevOpsUnavailable("The response of Azure DevOps does not have the features of repositories.")
    features = {identifier(item, "repositoryId"): _features(item) for item in items}
    return {repository_id: enabled for repository_id, enabled in features.items() if enabled.any}


async def list_build_policies(
    client: AzureDevOpsClient, organization: str, project_id: str
) -> tuple[BranchPolicy, ...]:
    """Return the enabled build validation policies of a project, one for each of their scopes.

    Raises:
        AzureDevOpsError: they cannot be listed.
    """
    url = f"{project_url(client, organization, project_id)}/policy/configurations"
    return tuple(
        [
            policy
            async for page in client.pages(url, {"policyType": _BUILD_VALIDATION})
            for item in page
            if flag(item, "isEnabled") and not flag(item, "isDeleted")
            for policy in _policies(item, project_id)
        ]
    )


def _features(item: Mapping[str, Any]) -> RepositoryFeatures:
    code, secrets = object_field(item, "codeSecurityFeatures"), object_field(item, "secretProtectionFeatures")
    return RepositoryFeatures(
        code_scanning=flag(code, "codeQLEnabled"),
        dependency_scanning=flag(code, "dependencyScanningInjectionEnabled"),
        secret_protection=flag(secrets, "secretProtectionEnabled"),
    )


def _policies(item: Mapping[str, Any], project_id: str) -> list[BranchPolicy]:
    settings = object_field(item, "settings")
    pipeline_id, scopes = settings.get("buildDefinitionId"), settings.get("scope")
    # The type is compared once more: a service that ignores the filter returns policies of other kinds.
    if text(object_field(item, "type"), "id").lower() not in {_BUILD_VALIDATION, ""}:
        return []
    if not isinstance(pipeline_id, int) or not isinstance(scopes, list):
        raise AzureDevOpsUnavailable("A build policy in the response of Azure DevOps names no pipeline, or no scope.")
    return [
        BranchPolicy(
            project_id, pipeline_id, text(scope, "repositoryId"), text(scope, "refName"), text(scope, "matchKind")
        )
        for scope in scopes
        if isinstance(scope, dict)
    ]
