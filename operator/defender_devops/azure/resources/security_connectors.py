"""Security connectors for Azure DevOps, their DevOps configuration, and what Defender found below it.

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
from defender_devops.azure.arm.client import ArmClient, Call, Repeat, connector_path, resource_path
from defender_devops.azure.arm.long_running_operations import Operation, OperationStatus, operation_of, operation_status
from defender_devops.azure.resources.serialization import (
    agentless_body,
    annotations_body,
    parse_configuration,
    parse_connector,
    parse_organization,
)
from defender_devops.errors import AzureNotFound

__all__ = ["SecurityConnectors"]

_CONNECTOR_VERSION: Final = "2024-08-01-preview"
"""Only previews of this type exist."""

_DEVOPS_VERSION: Final = "2025-03-01"


class SecurityConnectors:
    """Security connectors, as one identity sees and writes them.

    All methods raise AzureError where Azure refuses, fails or does not answer, and CredentialsError where there is no
    token. A resource that does not exist is None; a subscription or group that does not exist is ScopeNotFound.
    """

    def __init__(self, arm: ArmClient) -> None:
        self._arm = arm

    async def get(self, ref: ConnectorRef) -> Connector | None:
        """The connector, or None where there is none."""
        try:
            reply = await self._arm.send(_on_connector(ref, "read connector", "GET"))
        except AzureNotFound:
            return None
        return parse_connector(reply.content)

    async def list_in(self, subscription_id: str, resource_group: str | None = None) -> tuple[Connector, ...]:
        """Every security connector of a subscription or of one of its groups, those for GitHub, AWS and so on too."""
        place = ("subscriptions", subscription_id, *(("resourceGroups", resource_group) if resource_group else ()))
        call = Call(
            "list connectors",
            "GET",
            path=resource_path(*place, "providers", "Microsoft.Security", "securityConnectors"),
            api_version=_CONNECTOR_VERSION,
            subscription=subscription_id,
        )
        return tuple(parse_connector(each) for each in await self._arm.values(call))

    async def create(
        self, ref: ConnectorRef, *, location: str, tags: Mapping[str, str], hierarchy_identifier: str
    ) -> Connector:
        """Create the connector; an existing one keeps its hierarchy identifier and gets these tags."""
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
        reply = await self._arm.send(_on_connector(ref, "create connector", "PUT", body))
        return parse_connector(reply.content)

    async def set_tags(self, ref: ConnectorRef, tags: Mapping[str, str]) -> Connector:
        """Replace all tags, as PATCH does: send those of others back too.

        Raises:
            AzureNotFound: there is no such connector.
        """
        reply = await self._arm.send(
            _on_connector(ref, "tag connector", "PATCH", {"tags": dict(tags)}, repeat=Repeat.ALWAYS)
        )
        return parse_connector(reply.content)

    async def delete(self, ref: ConnectorRef) -> None:
        """Delete the connector with all that is below it; none there is as good."""
        try:
            await self._arm.send(_on_connector(ref, "delete connector", "DELETE"))
        except AzureNotFound:
            return

    async def get_configuration(self, ref: ConnectorRef) -> Configuration | None:
        """`devops/default`, or None where there is none."""
        try:
            reply = await self._arm.send(_on_devops(ref, "read DevOps configuration", "GET"))
        except AzureNotFound:
            return None
        return parse_configuration(_properties(reply.content))

    async def create_configuration(
        self,
        ref: ConnectorRef,
        *,
        code: SecretStr | None,
        auto_discovery: AutoDiscovery,
        inventory: tuple[str, ...] | None = None,
        agentless: AgentlessConfiguration | None = None,
    ) -> Operation | None:
        """PUT `devops/default`. With a code this is sent once and never again, whatever happens.

        Args:
            ref: the connector.
            code: the one-time code, or None.
            auto_discovery: whether Defender takes in organizations that appear later.
            inventory: the whole list of organizations to onboard, or None for all.
            agentless: agentless code scanning, or None for the service's default.

        Returns:
            The operation, or None where Azure was done at once.
        """
        properties = _configuration_body(auto_discovery, inventory, agentless)
        if code is not None:
            properties["authorization"] = {"code": code}
        repeat = None if code is None else Repeat.NEVER
        body = {"properties": properties}
        return await self._start(_on_devops(ref, "create DevOps configuration", "PUT", body, repeat=repeat))

    async def update_configuration(
        self,
        ref: ConnectorRef,
        *,
        auto_discovery: AutoDiscovery | None = None,
        inventory: tuple[str, ...] | None = None,
        agentless: AgentlessConfiguration | None = None,
    ) -> Operation | None:
        """PATCH `devops/default`: None leaves as it is. Defender goes on with the authorization that it holds.

        Raises:
            AzureNotFound: there is no configuration.
        """
        properties = _configuration_body(auto_discovery, inventory, agentless)
        body = {"properties": properties}
        return await self._start(_on_devops(ref, "update DevOps configuration", "PATCH", body))

    async def delete_configuration(self, ref: ConnectorRef) -> Operation | None:
        """Delete `devops/default` with its authorization; none there is as good."""
        try:
            return await self._start(_on_devops(ref, "delete DevOps configuration", "DELETE"))
        except AzureNotFound:
            return None

    async def organizations(self, ref: ConnectorRef) -> tuple[AzureOrganization, ...]:
        """All organizations below the configuration; none where there is no configuration."""
        try:
            values = await self._arm.values(_on_devops(ref, "list organizations", "GET", below=("azureDevOpsOrgs",)))
        except AzureNotFound:
            return ()
        return tuple(parse_organization(_name(each), _properties(each)) for each in values)

    async def available_organizations(self, ref: ConnectorRef) -> tuple[AzureOrganization, ...]:
        """The organizations that Defender's authorization can see. Azure counts the question as a write.

        Raises:
            AzureNotFound: there is no configuration.
        """
        call = _on_devops(
            ref, "list available organizations", "POST", repeat=Repeat.ALWAYS, below=("listAvailableAzureDevOpsOrgs",)
        )
        reply = await self._arm.send(call)
        return tuple(parse_organization(_name(each), _properties(each)) for each in reply.values)

    async def set_annotations(self, ref: ConnectorRef, organization: str, annotations: Annotations) -> Operation | None:
        """PATCH an organization's pull request annotations.

        Raises:
            AzureNotFound: there is no such organization.
        """
        body = {"properties": {"actionableRemediation": annotations_body(annotations)}}
        below = ("azureDevOpsOrgs", organization)
        return await self._start(_on_devops(ref, "set pull request annotations", "PATCH", body, below=below))

    async def count(self, ref: ConnectorRef, organization: str) -> Counts | None:
        """Count one organization by listing it: a read for each page of projects and of ten repositories.

        Returns:
            None where there is no such organization.
        """
        below = ("azureDevOpsOrgs", organization, "projects")
        repositories = 0
        try:
            projects = await self._arm.values(_on_devops(ref, "list projects", "GET", below=below))
            for project in projects:
                repositories += await self._count_repositories(ref, (*below, _name(project), "repos"))
        except AzureNotFound:
            return None
        return Counts(projects=len(projects), repositories=repositories)

    async def _count_repositories(self, ref: ConnectorRef, below: tuple[str, ...]) -> int:
        call = _on_devops(ref, "list repositories", "GET", below=below)
        return sum([len(page.values) async for page in self._arm.pages(call)])

    async def operation_status(self, operation: Operation) -> OperationStatus:
        """Look at an operation."""
        return await operation_status(self._arm, operation)

    async def _start(self, call: Call) -> Operation | None:
        return operation_of(await self._arm.send(call), call)


def _on_connector(
    ref: ConnectorRef, what: str, method: str, body: Mapping[str, Any] | None = None, *, repeat: Repeat | None = None
) -> Call:
    return Call(
        what,
        method,
        path=connector_path(ref),
        api_version=_CONNECTOR_VERSION,
        subscription=ref.subscription_id,
        body=body,
        repeat=repeat,
    )


def _on_devops(
    ref: ConnectorRef,
    what: str,
    method: str,
    body: Mapping[str, Any] | None = None,
    *,
    repeat: Repeat | None = None,
    below: tuple[str, ...] = (),
) -> Call:
    return Call(
        what,
        method,
        path=connector_path(ref) + resource_path("devops", "default", *below),
        api_version=_DEVOPS_VERSION,
        subscription=ref.subscription_id,
        body=body,
        repeat=repeat,
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
        properties["agentlessConfiguration"] = agentless_body(agentless)
    return properties


def _properties(body: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = body.get("properties")
    return properties if isinstance(properties, dict) else {}


def _name(body: Mapping[str, Any]) -> str:
    """The resource's own name; the last part of its id where it has none."""
    return str(body.get("name") or str(body.get("id") or "").rpartition("/")[2])
