"""Tags, pull request annotations, agentless scanning and readers: set, changed, taken back, with no write too many."""

from __future__ import annotations

from typing import Any

from tests.support.scenarios.azure_user import AzureUser
from tests.support.scenarios.scenario import GROUP, SUBSCRIPTION, Scenario, wait_for

TEAM, PERSON = "88888888-8888-8888-8888-888888888888", "44444444-4444-4444-4444-444444444444"
CONNECTOR_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Security/securityConnectors/contoso"
)
OWNER_TAGS = {"defender-devops-owner", "defender-devops-resource"}


def tags(scenario: Scenario) -> dict[str, str]:
    """Tags of the connector in Azure, without the owner's."""
    azure = scenario.in_azure()
    assert azure is not None
    return {name: value for name, value in azure["tags"].items() if name not in OWNER_TAGS}


def annotated(azure_user: AzureUser) -> dict[str, str | None]:
    """Severity from which pull requests are annotated, by organization; None where they are not."""
    severities: dict[str, str | None] = {}
    for name in ("contoso", "fabrikam"):
        setting = azure_user.annotations(name)
        on = setting["state"] == "Enabled"
        severities[name] = setting["categoryConfigurations"][0]["minimumSeverityLevel"] if on else None
    return severities


def test_tags_that_leave_the_manifest_leave_azure_and_those_of_others_stay(scenario: Scenario) -> None:
    scenario.ready(azure={"tags": {"team": "blue", "Cost-Center": "4711"}})
    scenario.change_in_portal(tags={**(scenario.in_azure() or {})["tags"], "audited": "yes"})
    since = scenario.control.last()
    scenario.apply(scenario.manifest(azure={"tags": {"team": "red"}}))
    wait_for(lambda: tags(scenario) == {"team": "red", "audited": "yes"}, "tags")
    scenario.apply(scenario.manifest())
    wait_for(lambda: tags(scenario) == {"audited": "yes"}, "no tags")
    scenario.wait("Ready", "True")
    assert scenario.writes(since) == ["SecurityConnectors_Update", "SecurityConnectors_Update"]


def test_annotations_follow_the_connector_but_where_an_organization_decides(
    scenario: Scenario, azure_user: AzureUser
) -> None:
    scenario.declare("fabrikam", name="contoso-fabrikam", pullRequestAnnotations={"mode": "Disabled"})
    scenario.ready(pullRequestAnnotations={"mode": "Enabled", "minimumSeverity": "Medium"})
    wait_for(lambda: annotated(azure_user) == {"contoso": "Medium", "fabrikam": None}, "at first")
    scenario.apply(scenario.manifest(pullRequestAnnotations={"mode": "Enabled", "minimumSeverity": "High"}))
    wait_for(lambda: annotated(azure_user) == {"contoso": "High", "fabrikam": None}, "another severity")
    scenario.declare("fabrikam", name="contoso-fabrikam", pullRequestAnnotations={"mode": "Enabled"})
    wait_for(lambda: annotated(azure_user) == {"contoso": "High", "fabrikam": "High"}, "the override inherits")
    scenario.declare("fabrikam", name="contoso-fabrikam", pullRequestAnnotations=LOW)
    wait_for(lambda: annotated(azure_user) == {"contoso": "High", "fabrikam": "Low"}, "the override decides")
    scenario.wait("Provisioned", "True")
    assert scenario.writes().count("AzureDevOpsOrgs_Update") == 4


LOW = {"mode": "Enabled", "minimumSeverity": "Low"}


def test_annotations_that_nobody_manages_are_left_as_they_are(scenario: Scenario, azure_user: AzureUser) -> None:
    scenario.ready(pullRequestAnnotations={"mode": "Enabled", "minimumSeverity": "Medium"})
    wait_for(lambda: annotated(azure_user) == {"contoso": "Medium", "fabrikam": "Medium"}, "at first")
    scenario.apply(scenario.manifest())
    scenario.wait("Ready", "True")
    since = scenario.control.last()
    azure_user.set_annotations("fabrikam", state="Disabled")
    wait_for(lambda: annotated(azure_user) == {"contoso": "Medium", "fabrikam": None}, "somebody's change")
    scenario.wait_observed()
    operator_writes = [
        entry for entry in scenario.control.journal(since=since, effective="true") if entry["principal"] != "team"
    ]
    assert operator_writes == []


def test_annotations_reach_what_is_onboarded_later(scenario: Scenario, azure_user: AzureUser) -> None:
    on: dict[str, Any] = {"pullRequestAnnotations": {"mode": "Enabled", "minimumSeverity": "Medium"}}
    scenario.ready(organizations={"names": ["contoso"]}, **on)
    scenario.apply(scenario.manifest(organizations={"names": ["contoso", "fabrikam"]}, **on))
    scenario.wait_onboarded("contoso", "fabrikam")
    wait_for(lambda: annotated(azure_user) == {"contoso": "Medium", "fabrikam": "Medium"}, "annotations")


def test_scanning_takes_its_inventory_and_is_switched_off_again(scenario: Scenario, azure_user: AzureUser) -> None:
    def scanning() -> dict[str, Any]:
        configuration: dict[str, Any] = azure_user.configuration()["agentlessConfiguration"]
        return configuration

    scope = [{"organization": "contoso", "project": "webshop"}]
    scenario.ready(agentlessScanning={"mode": "Enabled", "inventory": "Exclusion", "scope": scope})
    first = scanning()
    assert (first["agentlessEnabled"], first["inventoryListType"]) == ("Enabled", "Exclusion")
    (item,) = first["inventoryList"]
    assert item["inventoryKind"] == "AzureDevOpsProject"
    assert "webshop" in item["value"]
    since = scenario.control.last()
    scenario.apply(scenario.manifest(agentlessScanning={"mode": "Disabled"}))
    wait_for(lambda: scanning()["agentlessEnabled"] == "Disabled", "scanning off")
    scenario.wait("Ready", "True")
    assert scenario.onboarded() == {"contoso", "fabrikam"}
    assert scenario.writes(since) == ["DevOpsConfigurations_Update"]


def test_readers_come_and_go_and_those_of_others_stay(scenario: Scenario) -> None:
    scenario.ready(securityReaders=[{"objectId": TEAM, "principalType": "Group"}])
    scenario.control.assign_role("Security Reader", "alex@contoso.com", CONNECTOR_ID)
    since = scenario.control.last()
    scenario.apply(scenario.manifest(securityReaders=[{"objectId": PERSON, "principalType": "User"}]))
    wait_for(lambda: len(scenario.writes(since)) == 2, "one comes, one goes")
    assert sorted(scenario.writes(since)) == ["RoleAssignments_CreateOrUpdate", "RoleAssignments_Delete"]
    scenario.apply(scenario.manifest())
    wait_for(lambda: scenario.writes(since).count("RoleAssignments_Delete") == 2, "the last one goes")
    scenario.wait("Ready", "True")
    scenario.wait_observed()
    assert len(scenario.writes(since)) == 3


def test_one_query_looks_at_all_connectors_of_an_identity(scenario: Scenario, neighbour: Scenario) -> None:
    connectors = (("one", "contoso", scenario), ("two", "fabrikam", scenario), ("three", "northwind", neighbour))
    for name, organization, namespace_scenario in connectors:
        namespace_scenario.ready(name, code=f"{name}-code", organizations={"names": [organization]})
    for name, _, namespace_scenario in connectors:
        namespace_scenario.wait("Discovered", "True", name=name, timeout=60)
    since = scenario.control.last()
    scenario.wait_request("Resources_Query", times=3)
    entries = scenario.control.journal(since=since, service="arm")
    regular = {"AzureDevOpsOrgs_ListAvailable", "Pricings_Get"}
    operations = [entry["operation"] for entry in entries if entry["operation"] not in regular]
    assert set(operations) == {"Resources_Query"}
    assert len(operations) <= 5  # three, and those that a busy machine lets pass between two reads of the journal
