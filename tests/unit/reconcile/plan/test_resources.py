"""The DevOpsOrganization resources: generated, declared, taken over, let go; and the finalizer."""

from __future__ import annotations

import hashlib

import pytest

from tests.unit.reconcile.cases import (
    ABSENT,
    FRESH,
    LISTED,
    OBSERVE,
    SELECTED,
    Case,
    generate,
    planned,
    release,
    remove,
)

NOBODY = "resources: null"
HELD = "azure: {others: {tailspin: Held}}"
FREE = "azure: {others: {tailspin: Free}}"
ALL_DONE = "{spec: {organizations: {mode: All}}, status: {azure: {organizationsMode: All}}}"
BOTH = (generate("contoso-contoso"), generate("contoso-fabrikam"))


def digest(pair: str) -> str:
    return hashlib.sha256(pair.encode()).hexdigest()[:8]


def fabrikam(*resources: str) -> str:
    return f"resources: {{fabrikam: [{', '.join(resources)}]}}"


CASES = [
    # creation
    Case("one for item that is onboarded", (NOBODY,), BOTH),
    Case("one for item that is there, whoever holds it", (NOBODY, HELD), (*BOTH, generate("contoso-tailspin"))),
    Case("one for item that is left out", ("resources: {}", "spec: {organizations: {exclude: [wingtip]}}", LISTED)),
    Case("one for what came up after All", (NOBODY, ALL_DONE, LISTED, FREE), (*BOTH, generate("contoso-tailspin"))),
    Case("one for item that is named, with Selected", (NOBODY, SELECTED, LISTED, FREE), BOTH),
    Case(
        "one for a name that nobody sees, to say so",
        (NOBODY, LISTED, "spec: {organizations: {mode: Selected, names: [contoso, fabrikam, typo]}}"),
        (*BOTH, generate("contoso-typo")),
    ),
    Case(
        "names are in lower case",
        (NOBODY, "azure: {organizations: {fabrikam: null, Fabrikam-Inc: Onboarded}}"),
        (generate("contoso-contoso"), generate("contoso-fabrikam-inc")),
    ),
    Case(
        "a name that is taken gets a hash",
        (NOBODY, "takenNames: [contoso-fabrikam]"),
        (generate("contoso-contoso"), generate(f"contoso-fabrikam-{digest('contoso/fabrikam')}")),
    ),
    Case("a declared one is enough", (fabrikam("{}"),)),
    Case(
        "a declared one in other letters is enough", ("resources: {FABRIKAM: {onboarding: Inherit}, fabrikam: null}",)
    ),
    Case("none where Azure did not answer", (NOBODY, "azure: {available: unknown}")),
    Case("none where the answer is empty", (NOBODY, "azure: {available: none}")),
    Case("none before there is a configuration", (NOBODY, "azure: {configuration: null, organizations: null}")),
    Case("none while an operation is under way", (NOBODY, "azure: {configuration: {state: Pending}}")),
    Case("none without a connector", (NOBODY, ABSENT)),
    Case("none where Azure cannot be read", (NOBODY, "unreadable: {reason: AzureUnavailable, message: down}")),
    Case("none for a connector that is another's", (NOBODY, "azure: {owner: another}", FRESH)),
    Case("none while suspended", (NOBODY, "spec: {suspend: true}")),
    Case("one for each with Observe too", (NOBODY, OBSERVE), BOTH),
    Case("one for each with Observe at another's connector", (NOBODY, OBSERVE, "azure: {owner: another}", FRESH), BOTH),
    # generated beside declared
    Case(
        "a generated one gives way to a declared one",
        (fabrikam("{generated: true, age: 90}", "{age: 5}"),),
        (remove("contoso-fabrikam"),),
    ),
    Case(
        "a generated one gives way also where Azure did not answer",
        (fabrikam("{generated: true}", "{onboarding: Inherit, name: mine}"), "azure: {available: unknown}"),
        (remove("contoso-fabrikam"),),
    ),
    Case("two declared ones are left for people to sort out", (fabrikam("{}", "{name: mine}"),)),
    Case(
        "of two generated ones the younger goes",
        (fabrikam("{generated: true, age: 90}", "{generated: true, name: later, age: 5}"),),
        (remove("later"),),
    ),
    Case("what is going already is not deleted again", (fabrikam("{generated: true, deleting: true}", "{}"),)),
    # no longer needed
    Case(
        "a generated one goes with its organization",
        ("resources: {gone: {generated: true}}",),
        (remove("contoso-gone"),),
    ),
    Case("a declared one stays without its organization", ("resources: {gone: {}}",)),
    Case(
        "a generated one stays where Azure did not answer",
        ("resources: {gone: {generated: true}}", "azure: {available: unknown}"),
    ),
    Case(
        "a generated one stays where the answer is empty: so a lost authorization looks",
        ("resources: {gone: {generated: true}}", "azure: {available: none}"),
    ),
    Case(
        "a generated one stays while an operation is under way",
        ("resources: {gone: {generated: true}}", "azure: {configuration: {state: Pending}}"),
    ),
    Case(
        "a generated one stays at a connector that another took",
        ("resources: {gone: {generated: true}}", "azure: {owner: another}"),
    ),
    Case(
        "with Selected a generated one goes that is neither named nor onboarded",
        (SELECTED, LISTED, FREE, "resources: {tailspin: {generated: true}}"),
        (remove("contoso-tailspin"),),
    ),
    Case(
        "with Selected a generated one stays while its organization is onboarded",
        ("resources: {}", LISTED, "spec: {organizations: {mode: Selected, names: [contoso]}}"),
        ("update the DevOps configuration (auto-discovery Disabled; organizations contoso)",),
    ),
    # taken over
    Case(
        "a decision makes a generated one its author's",
        (fabrikam("{generated: true, onboarding: Onboarded}"),),
        (release("contoso-fabrikam"),),
    ),
    Case(
        "an override makes a generated one its author's",
        (fabrikam("{generated: true, pullRequestAnnotations: {mode: Disabled}}"),),
        (release("contoso-fabrikam"),),
    ),
    Case(
        "a decision to inherit is one too",
        (fabrikam("{generated: true, onboarding: Inherit}"),),
        (release("contoso-fabrikam"),),
    ),
    Case(
        "a GitOps tool's mark makes a generated one its own",
        (fabrikam("{generated: true, tracked: true}"),),
        (release("contoso-fabrikam"),),
    ),
    Case(
        "one that was taken over is let go of also where Azure cannot be read",
        (
            fabrikam("{generated: true, tracked: true}"),
            "{unreadable: {reason: AzureUnavailable, message: down}, resources: {contoso: {generated: true}}}",
        ),
        (release("contoso-fabrikam"),),
    ),
    Case("our label in somebody's git is let be", (fabrikam("{generated: true, owned: false, onboarding: Inherit}"),)),
    Case("an owner that somebody gave to theirs is let be", (fabrikam("{owned: true, onboarding: Inherit}"),)),
    Case(
        "one that was taken over outlives its organization",
        ("resources: {gone: {generated: true, tracked: true}}",),
        (release("contoso-gone"),),
    ),
    Case(
        "one that was taken over counts by its age from the start",
        (
            LISTED,
            "azure: {organizations: {fabrikam: null}, others: {fabrikam: Free}}",
            fabrikam("{generated: true, onboarding: Excluded, age: 90}", "{onboarding: Onboarded, age: 5}"),
        ),
        (release("contoso-fabrikam"),),
    ),
    Case(
        "one that was taken over and is going is left alone",
        (fabrikam("{generated: true, tracked: true, deleting: true}"),),
    ),
    # the finalizer
    Case("the finalizer comes first", ("metadata: {finalizers: []}", NOBODY), ("add the finalizer", *BOTH)),
    Case("others' finalizers are not ours", ("metadata: {finalizers: [example.com/x]}",), ("add the finalizer",)),
    Case(
        "the finalizer is added while suspended",
        ("metadata: {finalizers: []}", "spec: {suspend: true}"),
        ("add the finalizer",),
    ),
    Case("the finalizer is added with Observe", ("metadata: {finalizers: []}", OBSERVE), ("add the finalizer",)),
    Case(
        "the finalizer is added where Azure cannot be read",
        ("metadata: {finalizers: []}", "unreadable: {reason: AzureUnavailable, message: down}"),
        ("add the finalizer",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_resources(case: Case) -> None:
    assert planned(*case.world) == list(case.steps)


def test_two_organizations_whose_object_names_collide_both_get_a_resource() -> None:
    """Connector `a-b` with organization `c`, beside connector `a` with organization `b-c`."""
    world = (NOBODY, "takenNames: [a-b-c]", "metadata: {name: a}", "spec: {azure: {connectorName: contoso}}")
    organizations = "azure: {organizations: {contoso: null, fabrikam: null, b-c: Onboarded}}"
    steps = [step for step in planned(*world, organizations) if "DevOpsOrganization" in step]
    assert steps == [generate(f"a-b-c-{digest('a/b-c')}")]
