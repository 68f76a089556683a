"""`pipelines`: what is read from a cluster, printed and noted."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import yaml

from defender_devops.api.azure_types import AgentlessConfiguration
from defender_devops.api.names import PIPELINE_EVIDENCE_SECRET_TYPE, pipeline_evidence_secret_name
from defender_devops.api.pipelines.evidence import Build, ExtensionState, Pipeline, Repository, YamlReading
from defender_devops.api.pipelines.states import PIPELINE_REASONS, PipelineReason, PipelineState
from defender_devops.cli.cluster_access import Cluster
from defender_devops.cli.exit_codes import ExitCode
from defender_devops.cli.pipelines import run as command
from defender_devops.cli.pipelines.evidence import OrganizationPipelines
from defender_devops.cli.pipelines.notes import all_notes
from defender_devops.cli.pipelines.render import document, snippet
from defender_devops.errors import KubernetesNotFound, KubernetesRefused, KubernetesUnavailable
from defender_devops.reconcile.facts.pipeline_results import WithoutResults
from defender_devops.reconcile.facts.pipelines import RepositoryAssessment
from defender_devops.reconcile.observe.pipelines.evidence_store import encode_state
from defender_devops.reconcile.observe.pipelines.sweep_state import SweepState
from tests.support.command_line import RunCommand
from tests.support.manifests import CLIENT
from tests.support.manifests import connector as manifest
from tests.support.manifests import organization as organization_manifest
from tests.unit.cli.bodies import NOW

Body = dict[str, Any]
UID = "uid-contoso"
ENABLED = f"{{pipelineChecks: {{mode: Enabled}}, signIn: {{method: ServicePrincipal, {CLIENT}}}}}"
HOSTILE = "=cmd|' /C calc'!A0\x1b[31m\u202e"


@dataclass
class FakeClient:
    """The Kubernetes API: bodies by the last two parts of their path."""

    connectors: list[Body] = field(default_factory=list)
    organizations: list[Body] = field(default_factory=list)
    secrets: dict[str, Body] = field(default_factory=dict)
    failure: Exception | None = None
    reads: list[str] = field(default_factory=list)

    async def get(self, url: str) -> Body:
        kind, name = url.split("/")[-2:]
        self.reads.append(name)
        if kind == "secrets" and self.failure is not None:
            raise self.failure
        bodies = self.secrets if kind == "secrets" else {body["metadata"]["name"]: body for body in self.connectors}
        if name not in bodies:
            raise KubernetesNotFound("not found", status=404)
        return bodies[name]

    async def items(self, url: str) -> AsyncIterator[Body]:
        for body in self.connectors if url.endswith("azuredevopsconnectors") else self.organizations:
            yield body

    def add_evidence(self, state: SweepState | bytes, organization: str = "contoso", **changes: Any) -> None:  # noqa: ANN401 - JSON
        data = state if isinstance(state, bytes) else encode_state(state)
        name = pipeline_evidence_secret_name("contoso", organization)
        owner = {"apiVersion": "v1", "kind": "AzureDevOpsConnector", "name": "contoso", "uid": UID}
        metadata = {"namespace": "security", "name": name, "uid": "u", "resourceVersion": "1"}
        self.secrets[name] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": PIPELINE_EVIDENCE_SECRET_TYPE,
            "metadata": {**metadata, "ownerReferences": [owner]},
            "data": {"evidence": base64.b64encode(data).decode()},
            **changes,
        }


def _connector(patch: str = ENABLED) -> Body:
    return manifest(patch, name="contoso", namespace="security", uid=UID, resourceVersion="1")


def _organization(name: str, state: str = "Onboarded") -> Body:
    body = organization_manifest("{connectorRef: {name: contoso}}", name=f"contoso-{name}", namespace="security")
    body["spec"]["organization"] = name
    return {**body, "status": {"onboardingState": state}}


def _repository(name: str, project: str = "Web shop", branch: str | None = "refs/heads/main") -> Repository:
    return Repository(f"id-{name}", name, "p", project, branch)


REPOSITORIES = (
    _repository("checkout"),
    _repository("legacy", branch="refs/heads/release/[1]"),
    _repository(HOSTILE),
    _repository("empty", branch=None),
)
SCAN = Pipeline(
    7, "p", "nightly", 1, "id-checkout", "TfsGit", "/ci.yml", build=Build(812, NOW, artifact=True, yaml=YamlReading())
)
UNBUILT = Pipeline(8, "p", "new", 1, f"id-{HOSTILE}", "TfsGit", "/ci.yml", build=None)
STATE = SweepState(
    projects={"p": "Web shop"},
    repositories=REPOSITORIES,
    pipelines={7: SCAN, 8: UNBUILT},
    features={},
    extension=ExtensionState.INSTALLED,
    agentless=AgentlessConfiguration(enabled=False),
    was_finished=True,
    has_backlog=False,
    started_at=NOW,
    finished_at=NOW,
)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """A cluster with one connector, whose only organization was checked."""
    fake = FakeClient([_connector()], [_organization("contoso")])
    fake.add_evidence(STATE)

    @asynccontextmanager
    async def opened(_target: object) -> AsyncIterator[Cluster]:
        api: Any = fake
        yield Cluster(api, "security")

    class Now:
        @staticmethod
        def now(_zone: object) -> object:
            return NOW + timedelta(hours=3)

    monkeypatch.setattr(command, "open_cluster", opened)
    monkeypatch.setattr(command, "datetime", Now)
    return fake


def test_the_table_has_a_line_for_each_repository_and_each_cure_once(run: RunCommand, client: FakeClient) -> None:
    result = run("pipelines", "contoso")
    assert (result.exit_code, result.err) == (ExitCode.OK, "1 of 3 repositories not scanned, 1 undecided.\n")
    lines = result.out.splitlines()
    assert [line.split("  ")[0] for line in lines[:5]] == [
        "REPOSITORY",
        "contoso/Web shop/=cmd|' /C calc'!A0\\x1b[31m\\u202e",
        "contoso/Web shop/checkout",
        "contoso/Web shop/empty",
        "contoso/Web shop/legacy",
    ]
    assert lines[2].endswith("ran            ArtifactPublished  unknown  pipeline nightly, build 812")
    assert lines[4].endswith("missing        NoPipeline")
    text = "\n".join(lines[5:])
    for reason in PipelineReason:
        has_fix = reason in {PipelineReason.NO_PIPELINE, PipelineReason.NOT_READ_YET}
        assert (f"{reason}: {PIPELINE_REASONS[reason].cause}\n  {PIPELINE_REASONS[reason].fix}" in text) is has_fix
    pasted = yaml.safe_load(text.partition("A pipeline with the task:\n")[2])
    assert pasted["steps"] == [{"task": "MicrosoftSecurityDevOps@1", "displayName": "Microsoft Security DevOps"}]


def test_no_secret_but_the_evidence_is_read(run: RunCommand, client: FakeClient) -> None:
    run("pipelines", "contoso")
    assert client.reads == ["contoso", pipeline_evidence_secret_name("contoso", "contoso")]


@pytest.mark.parametrize(
    ("arguments", "states"),
    [
        ((), ["ran", "missing", "notApplicable", "undecided"]),
        (("--state", "missing"), ["missing"]),
        (("--state", "RAN", "--state", "undecided"), ["ran", "undecided"]),
        (("--state", "configured"), []),
    ],
)
def test_repositories_are_filtered_and_all_are_counted(
    run: RunCommand, client: FakeClient, arguments: tuple[str, ...], states: list[str]
) -> None:
    result = run("pipelines", "-o", "json", *arguments)
    content = json.loads(result.out)
    assert sorted(item["state"] for item in content["repositories"]) == sorted(states)
    (organization,) = content["organizations"]
    assert organization == {
        "connector": "security/contoso",
        "organization": "contoso",
        "repositories": {
            "ran": 1,
            "configured": 0,
            "coveredOtherwise": 0,
            "undecided": 1,
            "missing": 1,
            "notApplicable": 1,
        },
        "extension": "Installed",
        "checkedAt": "2026-03-01T12:00:00Z",
    }
    assert result.err == "1 of 3 repositories not scanned, 1 undecided.\n"


def test_a_document_has_the_evidence_and_the_yaml_to_paste(run: RunCommand, client: FakeClient) -> None:
    items = {item["repository"]: item for item in json.loads(run("pipelines", "-o", "json").out)["repositories"]}
    assert items["checkout"] == {
        "connector": "security/contoso",
        "organization": "contoso",
        "project": "Web shop",
        "repository": "checkout",
        "state": "ran",
        "reason": "ArtifactPublished",
        "results": "unknown",
        "pipeline": "nightly",
        "pipelineId": 7,
        "buildId": 812,
        "cause": PIPELINE_REASONS[PipelineReason.ARTIFACT_PUBLISHED].cause,
    }
    pasted = yaml.safe_load(items["legacy"]["snippet"])
    assert pasted["trigger"] == ["release/[1]"]
    assert pasted["steps"][0]["task"] == "MicrosoftSecurityDevOps@1"
    as_yaml = run("pipelines", "-o", "yaml")
    assert as_yaml.exit_code == ExitCode.OK
    assert yaml.safe_load(as_yaml.out)["repositories"][3]["snippet"] == items["legacy"]["snippet"]


@pytest.mark.parametrize("reason", PipelineReason)
def test_only_a_missing_repository_has_yaml_to_paste(reason: PipelineReason) -> None:
    text = snippet(reason, "refs/heads/dev")
    is_missing = PIPELINE_REASONS[reason].state is PipelineState.MISSING
    assert (text is not None) is is_missing
    if text is not None:
        assert ("trigger" in yaml.safe_load(text)) is (reason is PipelineReason.NO_PIPELINE)


def test_csv_has_one_row_for_each_repository_and_no_formula(run: RunCommand, client: FakeClient) -> None:
    rows = list(csv.DictReader(io.StringIO(run("pipelines", "-o", "csv").out)))
    assert [row["repository"] for row in rows] == ["'=cmd|' /C calc'!A0\\x1b[31m\\u202e", "checkout", "empty", "legacy"]
    assert rows[1]["buildId"] == "812"
    assert rows[3]["fix"] == PIPELINE_REASONS[PipelineReason.NO_PIPELINE].fix


NOT_CHECKED = [
    ("{}", "error: security/contoso: pipelines are not checked. Enable the checks"),
    (ENABLED.replace("Enabled", "Disabled"), "pipelines are not checked. Enable"),
    ("{pipelineChecks: {mode: Enabled}}", "the operator has no sign-in of its own. Set spec.signIn.method."),
    ("{pipelineChecks: {mode: Sometimes}}", "error: security/contoso: the connector has an invalid spec: "),
]


@pytest.mark.parametrize(("patch", "message"), NOT_CHECKED)
def test_why_pipelines_are_not_checked_is_reported(
    run: RunCommand, client: FakeClient, patch: str, message: str
) -> None:
    client.connectors = [_connector(patch)]
    result = run("pipelines", "contoso")
    assert (result.exit_code, result.out) == (ExitCode.NOT_OK, "")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_the_command_that_enables_the_checks_is_complete(run: RunCommand, client: FakeClient) -> None:
    client.connectors = [_connector("{}")]
    _, _, patch = run("pipelines").err.strip().partition("azuredevopsconnector contoso -n security --type merge -p ")
    assert json.loads(patch.strip("'")) == {"spec": {"pipelineChecks": {"mode": "Enabled"}}}


FAILURES = [
    (KubernetesRefused("secrets is forbidden", status=403), ExitCode.NO_RIGHTS, "the permission get secrets"),
    (KubernetesUnavailable("No answer."), ExitCode.NO_CLUSTER, "No answer."),
]


@pytest.mark.parametrize(("failure", "exit_code", "message"), FAILURES)
def test_a_secret_that_cannot_be_read_is_reported(
    run: RunCommand, client: FakeClient, failure: Exception, exit_code: ExitCode, message: str
) -> None:
    client.failure = failure
    result = run("pipelines", "-o", "json")
    assert result.exit_code == exit_code
    assert result.err.startswith("error: security/contoso/contoso: ")
    assert message in result.err
    content = json.loads(result.out)
    assert content["repositories"] == []
    assert message in content["organizations"][0]["error"]


EVIDENCE = [
    (None, {}, "there is no evidence yet."),
    (b"2\nsomething", {}, "of another version of the operator"),
    (encode_state(STATE)[:-5], {}, "is damaged"),
    (encode_state(STATE), {"type": "Opaque"}, "does not hold this connector's pipeline evidence"),
    (encode_state(STATE), {"data": {}}, "there is no evidence yet."),
]


@pytest.mark.parametrize(("data", "changes", "message"), EVIDENCE)
def test_evidence_that_cannot_be_used_is_reported_and_the_other_organizations_are_listed(
    run: RunCommand, client: FakeClient, data: bytes | None, changes: Body, message: str
) -> None:
    client.organizations.append(_organization("fabrikam"))
    if data is not None:
        client.add_evidence(data, "fabrikam", **changes)
    result = run("pipelines", "-o", "csv")
    assert result.exit_code == ExitCode.NOT_OK
    assert len(result.out.splitlines()) == 1 + len(REPOSITORIES)
    _, error = result.err.splitlines()
    assert error.startswith("error: security/contoso/fabrikam: ")
    assert message in error


def test_only_onboarded_organizations_are_expected_to_have_evidence(run: RunCommand, client: FakeClient) -> None:
    client.organizations.append(_organization("elsewhere", "OnboardedByOtherConnector"))
    assert run("pipelines").exit_code == ExitCode.OK
    assert (
        "error: security/contoso/elsewhere: there is no evidence yet."
        in run("pipelines", "--organization", "Elsewhere").err
    )
    result = run("pipelines", "--organization", "contosoo")
    assert (result.exit_code, result.out) == (ExitCode.USAGE, "")
    assert "Existing organizations: contoso, elsewhere." in result.err
    client.organizations = [_organization("elsewhere", "OnboardedByOtherConnector")]
    assert "no organization is onboarded yet" in run("pipelines").err


RESULTS = [
    (WithoutResults(), ("unknown", None), ""),
    (WithoutResults(problem="It was cut off."), ("unknown", None), "results of scans is not known. It was cut off."),
    (WithoutResults(0), ("", 0), ""),
    (WithoutResults(1, ("Web shop/checkout",)), ("none", 1), "contoso/contoso: scans of 1 ran more than 48 hours ago"),
]


@pytest.mark.parametrize(("without_results", "expected", "note"), RESULTS)
def test_what_defender_shows_of_scans_is_listed(
    run: RunCommand, client: FakeClient, without_results: WithoutResults, expected: tuple[str, int | None], note: str
) -> None:
    client.add_evidence(replace(STATE, without_results=without_results))
    rows = {row["repository"]: row["results"] for row in csv.DictReader(io.StringIO(run("pipelines", "-o", "csv").out))}
    results, number = expected
    assert {name: value for name, value in rows.items() if value} == ({"checkout": results} if results else {})
    listed = run("pipelines", "-o", "json")
    assert json.loads(listed.out)["organizations"][0].get("ranWithoutResults") == number
    assert note in listed.err
    assert listed.err.count("\n") == (2 if note else 1)
    table = run("pipelines").out.splitlines()
    position = table[0].index("RESULTS")
    assert table[2][position:].partition(" ")[0] == results


UNFINISHED = [
    (
        replace(STATE, was_finished=False, finished_at=None),
        "the first check is under way, so the list is not",
    ),
    (replace(STATE, has_backlog=True), "checked 3 h ago, and not everything could be read within the limit"),
]


@pytest.mark.parametrize(("state", "note"), UNFINISHED)
def test_an_incomplete_check_is_noted(run: RunCommand, client: FakeClient, state: SweepState, note: str) -> None:
    client.add_evidence(state)
    result = run("pipelines")
    assert result.exit_code == ExitCode.NOT_OK
    assert note in result.err


def test_a_later_check_that_is_under_way_hides_nothing(run: RunCommand, client: FakeClient) -> None:
    client.add_evidence(replace(STATE, finished_at=None))
    assert run("pipelines").exit_code == ExitCode.OK


@pytest.mark.parametrize(
    ("extension", "note"),
    [
        (ExtensionState.MISSING, "is not installed, so pipelines with its task fail. Install it"),
        (ExtensionState.DISABLED, "is disabled, so pipelines with its task fail. Enable it"),
        (ExtensionState.UNKNOWN, ""),
    ],
)
def test_an_extension_that_is_not_usable_is_noted(
    run: RunCommand, client: FakeClient, extension: ExtensionState, note: str
) -> None:
    client.add_evidence(replace(STATE, extension=extension))
    err = run("pipelines").err
    assert (f"security/contoso/contoso: the extension Microsoft Security DevOps {note}" in err) is bool(note)


def test_the_states_are_those_of_agentless_scanning_at_the_last_check(run: RunCommand, client: FakeClient) -> None:
    client.add_evidence(replace(STATE, agentless=AgentlessConfiguration(enabled=True)))
    assert "AgentlessUnread" not in run("pipelines", "-o", "csv").out
    client.add_evidence(replace(STATE, agentless=None))
    assert "legacy,undecided,AgentlessUnread" in run("pipelines", "-o", "csv").out


def test_many_organizations_without_permission_are_one_note() -> None:
    item = OrganizationPipelines("security/contoso", "a", checked_at=NOW, is_complete=True)
    missing = [replace(item, organization=f"o{number}", extension=ExtensionState.DISABLED) for number in range(10)]
    (note,) = all_notes(missing, NOW)
    assert note.startswith("security/contoso/o0, ")
    assert " and 2 more: the extension " in note


def test_fields_without_a_value_are_absent() -> None:
    assessment = RepositoryAssessment("p", "$/", PipelineState.NOT_APPLICABLE, PipelineReason.TFVC)
    (entry,) = document([OrganizationPipelines("security/contoso", "a", (assessment,))])["repositories"]
    assert sorted(entry) == ["cause", "connector", "organization", "project", "reason", "repository", "state"]
