"""Settings of an operator for tests: as much faster than the defaults as the simulated cloud's time is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from tests.support.scenarios.azure_world import SERVICE_ACCOUNT, WORKLOAD
from tests.support.scenarios.scenario import SUBSCRIPTION, TENANT, UNKNOWN_SUBSCRIPTION

__all__ = ["QUICK", "watching"]

QUICK: Final = {
    "DEFENDER_DEVOPS_REFRESH_INTERVAL": "1",
    "DEFENDER_DEVOPS_RESOURCE_GRAPH_LAG": "0.2",
    "DEFENDER_DEVOPS_CHECK_INTERVAL": "2",
    "DEFENDER_DEVOPS_OPERATION_POLL_INTERVAL": "0.5",
    "DEFENDER_DEVOPS_DISCOVERY_SETTLE_INTERVAL": "10",
    "DEFENDER_DEVOPS_BACKOFF_INITIAL": "0.5",
    "DEFENDER_DEVOPS_BACKOFF_MAXIMUM": "4",
    "DEFENDER_DEVOPS_TERMINAL_RETRY_INTERVAL": "4",
    "DEFENDER_DEVOPS_MIN_REQUEUE_INTERVAL": "0.2",
    "DEFENDER_DEVOPS_LOG_FORMAT": "console",
}
"""An hour in ten seconds."""


def watching(namespaces: Iterable[str], granted: Iterable[str]) -> dict[str, str]:
    """Return the operator's variables for these namespaces.

    Args:
        namespaces: those it watches.
        granted: those that may act as the operator, and by their service account.
    """
    operator_grants = [
        {"namespace": namespace, "tenantId": TENANT, "subscriptionId": subscription}
        for namespace in granted
        for subscription in (SUBSCRIPTION, UNKNOWN_SUBSCRIPTION)
    ]
    workload_grants = [
        {**grant, "clientId": WORKLOAD, "serviceAccountName": SERVICE_ACCOUNT} for grant in operator_grants
    ]
    return {
        "DEFENDER_DEVOPS_NAMESPACES": json.dumps(list(namespaces)),
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps([*operator_grants, *workload_grants]),
    }
