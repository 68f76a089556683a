"""Building a world from a world file."""

from __future__ import annotations

import random
from pathlib import Path
from posixpath import join

import yaml

from sandbox.cloud.clock import Clock
from sandbox.cloud.defender.assessments import Assessment, AssessmentGenerator
from sandbox.cloud.defender.configurations import Change, authorize
from sandbox.cloud.defender.model import Connector
from sandbox.cloud.variants import Variants
from sandbox.cloud.world.azure import ROLE_DEFINITIONS, Policy, ResourceGroup, RoleAssignment, Subscription
from sandbox.cloud.world.devops import (
    CODE_SEARCH_EXTENSION,
    DevOpsGroup,
    Extension,
    Member,
    Organization,
    Project,
    Repository,
)
from sandbox.cloud.world.directory import Account, Application, AppSecret, FederatedCredential, Group, Tenant
from sandbox.cloud.world.identifiers import derived_id
from sandbox.cloud.world.pipelines.generated import GeneratedPipelines, GeneratedProject
from sandbox.cloud.world.pipelines.load import add_pipeline, add_policy, advanced_security, task_group
from sandbox.cloud.world.pipelines.scenarios import ScenarioMix
from sandbox.cloud.world.pipelines.schema import GeneratePipelinesSpec
from sandbox.cloud.world.pipelines.tasks import SECURITY_DEVOPS_EXTENSION
from sandbox.cloud.world.principals import UnknownName, principal_id, principal_type
from sandbox.cloud.world.schema import (
    AccountSpec,
    ApplicationSpec,
    AssessmentGeneratorSpec,
    AssessmentSpec,
    ConnectorSpec,
    GenerateSpec,
    OrganizationSpec,
    ProjectSpec,
    RepositorySpec,
    SubscriptionSpec,
    WorldFile,
)
from sandbox.cloud.world.world import Settings, World

__all__ = [
    "DEFAULT_WORLD",
    "absolute",
    "add_assessment",
    "add_connector",
    "add_organization",
    "add_project",
    "add_subscription",
    "assessment_generator",
    "build",
    "make_repository",
    "read_world_file",
]

DEFAULT_WORLD = Path(__file__).parents[1] / "worlds" / "default.yaml"

ANY_ISSUER = "*"
"""Issuer of a federated credential that accepts any registered issuer."""


def read_world_file(path: Path) -> WorldFile:
    """Read and validate a world file."""
    return WorldFile.parse(yaml.safe_load(path.read_text(encoding="utf-8")))


def build(spec: WorldFile, clock: Clock) -> World:
    """Build the world that a file describes.

    Raises:
        UnknownName: a reference to an unknown name.
    """
    settings = spec.settings.model_dump(exclude={"seed"})
    generator = random.Random(spec.settings.seed)  # noqa: S311 - not secret
    world = World(clock, Settings(**settings), variants=Variants(spec.variants), rng=generator)
    for tenant in spec.tenants:
        world.directory.tenants[tenant.id.lower()] = Tenant(tenant.id.lower(), tenant.name, tenant.domain)
    for account in spec.accounts:
        _add_account(world, account)
    for application in spec.applications:
        _add_application(world, application)
    _add_groups(world, spec)
    for subscription in spec.subscriptions:
        add_subscription(world, subscription)
    for assignment in spec.role_assignments:
        assign_role(world, assignment.role, assignment.principal, assignment.scope)
    for organization in spec.organizations:
        add_organization(world, organization)
    if spec.generate is not None:
        _generate(world, spec.generate)
    _add_assessments(world, spec)
    for connector in spec.connectors:
        add_connector(world, connector)
    world.update_history_retention()
    return world


def _add_assessments(world: World, spec: WorldFile) -> None:
    for assessment in spec.assessments:
        add_assessment(world, assessment)
    if spec.generate_assessments is not None:
        world.assessments.generate(assessment_generator(spec.generate_assessments))


def _tenant_id(world: World, name: str) -> str:
    tenant = world.directory.tenant(name)
    if tenant is None:
        raise UnknownName(f"there is no tenant {name!r}")
    return tenant.id


def _add_account(world: World, spec: AccountSpec) -> None:
    name = spec.user_principal_name
    tenant_id = _tenant_id(world, spec.tenant or name.rpartition("@")[2])
    values = spec.model_dump(exclude={"id", "tenant", "display_name", "user_principal_name"})
    account = Account(
        id=(spec.id or derived_id(tenant_id, name)).lower(),
        tenant_id=tenant_id,
        user_principal_name=name,
        display_name=spec.display_name or name.partition("@")[0],
        **values,
    )
    world.directory.accounts[account.id] = account


def _add_application(world: World, spec: ApplicationSpec) -> None:
    tenant_id = _tenant_id(world, spec.tenant)
    now = world.clock.wall()
    application = Application(
        client_id=spec.client_id.lower(),
        object_id=(spec.object_id or derived_id(tenant_id, "servicePrincipal", spec.client_id)).lower(),
        tenant_id=tenant_id,
        display_name=spec.name,
        secrets=[
            AppSecret(secret.value, None if secret.expires_in is None else now + secret.expires_in)
            for secret in spec.secrets
        ],
        certificates=list(spec.certificates),
        redirect_uris=list(spec.redirect_uris),
        federated_credentials=[
            FederatedCredential(credential.issuer or ANY_ISSUER, credential.subject, credential.audience)
            for credential in spec.federated_credentials
        ],
        public_client=spec.public_client,
        admin_consent_required=spec.admin_consent_required,
        consents={"*"} if spec.admin_consent else {principal_id(world, name) for name in spec.consents},
        permissions=None if spec.permissions is None else tuple(spec.permissions),
        disabled=spec.disabled,
    )
    world.directory.applications[application.client_id] = application


def _add_groups(world: World, spec: WorldFile) -> None:
    groups = {}
    for group in spec.groups:
        tenant_id = _tenant_id(world, group.tenant)
        groups[group.name] = Group(
            (group.id or derived_id(tenant_id, "group", group.name)).lower(), tenant_id, group.name
        )
        world.directory.groups[groups[group.name].id] = groups[group.name]
    # Members in a second pass: groups may contain each other.
    for group in spec.groups:
        groups[group.name].members = {principal_id(world, name) for name in group.members}


def add_subscription(world: World, spec: SubscriptionSpec) -> None:
    """Add a subscription."""
    subscription = Subscription(
        spec.id.lower(),
        _tenant_id(world, spec.tenant),
        spec.name,
        {provider.lower() for provider in spec.providers},
        {
            group.name.lower(): ResourceGroup(group.name, group.location, dict(group.tags))
            for group in spec.resource_groups
        },
        defender_cspm=spec.defender_cspm,
        cspm_extensions=set(spec.cspm_extensions),
        cspm_enabled_at=world.clock.now(),
    )
    scope = f"/subscriptions/{subscription.id}"
    subscription.policies = [
        Policy(policy.name, policy.display_name, scope, policy.locations, policy.required_tags)
        for policy in spec.policies
    ]
    world.subscriptions[subscription.id] = subscription


def assign_role(world: World, role: str, principal: str, scope: str) -> None:
    """Assign a built-in role (name or id) to a principal (name) at a scope."""
    definition = next(
        (candidate for candidate in ROLE_DEFINITIONS.values() if role in (candidate.name, candidate.id)), None
    )
    if definition is None:
        raise UnknownName(f"there is no role {role!r}")
    object_id = principal_id(world, principal)
    name = derived_id("roleAssignment", scope, definition.id, object_id)
    kind = principal_type(world, object_id)
    world.assign_role(RoleAssignment(name, scope, definition.id, object_id, kind, world.clock.now()))


def add_organization(world: World, spec: OrganizationSpec) -> Organization:
    """Add an organization to the world."""
    organization = Organization(
        derived_id("organization", spec.name),
        spec.name,
        None if spec.tenant is None else _tenant_id(world, spec.tenant),
        spec.third_party_oauth,
        [
            Extension(extension.id.partition(".")[0], extension.id.partition(".")[2], extension.flags)
            for extension in spec.extensions
        ],
        decorator_steps=tuple(spec.decorator_steps),
        search_info_code=spec.search_info_code,
    )
    for member in spec.members:
        object_id = principal_id(world, member.account)
        organization.members[object_id] = Member(
            object_id,
            member.administrator,
            member.license,
            member.access_status,
            member.signed_in,
            member.queue_builds,
        )
    for group in spec.groups:
        organization.groups[group.name.lower()] = DevOpsGroup(
            group.name, {principal_id(world, name) for name in group.members}, set(group.groups), group.administrators
        )
    projects = [_add_project(world, organization, project) for project in spec.projects]
    # In a second pass: the YAML of a pipeline may use templates of another project.
    for project, project_spec in zip(projects, spec.projects, strict=True):
        _add_pipelines(world, organization, project, project_spec)
    world.organizations[spec.name.lower()] = organization
    return organization


def add_project(world: World, organization: Organization, spec: ProjectSpec) -> Project:
    """Add a project with its repositories and pipelines to an organization."""
    project = _add_project(world, organization, spec)
    _add_pipelines(world, organization, project, spec)
    return project


def _add_project(world: World, organization: Organization, spec: ProjectSpec) -> Project:
    project = Project.make(organization.name, spec.name, tfvc=spec.tfvc, visibility=spec.visibility)
    project.hidden_from = {principal_id(world, account) for account in spec.hidden_from}
    project.repositories.generated = spec.generate
    for item in spec.repositories:
        project.repositories.explicit.append(
            make_repository(project, RepositorySpec(name=item) if isinstance(item, str) else item)
        )
    organization.projects[spec.name.lower()] = project
    return project


def assessment_generator(spec: AssessmentGeneratorSpec) -> AssessmentGenerator:
    """Return the generator that a file or a request describes."""
    return AssessmentGenerator(**spec.model_dump(exclude_none=True))


def add_assessment(world: World, spec: AssessmentSpec) -> Assessment:
    """Add an explicit assessment.

    Raises:
        UnknownName: its organization, project or repository does not exist.
    """
    organization = world.organization(spec.organization)
    if organization is None:
        raise UnknownName(f"there is no organization {spec.organization!r}")
    project = organization.project(spec.project) if spec.project else None
    if project is None and (spec.project or spec.repository):
        raise UnknownName(f"there is no project {spec.project!r} in {spec.organization!r}")
    if project is not None and spec.repository and project.repositories.position(spec.repository) is None:
        raise UnknownName(f"there is no repository {spec.repository!r} in {spec.project!r}")
    values = spec.model_dump(exclude={"after"})
    assessment = Assessment(**values, delay=spec.after, added_at=world.clock.now())
    world.assessments.add(assessment)
    return assessment


def make_repository(project: Project, spec: RepositorySpec) -> Repository:
    """Return a repository of a project; the paths of its files become absolute."""
    values = spec.model_dump(exclude={"files", "branches", "advanced_security"})
    return Repository(
        project.id,
        **values,
        files=absolute(spec.files),
        branches={branch: absolute(files) for branch, files in spec.branches.items()},
        advanced_security=advanced_security(spec.advanced_security),
    )


def absolute(files: dict[str, str]) -> dict[str, str]:
    """Return files by absolute path."""
    return {join("/", path): text for path, text in files.items()}


def _add_pipelines(world: World, organization: Organization, project: Project, spec: ProjectSpec) -> None:
    for pipeline in spec.pipelines:
        add_pipeline(world, organization, project, pipeline)
    for policy in spec.policies:
        add_policy(world, organization, project, policy)
    project.pipelines.task_groups += [task_group(project, group) for group in spec.task_groups]


def add_connector(world: World, spec: ConnectorSpec) -> Connector:
    """Add a connector as if created in the portal; with an account it is authorized too."""
    now = world.clock.now() - spec.age
    creator = spec.account or "portal"
    identifier = spec.hierarchy_identifier or derived_id("connector", spec.subscription, spec.resource_group, spec.name)
    connector = Connector(
        spec.subscription.lower(),
        spec.resource_group,
        spec.name,
        spec.location,
        {
            "offerings": [{"offeringType": f"CspmMonitor{spec.environment_name}"}],
            "environmentName": spec.environment_name,
            "hierarchyIdentifier": identifier,
            "environmentData": {"environmentType": f"{spec.environment_name}Scope"},
        },
        *(creator, "User", now) * 2,
        tags=dict(spec.tags),
    )
    world.connectors[connector.key] = connector
    if spec.account is not None:
        change = Change(None, spec.auto_discovery, spec.organizations, None)
        authorize(world, connector, principal_id(world, spec.account), change, now)
    world.record_change(connector.key, world.clock.now())
    return connector


def _generate(world: World, spec: GenerateSpec) -> None:
    """Add numbered organizations, distributed over connectors in turn, with generated repositories."""
    projects = spec.organizations * spec.projects
    number = 0
    for position in range(1, spec.organizations + 1):
        name = f"org-{position:04}"
        shares = []
        for project in range(1, spec.projects + 1):
            # Differences of cumulative shares: they add up to the total and differ by at most one.
            share = spec.repositories * (number + 1) // projects - spec.repositories * number // projects
            shares.append(ProjectSpec(name=f"project-{project:03}", generate=share))
            number += 1
        member = {"account": _owner(world, spec, position), "administrator": True}
        values = {"name": name, "tenant": spec.tenant, "extensions": [{}], "members": [member], "projects": shares}
        organization = add_organization(world, OrganizationSpec.model_validate(values))
        if spec.pipelines is not None:
            _generate_pipelines(world, organization, spec.pipelines)
    for position in range(1, spec.connectors + 1):
        positions = range(position, spec.organizations + 1, spec.connectors)
        connector = ConnectorSpec(
            name=f"connector-{position:04}",
            subscription=spec.subscription,
            resource_group=spec.resource_group,
            account=spec.account,
            organizations=[f"org-{organization_number:04}" for organization_number in positions],
        )
        add_connector(world, connector)


def _generate_pipelines(world: World, organization: Organization, spec: GeneratePipelinesSpec) -> None:
    """Give scenarios to the generated repositories, and install the extensions that they use."""
    for publisher, name in (SECURITY_DEVOPS_EXTENSION, CODE_SEARCH_EXTENSION):
        organization.extensions.append(Extension(publisher, name))
    projects: list[GeneratedProject] = []
    number = 0
    for project in organization.projects.values():
        repositories = project.repositories
        key = f"{spec.seed}/{organization.name}/{project.name}"
        repositories.mix = ScenarioMix(key, project.name, f"{project.name}-0000")
        count = repositories.generated
        projects.append(GeneratedProject(project.id, project.name, repositories.mix, count, number))
        number += count
    start = world.clock.now()
    organization.generated_pipelines = GeneratedPipelines(projects, spec.builds_per_day, start)


def _owner(world: World, spec: GenerateSpec, position: int) -> str:
    """Return the owner of a generated organization; adds the account with its first organization."""
    if spec.organizations_per_account is None:
        return spec.account
    number, place = divmod(position - 1, spec.organizations_per_account)
    name = f"account-{number + 1:04}@{spec.account.rpartition('@')[2]}"
    if place == 0:
        _add_account(world, AccountSpec(user_principal_name=name, tenant=spec.tenant))
    return name
