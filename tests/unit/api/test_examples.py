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
    named = [reference for manifest in manifests(*FILES) for reference in secret_references(manifest)]
    assert named
    for reference in named:
        assert f"| `{reference['name']}` | `{reference['key']}` |" in readme


def secret_references(node: Any) -> list[dict[str, str]]:  # noqa: ANN401 - any JSON
    if isinstance(node, list):
        return [found for item in node for found in secret_references(item)]
    if not isinstance(node, dict):
        return []
    own = [value for key, value in node.items() if key.lower().endswith("secretref")]
    return own + [found for value in node.values() for found in secret_references(value)]


def test_no_organization_of_the_demo_is_claimed_by_two_connectors() -> None:
    connectors = {read.metadata.name: read for read in map(parse_connector, of_kind(CONNECTOR.kind))}
    declared = [parse_organization(manifest) for manifest in of_kind(ORGANIZATION.kind)]
    claims = Counter(name for read in connectors.values() for name in read.spec.organizations.selected_names)
    claims.update(read.key[1] for read in declared if read.onboarding is Onboarding.ONBOARDED)
    assert max(claims.values()) == 1
    for everything in filter(takes_all, connectors.values()):
        assert set(claims) <= everything.spec.organizations.excluded_names
    assert {read.spec.connector_ref.name for read in declared} <= connectors.keys()


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests(*DEMO) if manifest["kind"] == kind]


def takes_all(read: AzureDevOpsConnector) -> bool:
    return read.spec.organizations.mode is not OrganizationsMode.SELECTED
