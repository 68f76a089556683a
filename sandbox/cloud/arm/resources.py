"""Subscriptions, tenants, resource groups, locations, registration of resource providers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.cloud.arm.api_versions import versions_of
from sandbox.cloud.arm.authorization.rights import Rights
from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.arm.paging import page
from sandbox.cloud.defender.model import Connector
from sandbox.cloud.defender.onboarding import delete_connector
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.azure import REGIONS, ResourceGroup, Subscription

__all__ = ["PROVIDER_TYPES", "Resources"]

_READ = "Microsoft.Resources/subscriptions/read"
_GROUP_TYPE = "Microsoft.Resources/resourceGroups"
_CONNECTOR_TYPE = "Microsoft.Security/securityConnectors"
_RESOURCES_PER_PAGE = 1000
_FILTER = re.compile(
    r"(?P<property>resourceType|resourceGroup|location|name|tagName|tagValue)\s+(?P<operator>eq|ne)\s+'(?P<value>[^']*)'",
    re.IGNORECASE,
)
PROVIDER_TYPES = {
    "Microsoft.Security": ("securityConnectors", "healthReports", "assessments", "pricings"),
    "Microsoft.Authorization": ("roleAssignments", "roleDefinitions"),
    "Microsoft.ResourceGraph": ("resources",),
    "Microsoft.Resources": ("subscriptions", "resourceGroups", "tenants", "providers"),
}
"""Resource types of each provider; only `Microsoft.Security` requires a registration."""


class Resources:
    """Endpoints of `Microsoft.Resources`."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights

    # --- subscriptions

    def list_subscriptions(self, call: Call) -> Reply:
        """GET /subscriptions: those of the tenant that the caller may read."""
        visible = [
            subscription
            for subscription in call.world.subscriptions.values()
            if subscription.tenant_id == call.principal.tenant_id
            and self._rights.allows(call.world, call.principal, _READ, f"/subscriptions/{subscription.id}")
        ]
        return json_reply(
            {
                "value": [_render_subscription(subscription) for subscription in visible],
                "count": {"type": "Total", "value": len(visible)},
            }
        )

    @staticmethod
    def get_subscription(call: Call) -> Reply:
        """GET one."""
        return json_reply(_render_subscription(call.subscription))

    @staticmethod
    def list_tenants(call: Call) -> Reply:
        """GET /tenants: the tenant of the caller."""
        tenant = call.world.directory.tenants[call.principal.tenant_id]
        described = {
            "id": f"/tenants/{tenant.id}",
            "tenantId": tenant.id,
            "countryCode": "NL",
            "displayName": tenant.name,
            "domains": [tenant.domain],
            "defaultDomain": tenant.domain,
            "tenantType": "AAD",
        }
        return json_reply({"value": [described]})

    @staticmethod
    def list_locations(call: Call) -> Reply:
        """GET the locations of a subscription."""
        base = f"/subscriptions/{call.subscription.id}/locations"
        regions = [
            {"id": f"{base}/{region}", "name": region, "type": "Region", "displayName": region} for region in REGIONS
        ]
        return json_reply({"value": regions})

    # --- resource groups

    @staticmethod
    def list_groups(call: Call) -> Reply:
        """GET all of a subscription."""
        return json_reply(
            {"value": [_render_group(call, group) for group in call.subscription.resource_groups.values()]}
        )

    @staticmethod
    def get_group(call: Call) -> Reply:
        """GET one."""
        return json_reply(_render_group(call, _require_group(call)))

    @staticmethod
    def head_group(call: Call) -> Reply:
        """HEAD: 204 if the group exists, 404 otherwise."""
        return Reply(204 if call.name.lower() in call.subscription.resource_groups else 404)

    @staticmethod
    def put_group(call: Call) -> Reply:
        """PUT: 201 or 200."""
        body = call.body()
        location = body.get("location")
        if not isinstance(location, str) or not location:
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        existing = call.subscription.resource_groups.get(call.name.lower())
        if existing is not None and _normalize_location(existing.location) != _normalize_location(location):
            message = (
                f"Invalid resource group location '{location}'. The Resource group already exists in location "
                f"'{existing.location}'."
            )
            raise ArmError(409, "InvalidResourceGroupLocation", message)
        group = existing or ResourceGroup(call.name, _normalize_location(location))
        group.tags = dict(body.get("tags") or {})
        call.subscription.resource_groups[call.name.lower()] = group
        call.request.effect("resourceGroup.write", id=call.path.id.lower())
        return json_reply(_render_group(call, group), 201 if existing is None else 200)

    @staticmethod
    def delete_group(call: Call) -> Reply:
        """DELETE: removes the group and its connectors at once."""
        group = _require_group(call)
        prefix = f"/subscriptions/{call.subscription.id}/resourcegroups/{group.name.lower()}/"
        for key, connector in list(call.world.connectors.items()):
            if key.startswith(prefix):
                delete_connector(call.world, connector, call.now)
        del call.subscription.resource_groups[group.name.lower()]
        call.request.effect("resourceGroup.delete", id=call.path.id.lower())
        return Reply(200)

    # --- resources of all providers

    def list_resources(self, call: Call) -> Reply:
        """GET the resources of a subscription or group that the caller may read: security connectors."""
        matches = _parse_filter(call.request.query.get("$filter", ""))
        group = f"{call.path.group.lower()}" if call.path.group else None
        items = [
            {"id": connector.id, "name": connector.name, "type": _CONNECTOR_TYPE, "location": connector.location}
            | ({"tags": connector.tags} if connector.tags else {})
            for connector in call.world.connectors_with_lag(call.world.settings.read_after_write_lag).values()
            if connector.subscription_id == call.subscription.id
            and group in (None, connector.resource_group.lower())
            and matches(connector)
            and (
                call.world.variants.is_chosen("resourceLists", "all")
                or self._rights.allows(call.world, call.principal, f"{_CONNECTOR_TYPE}/read", connector.id)
            )
        ]
        top = call.request.query.get("$top", "")
        part, following = page(call.request, items, int(top) if top.isdecimal() and int(top) else _RESOURCES_PER_PAGE)
        return json_reply({"value": part, **following})

    # --- resource providers

    @staticmethod
    def list_providers(call: Call) -> Reply:
        """GET the providers of a subscription, with their registration."""
        return json_reply({"value": [_render_provider(call, namespace) for namespace in PROVIDER_TYPES]})

    @staticmethod
    def list_tenant_providers(call: Call) -> Reply:
        """GET /providers: the providers without a registration, which belongs to a subscription."""
        del call
        return json_reply({"value": [_describe_provider(namespace) for namespace in PROVIDER_TYPES]})

    @staticmethod
    def get_provider(call: Call) -> Reply:
        """GET a provider's registration."""
        return json_reply(_render_provider(call, call.path.namespace))

    @staticmethod
    def register_provider(call: Call) -> Reply:
        """POST …/register: takes effect at once."""
        call.subscription.providers.add(call.path.namespace.lower())
        call.request.effect("provider.register", namespace=call.path.namespace)
        return json_reply(_render_provider(call, call.path.namespace))


def _normalize_location(location: str) -> str:
    return location.replace(" ", "").lower()


def _render_subscription(subscription: Subscription) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{subscription.id}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id,
        "tenantId": subscription.tenant_id,
        "displayName": subscription.name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Internal_2014-09-01",
            "quotaId": "EnterpriseAgreement_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def _require_group(call: Call) -> ResourceGroup:
    group = call.subscription.resource_groups.get(call.name.lower())
    if group is None:
        raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{call.name}' could not be found.")
    return group


def _render_group(call: Call, group: ResourceGroup) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{call.subscription.id}/resourceGroups/{group.name}",
        "name": group.name,
        "type": _GROUP_TYPE,
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    }


def _render_provider(call: Call, namespace: str) -> dict[str, Any]:
    required = namespace.lower() == "microsoft.security"
    registered = not required or namespace.lower() in call.subscription.providers
    return {
        "id": f"/subscriptions/{call.subscription.id}/providers/{namespace}",
        **_describe_provider(namespace),
        "registrationState": "Registered" if registered else "NotRegistered",
        "registrationPolicy": "RegistrationRequired" if required else "RegistrationFree",
    }


def _describe_provider(namespace: str) -> dict[str, Any]:
    types = next((types for name, types in PROVIDER_TYPES.items() if name.lower() == namespace.lower()), ())
    locations = list(REGIONS) if namespace.lower() == "microsoft.security" else []
    described = [
        {
            "resourceType": type_name,
            "locations": locations,
            "apiVersions": list(reversed(versions_of(f"{namespace}/{type_name}".lower()) or ())),
        }
        for type_name in types
    ]
    return {"namespace": namespace, "resourceTypes": described}


def _parse_filter(expression: str) -> Callable[[Connector], bool]:
    """Return the predicate of a `$filter`: comparisons joined by `and`.

    Raises:
        ArmError: 400 InvalidFilterInQueryString.
    """
    terms = []
    for part in re.split(r"\s+and\s+", expression.strip(), flags=re.IGNORECASE) if expression.strip() else []:
        match = _FILTER.fullmatch(part.strip())
        if match is None:
            message = f"Invalid $filter '{expression}' specified in the query string."
            raise ArmError(400, "InvalidFilterInQueryString", message)
        terms.append((match["property"].lower(), match["operator"].lower() == "eq", match["value"].lower()))

    def matches(connector: Connector) -> bool:
        values = {
            "resourcetype": [_CONNECTOR_TYPE],
            "resourcegroup": [connector.resource_group],
            "location": [_normalize_location(connector.location)],
            "name": [connector.name],
            "tagname": list(connector.tags),
            "tagvalue": list(connector.tags.values()),
        }
        return all((value in [text.lower() for text in values[name]]) == equal for name, equal, value in terms)

    return matches
