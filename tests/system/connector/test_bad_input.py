"""What people get wrong, each with the words that help, and that it mends itself once its cause is gone."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.cluster.client import ApiError, Manifest, condition
from tests.support.scenarios.azure_world import OPERATOR
from tests.support.scenarios.scenario import (
    ACCOUNT,
    GROUP,
    ORGANIZATION,
    SUBSCRIPTION,
    TENANT,
    UNKNOWN_SUBSCRIPTION,
    Scenario,
    message,
)

pytestmark = pytest.mark.early

SCOPE = f"/subscriptions/{SUBSCRIPTION}"
GROUPS = [{"name": GROUP, "location": "westeurope"}]


@dataclass(frozen=True)
class Trouble:
    """Something wrong, and how it is mended outside the manifest.

    Attributes:
        name: in words.
        reason: of Provisioned.
        phrases: that the message must hold.
        cause: brings it about.
        mend: takes its cause away; nobody touches the resource.
        spec: what the manifest asks for.
    """

    name: str
    reason: str
    phrases: tuple[str, ...]
    cause: Callable[[Scenario], object]
    mend: Callable[[Scenario], object]
    spec: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def without_rights(scenario: Scenario) -> None:
    """The operator's identity has no role in the subscription."""
    for role in ("Contributor", "Role Based Access Control Administrator"):
        scenario.control.unassign_role(role, OPERATOR, SCOPE)


def with_rights_to_read(scenario: Scenario) -> None:
    """The operator's identity may read only."""
    without_rights(scenario)
    scenario.control.assign_role("Reader", OPERATOR, SCOPE)


def policies(scenario: Scenario, *assignments: dict[str, Any]) -> None:
    """Assign these Azure Policies, and no others."""
    scenario.control.change_subscription(SUBSCRIPTION, policies=list(assignments))


def with_subscription(scenario: Scenario) -> None:
    """The subscription has come into the tenant, and the operator's identity has rights there."""
    scenario.control.add_subscription(
        id=UNKNOWN_SUBSCRIPTION, name="Contoso Acquisitions", tenant=TENANT, resourceGroups=GROUPS
    )
    scenario.control.assign_role("Contributor", OPERATOR, f"/subscriptions/{UNKNOWN_SUBSCRIPTION}")


TROUBLES = (
    Trouble(
        "an unknown subscription",
        "InvalidSpec",
        (UNKNOWN_SUBSCRIPTION, "spec.azure.subscriptionId"),
        lambda _: None,
        with_subscription,
        {"azure": {"subscriptionId": UNKNOWN_SUBSCRIPTION}},
    ),
    Trouble(
        "an unknown resource group",
        "InvalidSpec",
        (f"resource group {GROUP}", "spec.azure.resourceGroup", "az group create"),
        lambda scenario: scenario.control.change_subscription(SUBSCRIPTION, resourceGroups=[]),
        lambda scenario: scenario.control.change_subscription(SUBSCRIPTION, resourceGroups=GROUPS),
    ),
    Trouble(
        "no rights",
        "Forbidden",
        ("Microsoft.Security/securityConnectors/read", "az role assignment create", SUBSCRIPTION),
        without_rights,
        lambda scenario: scenario.control.assign_role("Contributor", OPERATOR, SCOPE),
    ),
    Trouble(
        "rights to read only",
        "Forbidden",
        ("Microsoft.Security/securityConnectors/write", "Security Admin"),
        with_rights_to_read,
        lambda scenario: scenario.control.assign_role("Security Admin", OPERATOR, SCOPE),
    ),
    Trouble(
        "a policy that asks for a tag",
        "PolicyDenied",
        ("Every resource names its cost center", "ask the owner of the policy"),
        lambda scenario: policies(
            scenario,
            {
                "name": "require-cost-center",
                "displayName": "Every resource names its cost center",
                "requiredTags": ["cost-center"],
            },
        ),
        policies,
    ),
    Trouble(
        "a policy about regions",
        "PolicyDenied",
        ("Nothing outside Sweden", f"at {SCOPE}"),
        lambda scenario: policies(
            scenario, {"name": "sweden-only", "displayName": "Nothing outside Sweden", "locations": ["swedencentral"]}
        ),
        policies,
    ),
    Trouble(
        "a provider that is not registered",
        "ProviderNotRegistered",
        ("Microsoft.Security", "az provider register", SUBSCRIPTION),
        lambda scenario: scenario.control.change_subscription(SUBSCRIPTION, providers=[]),
        lambda scenario: scenario.control.change_subscription(SUBSCRIPTION, providers=["Microsoft.Security"]),
    ),
    Trouble(
        "a name that a connector for GitHub has",
        "InvalidSpec",
        ("GitHub", "contoso", "spec.azure.connectorName"),
        lambda scenario: (
            scenario.control.add_connector(
                name="contoso", subscription=SUBSCRIPTION, resourceGroup=GROUP, environmentName="GitHub"
            )
            and None
        ),
        lambda scenario: scenario.delete_in_portal(),
    ),
    Trouble(
        "a connector that another cluster owns",
        "NotAdopted",
        ("there/theirs", "adoptionPolicy"),
        lambda scenario: (
            scenario.in_portal(
                tags={"defender-devops-owner": "another-cluster/uid", "defender-devops-resource": "there/theirs"}
            )
            and None
        ),
        lambda scenario: scenario.change_in_portal(tags={}),
    ),
    Trouble(
        "a connector that exists, with adoptionPolicy Never",
        "NotAdopted",
        ("contoso", "adoptionPolicy is Never"),
        lambda scenario: scenario.in_portal(),
        lambda scenario: scenario.delete_in_portal(),
        {"adoptionPolicy": "Never"},
    ),
    Trouble(
        "a connector in another region",
        "InvalidSpec",
        ("northeurope", "westeurope", "cannot be moved"),
        lambda scenario: scenario.in_portal(location="northeurope"),
        lambda scenario: scenario.delete_in_portal(),
    ),
)


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_what_is_wrong_is_told_and_mends_itself_once_its_cause_is_gone(scenario: Scenario, trouble: Trouble) -> None:
    trouble.cause(scenario)
    since = scenario.control.last()
    scenario.new_code()
    scenario.apply(scenario.manifest(**trouble.spec))
    connector = scenario.wait("Provisioned", "False", trouble.reason)
    for part in trouble.phrases:
        assert part in message(connector, "Provisioned")
    assert condition(connector, "Ready")["status"] == "False"
    assert condition(connector, "Ready")["reason"] == trouble.reason
    assert condition(connector, "Stalled")["message"] == message(connector, "Provisioned")
    assert condition(connector, "Reconciling") == {}
    assert scenario.writes(since) == []
    version = connector["metadata"]["resourceVersion"]
    scenario.wait_request("Resources_Query", times=3)
    assert scenario.connector()["metadata"]["resourceVersion"] == version
    trouble.mend(scenario)
    scenario.wait("Ready", "True")
    scenario.wait_onboarded("contoso", "fabrikam")


def test_a_connector_that_is_somebody_elses_is_not_looked_into(scenario: Scenario) -> None:
    foreign_tags = {"defender-devops-owner": "another-cluster/uid", "defender-devops-resource": "there/theirs"}
    scenario.in_portal(tags=foreign_tags, autoDiscovery="Enabled")
    scenario.new_code()
    scenario.apply(scenario.manifest())
    connector = scenario.wait("Provisioned", "False", "NotAdopted")
    scenario.wait_request("Resources_Query", times=2)
    assert scenario.control.journal(service="arm", path="/contoso/") == []
    assert scenario.organizations() == {}
    assert connector["status"].keys() & {"discovery", "authorization"} == set()
    assert condition(connector, "Authorized")["status"] == "Unknown"
    scenario.delete_in_portal()
    ready = scenario.wait("Ready", "True")
    assert condition(ready, "ReauthRequired")["status"] == "False"
    assert ready["status"]["azure"]["created"] is True


@pytest.mark.parametrize(
    ("azure", "reason", "phrases"),
    [
        ({"location": "antarctica"}, "RegionNotSupported", ("antarctica", "westeurope", "swedencentral")),
        ({"resourceGroup": "rg-of-nobody"}, "InvalidSpec", ("rg-of-nobody", "az group create")),
        ({"subscriptionId": UNKNOWN_SUBSCRIPTION}, "InvalidSpec", (UNKNOWN_SUBSCRIPTION,)),
    ],
    ids=["region", "resource group", "subscription"],
)
@pytest.mark.parametrize("recreated", [False, True], ids=["corrected", "re-created"])
def test_a_connector_becomes_ready_after_its_invalid_place_is_corrected_or_it_is_re_created(
    scenario: Scenario, azure: dict[str, str], reason: str, phrases: tuple[str, ...], *, recreated: bool
) -> None:
    scenario.new_code()
    scenario.apply(scenario.manifest(azure=azure))
    connector = scenario.wait("Provisioned", "False", reason)
    for part in phrases:
        assert part in message(connector, "Provisioned")
    assert condition(connector, "Stalled")["reason"] == reason
    if recreated:
        scenario.kube.delete("AzureDevOpsConnector", "contoso", scenario.namespace)
        scenario.kube.wait_deleted("AzureDevOpsConnector", "contoso", scenario.namespace)
        scenario.ready()
        return
    scenario.apply(scenario.manifest())
    ready = scenario.wait("Ready", "True")
    assert ready["status"]["azure"]["created"] is True
    scenario.wait_onboarded("contoso", "fabrikam")
    with pytest.raises(ApiError, match=f"{next(iter(azure))} cannot be changed"):
        scenario.apply(scenario.manifest(azure=azure))


def test_a_connector_name_that_another_owner_uses_is_corrected(scenario: Scenario) -> None:
    foreign_tags = {"defender-devops-owner": "another-cluster/uid", "defender-devops-resource": "there/theirs"}
    scenario.in_portal(tags=foreign_tags)
    scenario.new_code()
    scenario.apply(scenario.manifest())
    scenario.wait("Provisioned", "False", "NotAdopted")
    scenario.apply(scenario.manifest(azure={"connectorName": "ours"}))
    provisioned = scenario.wait("Provisioned", "True")
    assert provisioned["status"]["connectorId"].endswith("/ours")
    assert provisioned["status"]["azure"]["created"] is True
    other_connector = scenario.in_azure()
    assert other_connector is not None
    assert other_connector["tags"] == foreign_tags


def test_a_policy_that_forbids_a_later_change_is_told_and_complied_with(scenario: Scenario) -> None:
    scenario.ready()
    policies(scenario, {"name": "tags", "displayName": "Everything has an owner", "requiredTags": ["owner"]})
    scenario.apply(scenario.manifest(azure={"tags": {"team": "blue"}}))
    connector = scenario.wait("Provisioned", "False", "PolicyDenied")
    assert "Everything has an owner" in message(connector, "Provisioned")
    assert condition(connector, "Authorized")["status"] == "True"
    scenario.apply(scenario.manifest(azure={"tags": {"team": "blue", "owner": "platform"}}))
    scenario.wait("Ready", "True")


def test_an_organization_that_does_not_exist_is_told_and_taken_in_once_it_is_founded(scenario: Scenario) -> None:
    scenario.new_code()
    scenario.apply(scenario.manifest(organizations={"names": ["contoso", "contosoo"]}))
    connector = scenario.wait("OrganizationsAvailable", "False", "OrganizationNotFound")
    for part in ("contosoo", "Correct the name"):
        assert part in message(connector, "OrganizationsAvailable")
    ready = scenario.wait("Ready", "False", "OrganizationNotFound")
    assert condition(ready, "Stalled")["reason"] == "OrganizationNotFound"
    assert condition(ready, "Provisioned")["status"] == "True"
    scenario.wait_organization("contoso-contosoo", "Ready", "False", "OrganizationNotFound")
    scenario.wait_organization("contoso-contoso", "Ready", "True", "Onboarded")
    scenario.control.add_organization(
        name="contosoo", tenant=TENANT, members=[{"account": ACCOUNT, "administrator": True}]
    )
    scenario.wait("Ready", "True")
    scenario.wait_onboarded("contoso", "contosoo")


def test_an_organization_of_another_tenant_is_one_that_nobody_sees(scenario: Scenario) -> None:
    scenario.new_code()
    scenario.apply(scenario.manifest(organizations={"names": ["litware"]}))
    connector = scenario.wait("Ready", "False", "OrganizationNotFound")
    assert "litware" in message(connector, "Ready")
    assert scenario.onboarded() == set()


def test_an_organization_held_elsewhere_is_told_and_taken_in_once_it_is_free(scenario: Scenario) -> None:
    elsewhere = scenario.in_portal("elsewhere", organizations=["fabrikam"])
    scenario.new_code()
    scenario.apply(scenario.manifest())
    connector = scenario.wait("OrganizationsAvailable", "False", "OrganizationConflict")
    assert "fabrikam" in message(connector, "OrganizationsAvailable")
    assert elsewhere.lower() in message(connector, "OrganizationsAvailable").lower()
    assert condition(connector, "Ready")["reason"] == "OrganizationConflict"
    assert scenario.onboarded() == {"contoso"}
    scenario.delete_in_portal("elsewhere")
    scenario.wait("Ready", "True")
    scenario.wait_onboarded("contoso", "fabrikam")


def test_a_conflict_over_an_organization_that_nobody_named_leaves_the_connector_ready(scenario: Scenario) -> None:
    scenario.in_portal("elsewhere", organizations=["fabrikam"])
    ready = scenario.ready(organizations={"mode": "All", "names": None})
    assert condition(ready, "OrganizationsAvailable")["status"] == "False"
    assert condition(ready, "OrganizationsAvailable")["reason"] == "OrganizationConflict"
    assert "fabrikam" not in scenario.onboarded()


@pytest.mark.parametrize(
    ("pasted", "reason"),
    [("", "AuthorizationCodeInvalid"), ("1.AXkA-a-code-of-entra", "AuthorizationCodeInvalid")],
    ids=["nothing", "something else"],
)
def test_what_cannot_be_a_code_is_refused_unsent_and_a_code_is_taken_at_once(
    scenario: Scenario, pasted: str, reason: str
) -> None:
    scenario.secret("code", code=pasted)
    scenario.apply(scenario.manifest())
    connector = scenario.wait("Authorized", "False", reason)
    assert "Secret code" in message(connector, "Authorized")
    assert scenario.writes() == []
    scenario.new_code()
    scenario.wait("Ready", "True")


def test_a_code_of_an_unusual_format_is_sent_once_with_a_warning(scenario: Scenario) -> None:
    scenario.secret("code", code="not-a-json-web-token")
    scenario.apply(scenario.manifest())
    connector = scenario.wait("Authorized", "False", "TokenExchangeFailed")
    assert "does not have the usual format" in message(connector, "Authorized")
    sent_codes = [code for entry in scenario.control.journal() for code in entry.get("codes", [])]
    assert len(sent_codes) == 1
    scenario.new_code()
    scenario.wait("Ready", "True")


def test_the_token_of_a_service_account_never_leaves_the_cluster(scenario: Scenario) -> None:
    """codeSecretRef can name any Secret of the namespace; that of a service account is not sent as a code."""
    name, namespace = "robot-token", scenario.namespace
    scenario.kube.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": namespace}}
    )
    token = scenario.kube.service_account_token("robot", namespace, ["https://kubernetes.default.svc"])
    scenario.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/service-account-token",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": {"kubernetes.io/service-account.name": "robot"},
            },
            "data": {"token": base64.b64encode(token.encode()).decode()},
        }
    )
    scenario.apply(scenario.manifest(authorization={"codeSecretRef": {"name": name, "key": "token"}}))
    connector = scenario.wait("Authorized", "False", "AuthorizationCodeInvalid")
    assert "type kubernetes.io/service-account-token" in message(connector, "Authorized")
    scenario.secret("code", code=token)
    scenario.apply(scenario.manifest(authorization={"codeSecretRef": {"name": "code", "key": "code"}}))
    scenario.wait_until(lambda body: "Kubernetes service account" in message(body, "Authorized"))
    assert scenario.writes() == []
    scenario.new_code()
    scenario.wait("Ready", "True")


def test_a_code_that_was_used_before_ends_in_words_and_a_new_one_mends_it(scenario: Scenario) -> None:
    scenario.ready("first", organizations={"names": ["contoso"]})
    used = scenario.kube.get("Secret", "code", scenario.namespace)
    assert used is not None
    copy = {**used, "metadata": {"name": "copied-code", "namespace": scenario.namespace}}
    scenario.kube.create({"apiVersion": "v1", "kind": "Secret", **copy})
    scenario.apply(
        scenario.manifest(
            "second",
            organizations={"names": ["fabrikam"]},
            authorization={"codeSecretRef": {"name": "copied-code", "key": "code"}},
        )
    )
    connector = scenario.wait("Authorized", "False", "TokenExchangeFailed", name="second")
    for part in ("InvalidOAuthCode", "Secret copied-code", ACCOUNT):
        assert part in message(connector, "Authorized")
    assert condition(connector, "ReauthRequired")["status"] == "False"
    scenario.new_code("copied-code")
    scenario.wait("Ready", "True", name="second")


def test_two_connectors_with_one_code_do_not_spoil_each_others_authorization(scenario: Scenario) -> None:
    scenario.new_code()
    for name, organization in (("first", "contoso"), ("second", "fabrikam")):
        scenario.apply(scenario.manifest(name, organizations={"names": [organization]}))
    lucky, other = _one_ready(scenario)
    connector = scenario.wait("Authorized", "False", "AuthorizationCodeInvalid", name=other)
    assert f"connector {lucky}" in message(connector, "Authorized")
    sent_codes = [code for entry in scenario.control.journal() for code in entry.get("codes", [])]
    assert len(sent_codes) == 1
    scenario.new_code("a-code-of-its-own")
    changed = scenario.manifest(
        other,
        organizations={"names": ["contoso" if other == "first" else "fabrikam"]},
        authorization={"codeSecretRef": {"name": "a-code-of-its-own", "key": "code"}},
    )
    scenario.apply(changed)
    for name in ("first", "second"):
        scenario.wait("Ready", "True", name=name)


def _one_ready(scenario: Scenario) -> tuple[str, str]:
    """Wait until one of the two is Ready; gives it first."""

    def is_ready(body: Manifest) -> bool:
        return bool(condition(body, "Ready").get("status") == "True")

    scenario.wait_until(lambda body: is_ready(body) or is_ready(scenario.connector("second")), name="first")
    return ("first", "second") if is_ready(scenario.connector("first")) else ("second", "first")


def test_no_declared_organization_of_a_broken_connector_is_left_without_a_word(scenario: Scenario) -> None:
    without_rights(scenario)
    scenario.new_code()
    scenario.declare("tailspin", onboarding="Onboarded")
    scenario.apply(scenario.manifest())
    scenario.wait("Provisioned", "False", "Forbidden")
    connector = scenario.kube.wait(
        ORGANIZATION,
        "tailspin",
        scenario.namespace,
        until=lambda body: condition(body, "Ready").get("reason") == "Forbidden",
    )
    assert "see its conditions" in message(connector, "Ready")
    scenario.control.assign_role("Contributor", OPERATOR, SCOPE)
    scenario.wait_organization("tailspin", "Ready", "True", "Onboarded")
