"""Tasks of Azure Pipelines: how a step names one, its id, and the artifacts that it publishes."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CONTAINER_MAPPING_END",
    "CONTAINER_MAPPING_START",
    "SCAN_STEP_NAME",
    "SCAN_TASK_ID",
    "SECURITY_DEVOPS_EXTENSION",
    "Step",
    "Task",
    "parse_task",
    "published_artifact",
]

SECURITY_DEVOPS_EXTENSION = ("ms-securitydevops", "microsoft-security-devops-azdevops")
"""Microsoft Security DevOps: the extension that users install, with the task that scans."""

SCAN_TASK_ID = "8d616517-6390-454f-b369-6fd038d8fe96"
"""Task of Microsoft Security DevOps, and of the steps that container mapping injects into every job."""

SCAN_STEP_NAME = "Run Microsoft Defender for DevOps"
"""Name of a scan without a name of its own in the designer."""

CONTAINER_MAPPING_START = "Microsoft Defender for DevOps Container Mapping Start"
CONTAINER_MAPPING_END = "Microsoft Defender for DevOps Container Mapping End"

_TASK_IDS = {
    "MicrosoftSecurityDevOps": SCAN_TASK_ID,
    "MicrosoftDefenderCLI": "7d8a9b2c-3e4f-5a6b-7c8d-9e0f1a2b3c4d",
    "CmdLine": "d9bafed4-0b18-4f58-968d-86655b4d2ce9",
    "Bash": "6c731c3c-3c68-459a-a5c9-bde6e6595b5b",
    "PowerShell": "e213ff0f-5d5c-4791-802d-52ea3e7be1f1",
    "Checkout": "6d15af64-176c-496d-b583-fd2ae21d4df4",
    "Download": "30f35852-3f7e-4c0c-9a88-e127b4f97211",
    "PublishPipelineArtifact": "ecdc45f6-832d-4ad9-b52b-ee49e94659be",
    "PublishBuildArtifacts": "2ff763a7-ce83-4e1f-bc89-0ae63477cebe",
}
_NAMES_BY_ID = {identifier: name for name, identifier in _TASK_IDS.items()}
_NAMES_BY_KEY = {name.lower(): name for name in _TASK_IDS}
_FULL_VERSIONS = {"MicrosoftSecurityDevOps": "1.18.1", "MicrosoftDefenderCLI": "2.0.1"}
_OF_SECURITY_DEVOPS = frozenset({"MicrosoftSecurityDevOps", "MicrosoftDefenderCLI"})
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ARTIFACT_INPUTS = {
    "PublishPipelineArtifact": (("artifactName", "artifact"), "drop"),
    "PublishBuildArtifacts": (("ArtifactName", "artifactName"), "drop"),
}


@dataclass(frozen=True, slots=True)
class Task:
    """A task as a step names it: `Name@1`, `publisher.extension.contribution.Name@1` or `<id>@1`."""

    id: str
    name: str
    major: str

    @property
    def version(self) -> str:
        """The full version, as timelines show it."""
        return _FULL_VERSIONS.get(self.name, f"{self.major}.0.0")

    @property
    def needs_security_devops(self) -> bool:
        """Whether the extension Microsoft Security DevOps brings it."""
        return self.name in _OF_SECURITY_DEVOPS


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an expanded pipeline.

    Attributes:
        stage, job: names; `__default` and `Job` where the file has none.
        display_name: as the timeline shows it.
        inputs: values of the task's inputs.
        condition: expression; `false` skips the step.
    """

    stage: str
    job: str
    display_name: str
    task: Task
    inputs: dict[str, Any] = field(default_factory=dict)
    condition: str = "succeeded()"
    enabled: bool = True

    @property
    def is_skipped(self) -> bool:
        """Whether it never runs, whatever the build."""
        return not self.enabled or self.condition.strip().lower() == "false"


def parse_task(reference: str) -> Task:
    """Return the task that a step names, in any letter case; one that is not built in gets an id from its name."""
    name, _, major = reference.partition("@")
    if _GUID.fullmatch(name):
        identifier = name.lower()
        return Task(identifier, _NAMES_BY_ID.get(identifier, identifier), major or "1")
    short_name = name.rpartition(".")[2]
    short_name = _NAMES_BY_KEY.get(short_name.lower(), short_name)
    identifier = _TASK_IDS.get(short_name) or str(uuid.uuid5(uuid.NAMESPACE_OID, f"task/{short_name.lower()}"))
    return Task(identifier, short_name, major or "1")


def published_artifact(step: Step, result: str) -> str | None:
    """Return the name of the artifact that a step publishes; None if it publishes none.

    The scan publishes also where `break: true` fails it because of findings.
    """
    inputs = step.inputs
    if step.task.name == "MicrosoftSecurityDevOps":
        finished = result in ("succeeded", "succeededWithIssues", "failed")
        publishes = str(inputs.get("publish", True)).lower() != "false" and inputs.get("command", "run") == "run"
        return str(inputs.get("artifactName", "CodeAnalysisLogs")) if finished and publishes else None
    if step.task.name in _ARTIFACT_INPUTS and result in ("succeeded", "succeededWithIssues"):
        keys, default = _ARTIFACT_INPUTS[step.task.name]
        return str(next((inputs[key] for key in keys if key in inputs), default))
    return None
