"""YAML of pipelines: templates and parameters are expanded as Azure Pipelines does, or rejected with its errors."""

from __future__ import annotations

import pytest
import yaml

from sandbox.cloud.world.pipelines.expansion import PipelineInvalid, expand, steps_of
from sandbox.cloud.world.pipelines.tasks import SCAN_TASK_ID, Step, parse_task, published_artifact

FILES = {
    (None, "/steps.yml"): "steps:\n- script: echo ${{ parameters.x }}\nparameters:\n- {name: x, default: none}\n",
    (None, "/needy.yml"): "parameters:\n- {name: tool, type: string}\nsteps:\n- bash: run ${{ parameters.tool }}\n",
    (None, "/loop.yml"): "steps:\n- template: loop.yml\n",
    (None, "/bomb.yml"): "steps:\n" + "- template: bomb.yml\n" * 9,
    (None, "/ci/jobs.yml"): "jobs:\n- job: inner\n  steps:\n  - template: ../steps.yml\n",
    (None, "/outer.yml"): (
        "parameters:\n- {name: steps, type: stepList, default: []}\n"
        "stages:\n- stage: all\n  jobs:\n  - job: one\n    steps: ${{ parameters.steps }}\n"
    ),
    ("central/templates", "/scan.yml"): "steps:\n- template: nested/msdo.yml\n",
    ("central/templates", "/nested/msdo.yml"): "steps:\n- task: MicrosoftSecurityDevOps@1\n",
}


def read_file(repository: str | None, path: str) -> str:
    if (repository, path) not in FILES:
        raise PipelineInvalid(f"{path}: File {path} not found in repository {repository}.")
    return FILES[repository, path]


def names(text: str) -> list[str]:
    expanded = expand("azure-pipelines.yml", text, read_file)
    assert expanded.startswith("stages:")
    return [step.task.name for step in steps_of(expanded)]


REMOTE = "resources:\n  repositories:\n  - {repository: central, type: git, name: central/templates}\n"

EXPANDED = {
    "steps": ("steps:\n- script: a\n- bash: b\n- pwsh: c\n", ["CmdLine", "Bash", "PowerShell"]),
    "checkout and publish": (
        "steps:\n- checkout: self\n- publish: out\n  artifact: drop\n",
        ["Checkout", "PublishPipelineArtifact"],
    ),
    "jobs": ("jobs:\n- job: a\n  steps:\n  - script: a\n- job: b\n  steps:\n  - script: b\n", ["CmdLine", "CmdLine"]),
    "stages": ("stages:\n- stage: a\n  jobs:\n  - job: a\n    steps:\n    - task: Docker@2\n", ["Docker"]),
    "a template of steps": ("steps:\n- template: steps.yml\n- script: b\n", ["CmdLine", "CmdLine"]),
    "a template of jobs in a folder": ("jobs:\n- template: /ci/jobs.yml\n", ["CmdLine"]),
    "a template of another repository": (
        f"{REMOTE}steps:\n- template: scan.yml@central\n",
        ["MicrosoftSecurityDevOps"],
    ),
    "extends with steps as an argument": (
        "extends:\n  template: outer.yml\n  parameters:\n    steps:\n    - script: a\n    - task: Docker@2\n",
        ["CmdLine", "Docker"],
    ),
    "an argument": ("steps:\n- template: needy.yml\n  parameters: {tool: trivy}\n", ["Bash"]),
}


@pytest.mark.parametrize("case", EXPANDED.values(), ids=EXPANDED.keys())
def test_a_file_is_expanded_to_stages_with_tasks(case: tuple[str, list[str]]) -> None:
    assert names(case[0]) == case[1]


INVALID = {
    "no YAML": ("steps: [", "(Line: 1, Col: 1)"),
    "no mapping": ("- a\n", "A mapping was expected"),
    "nothing to run": ("trigger: none\n", "stages, jobs, steps or extends"),
    "a step that is none": ("steps:\n- nonsense: 1\n", "Unexpected value 'nonsense'"),
    "a text as step": ("steps: [a]\n", "Unexpected value 'a'"),
    "anchors": ("a: &x 1\nsteps: [*x]\n", "Anchors are not currently supported. Remove the anchor 'x'"),
    "a parameter without value": (
        "steps:\n- template: needy.yml\n",
        "A value for the 'tool' parameter must be provided.",
    ),
    "a template that is not there": ("steps:\n- template: gone.yml\n", "File /gone.yml not found"),
    "a repository that is not declared": ("steps:\n- template: a.yml@nowhere\n", "nowhere not found"),
    "templates in a loop": ("steps:\n- template: loop.yml\n", "maximum number of"),
    "templates that multiply": ("steps:\n- template: bomb.yml\n", "maximum number of"),
    "a file of more than a megabyte": ("steps:\n" + "- script: a\n" * 100_000, "larger than the maximum"),
    "extends without template": ("extends: {parameters: {}}\n", "A template is required"),
}


@pytest.mark.parametrize("case", INVALID.values(), ids=INVALID.keys())
def test_invalid_yaml_is_rejected_with_the_reason(case: tuple[str, str]) -> None:
    with pytest.raises(PipelineInvalid) as raised:
        names(case[0])
    assert case[1] in str(raised.value)


def test_arguments_and_defaults_replace_parameters_and_other_expressions_stay() -> None:
    text = (
        "steps:\n- template: steps.yml\n  parameters: {x: one}\n- template: steps.yml\n- script: ${{ variables.y }}\n"
    )
    scripts = [step.inputs["script"] for step in steps_of(expand("/a.yml", text, read_file))]
    assert scripts == ["echo one", "echo none", "${{ variables.y }}"]


def test_expanded_yaml_has_no_anchors_and_is_parsed_again() -> None:
    text = (
        "parameters:\n- {name: l, type: object, default: [a, b]}\nsteps:\n"
        + "- task: X@1\n  inputs: {l: '${{ parameters.l }}'}\n" * 2
    )
    expanded = expand("/a.yml", text, read_file)
    assert "&" not in expanded
    assert "*" not in expanded
    assert len(yaml.safe_load(expanded)["stages"][0]["jobs"][0]["steps"]) == 2


@pytest.mark.parametrize(
    "reference",
    [
        "MicrosoftSecurityDevOps@1",
        "microsoftsecuritydevops@1",
        "ms-securitydevops.microsoft-security-devops-azdevops.build-task-microsoft-security-devops.MicrosoftSecurityDevOps@1",
        f"{SCAN_TASK_ID}@1",
        SCAN_TASK_ID.upper(),
    ],
)
def test_every_spelling_of_the_task_is_the_task(reference: str) -> None:
    task = parse_task(reference)
    assert (task.id, task.name, task.version) == (SCAN_TASK_ID, "MicrosoftSecurityDevOps", "1.18.1")


PUBLISHED = {
    "a scan": ("MicrosoftSecurityDevOps@1", {}, "succeeded", "CodeAnalysisLogs"),
    "a scan that fails the build": ("MicrosoftSecurityDevOps@1", {"break": True}, "failed", "CodeAnalysisLogs"),
    "another name": ("MicrosoftSecurityDevOps@1", {"artifactName": "Logs"}, "succeeded", "Logs"),
    "publish: false": ("MicrosoftSecurityDevOps@1", {"publish": False}, "succeeded", None),
    "publish as text": ("MicrosoftSecurityDevOps@1", {"publish": "False"}, "succeeded", None),
    "a skipped scan": ("MicrosoftSecurityDevOps@1", {}, "skipped", None),
    "container mapping": ("MicrosoftSecurityDevOps@1", {"command": "pre-job"}, "succeeded", None),
    "SARIF of another tool": (
        "PublishBuildArtifacts@1",
        {"ArtifactName": "CodeAnalysisLogs"},
        "succeeded",
        "CodeAnalysisLogs",
    ),
    "a publication that failed": ("PublishBuildArtifacts@1", {}, "failed", None),
    "publish": ("PublishPipelineArtifact@1", {"artifact": "x"}, "succeededWithIssues", "x"),
    "anything else": ("CmdLine@2", {}, "succeeded", None),
}


@pytest.mark.parametrize("case", PUBLISHED.values(), ids=PUBLISHED.keys())
def test_a_step_publishes_its_artifact(case: tuple[str, dict[str, object], str, str | None]) -> None:
    reference, inputs, result, expected = case
    assert published_artifact(Step("s", "j", "name", parse_task(reference), inputs), result) == expected
