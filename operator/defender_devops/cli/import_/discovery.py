"""The connectors of a subscription with all that a manifest tells of them."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from defender_devops.api.azure_types import AzureOrganization, Configuration, Connector, ConnectorRef
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import AzureUnavailable, OperatorError

__all__ = ["Found", "find_connectors"]

_ID: Final = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.Security/securityConnectors/([^/]+)/?",
    re.IGNORECASE,
)
_AZURE_DEVOPS: Final = "azuredevops"


@dataclass(frozen=True, slots=True)
class Found:
    """One connector in Azure.

    Attributes:
        ref: its address.
        connector: itself.
        configuration: `devops/default`; None where there is none, so nobody has authorized it.
        organizations: below the configuration.
        available: all that the authorization sees; None where that cannot be told.
    """

    ref: ConnectorRef
    connector: Connector
    configuration: Configuration | None = None
    organizations: tuple[AzureOrganization, ...] = ()
    available: tuple[AzureOrganization, ...] | None = None


async def find_connectors(arm: ArmClient, subscription_id: str, resource_group: str | None) -> list[Found]:
    """Every connector for Azure DevOps, by name.

    Raises:
        OperatorError: Azure does not let us, or does not answer.
    """
    connectors = SecurityConnectors(arm)
    listed = await connectors.list_in(subscription_id, resource_group)
    ours = sorted((each for each in listed if each.environment_name.lower() == _AZURE_DEVOPS), key=lambda each: each.id)
    return list(await asyncio.gather(*(_look(connectors, each) for each in ours)))


async def _look(connectors: SecurityConnectors, connector: Connector) -> Found:
    match = _ID.fullmatch(connector.id)
    if match is None:
        raise AzureUnavailable(f"Azure lists a connector with an id that is not understood: {connector.id}.")
    ref = ConnectorRef(*match.groups())
    configuration = await connectors.get_configuration(ref)
    if configuration is None:
        return Found(ref, connector)
    organizations = await connectors.organizations(ref)
    try:
        available = await connectors.available_organizations(ref)
    except OperatorError:  # the right to ask is one of its own, and an authorization that is lost answers nobody
        available = None
    return Found(ref, connector, configuration, organizations, available)
