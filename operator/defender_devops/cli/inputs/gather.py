"""Read the inputs of `plan` and `check` from manifests or the cluster."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from defender_devops.cli.cluster_access import Cluster, open_cluster
from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.cli.exit_codes import CommandFailed, command_failure
from defender_devops.cli.inputs.cluster_context import ClusterContext, read_cluster_context
from defender_devops.cli.inputs.connector_inputs import ConnectorInput, build_inputs, input_from_cluster
from defender_devops.cli.inputs.manifest_files import read_manifests
from defender_devops.cli.output import print_note
from defender_devops.errors import KubernetesError

__all__ = ["InputOptions", "gather_inputs"]


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Options that select connectors.

    Attributes:
        target: cluster and namespace.
        files: manifests; empty if a name is given.
        name: connector in the cluster.
        offline: whether the cluster is not read.
    """

    target: ClusterTarget
    files: tuple[Path, ...] = ()
    name: str | None = None
    offline: bool = False

    @classmethod
    def of(cls, target: ClusterTarget, files: list[Path] | None, name: str | None, *, offline: bool) -> InputOptions:
        """Return the options of a command line.

        Raises:
            CommandFailed: there are both files and a name, or neither.
        """
        if bool(files) == (name is not None):
            raise CommandFailed("Specify either manifests with -f FILE, or the name of a connector.")
        return cls(target, tuple(files or ()), name, offline)


async def gather_inputs(stack: AsyncExitStack, options: InputOptions) -> tuple[list[ConnectorInput], ClusterContext]:
    """Return the selected connectors and the state of the cluster, as far as it can be read.

    Manifests are processed without a cluster, too; a connector by name is not.

    Args:
        stack: closes the connection to the cluster.
        options: which connectors.

    Raises:
        OperatorError: the cluster does not return a connector by name.
        CommandFailed: a manifest is invalid, or there is no connector of that name.
    """
    # An unreachable cluster is no error for manifests: in a pipeline there is often none.
    cluster: Cluster | None = None
    cluster_error: KubernetesError | None = None
    if not options.offline:
        try:
            cluster = await stack.enter_async_context(open_cluster(options.target))
        except KubernetesError as error:
            if options.name is not None:
                raise
            cluster_error = error
    if options.name is not None:
        if cluster is None:
            raise CommandFailed("A connector by name needs the cluster: remove --offline, or pass a file with -f.")
        live = await cluster.find(options.name)
        context = await read_cluster_context(cluster, [live["metadata"]["namespace"]])
        return [input_from_cluster(live, context)], context
    namespace = cluster.namespace if cluster is not None else options.target.namespace or "default"
    manifests = read_manifests(options.files, namespace)
    context = ClusterContext()
    if cluster is not None:
        namespaces = [manifest.key[0] for manifest in (*manifests.connectors, *manifests.organizations)]
        try:
            context = await read_cluster_context(cluster, namespaces)
        except KubernetesError as error:
            cluster_error = error
    if cluster_error is not None:
        print_note(
            "The cluster could not be read, so all resources are treated as new: "
            f"{command_failure(cluster_error).message}"
        )
    return build_inputs(manifests, context), context
