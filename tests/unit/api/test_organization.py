from __future__ import annotations

from itertools import permutations

import pytest

from defender_devops.api.azure_types import Annotations
from defender_devops.api.connector import Mode, PullRequestAnnotations, Severity
from defender_devops.api.names import LABEL_GENERATED
from defender_devops.api.organization import DevOpsOrganization, Onboarding, parse_organization
from tests.support.manifests import organization


def read(patch: str = "", **metadata: object) -> DevOpsOrganization:
    return parse_organization(organization(patch, **metadata))


def test_an_organization_is_known_by_connector_and_name_in_any_case() -> None:
    assert read("organization: FabriKam").key == ("contoso", "fabrikam") == read(name="whatever").key


def test_absent_onboarding_means_inherit() -> None:
    assert read().onboarding is Onboarding.INHERIT
    assert read("{onboarding: Excluded}").onboarding is Onboarding.EXCLUDED


@pytest.mark.parametrize(
    ("patch", "decides"),
    [
        ("", False),
        ("{onboarding: Inherit}", True),
        ("{onboarding: Onboarded}", True),
        ("pullRequestAnnotations: {mode: Disabled}", True),
    ],
)
def test_whatever_the_operator_never_writes_is_somebody_s_decision(patch: str, decides: bool) -> None:
    assert read(patch).has_user_decision is decides


@pytest.mark.parametrize(
    ("metadata", "tracked"),
    [
        ({}, False),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "app:g/K:ns/n"}}, True),
        ({"annotations": {"meta.helm.sh/release-name": "r"}}, True),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, True),
        ({"labels": {"app.kubernetes.io/instance": "apps"}}, True),
        ({"labels": {LABEL_GENERATED: "true"}, "annotations": {"other": "x"}}, False),
    ],
)
def test_marks_of_gitops_tools_are_seen(metadata: dict[str, object], tracked: bool) -> None:
    assert read("", **metadata).is_gitops_tracked is tracked


@pytest.mark.parametrize(("value", "generated"), [("true", True), ("false", False), (None, False)])
def test_generated_is_what_the_label_says(value: str | None, generated: bool) -> None:
    assert read(labels={LABEL_GENERATED: value} if value else None).is_generated is generated


def test_declared_ones_come_first_then_older_ones() -> None:
    old, new = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    ranked = [
        read(uid="2", creationTimestamp=old),
        read(uid="0", creationTimestamp=new),
        read(uid="1", creationTimestamp=new),
        read(uid="3", creationTimestamp=old, labels={LABEL_GENERATED: "true"}),
    ]
    for order in permutations(ranked):
        assert sorted(order, key=lambda each: each.precedence) == ranked


@pytest.mark.parametrize(
    ("override", "inherited", "desired"),
    [
        ("{mode: Disabled}", None, Annotations(enabled=False)),
        ("{mode: Enabled}", None, Annotations(enabled=True, minimum_severity="Medium")),
        (
            "{mode: Enabled}",
            PullRequestAnnotations(mode=Mode.DISABLED, minimum_severity=Severity.LOW),
            Annotations(enabled=True, minimum_severity="Low"),
        ),
        (
            "{mode: Enabled, minimumSeverity: High}",
            PullRequestAnnotations(mode=Mode.ENABLED, minimum_severity=Severity.LOW),
            Annotations(enabled=True, minimum_severity="High"),
        ),
    ],
)
def test_an_organization_overrides_what_it_says_and_inherits_the_rest(
    override: str, inherited: PullRequestAnnotations | None, desired: Annotations
) -> None:
    chosen = read(f"pullRequestAnnotations: {override}").spec.pull_request_annotations
    assert chosen is not None
    assert chosen.desired(inherited) == desired


def test_a_generated_one_is_written_with_nothing_but_its_key() -> None:
    assert read().spec.dump() == {"connectorRef": {"name": "contoso"}, "organization": "fabrikam"}
