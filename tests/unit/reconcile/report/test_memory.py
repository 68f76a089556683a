"""`status.azure` and `status.authorization`: what has to be remembered, and that a failed step forgets nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from defender_devops.api.connector import AzureStatus
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.kubernetes import RecordCodeHash
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import CONNECTOR_ID, NEW_CODE, NOW, SPENT_CODE, snapshot, with_status
from tests.unit.reconcile.cases import ABSENT, CODE, FRESH, LISTED, OBSERVE, SELECTED
from tests.unit.reconcile.condition_cases import AUTHORIZED, PENDING, REVOKED

THROTTLED = Failure("Throttled", "slow")
READER = "55555555-5555-5555-5555-555555555555"
ALL = "spec: {organizations: {mode: All}}"


def remembered(*world: str, failure: Failure | None = None) -> AzureStatus:
    azure = report(Assessment(snapshot(*world)), failure, NOW).status.azure
    assert azure is not None
    return azure


def carried_out(world: ConnectorSnapshot, kind: type[Action] = Action) -> ConnectorSnapshot:
    """The snapshot with the planned steps of a kind folded in."""
    for step in plan(Assessment(world), NOW).actions:
        if isinstance(step, kind):
            world = step.effect(world, NOW)
    return world


# --- tags


def test_tags_that_were_set_are_recorded() -> None:
    world = carried_out(snapshot("spec: {azure: {tags: {team: red}}}", "azure: {tags: {env: prod}}"))
    azure = report(Assessment(world), None, NOW).status.azure
    assert azure is not None
    assert azure.managed_tag_keys == ("team",)


def test_tags_that_could_not_be_set_are_not_recorded() -> None:
    assert (
        remembered(
            "spec: {azure: {tags: {team: red}}}", "azure: {tags: {team: blue}}", failure=THROTTLED
        ).managed_tag_keys
        == ()
    )


def test_tags_that_could_not_be_removed_stay_recorded() -> None:
    world = ("azure: {tags: {Team: red}}", "status: {azure: {managedTagKeys: [team, gone]}}")
    assert remembered(*world, failure=THROTTLED).managed_tag_keys == ("Team",)
    assert remembered(*world[:0], "azure: {tags: {}}", world[1]).managed_tag_keys == ()


def test_many_old_and_new_tags_fit_into_the_status() -> None:
    old, new = ({f"{kind}-{n}": "x" for n in range(48)} for kind in ("old", "new"))
    world = (
        f"spec: {{azure: {{tags: {new}}}}}",
        f"azure: {{tags: {old}}}",
        f"status: {{azure: {{managedTagKeys: {list(old)}}}}}",
    )
    assert len(remembered(*world, failure=THROTTLED).managed_tag_keys) == 48


# --- readers


def test_readers_are_recorded_as_azure_lists_them() -> None:
    spec = f"spec: {{securityReaders: [{{objectId: {READER}, principalType: Group}}]}}"
    assert remembered(spec, "azure: {readers: {}}", failure=THROTTLED).security_readers == ()
    assert remembered(spec, f"azure: {{readers: {{{READER}: ours}}}}").security_readers == (READER,)
    assert remembered(spec, f"azure: {{readers: {{{READER}: theirs}}}}").security_readers == ()


def test_a_reader_that_could_not_be_removed_stays_recorded() -> None:
    assert remembered(f"azure: {{readers: {{{READER}: ours}}}}", failure=THROTTLED).security_readers == (READER,)


def test_recorded_readers_stay_while_they_are_not_read() -> None:
    assert remembered(f"status: {{azure: {{securityReaders: [{READER}]}}}}").security_readers == (READER,)


# --- the mode


@pytest.mark.parametrize(
    ("world", "mode"),
    [
        ((ALL, LISTED), "All"),
        ((ALL, LISTED, "azure: {organizations: {fabrikam: {state: Free}}}"), "All"),
        ((ALL, LISTED, "azure: {others: {tailspin: Free}}", "resources: {tailspin: null}"), "All"),
        ((ALL, LISTED, "azure: {others: {tailspin: Free}}", "resources: null"), None),
        ((ALL, LISTED, "azure: {available: unknown}"), None),
        ((ALL, LISTED, "azure: {available: none}"), None),
        ((ALL, PENDING), None),
        ((ALL, LISTED, OBSERVE), None),
        ((ALL, LISTED, "azure: {owner: another}"), None),
        ((ALL, "azure: {available: unknown}", "status: {azure: {organizationsMode: All}}"), "All"),
        ((ALL, "azure: {available: unknown}", "status: {azure: {organizationsMode: Selected}}"), None),
        ((SELECTED, "status: {azure: {organizationsMode: All}}"), "Selected"),
        ((SELECTED, PENDING, "status: {azure: {organizationsMode: All}}"), "Selected"),
    ],
)
def test_mode_all_is_applied_once_every_organization_is_recorded(world: tuple[str, ...], mode: str | None) -> None:
    assert remembered(*world).organizations_mode == mode


# --- whose it is


@pytest.mark.parametrize(("guid", "created"), [("ours", True), ("someone's", False)])
@pytest.mark.parametrize("previous", ["true", "false", "null"])
def test_the_guid_shows_whether_the_operator_created_the_connector(guid: str, previous: str, *, created: bool) -> None:
    world = (f"azure: {{guid: {guid}}}", f"status: {{azure: {{created: {previous}}}}}")
    assert remembered(*world).created is created


@pytest.mark.parametrize("owner", ["nobody", "another", "elsewhere", "dead"])
@pytest.mark.parametrize(
    "world", [(), (OBSERVE,), ("spec: {adoptionPolicy: Always}",)], ids=["Manage", "Observe", "Always"]
)
def test_a_connector_without_the_owner_tag_is_not_recorded(owner: str, world: tuple[str, ...]) -> None:
    result = report(Assessment(snapshot(FRESH, f"azure: {{owner: {owner}}}", *world)), THROTTLED, NOW)
    assert result.status.azure is None


def test_adoption_policy_always_adopts_after_a_failed_attempt() -> None:
    world = snapshot(FRESH, "azure: {owner: elsewhere}", "spec: {adoptionPolicy: Always}")
    later = with_status(world, report(Assessment(world), THROTTLED, NOW).status)
    assert Assessment(later).ownership_conflict is None
    assert plan(Assessment(later), NOW).actions == plan(Assessment(world), NOW).actions


def test_a_connector_that_another_resource_takes_over_is_lost() -> None:
    world = carried_out(snapshot(FRESH, "azure: {owner: elsewhere}", "spec: {adoptionPolicy: Always}"))
    claimed = with_status(
        snapshot("azure: {owner: another}", "spec: {adoptionPolicy: Always}"),
        report(Assessment(world), None, NOW).status,
    )
    failure = Assessment(claimed).ownership_conflict
    assert failure is not None
    assert failure.reason == "OwnershipLost"


def test_the_connector_id_is_reported_while_the_connector_exists() -> None:
    assert report(Assessment(snapshot()), None, NOW).status.connector_id == CONNECTOR_ID
    assert report(Assessment(snapshot(ABSENT, "status: {connectorId: /x}")), None, NOW).status.connector_id is None
    unread = snapshot("unreadable: {reason: Forbidden, message: m, terminal: true}", "status: {connectorId: /x}")
    assert report(Assessment(unread), None, NOW).status.connector_id == "/x"


# --- the code and the authorization


def test_the_hash_of_a_code_is_recorded_even_if_sending_it_fails() -> None:
    previous = f"status: {{authorization: {{codeHash: {SPENT_CODE}}}}}"
    world = carried_out(snapshot(ABSENT, FRESH, CODE, "code: new", previous), RecordCodeHash)
    result = report(Assessment(world), THROTTLED, NOW).status.authorization
    assert result is not None
    assert (result.code_hash, result.spent_code_hashes) == (NEW_CODE, (SPENT_CODE,))


def test_a_used_code_stays_used_through_twenty_others() -> None:
    world = snapshot(ABSENT, FRESH, CODE)
    for number in range(21):
        world = RecordCodeHash(f"{number:064x}").effect(world, NOW)
    previous = world.connector.status.authorization
    assert previous is not None
    assert previous.code_hash == f"{20:064x}"
    assert previous.spent_code_hashes == tuple(f"{number:064x}" for number in range(20))


def test_a_code_beside_a_first_working_authorization_counts_as_used() -> None:
    world = snapshot(CODE, "code: new", FRESH)
    result = report(Assessment(world), None, NOW).status
    assert result.authorization is not None
    assert result.authorization.code_hash == NEW_CODE
    assert not plan(Assessment(with_status(world, result)), NOW).actions


def test_a_later_code_does_not_count_as_used() -> None:
    world = snapshot(CODE, "code: new")
    result = report(Assessment(world), None, NOW).status
    assert result.authorization is not None
    assert result.authorization.code_hash is None


def test_last_authorized_at_changes_only_when_authorized_turns_true() -> None:
    first = report(Assessment(snapshot(FRESH)), None, NOW).status
    later = NOW + timedelta(days=3)
    again = report(Assessment(with_status(snapshot(), first)), None, later).status
    assert first.authorization == again.authorization
    assert first.authorization is not None
    assert first.authorization.last_authorized_at == NOW
    loss = report(Assessment(with_status(snapshot(REVOKED), first)), None, later).status
    assert loss.authorization == first.authorization
    back = report(Assessment(with_status(snapshot(), loss)), None, later).status
    assert back.authorization is not None
    assert back.authorization.last_authorized_at == later


def test_status_has_no_authorization_without_one() -> None:
    assert report(Assessment(snapshot(ABSENT, FRESH)), None, NOW).status.authorization is None


# --- what else


def test_the_reconcile_annotation_is_recorded_as_handled() -> None:
    requested = "metadata: {annotations: {defender-devops.io/reconcile-requested-at: now}}"
    assert report(Assessment(snapshot(requested)), None, NOW).status.last_handled_reconcile_at == "now"
    down = "unreadable: {reason: AzureUnavailable, message: m}"
    ready = "status: {conditions: [{type: Ready, status: 'True', reason: Ready}]}"
    assert report(Assessment(snapshot(requested, down, ready)), None, NOW).status.last_handled_reconcile_at is None
    assert (
        report(
            Assessment(snapshot(requested, AUTHORIZED, down, failures=3)), None, NOW
        ).status.last_handled_reconcile_at
        == "now"
    )
