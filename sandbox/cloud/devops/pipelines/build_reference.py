"""The JSON of a build."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.devops.call import DevOpsCall
from sandbox.cloud.devops.organizations import project_reference
from sandbox.cloud.transport.message import sha256
from sandbox.cloud.world.devops import Project
from sandbox.cloud.world.pipelines.model import Build, Pipeline

__all__ = ["build_reference"]


def build_reference(call: DevOpsCall, project: Project, pipeline: Pipeline, build: Build) -> dict[str, Any]:
    """Return a build as lists show it."""
    url = call.url(project.id, "_apis", "build", "Builds", str(build.id))
    queued = call.time(build.queued_at)
    body: dict[str, Any] = {
        "_links": {"self": {"href": url}},
        "id": build.id,
        "buildNumber": f"{queued[:10].replace('-', '')}.{build.id % 1000}",
        "status": build.status,
        "queueTime": queued,
        "url": url,
        "uri": f"vstfs:///Build/Build/{build.id}",
        "definition": {
            "id": pipeline.id,
            "name": pipeline.name,
            "path": pipeline.folder,
            "revision": pipeline.revision,
            "type": "build",
            "project": project_reference(call, project),
        },
        "project": project_reference(call, project),
        "sourceBranch": build.branch,
        "sourceVersion": build.version or sha256(str(build.id))[:40],
        "priority": "normal",
        "reason": build.reason,
        "repository": {"id": pipeline.source.id, "type": pipeline.source.type, "name": pipeline.source.name},
        "logs": {"id": 0, "type": "Container", "url": f"{url}/logs"},
        "retainedByRelease": False,
        "keepForever": build.retained,
    }
    if build.status not in ("notStarted", "postponed"):
        body["startTime"] = queued
    if build.finished_at is not None:
        body["finishTime"] = call.time(build.finished_at)
    if build.result is not None:
        body["result"] = build.result
    return body
