"""The ladder of evidence: the state of a repository, from everything that was or was not read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.azure_types import AgentlessConfiguration, AutoDiscovery, InventoryItem
from defender_devops.api.pipelines.evidence import (
    Build,
    OrganizationEvidence,
    Pipeline,
    Repository,
    RepositoryFeatures,
    ScanTask,
    StepResult,
    Unread,
    YamlReading,
)
from defender_devops.api.pipelines.states import PIPELINE_REASONS, PipelineState
from defender_devops.api.pipelines.states import PipelineReason as Reason
from defender_devops.reconcile.facts.pipelines import (
    agentless_covers,
    assess_pipeline,
    assess_repositories,
    checked_out_repositories,
)

NOW: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
RECENT: Final = NOW - timedelta(days=1)
OLD: Final = NOW - timedelta(days=90, seconds=1)
APP: Final = Repository("r1", "app", "p1", "Web", "refs/heads/main")
OFF: Final = AgentlessConfiguration(enabled=False)
PLAIN: Final = YamlReading()
SCAN: Final = YamlReading(frozenset({ScanTask.SECURITY_DEVOPS}))
TEMPLATES: Final = YamlReading(has_templates=True)


def pipeline(number: int = 1, **values: Any) -> Pipeline:  # noqa: ANN401 - fields of Pipeline
    fields = {"name": f"build {number}", "project_id": "p1", "revision": 1, "repository_id": "r1"}
    return Pipeline(**{"id": number, "source_type": "TfsGit", "yaml_path": "ci.yml", **fields, **values})


def build(**values: Any) -> Build:  # noqa: ANN401 - fields of Build
    return Build(**{"id": 7, "finished_at": RECENT, **values})


def organization(*pipelines: Pipeline, **values: Any) -> OrganizationEvidence:  # noqa: ANN401 - fields
    fields: dict[str, Any] = {"projects": {"p1": "Web"}, "repositories": (APP,), "features": {}, **values}
    return OrganizationEvidence(pipelines=pipelines, **fields)


def reason_of(evidence: OrganizationEvidence, agentless: AgentlessConfiguration | None = OFF) -> Reason:
    return assess_repositories(evidence, agentless, "contoso", NOW)[0].reason


NO_SCAN: Final = {"artifact": False}
CASES: Final[dict[str, tuple[Pipeline, Reason]]] = {
    "artifact": (pipeline(build=build(artifact=True)), Reason.ARTIFACT_PUBLISHED),
    "artifact, of a pipeline that is disabled now": (
        pipeline(build=build(artifact=True), is_enabled=False),
        Reason.ARTIFACT_PUBLISHED,
    ),
    "artifact of an old build": (pipeline(build=build(artifact=True, finished_at=OLD)), Reason.NOT_READ_YET),
    "old build, file read": (
        pipeline(build=build(artifact=True, yaml=SCAN, finished_at=OLD), file=PLAIN),
        Reason.BUILD_TOO_OLD,
    ),
    "step without artifact": (pipeline(build=build(**NO_SCAN, step=StepResult.RAN)), Reason.STEP_RAN),
    "skipped step": (pipeline(build=build(**NO_SCAN, yaml=SCAN, step=StepResult.SKIPPED)), Reason.STEP_DID_NOT_RUN),
    "failed step": (pipeline(build=build(**NO_SCAN, yaml=SCAN, step=StepResult.FAILED)), Reason.STEP_DID_NOT_RUN),
    "YAML with the task, no step": (
        pipeline(build=build(**NO_SCAN, yaml=SCAN, step=StepResult.ABSENT)),
        Reason.EXPANDED_YAML_HAS_TASK,
    ),
    "YAML with the task, artifacts unread": (
        pipeline(build=build(artifact=Unread.DENIED, yaml=SCAN)),
        Reason.EXPANDED_YAML_HAS_TASK,
    ),
    "the same, disabled": (
        pipeline(build=build(artifact=Unread.DENIED, yaml=SCAN), is_enabled=False),
        Reason.ACCESS_DENIED,
    ),
    "YAML without the task": (pipeline(build=build(**NO_SCAN, yaml=PLAIN)), Reason.NO_TASK),
    "YAML without the task, but the file has it by now": (
        pipeline(build=build(**NO_SCAN, yaml=PLAIN), file=SCAN),
        Reason.FILE_HAS_TASK,
    ),
    "YAML of the build unread": (pipeline(build=build(**NO_SCAN)), Reason.NOT_READ_YET),
    "log denied": (pipeline(build=build(**NO_SCAN, yaml=Unread.DENIED), file=PLAIN), Reason.ACCESS_DENIED),
    "log expired": (pipeline(build=build(**NO_SCAN, yaml=Unread.GONE), file=PLAIN), Reason.LOG_EXPIRED),
    "log expired, templates": (pipeline(build=build(**NO_SCAN, yaml=Unread.GONE), file=TEMPLATES), Reason.TEMPLATES),
    "log too large": (pipeline(build=build(**NO_SCAN, yaml=Unread.TOO_LARGE), file=PLAIN), Reason.TOO_LARGE),
    "artifacts unavailable": (pipeline(build=build(artifact=Unread.UNAVAILABLE)), Reason.SERVICE_UNAVAILABLE),
    "last build unread": (pipeline(build=Unread.UNAVAILABLE, file=PLAIN), Reason.SERVICE_UNAVAILABLE),
    "never built": (pipeline(build=None, file=PLAIN), Reason.NEVER_BUILT),
    "never built, not named in the index": (pipeline(build=None, file=Unread.NOT_INDEXED), Reason.NEVER_BUILT),
    "never built, file with the task": (pipeline(build=None, file=SCAN), Reason.FILE_HAS_TASK),
    "never built, templates": (pipeline(build=None, file=TEMPLATES), Reason.TEMPLATES),
    "never built, file unread": (pipeline(build=None), Reason.NOT_READ_YET),
    "never built, preview with the task": (pipeline(build=None, preview=SCAN), Reason.EXPANDED_YAML_HAS_TASK),
    "never built, preview rejected": (
        pipeline(build=None, preview=Unread.REJECTED, file=TEMPLATES),
        Reason.PREVIEW_REJECTED,
    ),
    "never built, preview rejected, file with the task": (
        pipeline(build=None, preview=Unread.REJECTED, file=SCAN),
        Reason.FILE_HAS_TASK,
    ),
    "disabled": (pipeline(build=None, file=SCAN, is_enabled=False), Reason.NO_ENABLED_PIPELINE),
    "designer with the task": (
        pipeline(yaml_path="", build=build(**NO_SCAN, step=StepResult.ABSENT), designer_task=True),
        Reason.DESIGNER_HAS_TASK,
    ),
    "designer without the task": (
        pipeline(yaml_path="", build=build(**NO_SCAN, step=StepResult.ABSENT), designer_task=False),
        Reason.NO_TASK,
    ),
    "designer, filter unread": (
        pipeline(yaml_path="", build=build(**NO_SCAN, step=StepResult.ABSENT)),
        Reason.NOT_READ_YET,
    ),
    "designer, timeline unread": (
        pipeline(yaml_path="", build=build(**NO_SCAN), designer_task=False),
        Reason.NOT_READ_YET,
    ),
    "designer, never built": (pipeline(yaml_path="", build=None, designer_task=False), Reason.NEVER_BUILT),
    "tasks of Advanced Security": (
        pipeline(build=build(**NO_SCAN, yaml=YamlReading(frozenset({ScanTask.ADVANCED_SECURITY})))),
        Reason.ADVANCED_SECURITY_TASK,
    ),
    "Defender CLI": (
        pipeline(build=build(**NO_SCAN, yaml=YamlReading(frozenset({ScanTask.DEFENDER_CLI})))),
        Reason.DEFENDER_CLI_TASK,
    ),
    "Defender CLI and the task": (
        pipeline(build=build(**NO_SCAN, yaml=YamlReading(frozenset(ScanTask)))),
        Reason.EXPANDED_YAML_HAS_TASK,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_pipeline_decides(name: str) -> None:
    evidence, reason = CASES[name]
    assert reason_of(organization(evidence)) == reason


def test_the_best_evidence_of_several_pipelines_counts_in_any_order() -> None:
    ran, missing = pipeline(1, build=build(artifact=True)), pipeline(2, build=build(id=9, **NO_SCAN, yaml=PLAIN))
    undecided, configured = pipeline(3, build=None), pipeline(4, build=None, file=SCAN)
    for evidence, reason in (
        ((ran, missing, undecided, configured), Reason.ARTIFACT_PUBLISHED),
        ((missing, undecided, configured), Reason.FILE_HAS_TASK),
        ((missing, undecided), Reason.NOT_READ_YET),
        ((missing,), Reason.NO_TASK),
        ((), Reason.NO_PIPELINE),
    ):
        assert reason_of(organization(*evidence)) == reason_of(organization(*reversed(evidence))) == reason


COVERED: Final = RepositoryFeatures(secret_protection=True)


@pytest.mark.parametrize(
    ("values", "agentless", "reason"),
    [
        ({}, OFF, Reason.NO_PIPELINE),
        ({}, None, Reason.AGENTLESS_UNREAD),
        ({}, AgentlessConfiguration(enabled=True), Reason.AGENTLESS_SCANNING),
        ({"features": Unread.DENIED}, OFF, Reason.FEATURES_UNREAD),
        ({"features": {"r1": COVERED}}, OFF, Reason.ADVANCED_SECURITY),
        ({"features": {"r2": COVERED}}, OFF, Reason.NO_PIPELINE),
        ({"features": {"r1": RepositoryFeatures()}}, OFF, Reason.NO_PIPELINE),
        ({"unread_projects": {"p1": Unread.DENIED}}, OFF, Reason.ACCESS_DENIED),
        ({"unread_projects": {"p1": Unread.SCOPE}, "features": {"r1": COVERED}}, OFF, Reason.ADVANCED_SECURITY),
        ({"unread_projects": {"p2": Unread.DENIED}}, OFF, Reason.NO_PIPELINE),
        ({"repositories": (replace(APP, is_disabled=True),)}, None, Reason.DISABLED),
        ({"repositories": (replace(APP, default_branch=None),)}, None, Reason.EMPTY),
        ({"repositories": (replace(APP, is_fork=True),)}, None, Reason.FORK),
    ],
)
def test_a_repository_without_pipeline(values: dict[str, Any], agentless: Any, reason: Reason) -> None:  # noqa: ANN401
    assert reason_of(organization(**values), agentless) == reason


@pytest.mark.parametrize(
    ("kind", "values", "is_covered"),
    [
        ("Exclusion", (), True),
        ("Exclusion", ("contoso/web/APP",), False),
        ("Exclusion", ("contoso/other",), True),
        ("Inclusion", (), False),
        ("Inclusion", ("Contoso",), True),
        ("Inclusion", ("contoso/web",), True),
        ("Inclusion", ("contoso/web/app",), True),
        ("Inclusion", ("contoso/web/other",), False),
    ],
)
def test_agentless_scanning_covers_its_scope(kind: str, values: tuple[str, ...], *, is_covered: bool) -> None:
    inventory = tuple(InventoryItem("kind", value) for value in values)
    configuration = AgentlessConfiguration(enabled=True, inventory_list_type=kind, inventory=inventory)
    assert agentless_covers(configuration, "contoso", APP) is is_covered
    assert not agentless_covers(replace(configuration, enabled=False), "contoso", APP)
    assert agentless_covers(replace(configuration, auto_discovery=AutoDiscovery.ENABLED), "contoso", APP)


def test_a_scanning_pipeline_with_unread_checkouts_leaves_repositories_without_pipeline_undecided() -> None:
    yaml = replace(APP, id="r2", name="yaml")
    scanning = pipeline(repository_id="r2", build=build(artifact=True))
    evidence = organization(scanning, repositories=(APP, yaml))
    assert reason_of(evidence) is Reason.SCANNED_ELSEWHERE
    own = pipeline(2, build=build(id=8, **NO_SCAN, yaml=PLAIN))
    assert reason_of(organization(scanning, own, repositories=(APP, yaml))) is Reason.NO_TASK
    known = replace(scanning, build=build(artifact=True, yaml=SCAN))
    assert reason_of(organization(known, repositories=(APP, yaml))) is Reason.NO_PIPELINE


@pytest.mark.parametrize(
    ("yaml", "file", "names"),
    [
        (SCAN, PLAIN, ()),
        (Unread.GONE, PLAIN, ()),
        (Unread.GONE, TEMPLATES, None),
        (Unread.GONE, Unread.GONE, None),
        (YamlReading(checkouts=("git://Other/Tool@main",)), PLAIN, (("other", "tool"),)),
        (YamlReading(checkouts=("code",)), PLAIN, None),
        (YamlReading(checkouts=("CODE",)), YamlReading(repositories=(("code", "Tool"),)), (("web", "tool"),)),
        (YamlReading(checkouts=("code",), repositories=(("code", "${{ parameters.x }}"),)), PLAIN, None),
        (YamlReading(checkouts=("code",), repositories=(("code", ""),)), PLAIN, ()),
    ],
)
def test_checked_out_repositories(yaml: Any, file: Any, names: Any) -> None:  # noqa: ANN401 - a table
    assert checked_out_repositories(pipeline(build=build(yaml=yaml), file=file), "Web") == names


def test_every_reason_has_a_text_and_all_but_the_good_ones_a_fix() -> None:
    assert set(PIPELINE_REASONS) == set(Reason)
    for text in PIPELINE_REASONS.values():
        assert text.cause.endswith(".")
        needs_fix = text.state in {PipelineState.CONFIGURED, PipelineState.UNDECIDED, PipelineState.MISSING}
        assert text.fix.endswith(".") or not needs_fix


UNREAD: Final = st.sampled_from(Unread)
YAML: Final = UNREAD | st.builds(
    YamlReading,
    tasks=st.frozensets(st.sampled_from(ScanTask), max_size=1),
    has_templates=st.booleans(),
    checkouts=st.sampled_from([(), ("code",), ("git://Web/app",)]),
)
BUILDS: Final = (
    UNREAD
    | st.none()
    | st.builds(
        Build,
        id=st.integers(1, 9),
        finished_at=st.sampled_from([RECENT, OLD]),
        artifact=st.booleans() | UNREAD,
        yaml=YAML,
        yaml_build_id=st.just(0),
        yaml_read_at=st.none(),
        step=st.sampled_from(StepResult) | UNREAD,
        version=st.just(""),
    )
)
PIPELINES: Final = st.builds(
    pipeline,
    number=st.integers(1, 50),
    yaml_path=st.sampled_from(["", "ci.yml"]),
    repository_id=st.sampled_from(["r1", "r2"]),
    source_type=st.sampled_from(["TfsGit", "GitHub"]),
    is_enabled=st.booleans(),
    build=BUILDS,
    designer_task=st.booleans() | UNREAD,
    file=YAML,
    preview=YAML | st.none(),
)
ORGANIZATIONS: Final = st.builds(
    organization,
    st.lists(PIPELINES, max_size=4),
    repositories=st.just((APP, replace(APP, id="r2", name="code"))),
    features=st.just({}) | st.just({"r1": COVERED}) | UNREAD,
    unread_projects=st.just({}) | st.just({"p1": Unread.DENIED}),
)
AGENTLESS: Final = st.none() | st.builds(AgentlessConfiguration, enabled=st.booleans())


def as_organization(value: OrganizationEvidence) -> OrganizationEvidence:
    """Spread the list of pipelines, which the strategy passes as one argument."""
    return replace(value, pipelines=tuple(item for items in value.pipelines for item in items))  # type: ignore[attr-defined]


@given(ORGANIZATIONS.map(as_organization), AGENTLESS, st.randoms(use_true_random=False))
def test_the_order_of_the_evidence_does_not_matter(evidence: OrganizationEvidence, agentless: Any, random: Any) -> None:  # noqa: ANN401
    shuffled = list(evidence.pipelines)
    random.shuffle(shuffled)
    first = assess_repositories(evidence, agentless, "contoso", NOW)
    second = assess_repositories(replace(evidence, pipelines=tuple(shuffled)), agentless, "contoso", NOW)
    assert [(item.state, item.reason, item.build_id) for item in first] == [
        (item.state, item.reason, item.build_id) for item in second
    ]


@given(ORGANIZATIONS.map(as_organization), AGENTLESS)
def test_nothing_unread_is_ever_missing(evidence: OrganizationEvidence, agentless: Any) -> None:  # noqa: ANN401
    for item in assess_repositories(evidence, agentless, "contoso", NOW):
        if item.state is not PipelineState.MISSING:
            continue
        assert agentless is not None
        assert not isinstance(evidence.features, Unread)
        assert not evidence.unread_projects
        repository = next(entry for entry in evidence.repositories if entry.name == item.repository)
        for own in evidence.pipelines:
            if own.repository_id != repository.id or own.source_type != "TfsGit":
                continue
            is_recent = isinstance(own.build, Build) and own.build.finished_at == RECENT
            assert not isinstance(own.build, Unread)
            if is_recent:
                assert own.build.artifact is False  # type: ignore[union-attr]
            if own.is_enabled:
                assert is_recent
                steps = own.build.step if own.is_designer else own.build.yaml  # type: ignore[union-attr]
                assert not isinstance(steps, Unread)


@given(PIPELINES)
def test_an_old_build_is_no_evidence(value: Pipeline) -> None:
    if isinstance(value.build, Build):
        old = replace(value, build=replace(value.build, finished_at=OLD))
        assert assess_pipeline(old, NOW).state is not PipelineState.RAN
        assert assess_pipeline(old, NOW).build_id is None
