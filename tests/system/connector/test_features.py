"""Tags, pull request annotations, agentless scanning and readers: set, changed, taken back, with no write too many."""

from __future__ import annotations

from typing import Any

from tests.support.scenarios.azure_user import ArmCaller
from tests.support.scenarios.scenario import GROUP, SUBSCRIPTION, Scene, wait_for

TEAM, PERSON = "88888888-8888-8888-8888-888888888888", "44444444-4444-4444-4444-444444444444"
CONNECTOR_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Security/securityConnectors/contoso"
)
OWNER_TAGS = {"defender-devops-owner", "defender-devops-resource"}


def tags(scene: Scene) -> dict[str, str]:
    """Tags of the connector in Azure, without the owner's."""
    azure = scene.in_azure()
    assert azure is not None
    return {name: value for name, value in azure["tags"].items() if name not in OWNER_TAGS}


def annotated(somebody: ArmCaller) -> dict[str, str | None]:
    """Severity from which pull requests are annotated, by organization; None where they are not."""
    found: dict[str, str | None] = {}
    for name in ("contoso", "fabrikam"):
        setting = somebody.annotations(name)
        on = setting["state"] == "Enabled"
        found[name] = setting["categoryConfigurations"][0]["minimumSeverityLevel"] if on else None
    return found


def test_tags_that_leave_the_manifest_leave_azure_and_those_of_others_stay(scene: Scene) -> None:
    scene.ready(azure={"tags": {"team": "blue", "Cost-Center": "4711"}})
    scene.change_in_portal(tags={**(scene.in_azure() or {})["tags"], "audited": "yes"})
    since = scene.control.last()
    scene.apply(scene.manifest(azure={"tags": {"team": "red"}}))
    wait_for(lambda: tags(scene) == {"team": "red", "audited": "yes"}, "tags")
    scene.apply(scene.manifest())
    wait_for(lambda: tags(scene) == {"audited": "yes"}, "no tags")
    scene.wait("Ready", "True")
    assert scene.writes(since) == ["SecurityConnectors_Update", "SecurityConnectors_Update"]


def test_annotations_follow_the_connector_but_where_an_organization_decides(scene: Scene, somebody: ArmCaller) -> None:
    scene.declare("fabrikam", name="contoso-fabrikam", pullRequestAnnotations={"mode": "Disabled"})
    scene.ready(pullRequestAnnotations={"mode": "Enabled", "minimumSeverity": "Medium"})
    wait_for(lambda: annotated(somebody) == {"contoso": "Medium", "fabrikam": None}, "at first")
    scene.apply(scene.manifest(pullRequestAnnotations={"mode": "Enabled", "minimumSeverity": "High"}))
    wait_for(lambda: annotated(somebody) == {"contoso": "High", "fabrikam": None}, "another severity")
    scene.declare("fabrikam", name="contoso-fabrikam", pullRequestAnnotations={"mode": "Enabled"})
    wait_for(lambda: annotated(somebody) == {"contoso": "High", "fabrikam": "High"}, "the override inherits")
    scene.declare("fabrikam", name="contoso-fabrikam", pullRequestAnnotations=LOW)
    wait_for(lambda: annotated(somebody) == {"contoso": "High", "fabrikam": "Low"}, "the override decides")
    scene.wait("Provisioned", "True")
    assert scene.writes().count("AzureDevOpsOrgs_Update") == 4


LOW = {"mode": "Enabled", "minimumSeverity": "Low"}


def test_annotations_that_nobody_manages_are_left_as_they_are(scene: Scene, somebody: ArmCaller) -> None:
    scene.ready(pullRequestAnnotations={"mode": "Enabled", "minimumSeverity": "Medium"})
    wait_for(lambda: annotated(somebody) == {"contoso": "Medium", "fabrikam": "Medium"}, "at first")
    scene.apply(scene.manifest())
    scene.wait("Ready", "True")
    since = scene.control.last()
    somebody.set_annotations("fabrikam", state="Disabled")
    wait_for(lambda: annotated(somebody) == {"contoso": "Medium", "fabrikam": None}, "somebody's change")
    scene.look()
    ours = [each for each in scene.control.journal(since=since, effective="true") if each["principal"] != "team"]
    assert ours == []


def test_annotations_reach_what_is_onboarded_later(scene: Scene, somebody: ArmCaller) -> None:
    on: dict[str, Any] = {"pullRequestAnnotations": {"mode": "Enabled", "minimumSeverity": "Medium"}}
    scene.ready(organizations={"names": ["contoso"]}, **on)
    scene.apply(scene.manifest(organizations={"names": ["contoso", "fabrikam"]}, **on))
    scene.wait_onboarded("contoso", "fabrikam")
    wait_for(lambda: annotated(somebody) == {"contoso": "Medium", "fabrikam": "Medium"}, "annotations")


def test_scanning_takes_its_inventory_and_is_switched_off_again(scene: Scene, somebody: ArmCaller) -> None:
    def scanning() -> dict[str, Any]:
        found: dict[str, Any] = somebody.configuration()["agentlessConfiguration"]
        return found

    scope = [{"organization": "contoso", "project": "webshop"}]
    scene.ready(agentlessScanning={"mode": "Enabled", "inventory": "Exclusion", "scope": scope})
    first = scanning()
    assert (first["agentlessEnabled"], first["inventoryListType"]) == ("Enabled", "Exclusion")
    (item,) = first["inventoryList"]
    assert item["inventoryKind"] == "AzureDevOpsProject"
    assert "webshop" in item["value"]
    since = scene.control.last()
    scene.apply(scene.manifest(agentlessScanning={"mode": "Disabled"}))
    wait_for(lambda: scanning()["agentlessEnabled"] == "Disabled", "scanning off")
    scene.wait("Ready", "True")
    assert scene.onboarded() == {"contoso", "fabrikam"}
    assert scene.writes(since) == ["DevOpsConfigurations_Update"]


def test_readers_come_and_go_and_those_of_others_stay(scene: Scene) -> None:
    scene.ready(securityReaders=[{"objectId": TEAM, "principalType": "Group"}])
    scene.control.assign_role("Security Reader", "alex@contoso.com", CONNECTOR_ID)
    since = scene.control.last()
    scene.apply(scene.manifest(securityReaders=[{"objectId": PERSON, "principalType": "User"}]))
    wait_for(lambda: len(scene.writes(since)) == 2, "one comes, one goes")
    assert sorted(scene.writes(since)) == ["RoleAssignments_CreateOrUpdate", "RoleAssignments_Delete"]
    scene.apply(scene.manifest())
    wait_for(lambda: scene.writes(since).count("RoleAssignments_Delete") == 2, "the last one goes")
    scene.wait("Ready", "True")
    scene.look()
    assert len(scene.writes(since)) == 3


def test_one_query_looks_at_all_connectors_of_an_identity(scene: Scene, neighbour: Scene) -> None:
    connectors = (("one", "contoso", scene), ("two", "fabrikam", scene), ("three", "northwind", neighbour))
    for name, organization, where in connectors:
        where.ready(name, code=f"{name}-code", organizations={"names": [organization]})
    for name, _, where in connectors:
        where.wait("Discovered", "True", name=name, timeout=60)
    since = scene.control.last()
    scene.wait_request("Resources_Query", times=3)
    entries = scene.control.journal(since=since, service="arm")
    others = [each["operation"] for each in entries if each["operation"] != "AzureDevOpsOrgs_ListAvailable"]
    assert set(others) == {"Resources_Query"}
    assert len(others) <= 5  # three, and what a busy machine lets pass between two looks at the journal
