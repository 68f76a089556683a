"""How a connector goes, in every state of Azure."""

from __future__ import annotations

import pytest

from defender_devops.reconcile.actions.azure import RemoveOwnerTags
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.plan.plan import plan
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.cases import DELETE, LET_GO, OBSERVE, UNTAG, Case, planned

GOING = "metadata: {deletionTimestamp: '2026-03-01T11:59:00Z'}"
CREATED = "{status: {azure: {created: true}}, azure: {guid: ours}}"
ADOPTED = "status: {azure: {created: false}}"
FORGOTTEN = "status: null"
DELETE_POLICY, DETACH = "spec: {deletionPolicy: Delete}", "spec: {deletionPolicy: Detach}"
SUSPEND = "spec: {suspend: true}"
ABSENT = "azure: null"
DOWN = "unreadable: {reason: AzureUnavailable, message: down}"
FORBIDDEN = "unreadable: {reason: Forbidden, message: no right, terminal: true, code: AuthorizationFailed}"
NO_CREDENTIALS = "unreadable: {reason: CredentialsMissing, message: no Secret, terminal: true}"
NO_GROUP = "unreadable: {reason: InvalidSpec, message: no group, terminal: true, code: ResourceGroupNotFound}"
NO_SUBSCRIPTION = "unreadable: {reason: InvalidSpec, message: none, terminal: true, code: SubscriptionNotFound}"
READER = "55555555-5555-5555-5555-555555555555"

CASES = [
    # policy and who made it
    Case("what we created is deleted", (GOING, CREATED), (DELETE, LET_GO)),
    Case("what we adopted stays", (GOING, ADOPTED), (UNTAG, LET_GO)),
    Case("what we adopted is deleted if asked for", (GOING, ADOPTED, DELETE_POLICY), (DELETE, LET_GO)),
    Case("what we created stays if asked for", (GOING, CREATED, DETACH), (UNTAG, LET_GO)),
    Case(
        "what we created is deleted also where status was lost",
        (GOING, FORGOTTEN, "azure: {guid: ours}"),
        (DELETE, LET_GO),
    ),
    Case("what somebody made stays where status was lost", (GOING, FORGOTTEN), (UNTAG, LET_GO)),
    Case(
        "what a person made anew in the place of what we created stays",
        (GOING, "{status: {azure: {created: true}}, azure: {guid: someone's}}"),
        (UNTAG, LET_GO),
    ),
    # without Azure
    Case("Observe leaves what is there", (GOING, CREATED, OBSERVE), (LET_GO,)),
    Case("Observe leaves what is there whatever the policy", (GOING, CREATED, OBSERVE, DELETE_POLICY), (LET_GO,)),
    Case("suspend leaves what is there", (GOING, CREATED, SUSPEND), (LET_GO,)),
    Case("suspend leaves what is there whatever the policy", (GOING, CREATED, SUSPEND, DELETE_POLICY), (LET_GO,)),
    Case("Observe does not wait for Azure", (GOING, CREATED, OBSERVE, DOWN), (LET_GO,)),
    Case("suspend does not wait for Azure", (GOING, CREATED, SUSPEND, NO_CREDENTIALS), (LET_GO,)),
    # not ours
    Case("another's is left", (GOING, CREATED, "azure: {owner: another}"), (LET_GO,)),
    Case("another's is left whatever the policy", (GOING, DELETE_POLICY, "azure: {owner: elsewhere}"), (LET_GO,)),
    Case("nobody's is left", (GOING, DELETE_POLICY, "azure: {owner: nobody}"), (LET_GO,)),
    Case("a dead owner's is left", (GOING, DELETE_POLICY, "azure: {owner: dead}"), (LET_GO,)),
    Case("another environment's is left", (GOING, DELETE_POLICY, "azure: {kind: GitHub}"), (LET_GO,)),
    Case("one that was never adopted is left", (GOING, FORGOTTEN, "azure: {owner: another}"), (LET_GO,)),
    Case("ours in another region is deleted", (GOING, CREATED, "azure: {location: northeurope}"), (DELETE, LET_GO)),
    # what is there
    Case("nothing is there", (GOING, CREATED, ABSENT), (LET_GO,)),
    Case("nothing was ever there", (GOING, FORGOTTEN, ABSENT), (LET_GO,)),
    Case("no configuration is there", (GOING, CREATED, "azure: {configuration: null}"), (DELETE, LET_GO)),
    Case("an operation is under way", (GOING, CREATED, "azure: {configuration: {state: Pending}}"), (DELETE, LET_GO)),
    Case(
        "an operation is under way at what stays",
        (GOING, ADOPTED, "azure: {configuration: {state: Pending}}"),
        (UNTAG, LET_GO),
    ),
    Case("its authorization is lost", (GOING, CREATED, "azure: {available: none}"), (DELETE, LET_GO)),
    Case(
        "our readers go first",
        (GOING, CREATED, f"azure: {{readers: {{{READER}: ours}}}}"),
        (f"remove {READER} from the connector's Security Readers", DELETE, LET_GO),
    ),
    Case("others' readers go with it", (GOING, CREATED, f"azure: {{readers: {{{READER}: theirs}}}}"), (DELETE, LET_GO)),
    Case("readers of what stays stay", (GOING, ADOPTED, f"azure: {{readers: {{{READER}: ours}}}}"), (UNTAG, LET_GO)),
    # Azure cannot be read
    Case("what is to be deleted waits for Azure", (GOING, CREATED, DOWN)),
    Case("what is to be deleted waits for rights", (GOING, CREATED, FORBIDDEN)),
    Case("what is to be deleted waits for credentials", (GOING, CREATED, NO_CREDENTIALS)),
    Case("what is to be deleted waits for its subscription", (GOING, CREATED, NO_SUBSCRIPTION)),
    Case("what is to be deleted is gone with its resource group", (GOING, CREATED, NO_GROUP), (LET_GO,)),
    Case("what is to be deleted by policy waits for Azure", (GOING, ADOPTED, DELETE_POLICY, DOWN)),
    Case("what stays waits for a read that may succeed when it is repeated", (GOING, ADOPTED, DOWN)),
    Case("what stays by policy does not wait for Azure", (GOING, CREATED, DETACH, NO_CREDENTIALS), (LET_GO,)),
    Case("what was never made does not wait for Azure", (GOING, FORGOTTEN, NO_CREDENTIALS), (LET_GO,)),
    # and nothing else
    Case("without our finalizer nothing is left to do", (GOING, CREATED, "metadata: {finalizers: [example.com/x]}")),
    Case("no resources are made for what is going", (GOING, ADOPTED, "resources: null"), (UNTAG, LET_GO)),
    Case(
        "a new code is not spent on what is going",
        (
            GOING,
            CREATED,
            ABSENT,
            "code: new",
            "spec: {authorization: {method: Code, codeSecretRef: {name: a, key: b}}}",
        ),
        (LET_GO,),
    ),
    Case(
        "a spec that differs is not carried out any more",
        (GOING, ADOPTED, "spec: {azure: {tags: {a: b}}}"),
        (UNTAG, LET_GO),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_deletion(case: Case) -> None:
    assert planned(*case.world) == list(case.steps)


@pytest.mark.parametrize(("failures", "is_released"), [(0, False), (1, False), (2, True), (9, True)])
def test_what_stays_waits_for_two_repetitions_and_no_longer(failures: int, *, is_released: bool) -> None:
    world = snapshot(GOING, ADOPTED, DOWN, failures=failures)
    steps = [step.describe() for step in plan(Assessment(world), NOW).actions]
    assert steps == ([LET_GO] if is_released else [])


def test_only_owner_tags_are_removed_and_the_release_does_not_depend_on_it() -> None:
    world = snapshot(GOING, ADOPTED, "azure: {tags: {team: red}}")
    step = plan(Assessment(world), NOW).actions[0]
    assert step == RemoveOwnerTags({"team": "red"}, ("defender-devops-owner", "defender-devops-resource"))
    assert step.is_best_effort
