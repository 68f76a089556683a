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
from defender_devops.reconcile.actions.action import AzureAction
from defender_devops.reconcile.actions.azure import Authorize
from defender_devops.reconcile.cache.unchanged import ReconcileInputs
from defender_devops.reconcile.facts.assessment import assess
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Failure
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.plan.security_readers import reader_assignment_name
from defender_devops.reconcile.report.report import Report, report
from tests.unit.reconcile.azure_model import Azure
from tests.unit.reconcile.builder import NOW, UID
from tests.unit.reconcile.strategies import WISHES, Wish, clusters

Trouble = Callable[[AzureState], AzureState]
TROUBLES: tuple[Trouble, ...] = (
    lambda _: AzureState(read_failure=Failure("AzureUnavailable", "down")),
    lambda _: AzureState(read_failure=Failure("Forbidden", "no right", terminal=True)),
    lambda cloud: replace(cloud, probe_failure=Failure("TokenExchangeFailed", "revoked", terminal=True)),
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
@given(clusters(), WISHES)
def test_acting_on_the_plan_leaves_nothing_to_do(azure: Azure, wish: Wish) -> None:
    wish.apply(azure)
    azure.converge()  # fails where there is still something to do


def asked_for(wish: Wish, visible: Mapping[str, bool]) -> set[str]:
    """The organizations that a wish names or covers, those left out that nobody can have: api.md, word by word."""
    chosen = wish.spec["organizations"]
    decisions = {name.lower(): spec["onboarding"] for name, spec in wish.declared.items()}
    listed = {name.lower() for name in (*chosen.get("names", ()), *chosen.get("exclude", ()))}
    wanted = set()
    for name, held in visible.items():
        covered = (name.lower() in listed) == (chosen["mode"] == "Selected")
        decision = decisions.get(name.lower(), "Inherit")
        if not held and (decision == "Onboarded" or (decision == "Inherit" and covered)):
            wanted.add(name)
    return wanted


@quick
@given(clusters(), WISHES)
def test_it_ends_with_the_organizations_that_were_asked_for(azure: Azure, wish: Wish) -> None:
    wish.apply(azure)
    azure.converge()
    if azure.cloud.configuration is not None:
        assert {each.name for each in azure.cloud.organizations} == asked_for(wish, azure.organizations)


@quick
@given(clusters(), WISHES, st.data())
def test_what_somebody_changes_in_azure_is_put_back(azure: Azure, wish: Wish, data: st.DataObject) -> None:
    wish.apply(azure)
    azure.converge()
    if azure.cloud.configuration is None:
        return
    before = outcome(azure)
    for change in data.draw(st.lists(st.sampled_from(DRIFTS), min_size=1, max_size=3)):
        azure.world = replace(azure.world, cloud=change(azure.cloud))
    azure.converge()
    assert outcome(azure) == before


@quick
@given(clusters(), WISHES, st.lists(st.sampled_from(TROUBLES), min_size=1, max_size=4))
def test_after_any_trouble_it_is_as_before(azure: Azure, wish: Wish, troubles: list[Trouble]) -> None:
    wish.apply(azure)
    azure.converge()
    before, calm = outcome(azure), azure.cloud
    for trouble in troubles:
        azure.world = replace(azure.world, cloud=trouble(calm), failures=5)
        assert not [step for step in plan(assess(azure.world), azure.now).actions if isinstance(step, Authorize)]
        azure.write(report(assess(azure.world), None, azure.now))
    azure.world = replace(azure.world, cloud=calm, failures=0)
    azure.converge()
    assert outcome(azure) == before


def without_tags(cloud: AzureState) -> AzureState:
    assert cloud.connector is not None
    others = {key: value for key, value in cloud.connector.tags.items() if key in {"env", "Zone"}}
    return replace(cloud, connector=replace(cloud.connector, tags=others))


def without_an_organization(cloud: AzureState) -> AzureState:
    return replace(cloud, organizations=cloud.organizations[1:])


def annotated_otherwise(cloud: AzureState) -> AzureState:
    medium = Annotations(enabled=True, minimum_severity="Medium")
    return replace(cloud, organizations=tuple(replace(each, annotations=medium) for each in cloud.organizations))


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
            each for each in cloud.readers or () if each.name != reader_assignment_name(UID, each.principal_id)
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
@given(clusters(), WISHES)
def test_what_was_done_is_not_planned_again_and_nothing_new_comes_of_it(azure: Azure, wish: Wish) -> None:
    wish.apply(azure)
    for _ in range(3):
        steps = plan(assess(azure.world), azure.now).actions
        world = azure.world
        for done, step in enumerate(steps, start=1):
            world = step.effect(world, azure.now)
            assert {each.describe() for each in plan(assess(world), azure.now).actions} <= {
                each.describe() for each in steps[done:]
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
        sorted((each.name, each.annotations) for each in cloud.organizations),
        sorted(each.principal_id for each in cloud.readers or ()),
        [(each.type, each.status, each.reason) for each in connector.status.conditions],
        sorted(each.metadata.name for each in azure.world.organizations),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[Azure, list[tuple[Wish, int]]]:
    """A cluster, and wishes one after another, each with the reconciles that it lives to see.

    What a history cannot undo is left out of it: whether a code comes at all is the same in each wish, and a decision
    for an organization is changed, not withdrawn.
    """
    azure = draw(clusters())
    requests = draw(st.lists(st.tuples(WISHES, st.integers(0, 3)), min_size=2, max_size=4))
    last, _ = requests[-1]
    method, names = last.spec["authorization"], {name for wish, _ in requests for name in wish.declared}
    everybody = {name: {"onboarding": "Inherit"} for name in names}
    return azure, [
        (
            replace(
                wish,
                spec={**wish.spec, "authorization": method},
                declared=everybody | dict(wish.declared),
                code=last.code,
            ),
            lived,
        )
        for wish, lived in requests
    ]


@quick
@given(histories())
def test_the_last_wish_alone_decides_where_it_ends(history: tuple[Azure, list[tuple[Wish, int]]]) -> None:
    azure, requests = history
    fresh = Azure(azure.world, azure.organizations, azure.now)
    requests[-1][0].apply(fresh)
    fresh.converge()
    for wish, lived in requests:
        wish.apply(azure)
        for _ in range(lived):
            azure.reconcile()
    azure.converge()
    assert outcome(azure) == outcome(fresh)


@quick
@given(clusters(), st.lists(WISHES, min_size=1, max_size=4))
def test_a_code_is_sent_once_at_most(azure: Azure, requests: list[Wish]) -> None:
    for wish in requests:
        wish.apply(azure)
        azure.reconcile()
        azure.reconcile()
    sent = Counter(step.sha256 for step in azure.log if isinstance(step, Authorize))
    assert all(times == 1 for times in sent.values())


@quick
@given(clusters(), WISHES, st.data())
def test_a_code_whose_hash_is_in_status_is_never_planned(azure: Azure, wish: Wish, data: st.DataObject) -> None:
    wish.apply(azure)
    for _ in range(data.draw(st.integers(0, 2))):
        azure.reconcile()
    if wish.code is None:
        return
    last = data.draw(st.booleans())
    known = {"codeHash": wish.code} if last else {"codeHash": "f" * 64, "spentCodeHashes": [wish.code]}
    status = type(azure.world.connector.status).model_validate({"authorization": known})
    azure.world = replace(azure.world, connector=azure.world.connector.model_copy(update={"status": status}))
    assert not [step for step in plan(assess(azure.world), azure.now).actions if isinstance(step, Authorize)]


def writes(world: ConnectorSnapshot) -> list[str]:
    return [step.describe() for step in plan(assess(world), NOW).actions if isinstance(step, AzureAction)]


@quick
@given(clusters(), WISHES, st.integers(0, 3), st.data())
def test_nothing_is_written_to_azure_where_nothing_may_be(
    azure: Azure, wish: Wish, rounds: int, data: st.DataObject
) -> None:
    wish.apply(azure)
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


def statuses(written: Report) -> list[dict[str, Any]]:
    """As they are written: the connector's, then each organization's."""
    return [written.status.dump(), *(status.dump() for _, status in written.organizations)]


@quick
@given(clusters(), WISHES, st.integers(0, 3), st.integers(0, 240))
def test_nothing_changed_means_that_nothing_is_written(azure: Azure, wish: Wish, rounds: int, minutes: int) -> None:
    """The report of a reported status is the same, now and until the moment that it names; so is a plan at rest."""
    wish.apply(azure)
    for _ in range(rounds):
        azure.reconcile()
    first = report(assess(azure.world), None, azure.now)
    azure.write(first)
    assert statuses(report(assess(azure.world), None, azure.now)) == statuses(first)
    later = azure.now + timedelta(minutes=minutes)
    if first.reevaluate_at is None or later < first.reevaluate_at:
        assert statuses(report(assess(azure.world), None, later)) == statuses(first)
        if (
            ReconcileInputs.of(azure.world, first.reevaluate_at) is not None
            and not plan(assess(azure.world), azure.now).actions
        ):
            assert not plan(assess(azure.world), later).actions


@quick
@given(clusters(), WISHES, st.integers(0, 3))
def test_ready_reconciling_and_stalled_are_in_step(azure: Azure, wish: Wish, rounds: int) -> None:
    wish.apply(azure)
    for _ in range(rounds):
        azure.reconcile()
    written = report(assess(azure.world), None, azure.now)
    for conditions in (written.status.conditions, *(each.conditions for _, each in written.organizations)):
        flags = [is_true(conditions, kind) for kind in ("Ready", "Reconciling", "Stalled")]
        assert flags.count(True) == 1
        assert all(len(each.message.encode()) <= 1024 for each in conditions)
    assert written.status.observed_generation == azure.world.connector.metadata.generation


@quick
@given(clusters(), WISHES)
def test_what_converged_with_a_code_or_an_adoption_is_ready_or_says_why(azure: Azure, wish: Wish) -> None:
    wish.apply(azure)
    azure.converge()
    cloud, status = azure.cloud, azure.world.connector.status
    if cloud.connector is None:
        adopts = azure.world.connector.spec.authorization.method is AuthorizationMethod.ADOPT
        assert adopts or wish.code is None
        assert not is_true(status.conditions, "Ready")
        return
    assert is_true(status.conditions, "Provisioned")
    assert is_true(status.conditions, "Authorized")
    assert azure.world.cloud.is_known
