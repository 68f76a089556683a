"""Which organizations Defender covers: every mode, exclusions, and what changes later."""

from __future__ import annotations

import pytest

from sandbox.cluster.client import condition
from tests.support.scenarios.scenario import ACCOUNT, ORGANIZATION, TENANT, Scene, message

EVERY = {"adventure-works", "contoso", "fabrikam", "northwind", "tailspin", "wingtip-toys"}
"""What the authorizing account sees in the default world."""

UPDATE = "DevOpsConfigurations_Update"


def found(scene: Scene, name: str) -> None:
    """Somebody founds an organization, with the authorizing account in it."""
    members = [{"account": ACCOUNT, "administrator": True}]
    scene.control.add_organization(name=name, tenant=TENANT, members=members, projects=[{"name": "first"}])


def mode(name: str, **more: object) -> dict[str, object]:
    """`spec.organizations` of a mode without names."""
    return {"mode": name, "names": None, **more}


@pytest.mark.parametrize(("name", "discovery"), [("All", "Disabled"), ("AllAndFuture", "Enabled")])
def test_all_takes_in_what_is_there_and_gives_each_a_resource(scene: Scene, name: str, discovery: str) -> None:
    scene.ready(organizations=mode(name))
    scene.wait_onboarded(*EVERY)
    for each in EVERY:
        scene.wait_organization(f"contoso-{each}", "Ready", "True", "Onboarded")
    assert scene.organizations().keys() == EVERY
    azure = scene.in_azure()
    assert azure is not None
    assert azure["configuration"]["autoDiscovery"] == discovery
    assert scene.writes() == ["SecurityConnectors_CreateOrUpdate", "DevOpsConfigurations_CreateOrUpdate"]


def test_all_leaves_out_what_is_founded_later_and_says_so(scene: Scene) -> None:
    scene.ready(organizations=mode("All"))
    scene.wait_onboarded(*EVERY)
    found(scene, "latecomer")
    later = scene.wait_organization("contoso-latecomer", "Ready", "True", "NotIncluded")
    assert condition(later, "Onboarded")["status"] == "False"
    assert scene.onboarded() == EVERY
    assert condition(scene.connector(), "Ready")["status"] == "True"


def test_all_with_exclude_takes_in_all_but_some(scene: Scene) -> None:
    scene.ready(organizations=mode("All", exclude=["Tailspin"]))
    scene.wait_onboarded(*EVERY - {"tailspin"})
    scene.wait_organization("contoso-tailspin", "Ready", "True", "Excluded")
    found(scene, "latecomer")
    scene.wait_organization("contoso-latecomer", "Ready", "True", "NotIncluded")
    assert scene.onboarded() == EVERY - {"tailspin"}


def test_all_and_future_leaves_it_to_defender_to_take_in_what_is_founded_later(scene: Scene) -> None:
    scene.ready(organizations=mode("AllAndFuture"))
    before = scene.control.last()
    found(scene, "latecomer")
    scene.control.move(8 * 3600)  # Defender looks every eight hours
    scene.wait_organization("contoso-latecomer", "Ready", "True", "Onboarded")
    assert scene.writes(before) == []


def test_all_and_future_with_exclude_takes_in_what_is_founded_later_by_itself(scene: Scene) -> None:
    ready = scene.ready(organizations=mode("AllAndFuture", exclude=["TAILSPIN", "sandbox"]))
    assert condition(ready, "OrganizationsAvailable")["status"] == "True"
    scene.wait_onboarded(*EVERY - {"tailspin"})
    before = scene.control.last()
    found(scene, "latecomer")
    found(scene, "sandbox")
    scene.wait_onboarded(*EVERY - {"tailspin"}, "latecomer")
    scene.wait_organization("contoso-latecomer", "Ready", "True", "Onboarded")
    scene.wait_organization("contoso-sandbox", "Ready", "True", "Excluded")
    assert scene.writes(before) == [UPDATE]
    azure = scene.in_azure()
    assert azure is not None
    assert azure["configuration"]["autoDiscovery"] == "Disabled"


def test_nothing_that_is_excluded_is_ever_onboarded_not_even_at_first(scene: Scene) -> None:
    scene.ready(organizations=mode("AllAndFuture", exclude=["tailspin"]))
    scene.wait_onboarded(*EVERY - {"tailspin"})
    sent = [effect for entry in scene.control.journal(effective="true") for effect in entry["effects"]]
    lists = [effect["inventory"] for effect in sent if effect["kind"].startswith("configuration.")]
    assert lists
    assert all(each is not None and "tailspin" not in each for each in lists)


def test_names_are_added_and_removed_one_update_for_each_change(scene: Scene) -> None:
    scene.ready(organizations={"names": ["contoso"]})
    scene.wait_onboarded("contoso")
    before = scene.control.last()
    scene.apply(scene.manifest(organizations={"names": ["contoso", "Northwind"]}))
    scene.wait_onboarded("contoso", "northwind")
    scene.wait("Ready", "True")
    scene.wait_organization("contoso-northwind", "Ready", "True", "Onboarded")
    scene.apply(scene.manifest(organizations={"names": ["northwind"]}))
    scene.wait_onboarded("northwind")
    scene.kube.wait_gone(ORGANIZATION, "contoso-contoso", scene.namespace)
    scene.wait("Ready", "True")
    assert scene.writes(before) == [UPDATE, UPDATE]


def test_names_in_another_case_are_no_change(scene: Scene) -> None:
    scene.ready(organizations={"names": ["CONTOSO", "Fabrikam"]})
    assert scene.organizations().keys() == {"contoso", "fabrikam"}
    before = scene.control.last()
    scene.apply(scene.manifest(organizations={"names": ["contoso", "fabrikam"]}))
    scene.wait("Ready", "True")
    scene.wait_request("AzureDevOpsOrgs_ListAvailable")
    assert scene.writes(before) == []


def test_the_mode_is_changed_to_and_fro(scene: Scene) -> None:
    scene.ready(organizations={"names": ["contoso"]})
    scene.apply(scene.manifest(organizations=mode("All")))
    scene.wait_onboarded(*EVERY)
    scene.wait("Ready", "True")
    scene.apply(scene.manifest(organizations=mode("AllAndFuture", exclude=["fabrikam"])))
    scene.wait_onboarded(*EVERY - {"fabrikam"})
    scene.wait("Ready", "True")
    scene.apply(scene.manifest(organizations=mode("AllAndFuture")))
    scene.wait_onboarded(*EVERY)
    scene.wait("Ready", "True")
    scene.apply(scene.manifest(organizations={"names": ["tailspin"]}))
    scene.wait_onboarded("tailspin")
    scene.wait("Ready", "True")
    for each in EVERY - {"tailspin"}:
        scene.kube.wait_gone(ORGANIZATION, f"contoso-{each}", scene.namespace)


@pytest.mark.long  # what failed is asked for again a minute later
def test_a_change_to_all_that_azure_fails_once_is_made_all_the_same(scene: Scene) -> None:
    scene.ready(organizations={"names": ["contoso"]})
    scene.control.fault(method="PATCH", path="/devops/default$", operation={"outcome": "failed", "message": "storm"})
    scene.apply(scene.manifest(organizations=mode("All")))
    scene.wait_until(lambda body: "storm" in message(body, "Provisioned"))
    scene.wait_onboarded(*EVERY, timeout=90)
    scene.wait("Ready", "True")


def test_an_excluded_organization_comes_back_when_the_exclusion_goes(scene: Scene) -> None:
    scene.ready(organizations=mode("All", exclude=["tailspin"]))
    scene.wait_onboarded(*EVERY - {"tailspin"})
    scene.apply(scene.manifest(organizations=mode("All")))
    scene.wait_onboarded(*EVERY)
    scene.wait_organization("contoso-tailspin", "Ready", "True", "Onboarded")
