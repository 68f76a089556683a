"""`reconcile`, `suspend` and `resume`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from defender_devops.api.conditions import is_true
from defender_devops.api.names import TRACKING_ANNOTATIONS, TRACKING_LABELS
from defender_devops.api.reasons import ConditionType
from defender_devops.cli.cluster_access import Cluster, open_cluster
from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.cli.display.lines import status_lines
from defender_devops.cli.display.view import connector_views
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from defender_devops.cli.output import print_note, print_text
from defender_devops.cluster.client import Body, path_with_query
from defender_devops.cluster.connectors import connectors_path
from defender_devops.cluster.watch import watch_objects

__all__ = ["request_reconcile", "set_suspended"]


async def request_reconcile(target: ClusterTarget, names: Sequence[str], *, wait_seconds: float | None) -> ExitCode:
    """Request a reconcile of connectors.

    Args:
        target: cluster and namespace.
        names: names of connectors.
        wait_seconds: how long to wait for each result; None does not wait.

    Raises:
        OperatorError: the cluster refuses the request or does not respond.
        CommandFailed: a connector does not exist, or was not reconciled in time.
    """
    async with open_cluster(target) as cluster:
        bodies = [await cluster.find(name) for name in names]
        # The operator copies the value into status.lastHandledReconcileAt, by which the result is recognized.
        moment = datetime.now(UTC).isoformat(timespec="microseconds")
        for body in bodies:
            namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
            await cluster.user_actions.request_reconcile(namespace, name, moment)
            if wait_seconds is None:
                print_text(f"{namespace}/{name}: reconcile requested")
        if wait_seconds is None:
            return ExitCode.OK
        bodies = [await _wait_for_reconcile(cluster, body, moment, wait_seconds) for body in bodies]
    views = connector_views(bodies, [])
    for line in status_lines(views):
        print_text(line)
    is_ready = all(is_true(view.status.conditions, ConditionType.READY) for view in views)
    return ExitCode.OK if is_ready else ExitCode.NOT_OK


async def set_suspended(target: ClusterTarget, names: Sequence[str], *, is_suspended: bool) -> ExitCode:
    """Set or remove `spec.suspend` of connectors.

    Raises:
        OperatorError: the cluster refuses the request or does not respond.
        CommandFailed: a connector does not exist.
    """
    async with open_cluster(target) as cluster:
        for body in [await cluster.find(name) for name in names]:
            metadata = body["metadata"]
            namespace, name = metadata["namespace"], metadata["name"]
            if is_suspended:
                await cluster.user_actions.suspend(namespace, name)
                print_text(f"{namespace}/{name}: suspended; the operator neither reads nor changes anything in Azure")
            else:
                await cluster.user_actions.resume(namespace, name)
                print_text(f"{namespace}/{name}: resumed")
            labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
            if not (TRACKING_LABELS.isdisjoint(labels) and TRACKING_ANNOTATIONS.isdisjoint(annotations)):
                field = "suspend: true" if is_suspended else "suspend: false"
                print_note(
                    f"{namespace}/{name} is managed by a GitOps tool: set {field} in git, too, or the next sync may "
                    "revert this."
                )
    return ExitCode.OK


async def _wait_for_reconcile(cluster: Cluster, body: Body, moment: str, seconds: float) -> Body:
    """Return the connector once its status acknowledges the request of that moment."""
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    url = path_with_query(connectors_path(namespace), fieldSelector=f"metadata.name={name}")
    try:
        async with asyncio.timeout(seconds):
            async for bodies in watch_objects(cluster.client, url):
                for current in bodies:
                    if (current.get("status") or {}).get("lastHandledReconcileAt") == moment:
                        return current
    except TimeoutError:
        pass
    raise CommandFailed(
        f"The operator has not reconciled {namespace}/{name} within {seconds:g} s: check that it is running and "
        "watches that namespace.",
        ExitCode.NOT_OK,
    )
