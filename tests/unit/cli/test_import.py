from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    AzureOrganization,
    Configuration,
    Connector,
    ConnectorRef,
    InventoryItem,
    OnboardingState,
    ProvisioningState,
)
from defender_devops.api.connector import parse_connector
from defender_devops.api.organization import parse_organization
from defender_devops.cli.import_.discovery import ExistingConnector
from defender_devops.cli.import_.manifests import (
    GeneratedManifests,
    ManifestOptions,
    generate_manifests,
    managing_resource_of_import,
)
from defender_devops.cli.import_.run import _file_content
from defender_devops.cluster.kubernetes_yaml import load_yaml
from defender_devops.reconcile.actions.action import AzureAction
from defender_devops.reconcile.actions.azure import SetTags
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Owner
from defender_devops.reconcile.plan.diff import differences
from tests.support.kubectl import read_with_kubectl
from tests.unit.reconcile.builder import UID

TENANT = "11111111-1111-1111-1111-111111111111"
REF = ConnectorRef("22222222-2222-2222-2222-222222222222", "rg-devops-security", "contoso")
OPTIONS = ManifestOptions(TENANT, account="mdc@contoso.com")
ONBOARDED, HELD, FREE = (
    OnboardingState.ONBOARDED,
    OnboardingState.ONBOARDED_BY_OTHER_CONNECTOR,
    OnboardingState.NOT_ONBOARDED,
)


def cloud_organization(name: str, state: OnboardingState = ONBOARDED, severity: str | None = None) -> AzureOrganization:
    return AzureOrganization(name, state, annotations=Annotations(severity is not None, severity))


def existing(
    *organizations: AzureOrganization,
    future: bool = False,
    not_onboarded: tuple[AzureOrganization, ...] = (),
    agentless: AgentlessConfiguration | None = None,
    name: str = "contoso",
) -> ExistingConnector:
    discovers = AutoDiscovery.ENABLED if future else AutoDiscovery.DISABLED
    return ExistingConnector(
        replace(REF, name=name),
        Connector(replace(REF, name=name).id, "westeurope", {"team": "blue"}),
        Configuration(ProvisioningState.SUCCEEDED, discovers, agentless=agentless),
        organizations,
        (*organizations, *not_onboarded),
    )


def spec_of(result: GeneratedManifests) -> dict[str, object]:
    spec: dict[str, object] = result.manifests[0]["spec"]
    return spec


MODES = [
    ("future organizations", existing(cloud_organization("a"), future=True), {"mode": "AllAndFuture"}),
    ("all available organizations", existing(cloud_organization("b"), cloud_organization("A")), {"mode": "All"}),
    (
        "some of the available organizations",
        existing(cloud_organization("b"), cloud_organization("A"), not_onboarded=(cloud_organization("c", FREE),)),
        {"mode": "Selected", "names": ["A", "b"]},
    ),
    (
        "all but those of another connector",
        existing(cloud_organization("a"), not_onboarded=(cloud_organization("c", HELD),)),
        {"mode": "Selected", "names": ["a"]},
    ),
    ("none", existing(not_onboarded=(cloud_organization("c", FREE),)), {"mode": "Selected", "names": []}),
    (
        "the available ones are unknown",
        replace(existing(cloud_organization("a")), available=None),
        {"mode": "Selected", "names": ["a"]},
    ),
]


@pytest.mark.parametrize(("case", "connector", "organizations"), MODES, ids=[mode[0] for mode in MODES])
def test_the_mode_selects_exactly_the_onboarded_organizations(
    case: str, connector: ExistingConnector, organizations: dict[str, object]
) -> None:
    assert spec_of(generate_manifests(connector, OPTIONS))["organizations"] == organizations


def test_the_manifest_contains_the_address_and_adopts_the_connector() -> None:
    result = generate_manifests(existing(cloud_organization("a"), future=True), replace(OPTIONS, namespace="security"))
    assert result.manifests == (
        {
            "apiVersion": "defender-devops.io/v1alpha1",
            "kind": "AzureDevOpsConnector",
            "metadata": {"name": "contoso", "namespace": "security"},
            "spec": {
                "azure": {
                    "tenantId": TENANT,
                    "subscriptionId": REF.subscription_id,
                    "resourceGroup": "rg-devops-security",
                    "location": "westeurope",
                },
                "organizations": {"mode": "AllAndFuture"},
                "authorization": {"method": "Adopt", "account": "mdc@contoso.com"},
            },
        },
    )
    assert result.notes == ()


def test_a_missing_account_is_noted() -> None:
    result = generate_manifests(existing(future=True), ManifestOptions(TENANT))
    assert spec_of(result)["authorization"] == {"method": "Adopt"}
    assert result.notes == (
        "Set spec.authorization.account to the account that authorized it; Azure does not return it.",
    )


def test_observe_is_written_if_requested() -> None:
    assert (
        spec_of(generate_manifests(existing(future=True), replace(OPTIONS, observe=True)))["managementPolicy"]
        == "Observe"
    )


NAMES = [("From_Portal", "from-portal"), ("MDC(prod).v2", "mdc-prod-v2"), ("___", "connector"), ("x" * 80, "x" * 63)]


@pytest.mark.parametrize(("name", "resource"), NAMES)
def test_an_invalid_object_name_is_replaced_and_kept_as_connector_name(name: str, resource: str) -> None:
    result = generate_manifests(existing(future=True, name=name), OPTIONS)
    assert result.name == resource
    assert result.manifests[0]["spec"]["azure"]["connectorName"] == name


def test_two_connectors_of_one_name_become_two_resources() -> None:
    assert generate_manifests(existing(future=True), OPTIONS, {"contoso", "contoso-2"}).name == "contoso-3"


def test_the_most_common_annotations_are_the_connector_s_and_others_get_their_own() -> None:
    many = [cloud_organization(name, ONBOARDED, "High") for name in ("a", "b")]
    result = generate_manifests(
        existing(*many, cloud_organization("c", ONBOARDED, "Low"), cloud_organization("d")), OPTIONS
    )
    assert spec_of(result)["pullRequestAnnotations"] == {"mode": "Enabled", "minimumSeverity": "High"}
    assert [
        (manifest["metadata"]["name"], manifest["spec"]["pullRequestAnnotations"]) for manifest in result.manifests[1:]
    ] == [
        ("contoso-c", {"mode": "Enabled", "minimumSeverity": "Low"}),
        ("contoso-d", {"mode": "Disabled"}),
    ]


def test_annotations_that_are_off_everywhere_are_not_managed() -> None:
    assert "pullRequestAnnotations" not in spec_of(generate_manifests(existing(cloud_organization("a")), OPTIONS))


def test_scanning_that_a_manifest_cannot_express_is_omitted_and_noted() -> None:
    odd = AgentlessConfiguration(enabled=True, auto_discovery=AutoDiscovery.DISABLED, inventory_list_type="Exclusion")
    result = generate_manifests(existing(agentless=odd), OPTIONS)
    assert "agentlessScanning" not in spec_of(result)
    assert any("cannot express" in note for note in result.notes)


def test_a_connector_without_authorization_is_noted() -> None:
    result = generate_manifests(ExistingConnector(REF, Connector(REF.id, "westeurope")), OPTIONS)
    assert any("Nobody has authorized this connector yet" in note for note in result.notes)


def test_more_organizations_than_the_limit_become_all_with_exclusions() -> None:
    many = [cloud_organization(f"org-{number:03}") for number in range(201)]
    result = generate_manifests(existing(*many, not_onboarded=(cloud_organization("left-out", FREE),)), OPTIONS)
    assert spec_of(result)["organizations"] == {"mode": "All", "exclude": ["left-out"]}


def test_the_owner_of_a_connector_is_read_from_its_tags() -> None:
    marked = {"defender-devops-owner": "c/u", "defender-devops-resource": "security/contoso"}
    assert (
        managing_resource_of_import(replace(existing(), connector=Connector(REF.id, "westeurope", marked)))
        == "security/contoso"
    )
    assert managing_resource_of_import(existing()) is None


_names = st.lists(
    st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
    | st.sampled_from(["1e3", "25921e05", "y", "NO", "0o17", "0x1F", "null", "on"]),
    max_size=6,
    unique_by=str.lower,
)
_severities = st.sampled_from([None, "High", "Medium", "Low"])


@st.composite
def _worlds(draw: st.DrawFn) -> ExistingConnector:
    """Any connector that the portal can create."""
    states = st.sampled_from([ONBOARDED, ONBOARDED, FREE, HELD])
    organizations = [
        cloud_organization(name, state, draw(_severities) if state is ONBOARDED else None)
        for name, state in ((name, draw(states)) for name in draw(_names))
    ]
    below = tuple(item for item in organizations if item.onboarding_state == ONBOARDED)
    not_onboarded = tuple(item for item in organizations if item.onboarding_state != ONBOARDED)
    inclusion = draw(st.booleans())
    scope = draw(st.lists(st.sampled_from(["a", "a/b", "a/b/c", "d/e"]), min_size=int(inclusion), unique=True))
    kinds = ("AzureDevOpsOrganization", "AzureDevOpsProject", "AzureDevOpsRepository")
    agentless = AgentlessConfiguration(
        enabled=draw(st.booleans()),
        auto_discovery=AutoDiscovery.DISABLED if inclusion else AutoDiscovery.ENABLED,
        scanners=tuple(draw(st.lists(st.sampled_from(["gitleaks", "checkov"]), unique=True))),
        inventory_list_type="Inclusion" if inclusion else "Exclusion",
        inventory=tuple(InventoryItem(kinds[value.count("/")], value) for value in scope),
    )
    future = draw(st.booleans()) and not any(item.onboarding_state == FREE for item in not_onboarded)
    return existing(
        *below, future=future, not_onboarded=not_onboarded, agentless=draw(st.sampled_from([None, agentless]))
    )


@settings(max_examples=80)
@given(_worlds())
def test_adopting_imported_manifests_changes_only_the_owner_tags(world: ExistingConnector) -> None:
    result = generate_manifests(world, OPTIONS)
    assert load_yaml(_file_content(result).encode()) == list(result.manifests)
    connector, *organizations = result.manifests
    snapshot = ConnectorSnapshot(
        connector=parse_connector({**connector, "metadata": {**connector["metadata"], "uid": UID}}),
        owner=Owner("cluster", UID),
        cloud=AzureState(world.connector, world.configuration, world.organizations, world.available, fresh=True),
        organizations=tuple(parse_organization(manifest) for manifest in organizations),
    )
    steps = [step for step in differences(Assessment(snapshot)) if isinstance(step, AzureAction)]
    assert [type(step) for step in steps] == [SetTags]
    assert steps[0].tags["team"] == "blue"  # type: ignore[attr-defined]


def test_kubectl_reads_the_names_that_are_written(tmp_path: Path) -> None:
    names = ["0o17", "1e3", "25921e05", "NO", "y"]
    free = (cloud_organization("other", FREE),)
    result = generate_manifests(existing(*(cloud_organization(name) for name in names), not_onboarded=free), OPTIONS)
    file = tmp_path / "manifest.yaml"
    file.write_text(_file_content(result))
    (resource,) = read_with_kubectl(file)
    assert resource["spec"]["organizations"]["names"] == names
