"""Which organizations Defender covers: every mode, exclusions, and what changes later."""

from __future__ import annotations

import pytest

from sandbox.cluster.client import condition
from tests.support.scenarios.scenario import ACCOUNT, ORGANIZATION, TENANT, Scenario, message

EVERY = {"adventure-works", "contoso", "fabrikam", "northwind", "tailspin", "wingtip-toys"}
"""What the authorizing account sees in the default world."""

UPDATE = "DevOpsConfigurations_Update"


def create_organization(scenario: Scenario, name: str) -> None:
    """Somebody founds an organization, with the authorizing account in it."""
    members = [{"account": ACCOUNT, "administrator": True}]
    scenario.control.add_organization(name=name, tenant=TENANT, members=members, projects=[{"name": "first"}])


def mode(name: str, **more: object) -> dict[str, object]:
    """`spec.organizations` of a mode without names."""
    return {"mode": name, "names": None, **more}


@pytest.mark.parametrize(("name", "discovery"), [("All", "Disabled"), ("AllAndFuture", "Enabled")])
def test_all_takes_in_what_is_there_and_gives_each_a_resource(scenario: Scenario, name: str, discovery: str) -> None:
    scenario.ready(organizations=mode(name))
    scenario.wait_onboarded(*EVERY)
    for organization in EVERY:
        scenario.wait_organization(f"contoso-{organization}", "Ready", "True", "Onboarded")
    assert scenario.organizations().keys() == EVERY
    azure = scenario.in_azure()
    assert azure is not None
    assert azure["configuration"]["autoDiscovery"] == discovery
    assert scenario.writes() == ["SecurityConnectors_CreateOrUpdate", "DevOpsConfigurations_CreateOrUpdate"]


def test_all_leaves_out_what_is_founded_later_and_says_so(scenario: Scenario) -> None:
    scenario.ready(organizations=mode("All"))
    scenario.wait_onboarded(*EVERY)
    create_organization(scenario, "latecomer")
    later = scenario.wait_organization("contoso-latecomer", "Ready", "True", "NotIncluded")
    assert condition(later, "Onboarded")["status"] == "False"
    assert scenario.onboarded() == EVERY
    assert condition(scenario.connector(), "Ready")["status"] == "True"


def test_all_with_exclude_takes_in_all_but_some(scenario: Scenario) -> None:
    scenario.ready(organizations=mode("All", exclude=["Tailspin"]))
    scenario.wait_onboarded(*EVERY - {"tailspin"})
    scenario.wait_organization("contoso-tailspin", "Ready", "True", "Excluded")
    create_organization(scenario, "latecomer")
    scenario.wait_organization("contoso-latecomer", "Ready", "True", "NotIncluded")
    assert scenario.onboarded() == EVERY - {"tailspin"}


def test_all_and_future_leaves_it_to_defender_to_take_in_what_is_founded_later(scenario: Scenario) -> None:
    scenario.ready(organizations=mode("AllAndFuture"))
    since = scenario.control.last()
    create_organization(scenario, "latecomer")
    scenario.control.move(8 * 3600)  # Defender discovers every eight hours
    scenario.wait_organization("contoso-latecomer", "Ready", "True", "Onboarded")
    assert scenario.writes(since) == []


def test_all_and_future_with_exclude_takes_in_what_is_founded_later_by_itself(scenario: Scenario) -> None:
    ready = scenario.ready(organizations=mode("AllAndFuture", exclude=["TAILSPIN", "sandbox"]))
    assert condition(ready, "OrganizationsAvailable")["status"] == "True"
    scenario.wait_onboarded(*EVERY - {"tailspin"})
    since = scenario.control.last()
    create_organization(scenario, "latecomer")
    create_organization(scenario, "sandbox")
    scenario.wait_onboarded(*EVERY - {"tailspin"}, "latecomer")
    scenario.wait_organization("contoso-latecomer", "Ready", "True", "Onboarded")
    scenario.wait_organization("contoso-sandbox", "Ready", "True", "Excluded")
    assert scenario.writes(since) == [UPDATE]
    azure = scenario.in_azure()
    assert azure is not None
    assert azure["configuration"]["autoDiscovery"] == "Disabled"


def test_nothing_that_is_excluded_is_ever_onboarded_not_even_at_first(scenario: Scenario) -> None:
    scenario.ready(organizations=mode("AllAndFuture", exclude=["tailspin"]))
    scenario.wait_onboarded(*EVERY - {"tailspin"})
    effects = [effect for entry in scenario.control.journal(effective="true") for effect in entry["effects"]]
    lists = [effect["inventory"] for effect in effects if effect["kind"].startswith("configuration.")]
    assert lists
    assert all(inventory is not None and "tailspin" not in inventory for inventory in lists)


def test_names_are_added_and_removed_one_update_for_each_change(scenario: Scenario) -> None:
    scenario.ready(organizations={"names": ["contoso"]})
    scenario.wait_onboarded("contoso")
    since = scenario.control.last()
    scenario.apply(scenario.manifest(organizations={"names": ["contoso", "Northwind"]}))
    scenario.wait_onboarded("contoso", "northwind")
    scenario.wait("Ready", "True")
    scenario.wait_organization("contoso-northwind", "Ready", "True", "Onboarded")
    scenario.apply(scenario.manifest(organizations={"names": ["northwind"]}))
    scenario.wait_onboarded("northwind")
    scenario.kube.wait_deleted(ORGANIZATION, "contoso-contoso", scenario.namespace)
    scenario.wait("Ready", "True")
    assert scenario.writes(since) == [UPDATE, UPDATE]


def test_names_in_another_case_are_no_change(scenario: Scenario) -> None:
    scenario.ready(organizations={"names": ["CONTOSO", "Fabrikam"]})
    assert scenario.organizations().keys() == {"contoso", "fabrikam"}
    since = scenario.control.last()
    scenario.apply(scenario.manifest(organizations={"names": ["contoso", "fabrikam"]}))
    scenario.wait("Ready", "True")
    scenario.wait_request("AzureDevOpsOrgs_ListAvailable")
    assert scenario.writes(since) == []


def test_the_mode_is_changed_to_and_fro(scenario: Scenario) -> None:
    scenario.ready(organizations={"names": ["contoso"]})
    scenario.apply(scenario.manifest(organizations=mode("All")))
    scenario.wait_onboarded(*EVERY)
    scenario.wait("Ready", "True")
    scenario.apply(scenario.manifest(organizations=mode("AllAndFuture", exclude=["fabrikam"])))
    scenario.wait_onboarded(*EVERY - {"fabrikam"})
    scenario.wait("Ready", "True")
    scenario.apply(scenario.manifest(organizations=mode("AllAndFuture")))
    scenario.wait_onboarded(*EVERY)
    scenario.wait("Ready", "True")
    scenario.apply(scenario.manifest(organizations={"names": ["tailspin"]}))
    scenario.wait_onboarded("tailspin")
    scenario.wait("Ready", "True")
    for organization in EVERY - {"tailspin"}:
        scenario.kube.wait_deleted(ORGANIZATION, f"contoso-{organization}", scenario.namespace)


@pytest.mark.long  # what failed is asked for again a minute later
def test_a_change_to_all_that_azure_fails_once_is_made_all_the_same(scenario: Scenario) -> None:
    scenario.ready(organizations={"names": ["contoso"]})
    scenario.control.fault(method="PATCH", path="/devops/default$", operation={"outcome": "failed", "message": "storm"})
    scenario.apply(scenario.manifest(organizations=mode("All")))
    scenario.wait_until(lambda body: "storm" in message(body, "Provisioned"))
    scenario.wait_onboarded(*EVERY, timeout=90)
    scenario.wait("Ready", "True")


def test_an_excluded_organization_comes_back_when_the_exclusion_goes(scenario: Scenario) -> None:
    scenario.ready(organizations=mode("All", exclude=["tailspin"]))
    scenario.wait_onboarded(*EVERY - {"tailspin"})
    scenario.apply(scenario.manifest(organizations=mode("All")))
    scenario.wait_onboarded(*EVERY)
    scenario.wait_organization("contoso-tailspin", "Ready", "True", "Onboarded")
