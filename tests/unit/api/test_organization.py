from __future__ import annotations

from itertools import permutations

import pytest

from defender_devops.api.azure_types import Annotations
from defender_devops.api.connector import Mode, PullRequestAnnotations, Severity
from defender_devops.api.names import LABEL_GENERATED
from defender_devops.api.organization import DevOpsOrganization, Onboarding, parse_organization
from tests.support.manifests import organization


def parse(patch: str = "", **metadata: object) -> DevOpsOrganization:
    return parse_organization(organization(patch, **metadata))


def test_an_organization_is_identified_by_connector_and_name_in_any_case() -> None:
    assert parse("organization: FabriKam").key == ("contoso", "fabrikam") == parse(name="whatever").key


def test_absent_onboarding_means_inherit() -> None:
    assert parse().onboarding is Onboarding.INHERIT
    assert parse("{onboarding: Excluded}").onboarding is Onboarding.EXCLUDED


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ("", False),
        ("{onboarding: Inherit}", True),
        ("{onboarding: Onboarded}", True),
        ("pullRequestAnnotations: {mode: Disabled}", True),
    ],
)
def test_a_field_that_the_operator_never_sets_is_a_users_decision(patch: str, expected: bool) -> None:
    assert parse(patch).has_user_decision is expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, False),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "app:g/K:ns/n"}}, True),
        ({"annotations": {"meta.helm.sh/release-name": "r"}}, True),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, True),
        ({"labels": {"app.kubernetes.io/instance": "apps"}}, True),
        ({"labels": {LABEL_GENERATED: "true"}, "annotations": {"other": "x"}}, False),
    ],
)
def test_tracking_marks_of_gitops_tools_are_recognized(metadata: dict[str, object], expected: bool) -> None:
    assert parse("", **metadata).is_gitops_tracked is expected


@pytest.mark.parametrize(("value", "generated"), [("true", True), ("false", False), (None, False)])
def test_the_label_marks_a_generated_resource(value: str | None, generated: bool) -> None:
    assert parse(labels={LABEL_GENERATED: value} if value else None).is_generated is generated


def test_user_written_resources_come_first_then_older_ones() -> None:
    old, new = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    ranked = [
        parse(uid="2", creationTimestamp=old),
        parse(uid="0", creationTimestamp=new),
        parse(uid="1", creationTimestamp=new),
        parse(uid="3", creationTimestamp=old, labels={LABEL_GENERATED: "true"}),
    ]
    for order in permutations(ranked):
        assert sorted(order, key=lambda resource: resource.precedence) == ranked


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
def test_an_organization_overrides_some_settings_and_inherits_the_others(
    override: str, inherited: PullRequestAnnotations | None, desired: Annotations
) -> None:
    spec = parse(f"pullRequestAnnotations: {override}").spec.pull_request_annotations
    assert spec is not None
    assert spec.desired(inherited) == desired


def test_a_generated_resource_has_only_its_key_in_the_spec() -> None:
    assert parse().spec.dump() == {"connectorRef": {"name": "contoso"}, "organization": "fabrikam"}
