from __future__ import annotations

import string
from dataclasses import replace

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
from defender_devops.cli.import_.discovery import Found
from defender_devops.cli.import_.manifests import Imported, Options, imported, managed_by
from defender_devops.reconcile.actions.action import AzureAction
from defender_devops.reconcile.actions.azure import SetTags
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Owner
from defender_devops.reconcile.plan.diff import differences
from tests.unit.reconcile.builder import UID

TENANT = "11111111-1111-1111-1111-111111111111"
REF = ConnectorRef("22222222-2222-2222-2222-222222222222", "rg-devops-security", "contoso")
OPTIONS = Options(TENANT, account="mdc@contoso.com")
ONBOARDED, HELD, FREE = (
    OnboardingState.ONBOARDED,
    OnboardingState.ONBOARDED_BY_OTHER_CONNECTOR,
    OnboardingState.NOT_ONBOARDED,
)


def cloud_organization(name: str, state: OnboardingState = ONBOARDED, severity: str | None = None) -> AzureOrganization:
    return AzureOrganization(name, state, annotations=Annotations(severity is not None, severity))


def found(
    *organizations: AzureOrganization,
    future: bool = False,
    others: tuple[AzureOrganization, ...] = (),
    agentless: AgentlessConfiguration | None = None,
    name: str = "contoso",
) -> Found:
    discovers = AutoDiscovery.ENABLED if future else AutoDiscovery.DISABLED
    return Found(
        replace(REF, name=name),
        Connector(replace(REF, name=name).id, "westeurope", {"team": "blue"}),
        Configuration(ProvisioningState.SUCCEEDED, discovers, agentless=agentless),
        organizations,
        (*organizations, *others),
    )


def spec_of(made: Imported) -> dict[str, object]:
    spec: dict[str, object] = made.manifests[0]["spec"]
    return spec


MODES = [
    ("future ones too", found(cloud_organization("a"), future=True), {"mode": "AllAndFuture"}),
    ("all that there are", found(cloud_organization("b"), cloud_organization("A")), {"mode": "All"}),
    (
        "some of those there are",
        found(cloud_organization("b"), cloud_organization("A"), others=(cloud_organization("c", FREE),)),
        {"mode": "Selected", "names": ["A", "b"]},
    ),
    (
        "all but another connector's",
        found(cloud_organization("a"), others=(cloud_organization("c", HELD),)),
        {"mode": "Selected", "names": ["a"]},
    ),
    ("none", found(others=(cloud_organization("c", FREE),)), {"mode": "Selected", "names": []}),
    ("nobody can tell", replace(found(cloud_organization("a")), available=None), {"mode": "Selected", "names": ["a"]}),
]


@pytest.mark.parametrize(("why", "what", "organizations"), MODES, ids=[each[0] for each in MODES])
def test_the_mode_is_the_one_that_leaves_everything_as_it_is(
    why: str, what: Found, organizations: dict[str, object]
) -> None:
    assert spec_of(imported(what, OPTIONS))["organizations"] == organizations


def test_the_manifest_says_where_the_connector_is_and_adopts_it() -> None:
    made = imported(found(cloud_organization("a"), future=True), replace(OPTIONS, namespace="security"))
    assert made.manifests == (
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
    assert made.notes == ()


def test_without_an_account_it_asks_for_one() -> None:
    made = imported(found(future=True), Options(TENANT))
    assert spec_of(made)["authorization"] == {"method": "Adopt"}
    assert made.notes == ("Say in spec.authorization.account who authorized it; Azure never tells.",)


def test_observe_is_written_where_it_is_asked_for() -> None:
    assert spec_of(imported(found(future=True), replace(OPTIONS, observe=True)))["managementPolicy"] == "Observe"


NAMES = [("From_Portal", "from-portal"), ("MDC(prod).v2", "mdc-prod-v2"), ("___", "connector"), ("x" * 80, "x" * 63)]


@pytest.mark.parametrize(("name", "resource"), NAMES)
def test_a_name_that_kubernetes_does_not_allow_is_written_beside(name: str, resource: str) -> None:
    made = imported(found(future=True, name=name), OPTIONS)
    assert made.name == resource
    assert made.manifests[0]["spec"]["azure"]["connectorName"] == name


def test_two_connectors_of_one_name_become_two_resources() -> None:
    assert imported(found(future=True), OPTIONS, {"contoso", "contoso-2"}).name == "contoso-3"


def test_annotations_that_most_have_are_the_connector_s_and_the_others_decide_for_themselves() -> None:
    many = [cloud_organization(name, ONBOARDED, "High") for name in ("a", "b")]
    made = imported(found(*many, cloud_organization("c", ONBOARDED, "Low"), cloud_organization("d")), OPTIONS)
    assert spec_of(made)["pullRequestAnnotations"] == {"mode": "Enabled", "minimumSeverity": "High"}
    assert [(each["metadata"]["name"], each["spec"]["pullRequestAnnotations"]) for each in made.manifests[1:]] == [
        ("contoso-c", {"mode": "Enabled", "minimumSeverity": "Low"}),
        ("contoso-d", {"mode": "Disabled"}),
    ]


def test_where_annotations_are_off_everywhere_they_are_not_managed() -> None:
    assert "pullRequestAnnotations" not in spec_of(imported(found(cloud_organization("a")), OPTIONS))


def test_scanning_that_a_manifest_cannot_say_is_left_alone_and_named() -> None:
    odd = AgentlessConfiguration(enabled=True, auto_discovery=AutoDiscovery.DISABLED, inventory_list_type="Exclusion")
    made = imported(found(agentless=odd), OPTIONS)
    assert "agentlessScanning" not in spec_of(made)
    assert any("stays as it is" in each for each in made.notes)


def test_a_connector_that_nobody_has_authorized_says_so() -> None:
    made = imported(Found(REF, Connector(REF.id, "westeurope")), OPTIONS)
    assert any("Nobody has authorized this connector yet" in each for each in made.notes)


def test_more_organizations_than_a_list_may_name_become_all_but_the_others() -> None:
    many = [cloud_organization(f"org-{number:03}") for number in range(201)]
    made = imported(found(*many, others=(cloud_organization("left-out", FREE),)), OPTIONS)
    assert spec_of(made)["organizations"] == {"mode": "All", "exclude": ["left-out"]}


def test_a_connector_with_an_owner_s_mark_is_known_by_it() -> None:
    marked = {"defender-devops-owner": "c/u", "defender-devops-resource": "security/contoso"}
    assert managed_by(replace(found(), connector=Connector(REF.id, "westeurope", marked))) == "security/contoso"
    assert managed_by(found()) is None


_names = st.lists(
    st.text(string.ascii_letters + string.digits, min_size=1, max_size=8), max_size=6, unique_by=str.lower
)
_severities = st.sampled_from([None, "High", "Medium", "Low"])


@st.composite
def _worlds(draw: st.DrawFn) -> Found:
    """Any connector that the portal can make."""
    states = st.sampled_from([ONBOARDED, ONBOARDED, FREE, HELD])
    organizations = [
        cloud_organization(name, state, draw(_severities) if state is ONBOARDED else None)
        for name, state in ((name, draw(states)) for name in draw(_names))
    ]
    below = tuple(each for each in organizations if each.onboarding_state == ONBOARDED)
    others = tuple(each for each in organizations if each.onboarding_state != ONBOARDED)
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
    future = draw(st.booleans()) and not any(each.onboarding_state == FREE for each in others)
    return found(*below, future=future, others=others, agentless=draw(st.sampled_from([None, agentless])))


@settings(max_examples=80)
@given(_worlds())
def test_adopting_what_was_imported_changes_nothing_but_the_owner_s_tags(world: Found) -> None:
    connector, *organizations = imported(world, OPTIONS).manifests
    seen = ConnectorSnapshot(
        connector=parse_connector({**connector, "metadata": {**connector["metadata"], "uid": UID}}),
        owner=Owner("cluster", UID),
        cloud=AzureState(world.connector, world.configuration, world.organizations, world.available, fresh=True),
        organizations=tuple(parse_organization(each) for each in organizations),
    )
    steps = [step for step in differences(seen) if isinstance(step, AzureAction)]
    assert [type(step) for step in steps] == [SetTags]
    assert steps[0].tags["team"] == "blue"  # type: ignore[attr-defined]
