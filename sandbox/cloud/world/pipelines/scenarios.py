"""Scenarios of generated repositories: files, pipelines and switches, chosen by a seeded hash of the number."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from sandbox.cloud.world.pipelines.expansion import expand
from sandbox.cloud.world.pipelines.model import AdvancedSecurity
from sandbox.cloud.world.pipelines.tasks import SCAN_STEP_NAME, Step, parse_task

__all__ = ["GeneratedPipeline", "Scenario", "ScenarioMix"]

_CI = "/azure-pipelines.yml"
_NIGHTLY = "/nightly.yml"
_SCAN_TEMPLATE = "/templates/scan.yml"


class Scenario(StrEnum):
    """What a generated repository has in Azure Pipelines; each is a case that a client has to get right."""

    SCANNED = "scanned"
    OTHER_TOOL = "otherTool"
    FAILED_SCAN = "failedScan"
    TEMPLATE = "template"
    DESIGNER = "designer"
    DEFENDER_CLI = "defenderCli"
    UNPUBLISHED = "unpublished"
    RENAMED_ARTIFACT = "renamedArtifact"
    SKIPPED_STEP = "skippedStep"
    NEVER_BUILT = "neverBuilt"
    PULL_REQUEST_LATEST = "pullRequestLatest"
    TWO_PIPELINES = "twoPipelines"
    YAML_ELSEWHERE = "yamlElsewhere"
    ADVANCED_SECURITY = "advancedSecurity"
    UNSCANNED = "unscanned"
    NO_PIPELINE = "noPipeline"
    EXPIRED = "expired"
    EMPTY = "empty"
    DISABLED = "disabled"
    FORK = "fork"
    SHARED = "shared"


_SHARES = {
    Scenario.SCANNED: 300,
    Scenario.OTHER_TOOL: 40,
    Scenario.FAILED_SCAN: 30,
    Scenario.TEMPLATE: 80,
    Scenario.DESIGNER: 40,
    Scenario.DEFENDER_CLI: 20,
    Scenario.UNPUBLISHED: 20,
    Scenario.RENAMED_ARTIFACT: 20,
    Scenario.SKIPPED_STEP: 20,
    Scenario.NEVER_BUILT: 30,
    Scenario.PULL_REQUEST_LATEST: 40,
    Scenario.TWO_PIPELINES: 50,
    Scenario.YAML_ELSEWHERE: 30,
    Scenario.ADVANCED_SECURITY: 50,
    Scenario.UNSCANNED: 130,
    Scenario.NO_PIPELINE: 50,
    Scenario.EXPIRED: 20,
    Scenario.EMPTY: 10,
    Scenario.DISABLED: 10,
    Scenario.FORK: 10,
}
_BY_SHARE = tuple(scenario for scenario, share in _SHARES.items() for _ in range(share))
"""One entry for each thousandth; the first repository of a project is `SHARED` instead: it has the templates."""

_HEAD = "trigger: [main]\npool: {vmImage: ubuntu-latest}\n"
_BUILD = "- script: make\n  displayName: Build\n"
_SCAN = "- task: MicrosoftSecurityDevOps@1\n  displayName: Microsoft Security DevOps\n"
_PUBLISH_SARIF = (
    "- script: trivy fs --format sarif --output results.sarif .\n  displayName: Trivy\n"
    "- task: PublishBuildArtifacts@1\n  inputs: {PathtoPublish: results.sarif, ArtifactName: CodeAnalysisLogs}\n"
)


def _file(*steps: str) -> str:
    return f"{_HEAD}steps:\n{''.join(steps)}"


_UNSCANNED = _file(_BUILD)
_YAML: dict[Scenario, str] = {
    Scenario.SCANNED: _file(_BUILD, _SCAN),
    Scenario.OTHER_TOOL: _file(_BUILD, _PUBLISH_SARIF),
    Scenario.FAILED_SCAN: _file(_BUILD, f"{_SCAN}  inputs: {{break: true}}\n"),
    Scenario.DEFENDER_CLI: _file(
        _BUILD,
        "- task: MicrosoftDefenderCLI@2\n  inputs: {command: run, scanType: image, imageName: app}\n",
    ),
    Scenario.UNPUBLISHED: _file(_BUILD, f"{_SCAN}  inputs: {{publish: false}}\n"),
    Scenario.RENAMED_ARTIFACT: _file(_BUILD, f"{_SCAN}  inputs: {{artifactName: SecurityResults}}\n"),
    Scenario.SKIPPED_STEP: _file(_BUILD, f"{_SCAN}  condition: false\n"),
    Scenario.NEVER_BUILT: _file(_BUILD, _SCAN),
    Scenario.PULL_REQUEST_LATEST: _file(_BUILD, _SCAN),
    Scenario.ADVANCED_SECURITY: _file(
        "- task: AdvancedSecurity-Codeql-Init@1\n  inputs: {languages: java}\n",
        _BUILD,
        "- task: AdvancedSecurity-Codeql-Analyze@1\n",
    ),
    Scenario.EXPIRED: _file(_BUILD, _SCAN),
}
_TEMPLATE = (
    f"{_HEAD}resources:\n  repositories:\n  - {{repository: templates, type: git, name: {{project}}/{{shared}}}}\n"
    f"steps:\n{_BUILD}- template: {_SCAN_TEMPLATE}@templates\n"
)
_SHARED_FILES = {_SCAN_TEMPLATE: f"steps:\n{_SCAN}", "/ci/scanned.yml": _file(_BUILD, _SCAN)}
_DESIGNER_STEPS = (
    Step("__default", "Agent job 1", "Build", parse_task("CmdLine@2"), {"script": "make"}),
    Step("__default", "Agent job 1", SCAN_STEP_NAME, parse_task("MicrosoftSecurityDevOps@1")),
)
_ADVANCED_SECURITY = AdvancedSecurity(code_security=True, code_ql=True, secret_protection=True, block_pushes=True)
_NO_FILES: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class GeneratedPipeline:
    """A pipeline of a scenario.

    Attributes:
        suffix: of its name.
        yaml_filename: None for a designer pipeline.
        expanded: YAML that its builds run; None for a designer pipeline.
        elsewhere: whether its file is in the first repository of the project.
        builds: whether it has builds.
        extra_age: seconds added to the age of its builds from before the start.
        pull_requests: whether every other build, the latest one included, is one of a pull request.
    """

    suffix: str
    yaml_filename: str | None
    expanded: str | None
    steps: tuple[Step, ...] = ()
    elsewhere: bool = False
    builds: bool = True
    extra_age: float = 0.0
    pull_requests: bool = False
    results: dict[str, str] = field(default_factory=dict)


@cache
def _pipelines(scenario: Scenario) -> tuple[GeneratedPipeline, ...]:
    """Return the pipelines of a scenario, at most two."""
    unscanned = GeneratedPipeline("ci", "azure-pipelines.yml", _expanded(_UNSCANNED))
    if scenario in (Scenario.NO_PIPELINE, Scenario.EMPTY, Scenario.DISABLED, Scenario.SHARED):
        return ()
    if scenario in (Scenario.UNSCANNED, Scenario.FORK):
        return (unscanned,)
    if scenario is Scenario.DESIGNER:
        return (GeneratedPipeline("classic", None, None, _DESIGNER_STEPS),)
    if scenario is Scenario.TWO_PIPELINES:
        return (unscanned, GeneratedPipeline("nightly", _NIGHTLY, _expanded(_YAML[Scenario.SCANNED])))
    if scenario is Scenario.YAML_ELSEWHERE:
        expanded = _expanded(_SHARED_FILES["/ci/scanned.yml"])
        return (GeneratedPipeline("ci", "/ci/scanned.yml", expanded, elsewhere=True),)
    text = _YAML.get(scenario, _TEMPLATE)
    return (
        GeneratedPipeline(
            "ci",
            "azure-pipelines.yml" if scenario is not Scenario.TEMPLATE else _CI,
            _expanded(text),
            builds=scenario is not Scenario.NEVER_BUILT,
            extra_age=100 * 86400.0 if scenario is Scenario.EXPIRED else 0.0,
            pull_requests=scenario is Scenario.PULL_REQUEST_LATEST,
            results={"MicrosoftSecurityDevOps": "failed"} if scenario is Scenario.FAILED_SCAN else {},
        ),
    )


def _expanded(text: str) -> str:
    # The name of the project is in the resources only, so that all projects share one expansion.
    return expand(_CI, text.replace("{project}", "project").replace("{shared}", "shared"), _shared_file)


def _shared_file(_repository: str | None, path: str) -> str:
    return _SHARED_FILES[path]


@dataclass(frozen=True, slots=True)
class ScenarioMix:
    """The scenarios of the generated repositories of a project.

    Attributes:
        key: decides together with the number; contains the seed.
        shared: name of the first repository, which has the templates.
    """

    key: str
    project: str
    shared: str

    def scenario(self, number: int) -> Scenario:
        """Return the scenario of a generated repository by its number within the project."""
        if number == 0:
            return Scenario.SHARED
        return _BY_SHARE[zlib.crc32(f"{self.key}/{number}".encode()) % len(_BY_SHARE)]

    def pipelines(self, number: int) -> tuple[GeneratedPipeline, ...]:
        """Return the pipelines of a generated repository."""
        return _pipelines(self.scenario(number))

    def files(self, number: int) -> dict[str, str]:
        """Return the files on the default branch of a generated repository, by absolute path."""
        scenario = self.scenario(number)
        if scenario is Scenario.SHARED:
            return _SHARED_FILES
        if scenario is Scenario.TEMPLATE:
            return {_CI: _TEMPLATE.replace("{project}", self.project).replace("{shared}", self.shared)}
        if scenario is Scenario.TWO_PIPELINES:
            return {_CI: _UNSCANNED, _NIGHTLY: _YAML[Scenario.SCANNED]}
        if scenario in (Scenario.UNSCANNED, Scenario.FORK):
            return {_CI: _UNSCANNED}
        return {_CI: _YAML[scenario]} if scenario in _YAML else _NO_FILES

    def advanced_security(self, number: int) -> AdvancedSecurity | None:
        """Return the switches of a generated repository; None if they were never set."""
        return _ADVANCED_SECURITY if self.scenario(number) is Scenario.ADVANCED_SECURITY else None
