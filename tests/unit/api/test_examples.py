from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender_devops.api.connector import AzureDevOpsConnector, OrganizationsMode, parse_connector
from defender_devops.api.names import CONNECTOR, ORGANIZATION
from defender_devops.api.organization import Onboarding, parse_organization

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))
DEMO = sorted(EXAMPLES.glob("*.yaml"))


def manifests(*files: Path) -> list[dict[str, Any]]:
    return [manifest for file in files for manifest in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_keeps_every_rule_and_holds_no_secret(file: Path) -> None:
    for manifest in manifests(file):
        assert manifest["kind"] != "Secret"
        if manifest["kind"] == CONNECTOR.kind:
            parse_connector(manifest)
        elif manifest["kind"] == ORGANIZATION.kind:
            parse_organization(manifest)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_teaches_and_is_listed(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("# ")
    assert max(map(len, text.splitlines())) <= 125
    assert f"({file.relative_to(EXAMPLES)})" in (EXAMPLES / "README.md").read_text()


def test_every_secret_that_an_example_names_is_explained() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    references = [reference for manifest in manifests(*FILES) for reference in secret_references(manifest)]
    assert references
    for reference in references:
        assert f"| `{reference['name']}` | `{reference['key']}` |" in readme


def secret_references(node: Any) -> list[dict[str, str]]:  # noqa: ANN401 - any JSON
    if isinstance(node, list):
        return [reference for item in node for reference in secret_references(item)]
    if not isinstance(node, dict):
        return []
    references = [value for key, value in node.items() if key.lower().endswith("secretref")]
    return references + [reference for value in node.values() for reference in secret_references(value)]


def test_no_organization_of_the_demo_is_claimed_by_two_connectors() -> None:
    connectors = {resource.metadata.name: resource for resource in map(parse_connector, of_kind(CONNECTOR.kind))}
    declared = [parse_organization(manifest) for manifest in of_kind(ORGANIZATION.kind)]
    claims = Counter(name for resource in connectors.values() for name in resource.spec.organizations.selected_names)
    claims.update(resource.key[1] for resource in declared if resource.onboarding is Onboarding.ONBOARDED)
    assert max(claims.values()) == 1
    for everything in filter(takes_all, connectors.values()):
        assert set(claims) <= everything.spec.organizations.excluded_names
    assert {resource.spec.connector_ref.name for resource in declared} <= connectors.keys()


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests(*DEMO) if manifest["kind"] == kind]


def takes_all(resource: AzureDevOpsConnector) -> bool:
    return resource.spec.organizations.mode is not OrganizationsMode.SELECTED
