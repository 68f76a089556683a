"""A generated resource that lost its label or its ownerReference gets it back, and one that a user manages does not."""

from __future__ import annotations

import pytest

from defender_devops.reconcile.actions.kubernetes import RestoreOrganization
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.plan.plan import plan
from tests.unit.reconcile.builder import NOW, snapshot

GENERATED = "contoso: {generated: true}"


@pytest.mark.parametrize(
    ("fabrikam", "is_restored"),
    [
        ("{generated: true}", False),
        ("{generated: true, owned: false}", True),
        ("{generated: false, owned: true}", True),
        ("{generated: false, owned: false}", False),
        ("{generated: true, owned: false, onboarding: Excluded}", False),
        ("{generated: true, owned: false, tracked: true}", False),
        ("{generated: true, owned: false, deleting: true}", False),
        ("{generated: false, owned: true, onboarding: Onboarded}", False),
    ],
)
def test_only_a_generated_resource_without_one_of_its_marks_is_restored(fabrikam: str, *, is_restored: bool) -> None:
    world = snapshot(f"resources: {{{GENERATED}, fabrikam: {fabrikam}}}")
    actions = plan(Assessment(world), NOW).actions
    restorations = [action for action in actions if isinstance(action, RestoreOrganization)]
    assert bool(restorations) is is_restored
    for action in restorations:
        restored = action.effect(world, NOW)
        assert not any(isinstance(other, RestoreOrganization) for other in plan(Assessment(restored), NOW).actions)
        (resource,) = (
            organization for organization in restored.organizations if organization.spec.organization == "fabrikam"
        )
        assert resource.is_generated
        assert resource.is_owned_by_connector
