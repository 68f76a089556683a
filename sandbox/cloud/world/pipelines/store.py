"""Pipelines and builds of an organization by project and id, explicit and generated ones alike."""

from __future__ import annotations

from sandbox.cloud.world.devops import Organization, Project
from sandbox.cloud.world.pipelines.model import Build, Pipeline

__all__ = ["PipelineStore"]


class PipelineStore:
    """Reads the pipelines of an organization.

    Args:
        now: inner time; generated builds that finish later do not exist yet.
    """

    def __init__(self, organization: Organization, now: float) -> None:
        self._generated = organization.generated_pipelines
        self._now = now

    def pipelines(self, project: Project) -> list[Pipeline]:
        """Return all pipelines of a project, by id."""
        explicit = project.pipelines.pipelines
        if self._generated is None:
            return list(explicit.values())
        removed = project.pipelines.removed
        pipelines = {pipeline.id: pipeline for pipeline in self._generated.pipelines(project.id)}
        pipelines.update(explicit)
        return [pipelines[identifier] for identifier in sorted(pipelines) if identifier not in removed]

    def pipeline(self, project: Project, identifier: int) -> Pipeline | None:
        """Return a pipeline of a project by id."""
        if identifier in project.pipelines.removed:
            return None
        if identifier in project.pipelines.pipelines or self._generated is None:
            return project.pipelines.pipelines.get(identifier)
        match = self._generated.pipeline(identifier)
        return match[1] if match is not None and match[0] == project.id else None

    def builds(self, project: Project, pipeline_id: int) -> list[Build]:
        """Return all builds of a pipeline, the latest first; running ones come before finished ones."""
        builds = list(reversed(project.pipelines.builds_of.get(pipeline_id, ())))
        if self._generated is not None:
            builds += self._generated.builds_of(pipeline_id, self._now)
        builds.sort(key=lambda build: (build.finished_at is not None, -(build.finished_at or build.queued_at)))
        return builds

    def build(self, project: Project, identifier: int) -> tuple[Pipeline, Build] | None:
        """Return a build of a project and its pipeline, by the id of the build."""
        build = project.pipelines.builds.get(identifier)
        if build is None and self._generated is not None:
            build = self._generated.build(identifier, self._now)
        pipeline = None if build is None else self.pipeline(project, build.pipeline_id)
        return None if build is None or pipeline is None else (pipeline, build)
