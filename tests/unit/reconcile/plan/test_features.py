"""Pull request annotations, agentless scanning, Security Readers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defender_devops.api.azure_types import AgentlessConfiguration, Annotations, AutoDiscovery, InventoryItem
from defender_devops.reconcile.actions.azure import AssignReader, RemoveReader, SetAnnotations, UpdateConfiguration
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.plan.security_readers import reader_assignment_name
from tests.unit.reconcile.builder import NOW, REF, ROLE, snapshot
from tests.unit.reconcile.cases import EVERYTHING, OBSERVE, SELECTED, Case, change, only, planned, remember

ON, OFF = (f"spec: {{pullRequestAnnotations: {{mode: {mode}}}}}" for mode in ("Enabled", "Disabled"))
HIGH = "spec: {pullRequestAnnotations: {mode: Enabled, minimumSeverity: High}}"
ANNOTATED = "azure: {organizations: {contoso: {annotations: Medium}, fabrikam: {annotations: Medium}}}"
HALF = "azure: {organizations: {contoso: {annotations: Medium}}}"


def override(text: str) -> str:
    return f"resources: {{fabrikam: {{pullRequestAnnotations: {text}}}}}"


def on(organization: str, severity: str = "Medium") -> str:
    return f"turn pull request annotations on in {organization}, from {severity} up"


def off(organization: str) -> str:
    return f"turn pull request annotations off in {organization}"


ANNOTATIONS = [
    Case("nobody manages annotations", (ANNOTATED,)),
    Case("annotations are switched on everywhere", (ON,), (on("contoso"), on("fabrikam"))),
    Case("annotations are on", (ON, ANNOTATED)),
    Case("annotations are on in one", (ON, HALF), (on("fabrikam"),)),
    Case("annotations are switched off", (OFF, ANNOTATED), (off("contoso"), off("fabrikam"))),
    Case("annotations are off", (OFF,)),
    Case("another severity", (HIGH, ANNOTATED), (on("contoso", "High"), on("fabrikam", "High"))),
    Case("an override switches one off", (ON, HALF, override("{mode: Disabled}"))),
    Case("an override switches one off that is on", (ON, ANNOTATED, override("{mode: Disabled}")), (off("fabrikam"),)),
    Case(
        "an override of the severity",
        (ON, ANNOTATED, override("{mode: Enabled, minimumSeverity: Low}")),
        (on("fabrikam", "Low"),),
    ),
    Case(
        "an override without a severity inherits it",
        (HIGH, "azure: {organizations: {contoso: {annotations: High}}}", override("{mode: Enabled}")),
        (on("fabrikam", "High"),),
    ),
    Case("an override where the connector manages nothing", (override("{mode: Enabled}"),), (on("fabrikam"),)),
    Case(
        "an override of the older of two resources",
        (
            ON,
            ANNOTATED,
            """
            resources:
              fabrikam: [{pullRequestAnnotations: {mode: Disabled}, age: 90}, {onboarding: Onboarded, age: 5}]
            """,
        ),
        (off("fabrikam"),),
    ),
    Case(
        "one that is held elsewhere is left",
        (ON, ANNOTATED, "{azure: {others: {tailspin: Held}}, resources: {tailspin: {onboarding: Inherit}}}"),
    ),
    Case("one that is not onboarded is left", (ON, "azure: {organizations: {fabrikam: {state: Free}}}", HALF)),
    Case(
        "one with an operation under way is left",
        (ON, HALF, "azure: {organizations: {fabrikam: {provisioning: Pending}}}"),
    ),
    Case(
        "one that failed is tried",
        (ON, HALF, "azure: {organizations: {fabrikam: {provisioning: Failed}}}"),
        (on("fabrikam"),),
    ),
    Case("annotations wait for the choice", (ON, SELECTED), (change(only("contoso", "fabrikam")),)),
    Case("annotations wait for an operation", (ON, "azure: {configuration: {state: Pending}}")),
    Case(
        "annotations do not wait for tags",
        (ON, ANNOTATED, HIGH, "spec: {azure: {tags: {a: b}}}"),
        (remember("a"), "set the connector's tags (a)", on("contoso", "High"), on("fabrikam", "High")),
    ),
    Case("Observe annotates nothing", (ON, OBSERVE)),
]

SCAN, SCAN_OFF = (f"spec: {{agentlessScanning: {{mode: {mode}}}}}" for mode in ("Enabled", "Disabled"))
SCOPED = "spec: {agentlessScanning: {mode: Enabled, scope: [{organization: contoso, project: Legacy}]}}"
INCLUDING = "spec: {agentlessScanning: {mode: Enabled, inventory: Inclusion, scope: [{organization: contoso}]}}"
PICKY = "spec: {agentlessScanning: {mode: Enabled, scanners: [gitleaks, bandit]}}"


def scanning(text: str = "{}") -> str:
    return f"azure: {{configuration: {{agentless: {text}}}}}"


SCAN_ON_STEP, SCAN_OFF_STEP = change("agentless scanning on"), change("agentless scanning off")

SCANNING = [
    Case("nobody manages scanning", (scanning(),)),
    Case("scanning is switched on", (SCAN,), (SCAN_ON_STEP,)),
    Case("scanning is on", (SCAN, scanning())),
    Case("scanning is switched on that was switched off", (SCAN, scanning("{enabled: false}")), (SCAN_ON_STEP,)),
    Case("scanning is switched off", (SCAN_OFF, scanning()), (SCAN_OFF_STEP,)),
    Case("scanning is off", (SCAN_OFF, scanning("{enabled: false}"))),
    Case("scanning was never on", (SCAN_OFF,)),
    Case(
        "what is set aside while it is off does not count",
        (SCAN_OFF, scanning("{enabled: false, inventory: [[AzureDevOpsOrganization, x]]}")),
    ),
    Case("a scope is added", (SCOPED, scanning()), (SCAN_ON_STEP,)),
    Case(
        "a scope is there, in other letters",
        (SCOPED, scanning("{autoDiscovery: Disabled, inventory: [[AzureDevOpsProject, Contoso/legacy]]}")),
    ),
    Case(
        "a scope that counts for nothing, since new code is taken in",
        (SCOPED, scanning("{inventory: [[AzureDevOpsProject, contoso/Legacy]]}")),
        (SCAN_ON_STEP,),
    ),
    Case("a scope goes", (SCAN, scanning("{inventory: [[AzureDevOpsProject, contoso/Legacy]]}")), (SCAN_ON_STEP,)),
    Case(
        "the same value of another kind is another scope",
        (SCOPED, scanning("{autoDiscovery: Disabled, inventory: [[AzureDevOpsRepository, contoso/Legacy]]}")),
        (SCAN_ON_STEP,),
    ),
    Case(
        "inclusion instead of exclusion",
        (INCLUDING, scanning("{inventory: [[AzureDevOpsOrganization, contoso]]}")),
        (SCAN_ON_STEP,),
    ),
    Case(
        "inclusion is there",
        (
            INCLUDING,
            scanning("{type: Inclusion, autoDiscovery: Disabled, inventory: [[AzureDevOpsOrganization, contoso]]}"),
        ),
    ),
    Case(
        "no discovery of new code is as good as none that applies",
        (
            INCLUDING,
            scanning(
                "{type: Inclusion, autoDiscovery: NotApplicable, inventory: [[AzureDevOpsOrganization, contoso]]}"
            ),
        ),
    ),
    Case("scanners that nobody asked for are Defender's choice", (SCAN, scanning("{scanners: [bandit]}"))),
    Case("no scanners where some are asked for", (PICKY, scanning()), (SCAN_ON_STEP,)),
    Case("the scanners in another order are no difference", (PICKY, scanning("{scanners: [Bandit, gitleaks]}"))),
    Case("other scanners", (PICKY, scanning("{scanners: [gitleaks]}")), (SCAN_ON_STEP,)),
    Case(
        "scanning and the choice go in one step",
        (SCAN, SELECTED),
        (change(f"{only('contoso', 'fabrikam')}; agentless scanning on"),),
    ),
    Case(
        "scanning is part of what is tried again",
        (SCAN, scanning(), "azure: {configuration: {state: Failed}}"),
        (change(f"{EVERYTHING}; agentless scanning on"),),
    ),
    Case("Observe scans nothing", (SCAN, OBSERVE)),
]

GROUP, USER = "44444444-aaaa-4444-4444-444444444444", "55555555-5555-5555-5555-555555555555"
READERS = (
    f"spec: {{securityReaders: [{{objectId: {GROUP}, principalType: Group}},"
    f" {{objectId: {USER}, principalType: User}}]}}"
)
ONE = f"spec: {{securityReaders: [{{objectId: {GROUP}, principalType: Group}}]}}"
MAKE_GROUP, MAKE_USER = (
    f"make {kind} {principal} a Security Reader of the connector"
    for kind, principal in (("Group", GROUP), ("User", USER))
)
DROP_USER = f"remove {USER} from the connector's Security Readers"


def assigned(text: str) -> str:
    return f"azure: {{readers: {text}}}"


ASSIGNMENTS = [
    Case("nobody asks for readers", (assigned("{}"),)),
    Case("readers are assigned", (READERS, assigned("{}")), (MAKE_GROUP, MAKE_USER)),
    Case("readers are there", (READERS, assigned(f"{{{GROUP}: ours, {USER}: ours}}"))),
    Case("a reader that somebody else assigned is as good", (ONE, assigned(f"{{{GROUP}: theirs}}"))),
    Case("a principal in other letters is the same", (ONE, assigned(f"{{{GROUP.upper()}: theirs}}"))),
    Case(
        "a reader of ours goes that nobody asks for any more",
        (ONE, assigned(f"{{{GROUP}: ours, {USER}: ours}}")),
        (DROP_USER,),
    ),
    Case("a reader that somebody else assigned stays", (ONE, assigned(f"{{{GROUP}: ours, {USER}: theirs}}"))),
    Case("the last reader goes", (assigned(f"{{{USER}: ours}}"),), (DROP_USER,)),
    Case("one comes and one goes", (ONE, assigned(f"{{{USER}: ours}}")), (MAKE_GROUP, DROP_USER)),
    Case("nothing is done where the assignments were not read", (READERS,)),
    Case(
        "readers do not wait for an operation",
        (ONE, assigned("{}"), "azure: {configuration: {state: Pending}}"),
        (MAKE_GROUP,),
    ),
    Case(
        "readers do not wait for an authorization", (ONE, assigned("{}"), "azure: {configuration: null}"), (MAKE_GROUP,)
    ),
    Case("Observe assigns nobody", (OBSERVE, READERS, assigned(f"{{{USER}: ours}}"))),
    Case("nobody is assigned at another's connector", (READERS, assigned("{}"), "azure: {owner: another}")),
]


@pytest.mark.parametrize("case", [*ANNOTATIONS, *SCANNING, *ASSIGNMENTS], ids=str)
def test_features(case: Case) -> None:
    assert planned(*case.world) == list(case.steps)


def test_annotations_are_requested_in_azure_s_terms() -> None:
    assert plan(Assessment(snapshot(HIGH, HALF)), NOW).actions == (
        SetAnnotations("contoso", Annotations(enabled=True, minimum_severity="High")),
        SetAnnotations("fabrikam", Annotations(enabled=True, minimum_severity="High")),
    )


def test_scanning_is_requested_in_azure_s_terms() -> None:
    expected_names = AgentlessConfiguration(
        enabled=True,
        auto_discovery=AutoDiscovery.DISABLED,
        inventory_list_type="Inclusion",
        inventory=(InventoryItem("AzureDevOpsOrganization", "contoso"),),
    )
    assert plan(Assessment(snapshot(INCLUDING)), NOW).actions == (UpdateConfiguration(agentless=expected_names),)


def test_assignments_have_derived_names() -> None:
    world = snapshot(ONE, assigned(f"{{{USER}: ours}}"))
    assert plan(Assessment(world), NOW).actions == (
        AssignReader(reader_assignment_name(REF, GROUP), GROUP, "Group", ROLE),
        RemoveReader(reader_assignment_name(REF, USER), USER),
    )
    assert reader_assignment_name(REF, GROUP) == reader_assignment_name(replace(REF, name="CONTOSO"), GROUP.upper())
    assert reader_assignment_name(REF, GROUP) != reader_assignment_name(replace(REF, name="northwind"), GROUP)


def test_an_assignment_of_an_earlier_version_is_removed_too() -> None:
    world = snapshot(ONE, assigned(f"{{{USER}: of an earlier version, {GROUP}: of an earlier version}}"))
    assert [type(step) for step in plan(Assessment(world), NOW).actions] == [RemoveReader]


def test_object_ids_that_differ_in_case_only_are_one_reader() -> None:
    both = f"[{{objectId: {GROUP}, principalType: Group}}, {{objectId: {GROUP.upper()}, principalType: Group}}]"
    world = snapshot(f"spec: {{securityReaders: {both}}}", assigned("{}"))
    assert [type(step) for step in plan(Assessment(world), NOW).actions] == [AssignReader]
