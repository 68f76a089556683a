"""Security connectors for Azure DevOps, their DevOps configuration, and the organizations, projects and repositories.

Paths and bodies are those of Microsoft.Security: https://learn.microsoft.com/rest/api/defenderforcloud/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import SecretStr

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    AzureOrganization,
    Configuration,
    Connector,
    ConnectorRef,
    Counts,
)
from defender_devops.azure.arm.client import ArmClient, ArmRequest, RetryPolicy, arm_connector_path, arm_path
from defender_devops.azure.arm.error_codes import rule_for_error_code
from defender_devops.azure.arm.long_running_operations import Operation, started_operation
from defender_devops.azure.resources.serialization import (
    parse_azure_organization,
    parse_configuration,
    require_azure_connector,
    require_azure_properties,
    serialize_agentless,
    serialize_annotations,
)
from defender_devops.errors import WILL_RETRY, AzureError, AzureNotFound, DeletionInProgress

__all__ = ["SecurityConnectors"]

_CONNECTOR_VERSION: Final = "2024-08-01-preview"
"""Only previews of this type exist."""

_DEVOPS_VERSION: Final = "2025-03-01"

_CONFIGURATION: Final = "/devops/default"
_CONFLICT: Final = 409


class SecurityConnectors:
    """Security connectors, with the rights of one identity.

    All methods raise AzureError where Azure refuses, fails or does not respond, and CredentialsError where there is no
    token. A resource that does not exist is None; a subscription or group that does not exist is ScopeNotFound.
    """

    def __init__(self, arm: ArmClient) -> None:
        self._arm = arm

    async def get(self, ref: ConnectorRef) -> Connector | None:
        """Return the connector, or None where there is none."""
        try:
            response = await self._arm.send(_connector_request(ref, "read connector", "GET"))
        except AzureNotFound:
            return None
        return require_azure_connector(response.content, ref.id)

    async def list_in(self, subscription_id: str, resource_group: str | None = None) -> tuple[Connector, ...]:
        """Return the security connectors of a subscription or resource group, of all environments (GitHub, AWS, …)."""
        scope = ("subscriptions", subscription_id, *(("resourceGroups", resource_group) if resource_group else ()))
        request = ArmRequest(
            "list connectors",
            "GET",
            path=arm_path(*scope, "providers", "Microsoft.Security", "securityConnectors"),
            api_version=_CONNECTOR_VERSION,
            subscription=subscription_id,
        )
        return tuple(require_azure_connector(body) for body in await self._arm.values(request))

    async def create(
        self, ref: ConnectorRef, *, location: str, tags: Mapping[str, str], hierarchy_identifier: str
    ) -> Connector:
        """Create the connector. An existing one keeps its hierarchy identifier and gets these tags."""
        body = {
            "location": location,
            "tags": dict(tags),
            "properties": {
                "hierarchyIdentifier": hierarchy_identifier,
                "environmentName": "AzureDevOps",
                "environmentData": {"environmentType": "AzureDevOpsScope"},
                "offerings": [{"offeringType": "CspmMonitorAzureDevOps"}],
            },
        }
        response = await self._arm.send(_connector_request(ref, "create connector", "PUT", body))
        return require_azure_connector(response.content, ref.id)

    async def set_tags(self, ref: ConnectorRef, tags: Mapping[str, str]) -> Connector:
        """Replace all tags: the PATCH removes those that it does not name, also the tags of other programs.

        Raises:
            AzureNotFound: there is no connector.
        """
        request = _connector_request(ref, "tag connector", "PATCH", {"tags": dict(tags)}, retry=RetryPolicy.ALWAYS)
        return require_azure_connector((await self._arm.send(request)).content, ref.id)

    async def delete(self, ref: ConnectorRef) -> None:
        """Delete the connector with everything below it. It is not an error where there is none.

        A successful response has no content that would show who sent it, so the connector is read once more: nobody
        looks after one that is left behind.

        Raises:
            DeletionInProgress: Azure deletes the connector only after its DevOps configuration, which is being deleted,
                or still has the connector.
        """
        try:
            await self._arm.send(_connector_request(ref, "delete connector", "DELETE"))
        except AzureNotFound:
            return
        except AzureError as error:
            # No documentation says whether a DELETE of a connector includes its configuration. Resource Manager answers
            # 409 where a provider does not delete nested resources.
            if error.status != _CONFLICT or rule_for_error_code(error.code or "") is not None:
                raise
            await self._delete_configuration_first(ref, error)
        if await self.get(ref) is not None:
            raise DeletionInProgress(
                f"Azure accepted the deletion of connector {ref.name}, but still returns it. {WILL_RETRY}"
            )

    async def _delete_configuration_first(self, ref: ConnectorRef, refusal: AzureError) -> None:
        """Delete `devops/default` unless that is under way.

        Raises:
            DeletionInProgress: its deletion is under way; delete the connector later.
            AzureError: the refusal itself, where the connector has no configuration.
        """
        configuration = await self.get_configuration(ref)
        if configuration is None:
            raise refusal
        operation = None
        if not configuration.is_in_progress:
            operation = await self._start(_devops_request(ref, "delete DevOps configuration", "DELETE"))
        message = (
            f"Azure deletes connector {ref.name} only after its DevOps configuration, whose deletion is under way. The "
            "operator deletes the connector as soon as the configuration is gone."
        )
        raise DeletionInProgress(
            message, retry_after=operation.poll_after if operation else None, code=refusal.code, status=refusal.status
        )

    async def get_configuration(self, ref: ConnectorRef) -> Configuration | None:
        """Return `devops/default`, or None where there is none."""
        try:
            response = await self._arm.send(_devops_request(ref, "read DevOps configuration", "GET"))
        except AzureNotFound:
            return None
        properties = require_azure_properties(
            response.content, "provisioningState", resource_id=f"{ref.id}{_CONFIGURATION}"
        )
        return parse_configuration(properties)

    async def create_configuration(
        self,
        ref: ConnectorRef,
        *,
        code: SecretStr | None,
        auto_discovery: AutoDiscovery,
        inventory: tuple[str, ...] | None = None,
        agentless: AgentlessConfiguration | None = None,
    ) -> Operation | None:
        """PUT `devops/default`. With a code the request is never sent twice.

        Args:
            ref: the connector.
            code: the one-time code, or None.
            auto_discovery: whether Defender onboards organizations that appear later.
            inventory: all organizations to onboard, or None for every organization.
            agentless: agentless code scanning, or None for the service's default.

        Returns:
            The operation, or None where it has completed already.
        """
        properties = _configuration_body(auto_discovery, inventory, agentless)
        if code is not None:
            properties["authorization"] = {"code": code}
        retry = None if code is None else RetryPolicy.NEVER
        body = {"properties": properties}
        return await self._start(_devops_request(ref, "create DevOps configuration", "PUT", body, retry=retry))

    async def update_configuration(
        self,
        ref: ConnectorRef,
        *,
        auto_discovery: AutoDiscovery | None = None,
        inventory: tuple[str, ...] | None = None,
        agentless: AgentlessConfiguration | None = None,
    ) -> Operation | None:
        """PATCH `devops/default`; None leaves a property unchanged. Defender keeps its authorization.

        Raises:
            AzureNotFound: there is no configuration.
        """
        properties = _configuration_body(auto_discovery, inventory, agentless)
        body = {"properties": properties}
        return await self._start(_devops_request(ref, "update DevOps configuration", "PATCH", body))

    async def organizations(self, ref: ConnectorRef) -> tuple[AzureOrganization, ...]:
        """Return the organizations below the configuration; none where there is no configuration."""
        request = _devops_request(ref, "list organizations", "GET", path=("azureDevOpsOrgs",))
        try:
            bodies = await self._arm.values(request)
        except AzureNotFound:
            return ()
        parent_id = f"{ref.id}{_CONFIGURATION}/azureDevOpsOrgs"
        return tuple(
            parse_azure_organization(
                _name(body), require_azure_properties(body, "onboardingState", parent_id=parent_id)
            )
            for body in bodies
        )

    async def available_organizations(self, ref: ConnectorRef) -> tuple[AzureOrganization, ...]:
        """Return the organizations that Defender's authorization reaches. Azure counts the request as a write.

        Raises:
            AzureNotFound: there is no configuration.
            AuthorizationCheckDenied: 401 or 403 with a code that Resource Manager does not use for its own denials, so
                Defender for Cloud may have sent it because its authorization does not work.
        """
        request = _devops_request(
            ref,
            "list available organizations",
            "POST",
            retry=RetryPolicy.ALWAYS,
            path=("listAvailableAzureDevOpsOrgs",),
            checks_authorization=True,
        )
        return tuple(
            parse_azure_organization(_name(body), require_azure_properties(body, "onboardingState"))
            for body in await self._arm.values(request)
        )

    async def set_annotations(self, ref: ConnectorRef, organization: str, annotations: Annotations) -> Operation | None:
        """PATCH an organization's pull request annotations.

        Raises:
            AzureNotFound: there is no such organization.
        """
        body = {"properties": {"actionableRemediation": serialize_annotations(annotations)}}
        path = ("azureDevOpsOrgs", organization)
        return await self._start(_devops_request(ref, "set pull request annotations", "PATCH", body, path=path))

    async def count(self, ref: ConnectorRef, organization: str) -> Counts | None:
        """Count one organization by listing it: a read for each page of projects and of ten repositories.

        Returns:
            None where there is no such organization.
        """
        path = ("azureDevOpsOrgs", organization, "projects")
        repositories = 0
        try:
            projects = await self._arm.values(_devops_request(ref, "list projects", "GET", path=path))
            for project in projects:
                require_azure_properties(project)
                request = _devops_request(ref, "list repositories", "GET", path=(*path, _name(project), "repos"))
                async for page in self._arm.pages(request):
                    repositories += len(page.values)
        except AzureNotFound:
            return None
        return Counts(projects=len(projects), repositories=repositories)

    async def _start(self, request: ArmRequest) -> Operation | None:
        return started_operation(request, await self._arm.send(request))


def _connector_request(
    ref: ConnectorRef,
    operation: str,
    method: str,
    body: Mapping[str, Any] | None = None,
    *,
    retry: RetryPolicy | None = None,
) -> ArmRequest:
    return ArmRequest(
        operation,
        method,
        path=arm_connector_path(ref),
        api_version=_CONNECTOR_VERSION,
        subscription=ref.subscription_id,
        body=body,
        retry=retry,
    )


def _devops_request(
    ref: ConnectorRef,
    operation: str,
    method: str,
    body: Mapping[str, Any] | None = None,
    *,
    retry: RetryPolicy | None = None,
    path: tuple[str, ...] = (),
    checks_authorization: bool = False,
) -> ArmRequest:
    """A request to `devops/default`, or to a resource below it where `path` has segments."""
    return ArmRequest(
        operation,
        method,
        path=arm_connector_path(ref) + arm_path("devops", "default", *path),
        api_version=_DEVOPS_VERSION,
        subscription=ref.subscription_id,
        body=body,
        retry=retry,
        checks_authorization=checks_authorization,
    )


def _configuration_body(
    auto_discovery: AutoDiscovery | None,
    inventory: tuple[str, ...] | None,
    agentless: AgentlessConfiguration | None,
) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if auto_discovery is not None:
        properties["autoDiscovery"] = str(auto_discovery)
    if inventory is not None:
        properties["topLevelInventoryList"] = list(inventory)
    if agentless is not None:
        properties["agentlessConfiguration"] = serialize_agentless(agentless)
    return properties


def _name(body: Mapping[str, Any]) -> str:
    """The resource's name, or the last segment of its id where it has none."""
    return str(body.get("name") or str(body.get("id") or "").rpartition("/")[2])
