"""The environment variables that direct clients to a simulated cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["client_environment"]

_LOOPBACK = "localhost,127.0.0.1"
"""Hosts that are reached without a proxy."""


def client_environment(endpoints: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that direct the operator, the acceptance kit or an SDK to a cloud.

    Args:
        endpoints: the line of JSON that the cloud prints when it is ready.
    """
    devops = endpoints["azureDevOps"]
    return {
        "NO_PROXY": _LOOPBACK,
        "no_proxy": _LOOPBACK,
        "SSL_CERT_FILE": str(endpoints["ca"]),
        "AZURE_AUTHORITY_HOST": endpoints["authority"],
        "DEFENDER_DEVOPS_ARM_ENDPOINT": endpoints["arm"],
        "DEFENDER_DEVOPS_AZURE_DEVOPS_ENDPOINT": devops["devAzure"],
        "DEFENDER_DEVOPS_AZURE_DEVOPS_PROFILE_ENDPOINT": devops["profile"],
        "DEFENDER_DEVOPS_AZURE_DEVOPS_IDENTITY_ENDPOINT": devops["identity"],
        "DEFENDER_DEVOPS_AZURE_DEVOPS_ENTITLEMENT_ENDPOINT": devops["entitlement"],
        "DEFENDER_DEVOPS_AZURE_DEVOPS_EXTENSION_ENDPOINT": devops["extension"],
        "DEFENDER_DEVOPS_AZURE_DEVOPS_SEARCH_ENDPOINT": devops["search"],
        "DEFENDER_DEVOPS_AZURE_DEVOPS_ADVANCED_SECURITY_ENDPOINT": devops["advancedSecurity"],
    }
