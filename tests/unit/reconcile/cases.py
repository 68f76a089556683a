"""What the planner's tables are made of."""

from __future__ import annotations

from dataclasses import dataclass

from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.plan.plan import plan
from tests.unit.reconcile.builder import NOW, snapshot

SELECTED = "spec: {organizations: {mode: Selected, names: [contoso, fabrikam]}}"
CODE = "spec: {authorization: {method: Code, codeSecretRef: {name: defender-code, key: code}}}"
OBSERVE = "spec: {managementPolicy: Observe}"
FRESH = "status: null"
"""A resource without a status."""

ABSENT = "azure: null"
NO_CONFIGURATION = "azure: {configuration: null, organizations: null}"
LISTED = "azure: {configuration: {autoDiscovery: Disabled}}"
"""Azure holds a list instead of everything."""


@dataclass(frozen=True)
class Case:
    """A world and what is to be done about it.

    Attributes:
        why: the case, as a sentence.
        world: fragments for `builder.snapshot`.
        steps: the plan, step by step, as each describes itself.
    """

    title: str
    world: tuple[str, ...]
    steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.title


def planned(*world: str) -> list[str]:
    """What is planned for a world, in words."""
    return [step.describe() for step in plan(Assessment(snapshot(*world)), NOW).actions]


def change(choice: str) -> str:
    """The step that changes the configuration."""
    return f"update the DevOps configuration ({choice})"


def only(*names: str) -> str:
    """The choice of a list."""
    return f"auto-discovery Disabled; organizations {', '.join(names) or 'none'}"


EVERYTHING = "auto-discovery Enabled"
SPEND = "record that the one-time code is used"
CREATE = "create the connector contoso in westeurope"
LET_GO = "remove the finalizer, so that Kubernetes deletes the resource"
DELETE = "delete the connector contoso in Azure"
UNTAG = "remove the owner tags from the connector"
OWN = "set the connector's tags (defender-devops-owner, defender-devops-resource)"


def authorize(choice: str) -> str:
    """The step that hands the code over."""
    return f"authorize Defender for Cloud with the one-time code ({choice})"


def tag(*names: str) -> str:
    """The step that sets tags."""
    return f"set the connector's tags ({', '.join(names)})"


def remember(*names: str) -> str:
    """The step that writes down whose tags are."""
    return f"record that the operator manages the tags {', '.join(names)}"


def generate(name: str) -> str:
    """The step that makes a DevOpsOrganization."""
    return f"create DevOpsOrganization {name}"


def remove(name: str) -> str:
    """The step that deletes a generated DevOpsOrganization."""
    return f"delete the generated DevOpsOrganization {name}"


def release(name: str) -> str:
    """The step that gives a generated DevOpsOrganization up."""
    return f"release DevOpsOrganization {name}, which is managed by a user now"
