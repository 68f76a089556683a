"""Find the connectors of a subscription, with everything that a manifest contains."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from defender_devops.api.azure_types import AzureOrganization, Configuration, Connector, ConnectorRef
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import AzureUnavailable, OperatorError

__all__ = ["ExistingConnector", "find_connectors"]

_ID: Final = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.Security/securityConnectors/([^/]+)/?",
    re.IGNORECASE,
)
_AZURE_DEVOPS: Final = "azuredevops"


@dataclass(frozen=True, slots=True)
class ExistingConnector:
    """One connector in Azure.

    Attributes:
        ref: its address.
        connector: the connector resource.
        configuration: `devops/default`; None if it does not exist, so nobody has authorized the connector.
        organizations: onboarding state of organizations below the configuration.
        available: all organizations that the authorization can see; None if they could not be listed.
    """

    ref: ConnectorRef
    connector: Connector
    configuration: Configuration | None = None
    organizations: tuple[AzureOrganization, ...] = ()
    available: tuple[AzureOrganization, ...] | None = None


async def find_connectors(arm: ArmClient, subscription_id: str, resource_group: str | None) -> list[ExistingConnector]:
    """Return every connector for Azure DevOps, sorted by id.

    Raises:
        OperatorError: Azure refuses or does not respond.
    """
    client = SecurityConnectors(arm)
    connectors = sorted(
        (
            connector
            for connector in await client.list_in(subscription_id, resource_group)
            if connector.environment_name.lower() == _AZURE_DEVOPS
        ),
        key=lambda connector: connector.id,
    )
    return list(await asyncio.gather(*(_read(client, connector) for connector in connectors)))


async def _read(client: SecurityConnectors, connector: Connector) -> ExistingConnector:
    match = _ID.fullmatch(connector.id)
    if match is None:
        raise AzureUnavailable(f"Azure returned a connector with an unexpected id: {connector.id}.")
    ref = ConnectorRef(*match.groups())
    configuration = await client.get_configuration(ref)
    if configuration is None:
        return ExistingConnector(ref, connector)
    organizations = await client.organizations(ref)
    try:
        available = await client.available_organizations(ref)
    except OperatorError:
        # Listing needs a permission of its own, and fails if the authorization was lost.
        available = None
    return ExistingConnector(ref, connector, configuration, organizations, available)
