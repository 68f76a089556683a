"""`GET /metadata/endpoints`: the endpoints of the cloud, public, as clients read them before they sign in."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tokens import ARM_RESOURCES
from sandbox.cloud.transport.message import Reply, Request, json_reply

__all__ = ["metadata_endpoints"]

_LEGACY_VERSIONS = ("2014-11-01", "2015-01-01", "2015-11-01")
_LIST_VERSIONS = ("2018-05-01", "2019-05-01", "2020-06-01")
_OBJECT_VERSIONS = ("2022-09-01", "2023-11-01")


def metadata_endpoints(request: Request, entra: EntraState, *, few: bool = False) -> Reply:
    """Return the endpoints in the shape of the api-version: a short object, a list of clouds, or one cloud.

    Raises:
        ArmError: 400: the api-version is missing or unknown.
    """
    version = request.query.get("api-version")
    supported = (*_LEGACY_VERSIONS, *_LIST_VERSIONS, *_OBJECT_VERSIONS)
    if not version:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise ArmError(400, "MissingApiVersionParameter", message)
    if version not in supported:
        message = (
            f"The api-version '{version}' is invalid. The supported versions are '{','.join(reversed(supported))}'."
        )
        raise ArmError(400, "InvalidApiVersionParameter", message)
    audiences = [f"{ARM_RESOURCES[1]}/", f"{ARM_RESOURCES[0]}/", *sorted(entra.arm_resources)]
    if version in _LEGACY_VERSIONS:
        return json_reply(
            {
                "galleryEndpoint": "https://gallery.azure.com/",
                "graphEndpoint": "https://graph.windows.net/",
                "portalEndpoint": "https://portal.azure.com/",
                "authentication": {"loginEndpoint": f"{entra.authority}/", "audiences": audiences},
            }
        )
    cloud: dict[str, Any] = {
        "portal": "https://portal.azure.com",
        "authentication": {
            "loginEndpoint": f"{entra.authority}/",
            "audiences": audiences,
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "media": "https://rest.media.azure.net",
        "graphAudience": "https://graph.windows.net/",
        "graph": "https://graph.windows.net/",
        "microsoftGraphResourceId": "https://graph.microsoft.com/",
        "name": "AzureCloud",
        "suffixes": {
            "acrLoginServer": "azurecr.io",
            "keyVaultDns": "vault.azure.net",
            "sqlServerHostname": "database.windows.net",
            "storage": "core.windows.net",
        },
        "batch": "https://batch.core.windows.net/",
        "resourceManager": request.base,
        "sqlManagement": f"{ARM_RESOURCES[1]}:8443/",
        "gallery": "https://gallery.azure.com/",
    }
    if few:
        cloud = {name: cloud[name] for name in ("name", "authentication", "resourceManager")}
    return json_reply([cloud] if version in _LIST_VERSIONS else cloud)
