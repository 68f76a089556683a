"""All commands with their arguments and options. What each does is loaded when it runs: --help need not wait for it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from defender_devops.cli.cluster_target import Target
from defender_devops.cli.completion import complete_connector, complete_namespace
from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cli.output import Format

__all__ = ["app"]

app = typer.Typer(
    name="defender-devops",
    help="Connectors between Azure DevOps and Microsoft Defender for Cloud, from the command line.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig; kubectl's own where it is not given.")
]
Context = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig; its current one by default.")
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help="Namespace; the context's by default.",
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
Offline = Annotated[bool, typer.Option("--offline", help="Do not ask the cluster: plan as for new resources.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="Form of the output.")]


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"defender-devops {importlib.metadata.version('defender-devops-operator')}\n")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Connectors between Azure DevOps and Microsoft Defender for Cloud, from the command line."""
    from defender_devops.telemetry.logs import configure_logs

    configure_logs("console", "debug" if debug else "error")
    # Libraries complain on their own account (of each sign-in that is not there); we say in one line what matters.
    logging.disable(logging.NOTSET if debug else logging.CRITICAL)


@app.command(short_help="How connectors and their organizations stand.")
def status(
    name: OptionalConnector = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing what changes.")] = False,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Look into all namespaces.")] = False,
    output: Annotated[Format | None, typer.Option("--output", "-o", help="Form of the output.")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Show how connectors and their organizations stand. Exits 1 where one of them is not ready."""
    if watch and output is not None:
        raise CommandFailed("--watch shows a tree or lines: leave --output out.")
    from defender_devops.cli.status.command import Wanted, show

    return _run(show(Wanted(Target(kubeconfig, context, namespace), name, everywhere, output, watch)))


@app.command(short_help="What a manifest would change in Azure.")
def plan(
    name: OptionalConnector = None,
    *,
    files: Files = None,
    delete: Annotated[bool, typer.Option("--delete", help="Plan what deleting would do.")] = False,
    offline: Offline = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 6 where something would change.")] = False,
    output: Output = Format.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Show what a manifest, or a connector as it stands, would change in Azure. Nothing is changed.

    Azure is asked with the sign-in of this machine (az login).
    """
    _file_or_name(files, name)
    from defender_devops.cli.plan.command import Wanted, show_plans

    target = Target(kubeconfig, context, namespace)
    return _run(show_plans(Wanted(target, tuple(files or ()), name, offline, delete, output, exit_code)))


@app.command(short_help="What stands in the way of a connector.")
def check(
    name: OptionalConnector = None,
    *,
    files: Files = None,
    offline: Offline = False,
    output: Output = Format.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Check what a manifest, or a connector in the cluster, needs: in the cluster, in Azure, in each organization.

    Azure and Azure DevOps are asked with the sign-in of this machine (az login). Exits 1 where a check fails.
    """
    _file_or_name(files, name)
    from defender_devops.cli.check.command import show_checks
    from defender_devops.cli.plan.command import Wanted

    target = Target(kubeconfig, context, namespace)
    return _run(show_checks(Wanted(target, tuple(files or ()), name, offline, form=output)))


@app.command("import", short_help="Write manifests for connectors that exist in Azure.")
def import_(
    subscription: Annotated[str, typer.Option("--subscription", "-s", metavar="ID", help="Subscription to look in.")],
    *,
    resource_group: Annotated[
        str | None, typer.Option("--resource-group", "-g", metavar="NAME", help="Look in this group only.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option("--account", metavar="NAME", help="Account that authorized Defender; Azure never tells."),
    ] = None,
    observe: Annotated[bool, typer.Option("--observe", help="Write managementPolicy: Observe.")] = False,
    managed: Annotated[bool, typer.Option("--managed", help="Take connectors too that a resource manages.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Write a file for each connector into this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="ID", help="Tenant to sign in to, where it is not your own.")
    ] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="Form of the output.")] = Format.YAML,
    namespace: Namespace = None,
) -> int:
    """Write manifests for connectors that exist in a subscription, ready for git. Nothing is changed."""
    if output is Format.TABLE:
        raise CommandFailed("Manifests are YAML or JSON: take -o yaml or -o json.")
    from defender_devops.cli.import_.command import Wanted, import_connectors
    from defender_devops.cli.import_.manifests import Options

    options = Options("", namespace, account, observe)
    wanted = Wanted(subscription, resource_group, tenant, options, managed, folder, force, output)
    return _run(import_connectors(wanted))


@app.command(short_help="Open the page on which a person signs in.")
def authorize(
    name: Connector,
    *,
    only_print: Annotated[bool, typer.Option("--print", help="Only print the address.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Open the page on which a person signs in, gets a device code, or hands Defender's code over."""
    from defender_devops.cli.authorize import authorize as open_page

    return _run(open_page(Target(kubeconfig, context, namespace), name, only_print=only_print))


@app.command(short_help="Have the operator look now.")
def reconcile(
    names: Connectors,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the operator has looked, and show what it found.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long to wait.")] = 60,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Have the operator look at connectors now, with everything read afresh."""
    from defender_devops.cli.control import reconcile as ask

    return _run(ask(Target(kubeconfig, context, namespace), names, wait=wait, timeout=timeout))


@app.command(short_help="Have the operator leave connectors alone in Azure.")
def suspend(
    names: Connectors,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Have the operator leave connectors alone in Azure (spec.suspend)."""
    from defender_devops.cli.control import suspend as ask

    return _run(ask(Target(kubeconfig, context, namespace), names))


@app.command(short_help="Have the operator go on with suspended connectors.")
def resume(
    names: Connectors,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Have the operator go on with suspended connectors."""
    from defender_devops.cli.control import resume as ask

    return _run(ask(Target(kubeconfig, context, namespace), names))


@app.command(short_help="Write a bundle for whoever is asked for help.")
def support(
    *,
    file: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="File to write; a name with the time in it by default.")
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Take in all namespaces.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Write a bundle for whoever is asked for help: resources, events, versions. No Secret is read."""
    from defender_devops.cli.support.command import write_bundle

    return _run(write_bundle(Target(kubeconfig, context, namespace), everywhere=everywhere, file=file))


def _file_or_name(files: list[Path] | None, name: str | None) -> None:
    if bool(files) == (name is not None):
        raise CommandFailed("Name either manifests with -f FILE, or a connector.")


def _run(command: Coroutine[Any, Any, int]) -> int:
    return asyncio.run(command)
