"""What holds for every world and every spec."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from defender_devops.api.azure_types import Annotations, AutoDiscovery, ProvisioningState
from defender_devops.api.conditions import is_true
from defender_devops.api.connector import AuthorizationMethod
from defender_devops.errors import ErrorCategory
from defender_devops.reconcile.actions.action import AzureAction
from defender_devops.reconcile.actions.azure import Authorize
from defender_devops.reconcile.cache.unchanged import ReconcileInputs
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.plan.security_readers import reader_assignment_name
from defender_devops.reconcile.report.report import Report, report
from tests.unit.reconcile.azure_model import Azure
from tests.unit.reconcile.builder import NOW, REF
from tests.unit.reconcile.strategies import USER_EDITS, UserEdit, clusters

Trouble = Callable[[AzureState], AzureState]
TROUBLES: tuple[Trouble, ...] = (
    lambda _: AzureState(read_failure=Failure("AzureUnavailable", "down")),
    lambda _: AzureState(read_failure=Failure("Forbidden", "no right", terminal=True)),
    lambda cloud: replace(
        cloud,
        probe_failure=Failure("TokenExchangeFailed", "revoked", terminal=True, category=ErrorCategory.AUTHORIZATION),
    ),
    lambda cloud: replace(cloud, probe_failure=Failure("Throttled", "slow")),
    lambda cloud: replace(cloud, available=None),
    lambda cloud: replace(cloud, available=() if cloud.configuration else None),
    lambda cloud: changed(cloud, ProvisioningState.FAILED, "AzureDevOps token exchange failed: InvalidOAuthCode"),
    lambda cloud: replace(changed(cloud, ProvisioningState.PENDING), organizations=()),
)


def changed(cloud: AzureState, state: ProvisioningState, message: str = "") -> AzureState:
    """The cloud with its configuration in another state."""
    if cloud.configuration is None:
        return cloud
    return replace(cloud, configuration=replace(cloud.configuration, provisioning_state=state, status_message=message))


quick = settings(
    max_examples=20,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


@quick
@given(clusters(), USER_EDITS)
def test_executing_the_plan_leaves_nothing_to_do(azure: Azure, edit: UserEdit) -> None:
    edit.apply(azure)
    azure.converge()  # fails where there is still something to do


def asked_for(edit: UserEdit, visible: Mapping[str, bool]) -> set[str]:
    """The organizations that a wish names or covers, those left out that nobody can have: api.md, word by word."""
    chosen = edit.spec["organizations"]
    decisions = {name.lower(): spec["onboarding"] for name, spec in edit.declared.items()}
    listed = {name.lower() for name in (*chosen.get("names", ()), *chosen.get("exclude", ()))}
    expected_names = set()
    for name, is_held in visible.items():
        covered = (name.lower() in listed) == (chosen["mode"] == "Selected")
        decision = decisions.get(name.lower(), "Inherit")
        if not is_held and (decision == "Onboarded" or (decision == "Inherit" and covered)):
            expected_names.add(name)
    return expected_names


@quick
@given(clusters(), USER_EDITS)
def test_the_requested_organizations_are_onboarded_in_the_end(azure: Azure, edit: UserEdit) -> None:
    edit.apply(azure)
    azure.converge()
    if azure.cloud.configuration is not None:
        assert {organization.name for organization in azure.cloud.organizations} == asked_for(edit, azure.organizations)


@quick
@given(clusters(), USER_EDITS, st.data())
def test_drift_in_azure_is_corrected(azure: Azure, edit: UserEdit, data: st.DataObject) -> None:
    edit.apply(azure)
    azure.converge()
    if azure.cloud.configuration is None:
        return
    expected = outcome(azure)
    for change in data.draw(st.lists(st.sampled_from(DRIFTS), min_size=1, max_size=3)):
        azure.world = replace(azure.world, cloud=change(azure.cloud))
    azure.converge()
    assert outcome(azure) == expected


@quick
@given(clusters(), USER_EDITS, st.lists(st.sampled_from(TROUBLES), min_size=1, max_size=4))
def test_the_outcome_is_the_same_after_any_failure(azure: Azure, edit: UserEdit, troubles: list[Trouble]) -> None:
    edit.apply(azure)
    azure.converge()
    expected, calm = outcome(azure), azure.cloud
    for trouble in troubles:
        azure.world = replace(azure.world, cloud=trouble(calm), failures=5)
        assert not [step for step in plan(Assessment(azure.world), azure.now).actions if isinstance(step, Authorize)]
        azure.write(report(Assessment(azure.world), None, azure.now))
    azure.world = replace(azure.world, cloud=calm, failures=0)
    azure.converge()
    assert outcome(azure) == expected


def without_tags(cloud: AzureState) -> AzureState:
    assert cloud.connector is not None
    other_items = {key: value for key, value in cloud.connector.tags.items() if key in {"env", "Zone"}}
    return replace(cloud, connector=replace(cloud.connector, tags=other_items))


def without_an_organization(cloud: AzureState) -> AzureState:
    return replace(cloud, organizations=cloud.organizations[1:])


def annotated_otherwise(cloud: AzureState) -> AzureState:
    medium = Annotations(enabled=True, minimum_severity="Medium")
    return replace(cloud, organizations=tuple(replace(item, annotations=medium) for item in cloud.organizations))


def discovering_otherwise(cloud: AzureState) -> AzureState:
    assert cloud.configuration is not None
    on = cloud.configuration.auto_discovery is AutoDiscovery.ENABLED
    other = AutoDiscovery.DISABLED if on else AutoDiscovery.ENABLED
    return replace(cloud, configuration=replace(cloud.configuration, auto_discovery=other))


def without_scanning(cloud: AzureState) -> AzureState:
    assert cloud.configuration is not None
    return replace(cloud, configuration=replace(cloud.configuration, agentless=None))


def without_our_readers(cloud: AzureState) -> AzureState:
    return replace(
        cloud,
        readers=tuple(
            assignment
            for assignment in cloud.readers or ()
            if assignment.name != reader_assignment_name(REF, assignment.principal_id)
        ),
    )


DRIFTS = (
    without_tags,
    without_an_organization,
    annotated_otherwise,
    discovering_otherwise,
    without_scanning,
    without_our_readers,
)


@quick
@given(clusters(), USER_EDITS)
def test_an_executed_step_is_not_planned_again_and_adds_no_step(azure: Azure, edit: UserEdit) -> None:
    edit.apply(azure)
    for _ in range(3):
        steps = plan(Assessment(azure.world), azure.now).actions
        world = azure.world
        for fulfilled, step in enumerate(steps, start=1):
            world = step.effect(world, azure.now)
            assert {step.describe() for step in plan(Assessment(world), azure.now).actions} <= {
                step.describe() for step in steps[fulfilled:]
            }
        azure.reconcile()


def outcome(azure: Azure) -> object:
    """All that users see in Azure and in the cluster, but for times and for memories of the way."""
    cloud = azure.cloud
    connector = azure.world.connector
    scanning = cloud.configuration.agentless if cloud.configuration is not None else None
    return (
        None if cloud.connector is None else dict(cloud.connector.tags),
        None if cloud.configuration is None else cloud.configuration.auto_discovery,
        None if scanning is None or not scanning.enabled else scanning,
        sorted((organization.name, organization.annotations) for organization in cloud.organizations),
        sorted(assignment.principal_id for assignment in cloud.readers or ()),
        [(condition.type, condition.status, condition.reason) for condition in connector.status.conditions],
        sorted(resource.metadata.name for resource in azure.world.organizations),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[Azure, list[tuple[UserEdit, int]]]:
    """A cluster, and wishes one after another, each with the reconciles that it lives to see.

    What a history cannot undo is left out of it: whether a code comes at all is the same in each wish, and a decision
    for an organization is changed, not withdrawn.
    """
    azure = draw(clusters())
    requests = draw(st.lists(st.tuples(USER_EDITS, st.integers(0, 3)), min_size=2, max_size=4))
    last, _ = requests[-1]
    method, names = last.spec["authorization"], {name for edit, _ in requests for name in edit.declared}
    everybody = {name: {"onboarding": "Inherit"} for name in names}
    return azure, [
        (
            replace(
                edit,
                spec={**edit.spec, "authorization": method},
                declared=everybody | dict(edit.declared),
                code=last.code,
            ),
            lived,
        )
        for edit, lived in requests
    ]


@quick
@given(histories())
def test_only_the_last_edit_decides_the_outcome(history: tuple[Azure, list[tuple[UserEdit, int]]]) -> None:
    azure, requests = history
    fresh = Azure(azure.world, azure.organizations, azure.now)
    requests[-1][0].apply(fresh)
    fresh.converge()
    for edit, lived in requests:
        edit.apply(azure)
        for _ in range(lived):
            azure.reconcile()
    azure.converge()
    assert outcome(azure) == outcome(fresh)


@quick
@given(clusters(), st.lists(USER_EDITS, min_size=1, max_size=4))
def test_a_code_is_sent_once_at_most(azure: Azure, requests: list[UserEdit]) -> None:
    for edit in requests:
        edit.apply(azure)
        azure.reconcile()
        azure.reconcile()
    code_counts = Counter(step.sha256 for step in azure.log if isinstance(step, Authorize))
    assert all(times == 1 for times in code_counts.values())


@quick
@given(clusters(), USER_EDITS, st.data())
def test_a_code_whose_hash_is_in_status_is_never_planned(azure: Azure, edit: UserEdit, data: st.DataObject) -> None:
    edit.apply(azure)
    for _ in range(data.draw(st.integers(0, 2))):
        azure.reconcile()
    if edit.code is None:
        return
    last = data.draw(st.booleans())
    previous = {"codeHash": edit.code} if last else {"codeHash": "f" * 64, "spentCodeHashes": [edit.code]}
    status = type(azure.world.connector.status).model_validate({"authorization": previous})
    azure.world = replace(azure.world, connector=azure.world.connector.model_copy(update={"status": status}))
    assert not [step for step in plan(Assessment(azure.world), azure.now).actions if isinstance(step, Authorize)]


def writes(world: ConnectorSnapshot) -> list[str]:
    return [step.describe() for step in plan(Assessment(world), NOW).actions if isinstance(step, AzureAction)]


@quick
@given(clusters(), USER_EDITS, st.integers(0, 3), st.data())
def test_nothing_is_written_to_azure_where_that_is_forbidden(
    azure: Azure, edit: UserEdit, rounds: int, data: st.DataObject
) -> None:
    edit.apply(azure)
    for _ in range(rounds):
        azure.reconcile()
    way = data.draw(st.sampled_from(["observe", "suspend", "foreign owner", "unreadable"]))
    spec = azure.world.connector.spec
    world = azure.world
    match way:
        case "observe":
            spec = type(spec).model_validate({**spec.dump(), "managementPolicy": "Observe"})
        case "suspend":
            spec = spec.model_copy(update={"suspend": True})
        case "unreadable":
            world = replace(world, cloud=AzureState(read_failure=Failure("AzureUnavailable", "down")))
        case _ if azure.cloud.connector is not None:
            owned = replace(azure.cloud.connector, tags={"Defender-DevOps-Owner": "cluster-2/somebody"})
            world = replace(world, cloud=replace(azure.cloud, connector=owned))
        case _:
            return
    assert not writes(replace(world, connector=world.connector.model_copy(update={"spec": spec})))


def statuses(result: Report) -> list[dict[str, Any]]:
    """As they are written: the connector's, then each organization's."""
    return [result.status.dump(), *(status.dump() for _, status in result.organizations)]


@quick
@given(clusters(), USER_EDITS, st.integers(0, 3), st.integers(0, 240))
def test_an_unchanged_state_writes_no_status(azure: Azure, edit: UserEdit, rounds: int, minutes: int) -> None:
    """The report of a reported status is the same, now and until the moment that it names; so is a plan at rest."""
    edit.apply(azure)
    for _ in range(rounds):
        azure.reconcile()
    first = report(Assessment(azure.world), None, azure.now)
    azure.write(first)
    assert statuses(report(Assessment(azure.world), None, azure.now)) == statuses(first)
    later = azure.now + timedelta(minutes=minutes)
    if first.reevaluate_at is None or later < first.reevaluate_at:
        assert statuses(report(Assessment(azure.world), None, later)) == statuses(first)
        if (
            ReconcileInputs.of(azure.world, first.reevaluate_at) is not None
            and not plan(Assessment(azure.world), azure.now).actions
        ):
            assert not plan(Assessment(azure.world), later).actions


@quick
@given(clusters(), USER_EDITS, st.integers(0, 3))
def test_ready_reconciling_and_stalled_are_consistent(azure: Azure, edit: UserEdit, rounds: int) -> None:
    edit.apply(azure)
    for _ in range(rounds):
        azure.reconcile()
    result = report(Assessment(azure.world), None, azure.now)
    for conditions in (result.status.conditions, *(resource.conditions for _, resource in result.organizations)):
        flags = [is_true(conditions, kind) for kind in ("Ready", "Reconciling", "Stalled")]
        assert flags.count(True) == 1
        assert all(len(condition.message.encode()) <= 1024 for condition in conditions)
    assert result.status.observed_generation == azure.world.connector.metadata.generation


@quick
@given(clusters(), USER_EDITS)
def test_a_converged_connector_is_ready_or_reports_why_not(azure: Azure, edit: UserEdit) -> None:
    edit.apply(azure)
    azure.converge()
    cloud, status = azure.cloud, azure.world.connector.status
    if cloud.connector is None:
        adopts = azure.world.connector.spec.authorization.method is AuthorizationMethod.ADOPT
        assert adopts or edit.code is None
        assert not is_true(status.conditions, "Ready")
        return
    assert is_true(status.conditions, "Provisioned")
    assert is_true(status.conditions, "Authorized")
    assert azure.world.cloud.is_known
