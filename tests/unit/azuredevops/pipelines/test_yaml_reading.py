"""What the YAML of a pipeline says, in bounded time and memory, whatever it contains."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.pipelines.evidence import ScanTask, Unread, YamlReading
from defender_devops.azuredevops.pipelines.yaml_reading import read_yaml, task_of

MSDO = frozenset({ScanTask.SECURITY_DEVOPS})


@pytest.mark.parametrize(
    ("reference", "task"),
    [
        ("MicrosoftSecurityDevOps@1", ScanTask.SECURITY_DEVOPS),
        ("microsoftsecuritydevops@1", ScanTask.SECURITY_DEVOPS),
        (
            (
                "ms-securitydevops.microsoft-security-devops-azdevops.build-task-microsoft-security-devops"
                ".MicrosoftSecurityDevOps@1"
            ),
            ScanTask.SECURITY_DEVOPS,
        ),
        ("8D616517-6390-454f-b369-6fd038d8fe96@1", ScanTask.SECURITY_DEVOPS),
        ("MicrosoftDefenderCLI@2", ScanTask.DEFENDER_CLI),
        ("AdvancedSecurity-Dependency-Scanning@1", ScanTask.ADVANCED_SECURITY),
        ("MicrosoftSecurityDevOpsLike@1", None),
        ("CmdLine@2", None),
        ("", None),
    ],
)
def test_a_task_is_recognized_however_it_is_written(reference: str, task: ScanTask | None) -> None:
    assert task_of(reference) == task


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("steps:\n- task: MicrosoftSecurityDevOps@1\n", MSDO),
        ("steps:\n- task: 'MicrosoftSecurityDevOps@1' # scan\n  displayName: x\n", MSDO),
        ("steps: [{task: MicrosoftSecurityDevOps@1, inputs: {publish: false}}]", MSDO),
        (
            (
                "stages:\n- ${{ if true }}:\n  - stage: a\n    jobs:\n    - job: b\n      steps:\n"
                "      - TASK: MicrosoftSecurityDevOps@1\n"
            ),
            MSDO,
        ),
        ("steps:\n# - task: MicrosoftSecurityDevOps@1\n", frozenset()),
        ("steps:\n- script: |\n    - task: MicrosoftSecurityDevOps@1\n", frozenset()),
        ("steps:\n- script: x\n  displayName: 'task: MicrosoftSecurityDevOps@1'\n", frozenset()),
        ("steps:\n- task: MicrosoftSecurityDevOps@1\n  enabled: false\n", frozenset()),
        ("steps:\n- task: MicrosoftSecurityDevOps@1\n  inputs:\n    command: pre-job\n", frozenset()),
        ("steps:\n- &scan\n  task: MicrosoftSecurityDevOps@1\n- *scan\n", MSDO),
        ("", frozenset()),
    ],
)
def test_tasks_are_those_of_enabled_steps(text: str, tasks: frozenset[ScanTask]) -> None:
    reading = read_yaml(text, is_expanded=False)
    assert isinstance(reading, YamlReading)
    assert reading.tasks == tasks


@pytest.mark.parametrize(
    ("text", "has_templates"),
    [
        ("extends:\n  template: a.yml@t\n", True),
        ("steps:\n- template: a.yml\n", True),
        ("variables:\n- name: template\n  value: x\nsteps: []\n", False),
        ("steps:\n- script: extends\n", False),
    ],
)
def test_templates_are_recognized(text: str, has_templates: bool) -> None:
    reading = read_yaml(text, is_expanded=False)
    assert isinstance(reading, YamlReading)
    assert reading.has_templates is has_templates


@pytest.mark.parametrize("text", ["[1, 2]", "text", "a: [", "steps:\n- script: x\n", "\x00", "a: b: c"])
def test_a_log_that_is_no_expanded_yaml_is_not_read(text: str) -> None:
    assert read_yaml(text, is_expanded=True) is Unread.NOT_YAML


def test_the_times_of_a_log_and_a_byte_order_mark_are_ignored() -> None:
    lines = ["stages:", "- stage: a", "  jobs:", "  - job: b", "    steps:", "    - task: MicrosoftSecurityDevOps@1"]
    text = "".join(f"2026-11-30T12:00:00.1234567Z {line}\n" for line in lines)
    for content in (text, "\ufeff" + "\n".join(lines)):
        reading = read_yaml(content, is_expanded=True)
        assert isinstance(reading, YamlReading)
        assert reading.tasks == MSDO


def test_checkouts_and_declared_repositories_are_read() -> None:
    text = (
        "resources:\n  repositories:\n  - repository: code\n    type: git\n    name: Web Shop/app\n"
        "  - repository: hub\n    type: github\n    name: x/y\n  - repository: bare\n    name: z\n"
        "steps:\n- checkout: self\n- checkout: code\n- checkout: none\n"
        "- task: 6d15af64-176c-496d-b583-fd2ae21d4df4@1\n  inputs:\n    repository: hub\n"
    )
    reading = read_yaml(text, is_expanded=False)
    assert isinstance(reading, YamlReading)
    assert reading.checkouts == ("code", "hub")
    assert dict(reading.repositories) == {"code": "Web Shop/app", "hub": "", "bare": "z"}


def _bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "stages: []\n" + "\n".join(lines)


HOSTILE = {
    "a billion laughs": _bomb(30),
    "1 MB of steps": "stages:\n- stage: a\n  jobs:\n  - job: b\n    steps:\n" + "    - script: make all\n" * 43_000,
    "1 MB of nesting": "stages: " + "[" * 500_000 + "]" * 500_000,
    "1 MB in one text": "stages: '" + "x" * 1_000_000 + "'",
    "1 MB of merges": "stages: []\na: &a {b: c}\n" + "".join(f"k{n}: {{<<: *a}}\n" for n in range(55_000)),
    "100,000 checkouts": "stages:\n" + "".join(f"- checkout: r{n}\n" for n in range(55_000)),
    "1 MB of directives": "".join(f"%TAG !{n}! x\n" for n in range(70_000)) + "---\nstages: []\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_takes_bounded_time_and_memory(name: str) -> None:
    text = HOSTILE[name]
    tracemalloc.start()
    started = time.process_time()
    reading = read_yaml(text, is_expanded=True)
    seconds = time.process_time() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(reading, YamlReading | Unread)
    assert seconds < 20
    assert peak < 40_000_000


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\n\ufeff"])
def test_many_directives_are_not_parsed_because_the_parser_would_stop_all_threads(line_break: str) -> None:
    directives = line_break.join(f"%TAG !{n}! tag:example.org," for n in range(20_000))
    started = time.process_time()
    reading = read_yaml(f"\ufeff{directives}{line_break}---{line_break}steps: []", is_expanded=False)
    assert reading is Unread.TOO_LARGE
    assert time.process_time() - started < 0.5


def test_a_few_directives_and_percent_signs_in_scripts_are_read() -> None:
    text = "%YAML 1.1\n%TAG ! tag:example.org,\n---\nsteps:\n- script: |\n" + "    %PATH%\n" * 100
    text += "- task: MicrosoftSecurityDevOps@1\n"
    reading = read_yaml(text, is_expanded=False)
    assert isinstance(reading, YamlReading)
    assert reading.tasks == MSDO


@pytest.mark.parametrize(
    "text",
    [
        f"steps:\n- checkout: {'x' * 1_000_000}\n",
        "steps:\n" + "".join(f"- checkout: {n:0200}\n" for n in range(99)),
        f"resources:\n  repositories:\n  - repository: a\n    name: {'x' * 1_000_000}\n",
        f"resources:\n  repositories:\n  - repository: {'x' * 1_000_000}\n    name: a\n",
    ],
)
def test_the_names_of_one_pipeline_do_not_fill_the_secret_of_its_organization(text: str) -> None:
    assert read_yaml(text, is_expanded=False) is Unread.TOO_LARGE


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            [
                "steps:",
                "- task: x@1",
                "  inputs:",
                "    a: b",
                "- *x",
                "- &x y",
                "{",
                "}",
                "? a",
                ": b",
                "---",
                "...",
                "|",
                "\t",
            ]
        )
    ).map("\n".join)
)
def test_any_text_is_read_or_is_not_yaml(text: str) -> None:
    for is_expanded in (True, False):
        assert isinstance(read_yaml(text, is_expanded=is_expanded), YamlReading | Unread)
