"""All commands with their arguments and options.

The code of a command is imported when the command runs, so that --help and completion need not load it.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from defender_devops.api.pipelines.states import PipelineState
from defender_devops.api.posture import Category, Severity
from defender_devops.cli.cluster_target import ClusterTarget, ListOptions
from defender_devops.cli.completion import complete_connector, complete_namespace, complete_organization
from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cli.output import Format, ListFormat

__all__ = ["app"]

app = typer.Typer(
    name="defender-devops",
    help="Manage connectors between Azure DevOps and Microsoft Defender for Cloud.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig file; by default that of kubectl.")
]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="Context of the kubeconfig; by default its current context."),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help="Namespace; by default that of the context.",
        autocompletion=complete_namespace,
    ),
]
Connector = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Connector, as NAME or NAMESPACE/NAME.",
        autocompletion=complete_connector,
        show_default=False,
    ),
]
Connectors = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Connectors, as NAME or NAMESPACE/NAME.", autocompletion=complete_connector),
]
OptionalConnector = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="Connector, as NAME or NAMESPACE/NAME.", autocompletion=complete_connector),
]
Files = Annotated[
    list[Path] | None,
    typer.Option("--file", "-f", metavar="FILE", help="Manifest, folder of manifests, or - for standard input."),
]
Organizations = Annotated[
    list[str] | None,
    typer.Option(
        "--organization",
        metavar="NAME",
        help="Only this organization; may be repeated.",
        autocompletion=complete_organization,
    ),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="All connectors of all namespaces.")]
ListOutput = Annotated[ListFormat, typer.Option("--output", "-o", help="Output format.")]
Offline = Annotated[bool, typer.Option("--offline", help="Do not read the cluster; treat all resources as new ones.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="Output format.")]


def _print_version(is_requested: bool) -> None:
    if is_requested:
        sys.stdout.write(f"defender-devops {importlib.metadata.version('defender-devops-operator')}\n")
        raise typer.Exit


@app.callback()
def global_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Manage connectors between Azure DevOps and Microsoft Defender for Cloud."""
    from defender_devops.telemetry.logs import configure_logs

    configure_logs("console", "debug" if debug else "error")
    # Libraries log errors of their own, such as one for each missing kind of sign-in. The command prints one line.
    logging.disable(logging.NOTSET if debug else logging.CRITICAL)


@app.command("status", short_help="Show the status of connectors and organizations.")
def status_command(
    name: OptionalConnector = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing changes until interrupted.")] = False,
    all_namespaces: AllNamespaces = False,
    output: Annotated[Format | None, typer.Option("--output", "-o", help="Output format.")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Show the status of connectors and organizations. Exits with 1 if a connector is not ready."""
    if watch and output is not None:
        raise CommandFailed("--watch prints a tree or lines only: remove --output.")
    _reject_name_with_all_namespaces(name, all_namespaces)
    from defender_devops.cli.status.run import StatusOptions, run_status

    target = ClusterTarget(kubeconfig, context, namespace)
    return _run(run_status(StatusOptions(target, name, all_namespaces, output, watch)))


@app.command("findings", short_help="List what Defender for Cloud found in the organizations.")
def findings_command(
    name: OptionalConnector = None,
    *,
    organizations: Organizations = None,
    severities: Annotated[
        list[Severity] | None,
        typer.Option("--severity", case_sensitive=False, help="Only this severity; may be repeated."),
    ] = None,
    categories: Annotated[
        list[Category] | None,
        typer.Option("--category", case_sensitive=False, help="Only this kind of finding; may be repeated."),
    ] = None,
    all_namespaces: AllNamespaces = False,
    output: ListOutput = ListFormat.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """List what Defender for Cloud found in the organizations of connectors. Nothing is stored in the cluster.

    Azure is read with the sign-in of this machine (az login). Exits with 1 if there are no results to conclude from.
    """
    _reject_name_with_all_namespaces(name, all_namespaces)
    from defender_devops.cli.findings.run import run_findings

    target = ClusterTarget(kubeconfig, context, namespace)
    options = ListOptions(target, name, all_namespaces, tuple(organizations or ()), output)
    return _run(run_findings(options, severities or (), categories or ()))


@app.command("pipelines", short_help="List which repositories are scanned, and by what.")
def pipelines_command(
    name: OptionalConnector = None,
    *,
    organizations: Organizations = None,
    states: Annotated[
        list[PipelineState] | None,
        typer.Option("--state", case_sensitive=False, help="Only repositories in this state; may be repeated."),
    ] = None,
    all_namespaces: AllNamespaces = False,
    output: ListOutput = ListFormat.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """List which repositories are scanned, with the evidence and what to do. No request goes to Azure DevOps.

    The operator's checks (spec.pipelineChecks) keep what they read in Secrets, which you need the permission to read.
    Exits with 1 if pipelines are not checked, or not completely yet.
    """
    _reject_name_with_all_namespaces(name, all_namespaces)
    from defender_devops.cli.pipelines.run import run_pipelines

    target = ClusterTarget(kubeconfig, context, namespace)
    options = ListOptions(target, name, all_namespaces, tuple(organizations or ()), output)
    return _run(run_pipelines(options, states or ()))


@app.command("plan", short_help="Show what a manifest would change in Azure.")
def plan_command(
    name: OptionalConnector = None,
    *,
    files: Files = None,
    delete: Annotated[bool, typer.Option("--delete", help="Plan the deletion.")] = False,
    offline: Offline = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 6 if something would change.")] = False,
    output: Output = Format.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Show what a manifest, or a connector in the cluster, would change in Azure. Nothing is changed.

    Azure is read with the sign-in of this machine (az login).
    """
    from defender_devops.cli.inputs.gather import InputOptions
    from defender_devops.cli.plan.run import PlanOptions, run_plan

    inputs = InputOptions.of(ClusterTarget(kubeconfig, context, namespace), files, name, offline=offline)
    return _run(run_plan(PlanOptions(inputs, delete, output, exit_code)))


@app.command("check", short_help="Check the prerequisites of a connector.")
def check_command(
    name: OptionalConnector = None,
    *,
    files: Files = None,
    offline: Offline = False,
    output: Output = Format.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Check the prerequisites of a manifest, or of a connector in the cluster.

    The cluster, Azure and each organization are checked, Azure and Azure DevOps with the sign-in of this machine
    (az login). Exits with 1 if a check fails.
    """
    from defender_devops.cli.check.run import run_check
    from defender_devops.cli.inputs.gather import InputOptions

    inputs = InputOptions.of(ClusterTarget(kubeconfig, context, namespace), files, name, offline=offline)
    return _run(run_check(inputs, output))


@app.command("import", short_help="Write manifests for connectors that exist in Azure.")
def import_command(
    subscription: Annotated[str, typer.Option("--subscription", "-s", metavar="ID", help="Subscription to search.")],
    *,
    resource_group: Annotated[
        str | None, typer.Option("--resource-group", "-g", metavar="NAME", help="Search this resource group only.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option("--account", metavar="NAME", help="Account that authorized Defender; Azure does not return it."),
    ] = None,
    observe: Annotated[bool, typer.Option("--observe", help="Write managementPolicy: Observe.")] = False,
    managed: Annotated[
        bool, typer.Option("--managed", help="Include connectors that a resource already manages.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Write one file for each connector into this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="ID", help="Tenant to sign in to, if it is not the default one.")
    ] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="Output format.")] = Format.YAML,
    namespace: Namespace = None,
) -> int:
    """Write manifests for the connectors of a subscription, ready for git. Nothing is changed."""
    if output is Format.TABLE:
        raise CommandFailed("Manifests are written as YAML or JSON: use -o yaml or -o json.")
    from defender_devops.cli.import_.run import ImportOptions, run_import

    options = ImportOptions(
        subscription,
        resource_group=resource_group,
        tenant_id=tenant,
        namespace=namespace,
        account=account,
        observe=observe,
        include_managed=managed,
        folder=folder,
        force=force,
        output=output,
    )
    return _run(run_import(options))


@app.command("authorize", short_help="Open the sign-in page of a connector.")
def authorize_command(
    name: Connector,
    *,
    only_print: Annotated[bool, typer.Option("--print", help="Only print the address.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Open the page on which a person signs in, gets a device code, or submits a one-time code."""
    from defender_devops.cli.authorize import open_sign_in_page

    return _run(open_sign_in_page(ClusterTarget(kubeconfig, context, namespace), name, only_print=only_print))


@app.command("reconcile", short_help="Request a reconcile of connectors.")
def reconcile_command(
    names: Connectors,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the reconcile and show the status.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Longest time to wait.")] = 60,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Request a reconcile of connectors now. The operator reads everything again from Azure."""
    from defender_devops.cli.control import request_reconcile

    target = ClusterTarget(kubeconfig, context, namespace)
    return _run(request_reconcile(target, names, wait_seconds=timeout if wait else None))


@app.command("suspend", short_help="Stop reading and changing connectors in Azure.")
def suspend_command(
    names: Connectors,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Set spec.suspend: the operator neither reads nor changes anything in Azure until they are resumed."""
    from defender_devops.cli.control import set_suspended

    return _run(set_suspended(ClusterTarget(kubeconfig, context, namespace), names, is_suspended=True))


@app.command("resume", short_help="Resume suspended connectors.")
def resume_command(
    names: Connectors,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Remove spec.suspend: the operator manages the connectors again."""
    from defender_devops.cli.control import set_suspended

    return _run(set_suspended(ClusterTarget(kubeconfig, context, namespace), names, is_suspended=False))


@app.command("support", short_help="Write a support bundle.")
def support_command(
    *,
    file: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="File to write; by default named after the time.")
    ] = None,
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Write a support bundle: resources, events and versions. No Secret is read."""
    from defender_devops.cli.support.run import run_support

    target = ClusterTarget(kubeconfig, context, namespace)
    return _run(run_support(target, all_namespaces=all_namespaces, file=file))


def _reject_name_with_all_namespaces(name: str | None, all_namespaces: bool) -> None:
    """Reject a name beside the option for all connectors, which one of the two would be ignored for.

    Raises:
        CommandFailed: both are given.
    """
    if name is not None and all_namespaces:
        raise CommandFailed(
            f"{name} is one connector, and --all-namespaces (-A) stands for all connectors: remove one of them. A "
            "connector of another namespace is NAMESPACE/NAME."
        )


def _run(command: Coroutine[Any, Any, int]) -> int:
    return asyncio.run(command)
