"""Variants of the connector and its DevOps configuration: their fields, and writes to them."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.variant import Variant

__all__ = ["CONNECTOR"]

CONNECTOR: Final[dict[str, Variant]] = {
    "inventoryPatch": Variant(
        "a PATCH with topLevelInventoryList",
        {
            "replaces": "the list replaces the selection; unknown names are ignored",
            "adds": "the list is added to the selection",
            "refusesUnknown": "400 for a name that the authorization cannot access",
        },
    ),
    "patchWithoutInventory": Variant(
        "a PATCH with autoDiscovery Disabled and without topLevelInventoryList",
        {
            "all": "selects all existing organizations, as the documentation says of a PUT",
            "keeps": "keeps the selection: a PATCH changes only what it names",
        },
    ),
    "putWithoutCode": Variant(
        "a PUT without a code on an existing configuration",
        {
            "reuses": "uses the existing authorization, as PATCH does",
            "fails": "is accepted and fails: a PUT replaces the authorization too",
            "refused": "400",
        },
    ),
    "concurrentOperations": Variant(
        "a write while an operation on the configuration runs",
        {"lastWins": "both are accepted", "conflict": "409 Conflict, as many providers answer"},
    ),
    "createDuration": Variant(
        "duration of a successful create",
        {"seconds": "6 to 33 seconds, as of a PATCH", "tenMinutes": "it may wait for a first discovery"},
    ),
    "operationResults": Variant(
        "the result of an operation that has ended",
        {"stay": "for a day", "expire": "404 after five minutes"},
    ),
    "organizationPut": Variant(
        "PUT of an organization",
        {"onboards": "it is in the API description", "refused": "405: organizations are chosen by the configuration"},
    ),
    "annotationsDefault": Variant(
        "state of annotations where nothing was configured",
        {"disabled": "they are off", "none": "`None`, the value for organizations that are not onboarded"},
    ),
    "capabilities": Variant(
        "capabilities of the configuration",
        {"one": "the only one in an example", "several": "a list has more than one item some day", "none": "no list"},
    ),
    "secondOffering": Variant(
        "the offering DefenderForDevOpsAzureDevOps",
        {"oneVersion": "observed with 2023-10-01-preview only", "allVersions": "the service adds it to every answer"},
    ),
    "healthReports": Variant(
        "health reports of an Azure DevOps connector",
        {
            "empty": "they are documented for AWS and GCP",
            "notFound": "404 for a connector of another kind",
            "healthy": "one report, Healthy",
            "notHealthy": "one report, NotHealthy, with an issue and its remediation",
        },
    ),
    "connectorErrors": Variant(
        "errors of the connector's own checks",
        {"own": "observed for some of them", "arm": "the shape of Resource Manager, as for its children"},
    ),
    "connectorChildren": Variant(
        "DELETE of a connector that has a configuration",
        {"deleted": "deletes it too", "required": "409 CannotDeleteResource until the configuration is deleted"},
    ),
    "connectorDeletion": Variant(
        "DELETE of a connector",
        {"atOnce": "204, and it is gone", "accepted": "202, and it is gone some seconds later"},
    ),
}
