"""Which organizations are requested from Defender: by mode, exclusions, decisions and what Azure lists."""

from __future__ import annotations

import pytest

from tests.unit.reconcile.cases import EVERYTHING, LISTED, OBSERVE, SELECTED, Case, change, only, planned

ALL = "spec: {organizations: {mode: All}}"
ALL_DONE = "{spec: {organizations: {mode: All}}, status: {azure: {organizationsMode: All}}}"
NEW = "azure: {others: {tailspin: Free}}"
HELD = "azure: {others: {tailspin: Held}}"
EXCLUDE = "spec: {organizations: {exclude: [Fabrikam]}}"
OUT = "azure: {organizations: {fabrikam: null}, others: {fabrikam: Free}}"
"""Fabrikam is there and not onboarded."""

UNKNOWN, NONE = "azure: {available: unknown}", "azure: {available: none}"
TOLD = "{onboarding: null, generated: true, status: {conditions: [%s]}}"
WANTED = "{type: Onboarded, status: 'False', reason: Onboarding}"
PASSED_OVER = "{type: Onboarded, status: 'False', reason: NotIncluded}"
LEFT_OUT = "{type: Onboarded, status: 'False', reason: Excluded}"


def declared(organization: str, decision: str) -> str:
    return f"resources: {{{organization}: {{onboarding: {decision}}}}}"


def remembered(organization: str, condition: str) -> str:
    return f"resources: {{{organization}: {{generated: true, status: {{conditions: [{condition}]}}}}}}"


DENY = "spec: {organizations: {overrides: Deny}}"
ONE_NAME = "spec: {organizations: {mode: Selected, names: [contoso]}}"


CASES = [
    # AllAndFuture: Defender's own auto-discovery does it all
    Case("AllAndFuture as it should be", ()),
    Case("AllAndFuture takes over from a list", (LISTED,), (change(EVERYTHING),)),
    Case("AllAndFuture leaves what comes up to Defender", (NEW, "resources: {tailspin: {onboarding: Inherit}}")),
    Case("AllAndFuture with one that is held elsewhere", (HELD, "resources: {tailspin: {onboarding: Inherit}}")),
    Case("AllAndFuture and nothing seen", ("azure: {organizations: null}",)),
    Case("AllAndFuture and an empty answer", (NONE,)),
    Case("AllAndFuture and no answer", (UNKNOWN,)),
    Case("AllAndFuture with a decision to onboard what is onboarded", (declared("fabrikam", "Onboarded"),)),
    Case("AllAndFuture with a decision to inherit", (declared("fabrikam", "Inherit"),)),
    Case("AllAndFuture with a decision for one that nobody sees", (declared("wingtip", "Onboarded"),)),
    Case("AllAndFuture with an exclusion", (EXCLUDE,), (change(only("contoso")),)),
    Case("AllAndFuture with a decision to exclude", (declared("fabrikam", "Excluded"),), (change(only("contoso")),)),
    Case("AllAndFuture with an exclusion, done", (EXCLUDE, LISTED, OUT)),
    Case(
        "AllAndFuture with an exclusion takes in what comes up",
        (EXCLUDE, LISTED, OUT, NEW, "resources: {tailspin: {onboarding: Inherit}}"),
        (change(only("contoso", "tailspin")),),
    ),
    Case(
        "AllAndFuture with an exclusion leaves what is held elsewhere",
        (EXCLUDE, LISTED, OUT, HELD, "resources: {tailspin: {onboarding: Inherit}}"),
    ),
    Case("AllAndFuture with an exclusion that a decision overrules", (EXCLUDE, declared("fabrikam", "Onboarded")), ()),
    Case(
        "AllAndFuture with an exclusion of two and a decision for one of them",
        ("spec: {organizations: {exclude: [contoso, fabrikam]}}", declared("fabrikam", "Onboarded")),
        (change(only("fabrikam")),),
    ),
    # overrides: Deny
    Case(
        "Deny: a decision does not overrule an exclusion",
        (EXCLUDE, LISTED, OUT, DENY, declared("fabrikam", "Onboarded")),
    ),
    Case("Deny: a decision to exclude has no effect", (DENY, declared("fabrikam", "Excluded"))),
    Case(
        "Deny: a decision adds nothing to the names",
        (ONE_NAME, LISTED, OUT, DENY, declared("fabrikam", "Onboarded")),
    ),
    Case("Deny: an organization of a decision alone is not created", (DENY, declared("wingtip", "Onboarded"))),
    Case("AllAndFuture without the exclusion it had", (LISTED, OUT), (change(EVERYTHING),)),
    Case(
        "AllAndFuture with an exclusion of nobody who is there",
        ("spec: {organizations: {exclude: [wingtip]}}",),
        (change(only("contoso", "fabrikam")),),
    ),
    Case(
        "AllAndFuture with everybody excluded",
        ("spec: {organizations: {exclude: [contoso, fabrikam]}}",),
        (change(only()),),
    ),
    Case("AllAndFuture with an exclusion and an empty answer, which is no knowledge", (EXCLUDE, LISTED, OUT, NONE)),
    Case("AllAndFuture with an exclusion and no answer", (EXCLUDE, LISTED, OUT, UNKNOWN)),
    Case(
        "AllAndFuture with a new exclusion and no answer: only what is there goes",
        (EXCLUDE, LISTED, UNKNOWN),
        (change(only("contoso")),),
    ),
    Case(
        "AllAndFuture with an exclusion, where somebody onboarded it by hand",
        (EXCLUDE, LISTED),
        (change(only("contoso")),),
    ),
    Case(
        "AllAndFuture with an exclusion, where somebody took another out by hand",
        (EXCLUDE, LISTED, OUT, "azure: {organizations: {contoso: null}, others: {contoso: Free}}"),
        (change(only("contoso")),),
    ),
    Case(
        "AllAndFuture where NotApplicable stands for auto-discovery",
        ("azure: {configuration: {autoDiscovery: NotApplicable}}",),
        (change(EVERYTHING),),
    ),
    # All: those that are there when it is carried out
    Case("All for the first time, everybody there", (ALL, LISTED)),
    Case("All after AllAndFuture keeps whom Defender holds", (ALL,), (change(only("contoso", "fabrikam")),)),
    Case("All for the first time takes in everybody", (ALL, LISTED, OUT), (change(only("contoso", "fabrikam")),)),
    Case("All for the first time leaves what is held elsewhere", (ALL, LISTED, HELD, declared("tailspin", "Inherit"))),
    Case("All, done, leaves what came up later", (ALL_DONE, LISTED, NEW, declared("tailspin", "Inherit"))),
    Case(
        "All, done, leaves what came up later and was told so",
        (ALL_DONE, LISTED, NEW, remembered("tailspin", PASSED_OVER)),
    ),
    Case(
        "All, done, keeps at one that Defender never onboarded",
        (ALL_DONE, LISTED, NEW, remembered("tailspin", WANTED)),
        (change(only("contoso", "fabrikam", "tailspin")),),
    ),
    Case(
        "All, done, puts one back that somebody took out",
        (ALL_DONE, LISTED, OUT, remembered("fabrikam", "{type: Onboarded, status: 'True', reason: Onboarded}")),
        (change(only("contoso", "fabrikam")),),
    ),
    Case(
        "All, done, takes one back whose exclusion was lifted",
        (ALL_DONE, LISTED, OUT, remembered("fabrikam", LEFT_OUT)),
        (change(only("contoso", "fabrikam")),),
    ),
    Case(
        "All, done, takes one in that came up later and is asked for by name",
        (ALL_DONE, LISTED, NEW, declared("tailspin", "Onboarded")),
        (change(only("contoso", "fabrikam", "tailspin")),),
    ),
    Case("All, done, takes an excluded one out", (ALL_DONE, EXCLUDE, LISTED), (change(only("contoso")),)),
    Case(
        "All, done, with a decision to exclude",
        (ALL_DONE, declared("fabrikam", "Excluded"), LISTED),
        (change(only("contoso")),),
    ),
    Case("All, done, where somebody switched auto-discovery on", (ALL_DONE,), (change(only("contoso", "fabrikam")),)),
    Case(
        "All, done, where NotApplicable stands for auto-discovery",
        (ALL_DONE, "azure: {configuration: {autoDiscovery: NotApplicable}}"),
    ),
    Case("All with an exclusion for the first time", (ALL, EXCLUDE, LISTED, OUT)),
    Case("All and an empty answer", (ALL_DONE, LISTED, NONE)),
    Case("All for the first time and no answer", (ALL, LISTED, UNKNOWN)),
    Case("All with a new exclusion and no answer", (ALL_DONE, EXCLUDE, LISTED, UNKNOWN), (change(only("contoso")),)),
    Case(
        "All again after Selected takes in everybody",
        (ALL, "status: {azure: {organizationsMode: Selected}}", LISTED, OUT),
        (change(only("contoso", "fabrikam")),),
    ),
    Case(
        "All, done, and one that another connector let go: it was there then",
        (
            ALL_DONE,
            LISTED,
            NEW,
            remembered("tailspin", "{type: Onboarded, status: 'False', reason: HeldByOtherConnector}"),
        ),
        (change(only("contoso", "fabrikam", "tailspin")),),
    ),
    # Selected: the names
    Case("Selected as it should be", (SELECTED, LISTED)),
    Case("Selected in other letters", ("spec: {organizations: {mode: Selected, names: [CONTOSO, Fabrikam]}}", LISTED)),
    Case(
        "Selected after AllAndFuture: the list goes with the switch, even where it names whom Defender holds",
        (SELECTED,),
        (change(only("contoso", "fabrikam")),),
    ),
    Case(
        "Selected with one name fewer",
        ("spec: {organizations: {mode: Selected, names: [contoso]}}", LISTED),
        (change(only("contoso")),),
    ),
    Case("Selected with one name more", (SELECTED, LISTED, OUT), (change(only("contoso", "fabrikam")),)),
    Case("Selected with no name", ("spec: {organizations: {mode: Selected, names: []}}", LISTED), (change(only()),)),
    Case(
        "Selected with a name that is held elsewhere leaves it out",
        (
            "spec: {organizations: {mode: Selected, names: [contoso, fabrikam, tailspin]}}",
            LISTED,
            HELD,
            "resources: {tailspin: {onboarding: Inherit}}",
        ),
    ),
    Case(
        "Selected with a name that nobody sees leaves it out",
        (
            "spec: {organizations: {mode: Selected, names: [contoso, fabrikam, typo]}}",
            LISTED,
            "resources: {typo: {onboarding: Inherit}}",
        ),
    ),
    Case(
        "Selected with a decision for one more",
        (SELECTED, LISTED, NEW, declared("tailspin", "Onboarded")),
        (change(only("contoso", "fabrikam", "tailspin")),),
    ),
    Case(
        "Selected with a decision against a name",
        (SELECTED, LISTED, declared("fabrikam", "Excluded")),
        (change(only("contoso")),),
    ),
    Case("Selected with a decision to inherit", (SELECTED, LISTED, declared("fabrikam", "Inherit"))),
    Case(
        "Selected with a decision to inherit for one that is not named",
        (SELECTED, LISTED, NEW, declared("tailspin", "Inherit")),
    ),
    Case(
        "Selected by decisions only",
        (
            "spec: {organizations: {mode: Selected, names: []}}",
            LISTED,
            declared("contoso", "Onboarded"),
            declared("fabrikam", "Onboarded"),
        ),
    ),
    Case(
        "Selected and an empty answer: nobody is asked for who is not seen, and nobody goes",
        (SELECTED, LISTED, "azure: {organizations: {fabrikam: null}}", NONE, "resources: {fabrikam: {}}"),
    ),
    Case("Selected and no answer", (SELECTED, LISTED, OUT, UNKNOWN), (change(only("contoso", "fabrikam")),)),
    Case(
        "Selected where somebody onboarded another by hand",
        (SELECTED, LISTED, "azure: {organizations: {tailspin: Onboarded}}", declared("tailspin", "Inherit")),
        (change(only("contoso", "fabrikam")),),
    ),
    # whatever the mode
    Case(
        "an older answer counts a released one as onboarded, the list below the connector does not",
        (SELECTED, LISTED, "azure: {organizations: {fabrikam: null}, others: {fabrikam: Onboarded}}"),
        (change(only("contoso", "fabrikam")),),
    ),
    Case(
        "of two decisions the older counts",
        (LISTED, "resources: {fabrikam: [{onboarding: Excluded, age: 30}, {onboarding: Onboarded, age: 90}]}"),
        (change(EVERYTHING),),
    ),
    Case(
        "of two decisions the older counts, the other way round",
        ("resources: {fabrikam: [{onboarding: Excluded, age: 90}, {onboarding: Onboarded, age: 30}]}",),
        (change(only("contoso")),),
    ),
    Case(
        "nothing is changed while an operation is under way",
        (
            SELECTED,
            "azure: {configuration: {state: Pending}, organizations: null, available: unknown}",
            "resources: null",
        ),
    ),
    Case(
        "nothing is changed while the configuration is being deleted",
        (SELECTED, "azure: {configuration: {state: PendingDeletion}}"),
    ),
    Case(
        "what failed is tried again, all of it",
        ("azure: {configuration: {state: Failed, message: boom}}",),
        (change(EVERYTHING),),
    ),
    Case(
        "what was canceled is tried again",
        (SELECTED, "azure: {configuration: {state: Canceled}}"),
        (change(only("contoso", "fabrikam")),),
    ),
    Case("Observe changes nothing", (OBSERVE, SELECTED, OUT)),
    Case("suspend changes nothing", ("spec: {suspend: true}", SELECTED, OUT, NEW)),
    Case(
        "nothing is planned where Azure could not be read",
        (SELECTED, "unreadable: {reason: AzureUnavailable, message: down}"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_organizations(case: Case) -> None:
    assert planned(*case.world) == list(case.steps)
