"""The CustomResourceDefinitions, generated from the models into deploy/crds.

    python -m defender_devops.api.crds FOLDER           write them
    python -m defender_devops.api.crds --check FOLDER   exit 1 with a diff where they differ

The models are the source; users install the files.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.names import CATEGORY, CONNECTOR, GROUP, ORGANIZATION, VERSION, ResourceNames
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.api.schema.model import ApiModel
from defender_devops.api.schema.structural import structural_schema

_HEADER: Final = "# Generated from the models in operator/defender_devops/api by `make crds`: change those, not this.\n"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`.

    Attributes:
        name: heading, which kubectl prints in capitals.
        path: JSONPath to the value.
        description: what the column shows.
        type: string, integer, boolean or date.
        wide: whether it is shown with `-o wide` only.
    """

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def definition(self) -> dict[str, Any]:
        """Return the entry of additionalPrinterColumns."""
        entry: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "jsonPath": self.path,
        }
        return entry | {"priority": 1} if self.wide else entry


def _of_condition(condition_type: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{condition_type}")].{field}'


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "Time since its creation.", "date")
_READY: Final = Column("Ready", _of_condition("Ready", "status"), "Whether the desired state is reached.")
_REASON: Final = Column("Reason", _of_condition("Ready", "reason"), "Reason of the condition Ready.")
# A column shows one value: a JSONPath cannot join the numbers. Other resources with findings have a column for each
# severity (such as the reports of Trivy's operator); here the numbers are one short text of the status.
_FINDINGS: Final = Column(
    "Findings", ".status.posture.findings", "Open recommendations of Defender for Cloud by severity.", wide=True
)
_MESSAGE: Final = Column("Message", _of_condition("Ready", "message"), "Message of the condition Ready.", wide=True)

# `kubectl get defender` prefixes names with 40 characters of resource and group: READY and REASON fill a line of 100.
_CONNECTOR_COLUMNS: Final = (
    _READY,
    _REASON,
    Column("%", ".status.discovery.percent", "Share of the expected repositories that are discovered.", "integer"),
    _AGE,
    Column(
        "Authorized",
        _of_condition("Authorized", "status"),
        "Whether Defender for Cloud has access to Azure DevOps.",
        wide=True,
    ),
    Column(
        "Orgs", ".status.discovery.organizations.onboarded", "Organizations that are covered.", "integer", wide=True
    ),
    Column(
        "Repos", ".status.discovery.repositories.discovered", "Repositories that are reported.", "integer", wide=True
    ),
    _FINDINGS,
    Column("Subscription", ".spec.azure.subscriptionId", "Subscription of the connector.", wide=True),
    Column("Location", ".spec.azure.location", "Region of the connector.", wide=True),
    Column("Account", ".spec['authorization','signIn'].account", "Account that authorizes Defender.", wide=True),
    _MESSAGE,
)

_ORGANIZATION_COLUMNS: Final = (
    _READY,
    _REASON,
    Column("Connector", ".spec.connectorRef.name", "Connector of the organization.", wide=True),
    Column("Organization", ".spec.organization", "Azure DevOps organization.", wide=True),
    Column("State", ".status.onboardingState", "Defender's onboarding state.", wide=True),
    Column(
        "Prerequisites", _of_condition("PrerequisitesMet", "status"), "Whether all prerequisites are met.", wide=True
    ),
    Column("Projects", ".status.projects.discovered", "Projects that are reported.", "integer", wide=True),
    Column("Repos", ".status.repositories.discovered", "Repositories that are reported.", "integer", wide=True),
    _FINDINGS,
    Column("Conflict", ".status.conflictingConnector", "Connector that has onboarded it instead.", wide=True),
    replace(_AGE, wide=True),
    _MESSAGE,
)


@dataclass(frozen=True, slots=True)
class _Resource:
    names: ResourceNames
    model: type[ApiModel]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...]

    def crd(self) -> dict[str, Any]:
        names = self.names
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": names.crd},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {
                    "kind": names.kind,
                    "listKind": names.list_kind_name,
                    "plural": names.plural,
                    "singular": names.singular,
                    "shortNames": [names.short_name],
                    "categories": [CATEGORY],
                },
                "versions": [self._version()],
            },
        }

    def _version(self) -> dict[str, Any]:
        return {
            "name": VERSION,
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "selectableFields": [{"jsonPath": path} for path in self.selectable],
            "additionalPrinterColumns": [column.definition() for column in self.columns],
            "schema": {"openAPIV3Schema": structural_schema(self.model)},
        }


_RESOURCES: Final = (
    _Resource(
        CONNECTOR,
        AzureDevOpsConnector,
        _CONNECTOR_COLUMNS,
        (
            ".spec.azure.tenantId",
            ".spec.azure.subscriptionId",
            ".spec.azure.resourceGroup",
            ".spec.authorization.method",
            ".spec.organizations.mode",
            ".spec.managementPolicy",
            ".spec.suspend",
        ),
    ),
    _Resource(
        ORGANIZATION,
        DevOpsOrganization,
        _ORGANIZATION_COLUMNS,
        (".spec.connectorRef.name", ".spec.organization", ".spec.onboarding"),
    ),
)


def custom_resource_definitions() -> tuple[dict[str, Any], ...]:
    """Both definitions, as Python values."""
    return tuple(resource.crd() for resource in _RESOURCES)


def crd_files() -> Mapping[str, str]:
    """Content of each file of the folder, by name."""
    return {f"{crd['spec']['names']['plural']}.yaml": _to_yaml(crd) for crd in custom_resource_definitions()}


def _to_yaml(crd: Mapping[str, Any]) -> str:
    return _HEADER + yaml.safe_dump(crd, sort_keys=False, width=120, allow_unicode=True)


def crd_difference(folder: Path) -> str:
    """Return a unified diff from the files in the folder to the generated ones; empty if they are equal."""
    diffs: list[str] = []
    for name, generated in crd_files().items():
        path = folder / name
        deployed = path.read_text(encoding="utf-8") if path.exists() else ""
        before_lines, after_lines = deployed.splitlines(keepends=True), generated.splitlines(keepends=True)
        diffs += difflib.unified_diff(before_lines, after_lines, f"{path} (deployed)", f"{path} (generated)")
    return "".join(diffs)


def generate_crds(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or compare them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m defender_devops.api.crds", description="Make the CRDs.")
    parser.add_argument("folder", type=Path, help="where they are, such as deploy/crds")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff where they differ")
    options = parser.parse_args(arguments)
    if options.check:
        diff = crd_difference(options.folder)
        sys.stdout.write(diff)
        return 1 if diff else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, content in crd_files().items():
        (options.folder / name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(generate_crds())
