"""What people get wrong, each with the words that help, and that it mends itself once its cause is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.cluster.client import Manifest, condition
from tests.support.scenarios.azure_world import OPERATOR
from tests.support.scenarios.scenario import (
    ACCOUNT,
    GROUP,
    ORGANIZATION,
    SUBSCRIPTION,
    TENANT,
    UNKNOWN_SUBSCRIPTION,
    Scene,
    message,
)

SCOPE = f"/subscriptions/{SUBSCRIPTION}"
GROUPS = [{"name": GROUP, "location": "westeurope"}]


@dataclass(frozen=True)
class Trouble:
    """Something wrong, and how it is mended outside the manifest.

    Attributes:
        name: in words.
        reason: of Provisioned.
        words: that the message must hold.
        cause: brings it about.
        mend: takes its cause away; nobody touches the resource.
        spec: what the manifest asks for.
    """

    name: str
    reason: str
    words: tuple[str, ...]
    cause: Callable[[Scene], object]
    mend: Callable[[Scene], object]
    spec: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def without_rights(scene: Scene) -> None:
    """The operator's identity has no role in the subscription."""
    for role in ("Contributor", "Role Based Access Control Administrator"):
        scene.control.unassign_role(role, OPERATOR, SCOPE)


def with_rights_to_read(scene: Scene) -> None:
    """The operator's identity may look, and no more."""
    without_rights(scene)
    scene.control.assign_role("Reader", OPERATOR, SCOPE)


def policies(scene: Scene, *found: dict[str, Any]) -> None:
    """Assign these Azure Policies, and no others."""
    scene.control.change_subscription(SUBSCRIPTION, policies=list(found))


def with_subscription(scene: Scene) -> None:
    """The subscription has come into the tenant, and the operator's identity has rights there."""
    scene.control.add_subscription(
        id=UNKNOWN_SUBSCRIPTION, name="Contoso Acquisitions", tenant=TENANT, resourceGroups=GROUPS
    )
    scene.control.assign_role("Contributor", OPERATOR, f"/subscriptions/{UNKNOWN_SUBSCRIPTION}")


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
        lambda scene: scene.control.change_subscription(SUBSCRIPTION, resourceGroups=[]),
        lambda scene: scene.control.change_subscription(SUBSCRIPTION, resourceGroups=GROUPS),
    ),
    Trouble(
        "no rights",
        "Forbidden",
        ("Microsoft.Security/securityConnectors/read", "az role assignment create", SUBSCRIPTION),
        without_rights,
        lambda scene: scene.control.assign_role("Contributor", OPERATOR, SCOPE),
    ),
    Trouble(
        "rights to read only",
        "Forbidden",
        ("Microsoft.Security/securityConnectors/write", "Security Admin"),
        with_rights_to_read,
        lambda scene: scene.control.assign_role("Security Admin", OPERATOR, SCOPE),
    ),
    Trouble(
        "a policy that asks for a tag",
        "PolicyDenied",
        ("Every resource names its cost center", "ask the policy's owner"),
        lambda scene: policies(
            scene,
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
        lambda scene: policies(
            scene, {"name": "sweden-only", "displayName": "Nothing outside Sweden", "locations": ["swedencentral"]}
        ),
        policies,
    ),
    Trouble(
        "a provider that is not registered",
        "ProviderNotRegistered",
        ("Microsoft.Security", "az provider register", SUBSCRIPTION),
        lambda scene: scene.control.change_subscription(SUBSCRIPTION, providers=[]),
        lambda scene: scene.control.change_subscription(SUBSCRIPTION, providers=["Microsoft.Security"]),
    ),
    Trouble(
        "a name that a connector for GitHub has",
        "InvalidSpec",
        ("GitHub", "contoso", "spec.azure.connectorName"),
        lambda scene: (
            scene.control.add_connector(
                name="contoso", subscription=SUBSCRIPTION, resourceGroup=GROUP, environmentName="GitHub"
            )
            and None
        ),
        lambda scene: scene.delete_in_portal(),
    ),
    Trouble(
        "a connector that another cluster owns",
        "NotAdopted",
        ("there/theirs", "adoptionPolicy"),
        lambda scene: (
            scene.in_portal(
                tags={"defender-devops-owner": "another-cluster/uid", "defender-devops-resource": "there/theirs"}
            )
            and None
        ),
        lambda scene: scene.change_in_portal(tags={}),
    ),
    Trouble(
        "a connector that exists, with adoptionPolicy Never",
        "NotAdopted",
        ("contoso", "adoptionPolicy is Never"),
        lambda scene: scene.in_portal(),
        lambda scene: scene.delete_in_portal(),
        {"adoptionPolicy": "Never"},
    ),
    Trouble(
        "a connector in another region",
        "InvalidSpec",
        ("northeurope", "westeurope", "cannot move"),
        lambda scene: scene.in_portal(location="northeurope"),
        lambda scene: scene.delete_in_portal(),
    ),
)


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_what_is_wrong_is_told_and_mends_itself_once_its_cause_is_gone(scene: Scene, trouble: Trouble) -> None:
    trouble.cause(scene)
    since = scene.control.last()
    scene.new_code()
    scene.apply(scene.manifest(**trouble.spec))
    told = scene.wait("Provisioned", "False", trouble.reason)
    for part in trouble.words:
        assert part in message(told, "Provisioned")
    assert condition(told, "Ready")["status"] == "False"
    assert condition(told, "Ready")["reason"] == trouble.reason
    assert condition(told, "Stalled")["message"] == message(told, "Provisioned")
    assert condition(told, "Reconciling") == {}
    assert scene.writes(since) == []
    version = told["metadata"]["resourceVersion"]
    scene.wait_request("Resources_Query", times=3)
    assert scene.connector()["metadata"]["resourceVersion"] == version
    trouble.mend(scene)
    scene.wait("Ready", "True")
    scene.wait_onboarded("contoso", "fabrikam")


def test_a_connector_that_is_somebody_elses_is_not_looked_into(scene: Scene) -> None:
    theirs = {"defender-devops-owner": "another-cluster/uid", "defender-devops-resource": "there/theirs"}
    scene.in_portal(tags=theirs, autoDiscovery="Enabled")
    scene.new_code()
    scene.apply(scene.manifest())
    told = scene.wait("Provisioned", "False", "NotAdopted")
    scene.wait_request("Resources_Query", times=2)
    assert scene.control.journal(service="arm", path="/contoso/") == []
    assert scene.organizations() == {}
    assert told["status"].keys() & {"discovery", "authorization"} == set()
    assert condition(told, "Authorized")["status"] == "Unknown"
    scene.delete_in_portal()
    ready = scene.wait("Ready", "True")
    assert condition(ready, "ReauthRequired")["status"] == "False"
    assert ready["status"]["azure"]["created"] is True


@pytest.mark.parametrize(
    ("azure", "reason", "words"),
    [
        ({"location": "antarctica"}, "RegionNotSupported", ("antarctica", "westeurope", "swedencentral")),
        ({"resourceGroup": "rg-of-nobody"}, "InvalidSpec", ("rg-of-nobody", "az group create")),
    ],
    ids=["region", "resource group"],
)
def test_a_place_that_is_nowhere_is_told_and_the_manifest_has_to_be_made_anew(
    scene: Scene, azure: dict[str, str], reason: str, words: tuple[str, ...]
) -> None:
    scene.new_code()
    scene.apply(scene.manifest(azure=azure))
    told = scene.wait("Provisioned", "False", reason)
    for part in words:
        assert part in message(told, "Provisioned")
    assert condition(told, "Stalled")["reason"] == reason
    scene.kube.delete("AzureDevOpsConnector", "contoso", scene.namespace)
    scene.kube.wait_gone("AzureDevOpsConnector", "contoso", scene.namespace)
    scene.ready()


def test_a_policy_that_forbids_a_later_change_is_told_and_complied_with(scene: Scene) -> None:
    scene.ready()
    policies(scene, {"name": "tags", "displayName": "Everything has an owner", "requiredTags": ["owner"]})
    scene.apply(scene.manifest(azure={"tags": {"team": "blue"}}))
    told = scene.wait("Provisioned", "False", "PolicyDenied")
    assert "Everything has an owner" in message(told, "Provisioned")
    assert condition(told, "Authorized")["status"] == "True"
    scene.apply(scene.manifest(azure={"tags": {"team": "blue", "owner": "platform"}}))
    scene.wait("Ready", "True")


def test_an_organization_that_does_not_exist_is_told_and_taken_in_once_it_is_founded(scene: Scene) -> None:
    scene.new_code()
    scene.apply(scene.manifest(organizations={"names": ["contoso", "contosoo"]}))
    told = scene.wait("OrganizationsAvailable", "False", "OrganizationNotFound")
    for part in ("contosoo", "Correct the name"):
        assert part in message(told, "OrganizationsAvailable")
    ready = scene.wait("Ready", "False", "OrganizationNotFound")
    assert condition(ready, "Stalled")["reason"] == "OrganizationNotFound"
    assert condition(ready, "Provisioned")["status"] == "True"
    scene.wait_organization("contoso-contosoo", "Ready", "False", "OrganizationNotFound")
    scene.wait_organization("contoso-contoso", "Ready", "True", "Onboarded")
    scene.control.add_organization(
        name="contosoo", tenant=TENANT, members=[{"account": ACCOUNT, "administrator": True}]
    )
    scene.wait("Ready", "True")
    scene.wait_onboarded("contoso", "contosoo")


def test_an_organization_of_another_tenant_is_one_that_nobody_sees(scene: Scene) -> None:
    scene.new_code()
    scene.apply(scene.manifest(organizations={"names": ["litware"]}))
    told = scene.wait("Ready", "False", "OrganizationNotFound")
    assert "litware" in message(told, "Ready")
    assert scene.onboarded() == set()


def test_an_organization_held_elsewhere_is_told_and_taken_in_once_it_is_free(scene: Scene) -> None:
    elsewhere = scene.in_portal("elsewhere", organizations=["fabrikam"])
    scene.new_code()
    scene.apply(scene.manifest())
    told = scene.wait("OrganizationsAvailable", "False", "OrganizationConflict")
    assert "fabrikam" in message(told, "OrganizationsAvailable")
    assert elsewhere.lower() in message(told, "OrganizationsAvailable").lower()
    assert condition(told, "Ready")["reason"] == "OrganizationConflict"
    assert scene.onboarded() == {"contoso"}
    scene.delete_in_portal("elsewhere")
    scene.wait("Ready", "True")
    scene.wait_onboarded("contoso", "fabrikam")


def test_a_conflict_over_an_organization_that_nobody_named_leaves_the_connector_ready(scene: Scene) -> None:
    scene.in_portal("elsewhere", organizations=["fabrikam"])
    ready = scene.ready(organizations={"mode": "All", "names": None})
    assert condition(ready, "OrganizationsAvailable")["status"] == "False"
    assert condition(ready, "OrganizationsAvailable")["reason"] == "OrganizationConflict"
    assert "fabrikam" not in scene.onboarded()


@pytest.mark.parametrize(
    ("pasted", "reason"),
    [("", "AuthorizationCodeInvalid"), ("not-a-code", "AuthorizationCodeInvalid")],
    ids=["nothing", "something else"],
)
def test_what_cannot_be_a_code_is_refused_unsent_and_a_code_is_taken_at_once(
    scene: Scene, pasted: str, reason: str
) -> None:
    scene.secret("code", code=pasted)
    scene.apply(scene.manifest())
    told = scene.wait("Authorized", "False", reason)
    assert "Secret code" in message(told, "Authorized")
    assert scene.writes() == []
    scene.new_code()
    scene.wait("Ready", "True")


def test_a_code_that_was_used_before_ends_in_words_and_a_new_one_mends_it(scene: Scene) -> None:
    scene.ready("first", organizations={"names": ["contoso"]})
    used = scene.kube.get("Secret", "code", scene.namespace)
    assert used is not None
    copy = {**used, "metadata": {"name": "copied-code", "namespace": scene.namespace}}
    scene.kube.create({"apiVersion": "v1", "kind": "Secret", **copy})
    scene.apply(
        scene.manifest(
            "second",
            organizations={"names": ["fabrikam"]},
            authorization={"codeSecretRef": {"name": "copied-code", "key": "code"}},
        )
    )
    told = scene.wait("Authorized", "False", "TokenExchangeFailed", name="second")
    for part in ("InvalidOAuthCode", "Secret copied-code", ACCOUNT):
        assert part in message(told, "Authorized")
    assert condition(told, "ReauthRequired")["status"] == "False"
    scene.new_code("copied-code")
    scene.wait("Ready", "True", name="second")


def test_two_connectors_with_one_code_do_not_spoil_each_others_authorization(scene: Scene) -> None:
    scene.new_code()
    for name, organization in (("first", "contoso"), ("second", "fabrikam")):
        scene.apply(scene.manifest(name, organizations={"names": [organization]}))
    lucky, other = _one_ready(scene)
    told = scene.wait("Authorized", "False", "AuthorizationCodeInvalid", name=other)
    assert f"connector {lucky}" in message(told, "Authorized")
    sent = [code for entry in scene.control.journal() for code in entry.get("codes", [])]
    assert len(sent) == 1
    scene.new_code("a-code-of-its-own")
    changed = scene.manifest(
        other,
        organizations={"names": ["contoso" if other == "first" else "fabrikam"]},
        authorization={"codeSecretRef": {"name": "a-code-of-its-own", "key": "code"}},
    )
    scene.apply(changed)
    for name in ("first", "second"):
        scene.wait("Ready", "True", name=name)


def _one_ready(scene: Scene) -> tuple[str, str]:
    """Wait until one of the two is Ready; gives it first."""

    def is_ready(body: Manifest) -> bool:
        return bool(condition(body, "Ready").get("status") == "True")

    scene.wait_until(lambda body: is_ready(body) or is_ready(scene.connector("second")), name="first")
    return ("first", "second") if is_ready(scene.connector("first")) else ("second", "first")


def test_no_declared_organization_of_a_broken_connector_is_left_without_a_word(scene: Scene) -> None:
    without_rights(scene)
    scene.new_code()
    scene.declare("tailspin", onboarding="Onboarded")
    scene.apply(scene.manifest())
    scene.wait("Provisioned", "False", "Forbidden")
    told = scene.kube.wait(
        ORGANIZATION,
        "tailspin",
        scene.namespace,
        until=lambda body: condition(body, "Ready").get("reason") == "Forbidden",
    )
    assert "see its conditions" in message(told, "Ready")
    scene.control.assign_role("Contributor", OPERATOR, SCOPE)
    scene.wait_organization("tailspin", "Ready", "True", "Onboarded")
