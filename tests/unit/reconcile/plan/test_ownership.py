"""Whose connector it is, and which of its tags are ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defender_devops.api.conditions import find_condition
from defender_devops.reconcile.actions.azure import SetTags
from defender_devops.reconcile.actions.kubernetes import RecordManagedTags
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.ownership import OwnershipState, ownership
from defender_devops.reconcile.facts.snapshot import Owner
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, OTHER_UID, UID, snapshot
from tests.unit.reconcile.cases import (
    ABSENT,
    CODE,
    FRESH,
    LET_GO,
    NO_CONFIGURATION,
    OBSERVE,
    OWN,
    Case,
    planned,
    remember,
    tag,
)

NEVER, ALWAYS = "spec: {adoptionPolicy: Never}", "spec: {adoptionPolicy: Always}"
CODE_NEVER = (
    "spec: {adoptionPolicy: Never, authorization: {method: Code, codeSecretRef: {name: defender-code, key: code}}}"
)
NOBODY, ANOTHER, ELSEWHERE, DEAD = (
    f"azure: {{owner: {owner}}}" for owner in ("nobody", "another", "elsewhere", "dead")
)
TAGS = "spec: {azure: {tags: {team: red, costs: '7'}}}"
RED = "azure: {tags: {team: red, costs: '7'}}"
MANAGED = "status: {azure: {managedTagKeys: [costs, team]}}"
RECORDED, RECORDED_DELETING = "recordedOwner: exists", "recordedOwner: deleting"
RENAMED_CLUSTER = f"azure: {{owner: cluster-0/{UID}}}"
BEING_DELETED = "metadata: {deletionTimestamp: '2026-03-01T11:00:00Z'}"
DELETING, ONE_NAMESPACE = "otherOwner: deleting", "watches: one namespace"
FORGED, FORGED_ADOPTION = "status: {azure: {created: true}}", "status: {azure: {created: false}}"
DELETE = "spec: {deletionPolicy: Delete}"
OWN_OWNER = tag("defender-devops-owner")

CASES = [
    # owner and adoptionPolicy
    Case("nobody's is adopted", (FRESH, NOBODY), (OWN,)),
    Case("nobody's is adopted with Always", (FRESH, NOBODY, ALWAYS), (OWN,)),
    Case("nobody's is left with Never", (FRESH, NOBODY, CODE_NEVER)),
    Case("ours is ours whatever the policy", (CODE_NEVER,)),
    Case("ours without memory of it is ours, also with Never", (FRESH, CODE_NEVER)),
    Case("another's is left", (FRESH, ANOTHER)),
    Case("another's is left with Never", (FRESH, ANOTHER, CODE_NEVER)),
    Case("another's is left with Always while its owner exists", (FRESH, ANOTHER, ALWAYS)),
    Case(
        "another's is adopted with Always while its owner is being deleted", (FRESH, ANOTHER, ALWAYS, DELETING), (OWN,)
    ),
    Case("another's is left with IfUnmanaged while its owner is being deleted", (FRESH, ANOTHER, DELETING)),
    Case("another's is left with Always where its owner may exist unwatched", (FRESH, DEAD, ALWAYS, ONE_NAMESPACE)),
    Case("another cluster's is left", (FRESH, ELSEWHERE)),
    Case("another cluster's is taken over with Always", (FRESH, ELSEWHERE, ALWAYS), (OWN,)),
    Case("a dead owner's is adopted", (FRESH, DEAD), (OWN,)),
    Case("a dead owner's is left with Never", (FRESH, DEAD, CODE_NEVER)),
    Case("who sees one namespace only cannot tell that an owner is dead", (FRESH, DEAD, ONE_NAMESPACE)),
    Case("a tag of another shape is another owner's", (FRESH, "azure: {owner: somebody}")),
    # an owner by its status, whatever the tags say
    Case("one whose tags were removed is left while its owner exists", (FRESH, NOBODY, RECORDED)),
    Case("one whose tags were removed is left with Always", (FRESH, NOBODY, RECORDED, ALWAYS)),
    Case("one with the tag of nobody who exists is left while its owner exists", (FRESH, DEAD, RECORDED, ALWAYS)),
    Case("one with the tag of another cluster is left while its owner exists", (FRESH, ELSEWHERE, RECORDED, ALWAYS)),
    Case("one whose tags were removed is left while its owner is being deleted", (FRESH, NOBODY, RECORDED_DELETING)),
    Case(
        "one whose tags were removed is adopted with Always while its owner is being deleted",
        (FRESH, NOBODY, RECORDED_DELETING, ALWAYS),
        (OWN,),
    ),
    Case("ours whose tags somebody removed is ours again, whoever else had it", (NOBODY, RECORDED), (OWN,)),
    Case("ours by the tag is ours, whoever else had it", (FRESH, RECORDED)),
    Case(
        "one that was deleted in Azure is not created while its owner exists",
        (FRESH, ABSENT, RECORDED, CODE, "code: new"),
    ),
    # the cluster's part of the tag
    Case("ours of another cluster is left", (RENAMED_CLUSTER,)),
    Case("ours of another cluster is left with Always", (RENAMED_CLUSTER, ALWAYS)),
    Case("ours of another cluster without memory of it is left with Always", (FRESH, RENAMED_CLUSTER, ALWAYS)),
    Case("ours of another cluster is not deleted", (RENAMED_CLUSTER, BEING_DELETED, "spec: {deletionPolicy: Delete}")),
    Case(
        "ours of another cluster keeps its tags when it is detached",
        (RENAMED_CLUSTER, BEING_DELETED, "spec: {deletionPolicy: Detach}"),
        (LET_GO,),
    ),
    # taken back
    Case("ours that another took is left", (ANOTHER,)),
    Case("ours that another took is left with Always: no tug-of-war", (ANOTHER, ALWAYS)),
    Case("ours that another cluster took is left", (ELSEWHERE, ALWAYS)),
    Case("ours whose tags somebody removed is ours again", (NOBODY,), (OWN,)),
    Case("ours whose tags somebody removed is ours again, also with Never", (NOBODY, CODE_NEVER), (OWN,)),
    Case("ours whose taker died is ours again", (DEAD,), (OWN,)),
    # a status that somebody else has written, or that a backup restored
    Case("a forged creation takes nothing from a living owner", (FORGED, ANOTHER, ALWAYS)),
    Case("a forged adoption takes nothing from a living owner", (FORGED_ADOPTION, ANOTHER, ALWAYS)),
    Case("a forged creation takes nothing from an owner that is being deleted", (FORGED, ANOTHER, ALWAYS, DELETING)),
    Case("a forged creation takes nothing from another cluster", (FORGED, ELSEWHERE, ALWAYS)),
    Case("a forged creation takes nothing from an owner that may exist", (FORGED, DEAD, ALWAYS, ONE_NAMESPACE)),
    Case("a forged creation deletes nothing of a living owner", (FORGED, ANOTHER, BEING_DELETED, DELETE), (LET_GO,)),
    Case(
        "a forged adoption deletes nothing of another cluster",
        (FORGED_ADOPTION, ELSEWHERE, BEING_DELETED, DELETE),
        (LET_GO,),
    ),
    # Observe does not adopt
    Case(
        "a connector that was only observed is another's, not taken back",
        (ANOTHER, ALWAYS, "status: {azure: null}", DELETING),
        (OWN,),
    ),
    Case("a connector that was only observed is left with Always", (ANOTHER, ALWAYS, "status: {azure: null}")),
    Case("Observe owns nothing", (FRESH, NOBODY, OBSERVE)),
    Case("Observe looks at another's", (FRESH, ANOTHER, OBSERVE)),
    # another kind, another region
    Case("a connector of another environment is left", (FRESH, NOBODY, "azure: {kind: GitHub}")),
    Case("a connector of another environment is left with Always", (FRESH, ANOTHER, ALWAYS, "azure: {kind: AWS}")),
    Case("the environment in other letters", (FRESH, NOBODY, "azure: {kind: azuredevops}"), (OWN,)),
    Case("a connector in another region is left", (FRESH, NOBODY, "azure: {location: northeurope}")),
    Case("ours in another region is left", ("azure: {location: northeurope}", TAGS)),
    Case("the region in long form is the same", ("azure: {location: West Europe}",)),
    # tags
    Case("tags are set, and written down before", (TAGS,), (remember("costs", "team"), tag("costs", "team"))),
    Case("tags that are written down already are set", (TAGS, MANAGED), (tag("costs", "team"),)),
    Case(
        "the tag that is new is written down",
        (TAGS, "status: {azure: {managedTagKeys: [Team]}}"),
        (remember("costs"), tag("costs", "team")),
    ),
    Case("tags are there", (TAGS, RED)),
    Case("a changed value is set", (TAGS, "azure: {tags: {team: blue, costs: '7'}}"), (tag("team"),)),
    Case("a removed key goes", ("spec: {azure: {tags: {team: red}}}", RED, MANAGED), (tag("costs"),)),
    Case("all removed keys go", (RED, MANAGED), (tag("costs", "team"),)),
    Case("others' tags stay", ("azure: {tags: {env: prod}}",)),
    Case("others' tags stay beside ours", (TAGS, "azure: {tags: {team: red, costs: '7', env: prod}}")),
    Case(
        "a key that others set and the spec names is ours from now on",
        ("spec: {azure: {tags: {env: test}}}", "azure: {tags: {env: prod}}"),
        (tag("env"),),
    ),
    Case("a removed key in other letters goes", ("azure: {tags: {Team: red}}", MANAGED), (tag("Team"),)),
    Case("Azure's spelling of a key is no difference", (TAGS, "azure: {tags: {Team: red, COSTS: '7'}}")),
    Case("a value counts with its case", (TAGS, "azure: {tags: {team: Red, costs: '7'}}"), (tag("team"),)),
    Case(
        "tags of nobody's connector are set with the owner",
        (FRESH, NOBODY, TAGS),
        (remember("costs", "team"), tag("costs", "defender-devops-owner", "defender-devops-resource", "team")),
    ),
    Case(
        "tags are set also before there is a configuration",
        (NO_CONFIGURATION, TAGS),
        (remember("costs", "team"), tag("costs", "team")),
    ),
    Case(
        "tags are set also while an operation is under way",
        (TAGS, "azure: {configuration: {state: Pending}}"),
        (remember("costs", "team"), tag("costs", "team")),
    ),
    Case("another's connector is not tagged", (ANOTHER, TAGS)),
    Case("Observe sets no tags", (OBSERVE, TAGS)),
    Case(
        "a resource that was renamed says its new name",
        ("metadata: {namespace: platform}",),
        (tag("defender-devops-resource"),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ownership(case: Case) -> None:
    assert planned(*case.world) == list(case.steps)


def test_all_tags_are_sent_with_their_present_spelling() -> None:
    world = snapshot(TAGS, "azure: {tags: {Team: blue, env: prod}}")
    assert plan(Assessment(world), NOW).actions == (
        RecordManagedTags(("costs",)),
        SetTags(
            {
                "env": "prod",
                "Team": "red",
                "costs": "7",
                "defender-devops-owner": f"cluster-1/{UID}",
                "defender-devops-resource": "security/contoso",
            },
            ("Team", "costs"),
        ),
    )


def test_the_name_of_the_owner_tag_is_case_insensitive() -> None:
    assert (
        Assessment(
            snapshot("azure: {owner: nobody, tags: {Defender-DevOps-Owner: cluster-2/x}}", FRESH)
        ).ownership_conflict
        is not None
    )
    own_tag = f"azure: {{owner: nobody, tags: {{Defender-DevOps-Owner: cluster-1/{UID}}}}}"
    assert Assessment(snapshot(own_tag, CODE_NEVER, FRESH)).ownership_conflict is None


@pytest.mark.parametrize("cluster", ["cluster-1", "prod/europe", ""])
def test_an_owner_tag_is_parsed_as_it_was_formatted(cluster: str) -> None:
    assert Owner.parse(str(Owner(cluster, UID))) == Owner(cluster, UID)


@pytest.mark.parametrize(
    ("world", "reason", "phrases"),
    [
        ((FRESH, ANOTHER), "NotAdopted", ["other/theirs", "does not apply", "Detach"]),
        ((FRESH, ANOTHER, ALWAYS), "NotAdopted", ["other/theirs", "exists in this cluster", "Detach"]),
        ((FRESH, ANOTHER, DELETING), "NotAdopted", ["other/theirs", "Always", "Detach"]),
        ((FRESH, ELSEWHERE), "NotAdopted", ["other/theirs (cluster-2/", "Always"]),
        ((FRESH, NOBODY, CODE_NEVER), "NotAdopted", ["exists already", "IfUnmanaged"]),
        ((ANOTHER,), "OwnershipLost", ["now owned by other/theirs", "remove the tag defender-devops-owner"]),
        ((ELSEWHERE, ALWAYS), "OwnershipLost", ["other/theirs"]),
        ((FRESH, "azure: {kind: GitHub}"), "InvalidSpec", ["A connector for GitHub", "connectorName"]),
        (("azure: {location: northeurope}",), "InvalidSpec", ["region northeurope", "westeurope", "cannot be moved"]),
        ((OBSERVE, "azure: {location: northeurope}"), "InvalidSpec", ["cannot be moved"]),
        ((OBSERVE, "azure: {kind: GitHub}"), "InvalidSpec", ["GitHub"]),
    ],
)
def test_an_ownership_conflict_names_the_owner_and_the_fix(
    world: tuple[str, ...], reason: str, phrases: list[str]
) -> None:
    failure = Assessment(snapshot(*world)).ownership_conflict
    assert failure is not None
    assert failure.terminal
    assert failure.reason == reason
    for phrase in phrases:
        assert phrase in failure.message


@pytest.mark.parametrize("resource", ["other/theirs", "elsewhere/theirs", "security/contoso", "/", "", "other"])
@pytest.mark.parametrize("policy", [ALWAYS, "spec: {}"])
def test_an_operator_that_watches_some_namespaces_takes_no_owner_for_dead(resource: str, policy: str) -> None:
    """Whatever namespace the tag names: whoever may write tags could name a watched one."""
    world = snapshot(FRESH, DEAD, policy)
    connector = world.cloud.connector
    assert connector is not None
    connector = replace(connector, tags={**connector.tags, "defender-devops-resource": resource})
    observed = replace(world, namespaces=frozenset({"other"}), cloud=replace(world.cloud, connector=connector))
    conflict = Assessment(observed).ownership_conflict
    assert conflict is not None
    assert "cannot see it" in conflict.message
    assert "remove the tag defender-devops-owner" in conflict.message
    assert plan(Assessment(observed), NOW).actions == ()


def test_an_owner_whose_deletion_was_seen_is_dead_also_where_some_namespaces_are_watched() -> None:
    world = replace(snapshot(FRESH, DEAD), namespaces=frozenset({"security"}))
    assert Assessment(world).ownership_conflict is not None
    dead = Owner.parse(str(world.cloud.connector and world.cloud.connector.tags["defender-devops-owner"])).uid
    assert Assessment(replace(world, removed_owner_uids=frozenset({dead}))).ownership_conflict is None
    exists = replace(world, removed_owner_uids=frozenset({OTHER_UID}))
    assert Assessment(exists).ownership_conflict is not None


@pytest.mark.parametrize("world", [(RENAMED_CLUSTER,), (FRESH, RENAMED_CLUSTER)])
def test_a_changed_cluster_id_is_named_with_both_ways_out(world: tuple[str, ...]) -> None:
    failure = Assessment(snapshot(*world)).ownership_conflict
    assert failure is not None
    assert failure.reason == ("NotAdopted" if FRESH in world else "OwnershipLost")
    for phrase in (
        "setting clusterId (DEFENDER_DEVOPS_CLUSTER_ID)",
        "Nothing is changed in Azure",
        "Set clusterId to cluster-0 again",
        f"set the tag to cluster-1/{UID}",
    ):
        assert phrase in failure.message


def test_a_deletion_with_a_changed_cluster_id_waits_and_names_the_way_out() -> None:
    world = snapshot(RENAMED_CLUSTER, BEING_DELETED, "spec: {deletionPolicy: Delete}")
    ready = find_condition(report(Assessment(world), None, NOW).status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "DeletionBlocked")
    assert "clusterId" in ready.message
    assert '{"spec":{"deletionPolicy":"Detach"}}' in ready.message


@pytest.mark.parametrize(
    "owner",
    [
        "another-cluster-id/{uid}",
        "{cluster}/{UID}",
        "{CLUSTER}/{uid}",
        " {cluster}/{uid} ",
        "a/b/{uid}",
        "{uid}",
    ],
)
def test_a_living_owner_is_recognized_by_its_uid_whatever_else_the_tag_says(owner: str) -> None:
    """After a change of the setting clusterId, for example, all tags have the old cluster."""
    world = snapshot(FRESH, ANOTHER, ALWAYS)
    text = owner.format(
        cluster=world.owner.cluster, CLUSTER=world.owner.cluster.upper(), uid=OTHER_UID, UID=OTHER_UID.upper()
    )
    connector = world.cloud.connector
    assert connector is not None
    connector = replace(connector, tags={**connector.tags, "defender-devops-owner": text})
    assert ownership(world, connector).state is OwnershipState.OWNED_BY_OTHER
    assert plan(Assessment(replace(world, cloud=replace(world.cloud, connector=connector))), NOW).actions == ()
