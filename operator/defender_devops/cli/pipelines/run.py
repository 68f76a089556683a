"""`pipelines`: read connectors and the evidence of their organizations from the cluster, and print one line each."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from defender_devops.api.azure_types import OnboardingState
from defender_devops.api.connector import AzureDevOpsConnector, InvalidManifest, Mode, SignInMethod, parse_connector
from defender_devops.api.pipelines.states import PipelineState
from defender_devops.app.secret_store import ClusterSecretStore
from defender_devops.cli.cluster_access import open_cluster, require_organizations
from defender_devops.cli.cluster_target import ListOptions
from defender_devops.cli.display.view import ConnectorView, connector_views
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from defender_devops.cli.output import print_note
from defender_devops.cli.pipelines.evidence import OrganizationPipelines, read_organizations
from defender_devops.cli.pipelines.notes import all_notes, summary
from defender_devops.cli.pipelines.render import print_pipelines
from defender_devops.cluster.client import Body
from defender_devops.cluster.secrets import Secrets
from defender_devops.reconcile.observe.pipelines.evidence_store import EvidenceSecrets

__all__ = ["run_pipelines"]


async def run_pipelines(options: ListOptions, states: Collection[PipelineState] = ()) -> ExitCode:
    """Print the states of repositories. What could not be read is reported, and the others are printed.

    Args:
        options: which connectors and organizations, and the format.
        states: states of repositories; empty for all.

    Raises:
        OperatorError: the cluster does not return the connectors.
        CommandFailed: there is no connector, or no organization, of that name.
    """
    now = datetime.now(UTC)
    results: list[OrganizationPipelines] = []
    async with open_cluster(options.target) as cluster:
        bodies, organizations = await cluster.select(options.name, all_namespaces=options.all_namespaces)
        views = connector_views(bodies, organizations)
        require_organizations(
            options.organizations, [item.organization for view in views for item in view.organizations]
        )
        store = EvidenceSecrets(ClusterSecretStore(Secrets(cluster.client)))
        bodies_by_key = {f"{body['metadata']['namespace']}/{body['metadata']['name']}": body for body in bodies}
        for view in views:
            connector = _connector(bodies_by_key[view.key], view)
            if isinstance(connector, OrganizationPipelines):
                results.append(connector)
                continue
            names = list(_organizations(view, options.organizations))
            results += await read_organizations(store, connector, names, now)
    selected = [_with_states(item, states) for item in results]
    print_pipelines(selected, options.output)
    if any(item.failure is None for item in results):
        print_note(summary(results))
    for note in all_notes(results, now):
        print_note(note)
    failures = [item.failure for item in results if item.failure is not None]
    if failures:
        return max(failure.exit_code for failure in failures)
    return ExitCode.OK if results and all(item.reads_are_complete for item in results) else ExitCode.NOT_OK


def _connector(body: Body, view: ConnectorView) -> AzureDevOpsConnector | OrganizationPipelines:
    """Return the connector, or why its pipelines are not checked."""
    try:
        connector = parse_connector(body)
    except InvalidManifest as error:
        return _not_checked(view, f"the connector has an invalid spec: {error.message}")
    spec = connector.spec
    if spec.pipeline_checks is None or spec.pipeline_checks.mode is not Mode.ENABLED:
        patch = '{"spec":{"pipelineChecks":{"mode":"Enabled"}}}'
        return _not_checked(
            view,
            "pipelines are not checked. Enable the checks in its manifest, or with: kubectl patch "
            f"azuredevopsconnector {view.name} -n {view.namespace} --type merge -p '{patch}'",
        )
    if spec.sign_in_method is SignInMethod.NONE:
        return _not_checked(
            view, "pipelines are not checked, because the operator has no sign-in of its own. Set spec.signIn.method."
        )
    if not any(_is_checked(item.status.onboarding_state) for item in view.organizations):
        return _not_checked(view, "no organization is onboarded yet. See kubectl defender-devops status.")
    return connector


def _not_checked(view: ConnectorView, message: str) -> OrganizationPipelines:
    return OrganizationPipelines(view.key, failure=CommandFailed(message, ExitCode.NOT_OK))


def _is_checked(onboarding_state: str | None) -> bool:
    return onboarding_state == OnboardingState.ONBOARDED


def _organizations(view: ConnectorView, selected: Collection[str]) -> Iterator[str]:
    """Yield the organizations whose evidence is read: the onboarded ones, and those that a person names."""
    names = {name.lower() for name in selected}
    for item in view.organizations:
        if item.organization.lower() in names or (not names and _is_checked(item.status.onboarding_state)):
            yield item.organization


def _with_states(item: OrganizationPipelines, states: Collection[PipelineState]) -> OrganizationPipelines:
    if not states:
        return item
    return replace(item, assessments=tuple(value for value in item.assessments if value.state in states))
