"""`status.azure` and `status.authorization`: what has to be remembered, and that a failed step forgets nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from defender_devops.api.connector import AzureStatus
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.kubernetes import RecordCodeHash
from defender_devops.reconcile.facts.assessment import assess
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot, Failure
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import CONNECTOR_ID, NEW_CODE, NOW, SPENT_CODE, snapshot, with_status
from tests.unit.reconcile.cases import ABSENT, CODE, FRESH, LISTED, OBSERVE, SELECTED
from tests.unit.reconcile.says import AUTHORIZED, PENDING, REVOKED

THROTTLED = Failure("Throttled", "slow")
READER = "55555555-5555-5555-5555-555555555555"
ALL = "spec: {organizations: {mode: All}}"


def remembered(*world: str, failure: Failure | None = None) -> AzureStatus:
    azure = report(assess(snapshot(*world)), failure, NOW).status.azure
    assert azure is not None
    return azure


def carried_out(world: ConnectorSnapshot, kind: type[Action] = Action) -> ConnectorSnapshot:
    """The snapshot with the planned steps of a kind folded in."""
    for step in plan(assess(world), NOW).actions:
        if isinstance(step, kind):
            world = step.effect(world, NOW)
    return world


# --- tags


def test_tags_that_were_set_are_remembered() -> None:
    world = carried_out(snapshot("spec: {azure: {tags: {team: red}}}", "azure: {tags: {env: prod}}"))
    azure = report(assess(world), None, NOW).status.azure
    assert azure is not None
    assert azure.managed_tag_keys == ("team",)


def test_tags_that_could_not_be_set_are_not_ours() -> None:
    assert (
        remembered(
            "spec: {azure: {tags: {team: red}}}", "azure: {tags: {team: blue}}", failure=THROTTLED
        ).managed_tag_keys
        == ()
    )


def test_tags_that_could_not_be_removed_are_still_ours() -> None:
    world = ("azure: {tags: {Team: red}}", "status: {azure: {managedTagKeys: [team, gone]}}")
    assert remembered(*world, failure=THROTTLED).managed_tag_keys == ("Team",)
    assert remembered(*world[:0], "azure: {tags: {}}", world[1]).managed_tag_keys == ()


def test_many_tags_of_before_and_now_fit_into_the_status() -> None:
    old, new = ({f"{kind}-{n}": "x" for n in range(48)} for kind in ("old", "new"))
    world = (
        f"spec: {{azure: {{tags: {new}}}}}",
        f"azure: {{tags: {old}}}",
        f"status: {{azure: {{managedTagKeys: {list(old)}}}}}",
    )
    assert len(remembered(*world, failure=THROTTLED).managed_tag_keys) == 48


# --- readers


def test_readers_are_remembered_by_what_azure_shows() -> None:
    spec = f"spec: {{securityReaders: [{{objectId: {READER}, principalType: Group}}]}}"
    assert remembered(spec, "azure: {readers: {}}", failure=THROTTLED).security_readers == ()
    assert remembered(spec, f"azure: {{readers: {{{READER}: ours}}}}").security_readers == (READER,)
    assert remembered(spec, f"azure: {{readers: {{{READER}: theirs}}}}").security_readers == ()


def test_a_reader_that_could_not_be_removed_is_still_remembered() -> None:
    assert remembered(f"azure: {{readers: {{{READER}: ours}}}}", failure=THROTTLED).security_readers == (READER,)


def test_readers_that_were_not_read_are_as_before() -> None:
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
def test_all_is_carried_out_once_it_is_known_for_good_who_was_there(world: tuple[str, ...], mode: str | None) -> None:
    assert remembered(*world).organizations_mode == mode


# --- whose it is


@pytest.mark.parametrize(("guid", "created"), [("ours", True), ("someone's", False)])
@pytest.mark.parametrize("before", ["true", "false", "null"])
def test_the_guid_tells_who_created_it(guid: str, before: str, *, created: bool) -> None:
    world = (f"azure: {{guid: {guid}}}", f"status: {{azure: {{created: {before}}}}}")
    assert remembered(*world).created is created


@pytest.mark.parametrize("owner", ["nobody", "another", "elsewhere", "dead"])
@pytest.mark.parametrize(
    "world", [(), (OBSERVE,), ("spec: {adoptionPolicy: Always}",)], ids=["Manage", "Observe", "Always"]
)
def test_what_does_not_carry_our_tag_is_not_remembered_as_ours(owner: str, world: tuple[str, ...]) -> None:
    written = report(assess(snapshot(FRESH, f"azure: {{owner: {owner}}}", *world)), THROTTLED, NOW)
    assert written.status.azure is None


def test_always_takes_over_though_the_first_attempt_failed() -> None:
    world = snapshot(FRESH, "azure: {owner: another}", "spec: {adoptionPolicy: Always}")
    later = with_status(world, report(assess(world), THROTTLED, NOW).status)
    assert assess(later).ownership_conflict is None
    assert plan(assess(later), NOW).actions == plan(assess(world), NOW).actions


def test_what_was_taken_over_and_is_taken_back_is_lost() -> None:
    world = carried_out(snapshot(FRESH, "azure: {owner: another}", "spec: {adoptionPolicy: Always}"))
    taken = with_status(
        snapshot("azure: {owner: another}", "spec: {adoptionPolicy: Always}"), report(assess(world), None, NOW).status
    )
    failure = assess(taken).ownership_conflict
    assert failure is not None
    assert failure.reason == "OwnershipLost"


def test_the_connector_s_id_stands_while_there_is_one() -> None:
    assert report(assess(snapshot()), None, NOW).status.connector_id == CONNECTOR_ID
    assert report(assess(snapshot(ABSENT, "status: {connectorId: /x}")), None, NOW).status.connector_id is None
    unread = snapshot("unreadable: {reason: Forbidden, message: m, terminal: true}", "status: {connectorId: /x}")
    assert report(assess(unread), None, NOW).status.connector_id == "/x"


# --- the code and the authorization


def test_a_code_is_remembered_whatever_came_of_sending_it() -> None:
    known = f"status: {{authorization: {{codeHash: {SPENT_CODE}}}}}"
    world = carried_out(snapshot(ABSENT, FRESH, CODE, "code: new", known), RecordCodeHash)
    written = report(assess(world), THROTTLED, NOW).status.authorization
    assert written is not None
    assert (written.code_hash, written.spent_code_hashes) == (NEW_CODE, (SPENT_CODE,))


def test_a_spent_code_stays_spent_through_twenty_others() -> None:
    world = snapshot(ABSENT, FRESH, CODE)
    for number in range(21):
        world = RecordCodeHash(f"{number:064x}").effect(world, NOW)
    known = world.connector.status.authorization
    assert known is not None
    assert known.code_hash == f"{20:064x}"
    assert known.spent_code_hashes == tuple(f"{number:064x}" for number in range(20))


def test_a_code_that_lay_there_over_an_authorization_that_works_is_set_aside() -> None:
    world = snapshot(CODE, "code: new", FRESH)
    written = report(assess(world), None, NOW).status
    assert written.authorization is not None
    assert written.authorization.code_hash == NEW_CODE
    assert not plan(assess(with_status(world, written)), NOW).actions


def test_a_code_that_comes_later_is_not_set_aside() -> None:
    world = snapshot(CODE, "code: new")
    written = report(assess(world), None, NOW).status
    assert written.authorization is not None
    assert written.authorization.code_hash is None


def test_the_time_of_authorization_moves_only_when_it_begins_to_work() -> None:
    first = report(assess(snapshot(FRESH)), None, NOW).status
    later = NOW + timedelta(days=3)
    again = report(assess(with_status(snapshot(), first)), None, later).status
    assert first.authorization == again.authorization
    assert first.authorization is not None
    assert first.authorization.last_authorized_at == NOW
    lost = report(assess(with_status(snapshot(REVOKED), first)), None, later).status
    assert lost.authorization == first.authorization
    back = report(assess(with_status(snapshot(), lost)), None, later).status
    assert back.authorization is not None
    assert back.authorization.last_authorized_at == later


def test_nothing_is_written_of_an_authorization_that_nobody_gave() -> None:
    assert report(assess(snapshot(ABSENT, FRESH)), None, NOW).status.authorization is None


# --- what else


def test_the_annotation_counts_as_handled_once_somebody_looked() -> None:
    asked = "metadata: {annotations: {defender-devops.io/reconcile-requested-at: now}}"
    assert report(assess(snapshot(asked)), None, NOW).status.last_handled_reconcile_at == "now"
    down = "unreadable: {reason: AzureUnavailable, message: m}"
    ready = "status: {conditions: [{type: Ready, status: 'True', reason: Ready}]}"
    assert report(assess(snapshot(asked, down, ready)), None, NOW).status.last_handled_reconcile_at is None
    assert (
        report(assess(snapshot(asked, AUTHORIZED, down, failures=3)), None, NOW).status.last_handled_reconcile_at
        == "now"
    )
