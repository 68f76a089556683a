"""Variants: behaviours of the real service that are inferred, each with its plausible alternatives.

The simulated cloud has to choose one form of what nobody has seen. A variant names the choice, so that a client can be
tested against the others too. The first value of a variant is the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["VARIANTS", "UnknownVariant", "Variant", "Variants"]


class UnknownVariant(ValueError):
    """There is no variant, or no value of it, with this name; the message lists those that there are."""


@dataclass(frozen=True, slots=True)
class Variant:
    """An inferred behaviour.

    Attributes:
        behaviour: what it is about.
        values: what speaks for each form, by its name; the first one is the default.
    """

    behaviour: str
    values: Mapping[str, str]

    @property
    def default(self) -> str:
        """The value without a choice."""
        return next(iter(self.values))


VARIANTS: dict[str, Variant] = {
    "listAvailableWithoutAuthorization": Variant(
        "listAvailableAzureDevOpsOrgs when the authorization is lost",
        {
            "tokenExchangeFailed": "400 TokenExchangeFailed, the code of a failed create",
            "badRequest": "400 with a general code",
            "unauthorized": "401, as Azure DevOps answers Defender",
            "forbidden": "403, as for any missing right",
            "serverError": "500: the service did not expect it",
            "empty": "200 and an empty list: nothing is available",
            "stale": "200 and the list as it was: it may be cached",
        },
    ),
    "listAvailableWithoutOrganizations": Variant(
        "listAvailableAzureDevOpsOrgs when the account has no organization any more",
        {
            "empty": "an empty list: the authorization works",
            "tokenExchangeFailed": "400 TokenExchangeFailed: an account without organizations cannot authorize either",
            "forbidden": "403",
        },
    ),
    "provisioningAfterLoss": Variant(
        "provisioning state after a discovery run without authorization",
        {
            "failed": "Failed with the message of the token exchange, as after a failed create",
            "unchanged": "stays Succeeded, with the old times: the state is that of the last write",
            "refreshed": "stays Succeeded, and the times of the organizations move",
        },
    ),
    "organizationsWithoutAdministrator": Variant(
        "an organization whose administrator the account is not",
        {
            "failed": "is listed, with state Failed",
            "notOnboarded": "is listed as NotOnboarded, with state Failed",
            "missing": "is not listed",
        },
    ),
    "inventoryPatch": Variant(
        "a PATCH with topLevelInventoryList",
        {
            "replaces": "the list replaces the selection; unknown names are ignored",
            "adds": "the list is added to the selection",
            "refusesUnknown": "400 for a name that the authorization cannot access",
        },
    ),
    "concurrentOperations": Variant(
        "a write while an operation on the configuration runs",
        {"lastWins": "both are accepted", "conflict": "409 Conflict, as many providers answer"},
    ),
    "putWithoutCode": Variant(
        "a PUT without a code on an existing configuration",
        {
            "reuses": "uses the existing authorization, as PATCH does",
            "fails": "is accepted and fails: a PUT replaces the authorization too",
            "refused": "400",
        },
    ),
    "patchWithoutInventory": Variant(
        "a PATCH with autoDiscovery Disabled and without topLevelInventoryList",
        {
            "all": "selects all existing organizations, as the documentation says of a PUT",
            "keeps": "keeps the selection: a PATCH changes only what it names",
        },
    ),
    "organizationPut": Variant(
        "PUT of an organization",
        {"onboards": "it is in the API description", "refused": "405: organizations are chosen by the configuration"},
    ),
    "connectorErrors": Variant(
        "errors of the connector's own checks",
        {"own": "observed for some of them", "arm": "the shape of Resource Manager, as for its children"},
    ),
    "connectorChildren": Variant(
        "DELETE of a connector that has a configuration",
        {"deleted": "deletes it too", "required": "409 CannotDeleteResource until the configuration is deleted"},
    ),
    "annotationsDefault": Variant(
        "state of annotations where nothing was configured",
        {"disabled": "they are off", "none": "`None`, the value for organizations that are not onboarded"},
    ),
    "capabilities": Variant(
        "capabilities of the configuration",
        {"one": "the only one in an example", "several": "a list has more than one item some day", "none": "no list"},
    ),
    "secondOffering": Variant(
        "the offering DefenderForDevOpsAzureDevOps",
        {"oneVersion": "observed with 2023-10-01-preview only", "allVersions": "the service adds it to every answer"},
    ),
    "unsupportedVersions": Variant(
        "an api-version that the provider has, but not for this type",
        {"byType": "NoRegisteredProviderFound", "invalid": "InvalidApiVersionParameter, as for any other"},
    ),
    "healthReports": Variant(
        "health reports of an Azure DevOps connector",
        {
            "empty": "they are documented for AWS and GCP",
            "notFound": "404 for a connector of another kind",
            "healthy": "one report, Healthy",
            "notHealthy": "one report, NotHealthy, with an issue and its remediation",
        },
    ),
    "unregisteredPlans": Variant(
        "plans of a subscription that is not registered for Microsoft.Security",
        {
            "notFound": "404 `Subscription Not Registered`",
            "conflict": "409 MissingSubscriptionRegistration, as for a write",
            "free": "a plan that is Free",
        },
    ),
    "emptyRepositories": Variant(
        "repositories without a commit",
        {"listed": "they are repositories of the project", "missing": "there is nothing to scan"},
    ),
    "planExtensions": Variant(
        "extensions of the plan CloudPosture",
        {
            "all": "five, each on or off",
            "enabled": "only those that are on",
            "absent": "no list, as in older api-versions",
        },
    ),
    "otherPlans": Variant(
        "plans beside CloudPosture",
        {"absent": "a connector needs no other", "present": "every subscription has a dozen of them"},
    ),
    "tokenExchangeMessage": Variant(
        "message of a failed configuration",
        {
            "quoted": "quotes the request to Azure DevOps and its answer",
            "plain": "only the code: the quotation is for the service's own people",
            "empty": "none",
        },
    ),
    "deletedRepositories": Variant(
        "assessments of a deleted repository",
        {"vanish": "go with the repository", "linger": "stay for a day, as results of deleted resources do"},
    ),
    "resourceLists": Variant(
        "resources of a subscription in Resource Manager's general list",
        {"readable": "those that the caller may read", "all": "all, for whoever may list"},
    ),
    "resourceRequests": Variant(
        "the connector's own counter of remaining requests",
        {"refills": "as the counters of Resource Manager do", "constant": "99 and 249 were all that was seen"},
    ),
    "metadataFields": Variant(
        "fields of `/metadata/endpoints`",
        {"full": "as of other clouds' descriptions", "few": "authentication and resourceManager alone"},
    ),
    "discoveryStart": Variant(
        "time to the first discovered project",
        {"quarterHour": "some minutes, as in demonstrations", "sixHours": "the next run, up to eight hours later"},
    ),
    "codeAfterLoss": Variant(
        "a one-time code of an account that has lost its access",
        {"invalid": "becomes invalid with the account", "valid": "is a token by itself"},
    ),
    "codeRedemption": Variant(
        "when Defender redeems the one-time code",
        {"accepted": "when it accepts the PUT", "finished": "when the operation ends, as the message appears there"},
    ),
    "codeLifetime": Variant(
        "how long the one-time code can be redeemed",
        {
            "tenMinutes": "usual for codes of OAuth",
            "oneMinute": "the shortest that the dialog allows",
            "oneHour": "as long as an access token",
        },
    ),
    "checkOrder": Variant(
        "what is checked first: permissions, the resource group or the registration of the provider",
        {
            "permissions": "nobody learns what exists without a permission",
            "group": "Resource Manager knows groups without asking anyone",
            "registration": "the provider is asked last, but its registration is known to Resource Manager",
        },
    ),
    "connectorDeletion": Variant(
        "DELETE of a connector",
        {"atOnce": "204, and it is gone", "accepted": "202, and it is gone some seconds later"},
    ),
    "discoveryCounts": Variant(
        "the discovered projects during a later discovery run",
        {"rising": "change when the run ends", "falling": "fall to a half first: a run begins from nothing"},
    ),
    "unfamiliarAnswers": Variant(
        "what this version of the API does not describe",
        {
            "absent": "nothing",
            "fields": "properties that are added over time",
            "values": "provisioning and onboarding states that are added over time",
            "kinds": "resource types that are added over time, in Resource Graph",
        },
    ),
    "createDuration": Variant(
        "duration of a successful create",
        {"seconds": "6 to 33 seconds, as of a PATCH", "tenMinutes": "it may wait for a first discovery"},
    ),
    "operationResults": Variant(
        "the result of an operation that has ended",
        {"stay": "for a day", "expire": "404 after five minutes"},
    ),
    "listPages": Variant(
        "items of a page of organizations, projects or repositories",
        {"ten": "observed for repositories", "hundred": "as for connectors", "all": "one page"},
    ),
    "extensionInstallation": Variant(
        "when Defender installs its container mapping extension",
        {"minutes": "after five minutes", "day": "after a day", "never": "only where a person installs it"},
    ),
    "graphChildren": Variant(
        "rows of organizations, projects and repositories in Resource Graph",
        {
            "arm": "names and ids as in Resource Manager",
            "lowerCase": "ids in lower case",
            "percentEncoded": "names in ids percent-encoded",
            "withoutEmpty": "organizations without projects have no row",
            "absent": "no published query shows such rows",
        },
    ),
    "graphDeletions": Variant(
        "rows of a deleted connector in Resource Graph",
        {"followed": "go with the connector", "linger": "stay for a day, as results of deleted resources do"},
    ),
    "graphProjects": Variant(
        "rows of projects in Resource Graph",
        {"present": "as Resource Manager's", "absent": "the list of supported types does not have the type"},
    ),
    "graphLag": Variant(
        "delay of Resource Graph",
        {"none": "as `resourceGraphLag` says", "minutes": "five minutes: it is eventually consistent"},
    ),
    "skipTokens": Variant(
        "how long a skip token is valid",
        {"lastEight": "while its result is among the last eight", "minute": "for a minute"},
    ),
    "assessmentDelay": Variant(
        "delay of assessments in Resource Graph beyond that of other rows",
        {"none": "as `assessmentLag` says", "hour": "they come from another service than the resources"},
    ),
    "secretOutsideAscii": Variant(
        "a client secret with characters outside of ASCII",
        {"wrongSecret": "AADSTS7000215, as any wrong one", "invalidRequest": "an error of its encoding"},
    ),
    "rareErrors": Variant(
        "HTTP status and `error` of rare AADSTS numbers",
        {"catalogue": "what OAuth calls them", "generic": "400 and invalid_request, with the same number"},
    ),
    "administratorErrors": Variant(
        "the `error` that returns to the application when only an administrator can help",
        {"accessDenied": "access_denied", "serverError": "server_error"},
    ),
    "missingVerifier": Variant(
        "a redeemed code without its PKCE verifier",
        {"wrong": "AADSTS501481, as a wrong one", "missingParameter": "AADSTS900144, as any missing parameter"},
    ),
    "resourceAreas": Variant(
        "access to the lists of resource areas and locations of Azure DevOps",
        {"open": "clients read them before they have a token", "guarded": "401 without a token"},
    ),
    "usageCosts": Variant(
        "cost of a request to Azure DevOps",
        {"low": "a fraction of a unit", "high": "ten times as much"},
    ),
    "slowDown": Variant(
        "when polling for a device code is too fast",
        {"half": "below half the interval", "interval": "below the interval", "never": "never"},
    ),
    "revocation": Variant(
        "access tokens of Azure DevOps after revoked sessions",
        {"atOnce": "401 insufficient_claims", "withExpiry": "they work until they expire"},
    ),
    "missingScope": Variant(
        "a delegated token without the scope of a request",
        {
            "forbidden": "403",
            "unauthorized": "401, as without a membership",
            "signInPage": "203 with the sign-in page, as for a token that is not valid",
        },
    ),
    "firstAssessments": Variant(
        "time from the discovery of a project to its first assessments",
        {"halfHour": "15 to 60 minutes for a scan", "day": "posture checks once a day, as older pages say"},
    ),
    "assessmentLists": Variant(
        "`recommendationCategory` in Resource Manager's answers",
        {"withoutCategory": "it is not in the description", "withCategory": "Resource Graph has it"},
    ),
    "assessmentIds": Variant(
        "spelling of an assessment's id",
        {
            "arm": "the id of the repository in Resource Manager, with the assessment appended",
            "lowerCase": "Resource Graph returns parts of other ids in lower case",
            "percentEncoded": "names of projects may contain blanks, which a URL cannot",
            "lowerCasePercentEncoded": "both",
        },
    ),
    "assessmentResourceDetails": Variant(
        "spelling of `properties.resourceDetails`",
        {
            "upperCase": "`Source` and `Id`, as in Microsoft's newest queries",
            "lowerCase": "`source` and `id`, as in the API description",
            "absent": "the API description has no such object for Azure DevOps",
        },
    ),
    "assessmentResource": Variant(
        "the resource of a repository's finding",
        {
            "repository": "the documentation names it as the resource since 2023",
            "project": "some checks concern a whole project",
            "organization": "some checks concern a whole organization",
            "unknown": "a child of the repository that is described nowhere, such as a branch",
        },
    ),
    "serviceConnectionAssessments": Variant(
        "the resource of recommendations on service connections",
        {
            "project": "service connections belong to projects and are no resources themselves",
            "serviceConnection": "a resource of its own below the project, as the portal counts them",
            "organization": "the posture page is a page of organizations",
        },
    ),
    "assessmentCategory": Variant(
        "`metadata.recommendationCategory` of a finding",
        {
            "known": "the five categories that the documentation names",
            "absent": "the REST description does not have it",
            "unknown": "`Unknown`, as where one recommendation replaced a grouped one",
            "unfamiliar": "categories are added over time",
        },
    ),
    "postureCategory": Variant(
        "`metadata.recommendationCategory` of a posture recommendation",
        {"absent": "it is documented for findings only", "unknown": "`Unknown`, as the portal's own query expects"},
    ),
    "assessmentSeverity": Variant(
        "the severity of an assessment",
        {
            "metadata": "`metadata.severity`, as the page on the transition says",
            "status": "`status.severity`, where findings had it before",
            "lowerCase": "`high` for `High`",
            "absent": "new kinds of findings may come without",
            "unfamiliar": "`Critical` was added in 2025; others may follow",
        },
    ),
    "assessmentStatus": Variant(
        "`status.code`",
        {
            "known": "`Healthy`, `Unhealthy`, `NotApplicable`",
            "lowerCase": "`unhealthy` for `Unhealthy`",
            "unfamiliar": "a code that is not in the description, in place of Healthy and NotApplicable",
        },
    ),
    "resolvedAssessments": Variant(
        "a resolved finding",
        {"healthy": "turns Healthy, as other assessments do", "vanishes": "has no row any more"},
    ),
    "assessmentsWithoutAuthorization": Variant(
        "the assessments of an organization that Defender cannot access any more",
        {
            "stale": "stay as they were: nothing evaluates them",
            "vanish": "are removed after 24 hours, as those of deleted resources",
            "moving": "go on: the pipelines report without Defender's authorization",
        },
    ),
    "assessmentRights": Variant(
        "who sees assessments in Resource Graph",
        {
            "read": "whoever may perform Microsoft.Security/assessments/read",
            "securityRoles": "only holders of Security Reader or Security Admin, as some pages say",
        },
    ),
    "assessmentRows": Variant(
        "whether Resource Graph has assessments of Azure DevOps at all",
        {"present": "the portal's own queries need them", "absent": "no public answer shows one"},
    ),
    "resourceGraphPages": Variant(
        "rows beyond the first page of a query that can be paged",
        {"skipToken": "documented", "truncated": "`resultTruncated` without a token, as for other queries"},
    ),
    "previewRights": Variant(
        "what the preview of a pipeline needs",
        {
            "queueBuilds": "Queue builds: a preview is a dry run, and 403 TF215106 is the error of queueing",
            "viewBuilds": "View builds: the API description has the scope for reading",
        },
    ),
    "taskFilter": Variant(
        "which pipelines taskIdFilter finds",
        {
            "designer": "designer pipelines: steps of YAML are no part of a definition",
            "everything": "YAML pipelines, too: the description does not exclude them",
        },
    ),
    "firstLog": Variant(
        "log 1 of a YAML build",
        {
            "expandedYaml": "the expanded YAML, as tools of others read it",
            "ordinary": "a log as any other: nothing is documented",
        },
    ),
    "containerMappingSteps": Variant(
        "the steps of container mapping in expanded YAML",
        {
            "hidden": "not there: a decorator is no part of a file",
            "shown": "in every job, as steps that a template injects",
        },
    ),
    "expiredBuilds": Variant(
        "a build beyond the retention",
        {
            "remain": "stays in the list, without logs and artifacts",
            "deleted": "is deleted, as the whole run is by default",
        },
    ),
    "deniedPipelines": Variant(
        'a pipeline with "View builds" denied, by its id or that of a build',
        {
            "absent": "404, as it is not in lists",
            "forbidden": "403 TF215106, the error of other permissions of a pipeline",
        },
    ),
    "missingCodeSearch": Variant(
        "code search without its extension",
        {
            "notFound": "404: nothing answers the path",
            "onboarding": "200 without results and infoCode 6",
        },
    ),
    "enablementRows": Variant(
        "repositories whose Advanced Security was never touched",
        {
            "touched": "not in the answer",
            "all": "with everything off",
        },
    ),
    "logsForJson": Variant(
        "a log for a client that accepts JSON",
        {
            "lines": "`{count, value}` with the lines",
            "text": "text: the header is ignored",
        },
    ),
    "rateLimitHeaders": Variant(
        "X-RateLimit headers of an error",
        {"everywhere": "as of a successful response", "successes": "only successful responses are documented"},
    ),
    "hiddenProjects": Variant(
        "a project that a member may not see, by its name",
        {
            "absent": "404 TF200016, as for a name that does not exist",
            "forbidden": "403 TF50309, which names the missing permission",
        },
    ),
    "stakeholderAccess": Variant(
        "code of a private project for Stakeholder access",
        {
            "forbidden": "403 TF401027, as for any missing permission of Git",
            "notFound": "404 TF401019, whose text says that there may be no permission",
        },
    ),
    "taskScope": Variant(
        "the scope that reads a task by its id",
        {
            "build": "vso.build, as for everything else of pipelines",
            "agentPools": "vso.agentpools, as the documentation says of other calls of this area",
        },
    ),
    "repositoryWithoutType": Variant(
        "repositoryId without repositoryType in lists of pipelines and builds",
        {"badRequest": "400: they belong together", "ignored": "the filter is ignored, as unknown parameters are"},
    ),
    "latestCompletedBuild": Variant(
        "the branch of latestCompletedBuild",
        {
            "anyBranch": "any, also that of a pull request: the description names no branch",
            "defaultBranch": "the default one, as of the badge of a pipeline",
        },
    ),
    "devOpsPages": Variant(
        "items of a page of pipelines, builds and branch policies, at most",
        {"thousand": "as `azureDevopsPageSize` says", "hundred": "100, as of projects"},
    ),
    "unfinishedBuilds": Variant(
        "a build without finish time in a list by finish time",
        {"absent": "it has no place in that order", "first": "before all others, as if it ended now"},
    ),
    "checkoutRecords": Variant(
        "the task of a record of checkout",
        {"withoutTask": "null, as of the agent's own steps", "withTask": "the id of the task Checkout"},
    ),
    "stepNames": Variant(
        "the name of a scan without displayName in a timeline",
        {"task": "the name of the task", "friendly": "that of the designer: Run Microsoft Defender for DevOps"},
    ),
    "invalidYaml": Variant(
        "the timeline of a build whose YAML could not be expanded",
        {"withoutTimeline": "204: no job has run", "emptyTimeline": "200 with a timeline without records"},
    ),
    "previewErrors": Variant(
        "texts of the preview of a designer or disabled pipeline",
        {"specific": "they name the reason", "general": "one text for everything that cannot be previewed"},
    ),
    "unreadableRepositories": Variant(
        "HTTP status of files of a disabled or empty repository",
        {"notFound": "404 for both", "other": "403 for a disabled one, 400 for an empty one"},
    ),
    "commitIds": Variant(
        "the commit at the head of a branch",
        {"content": "changes with the files only", "daily": "changes every day: commits without changes of files"},
    ),
    "infoCodes": Variant(
        "infoCode of a search for nothing, or beyond the most hits",
        {"detailed": "3 and 8", "none": "0: the answer itself shows it"},
    ),
}
"""All variants by name."""


class Variants:
    """The chosen value of each variant.

    Args:
        choices: values by name; the others have their default.

    Raises:
        UnknownVariant: unknown name or value.
    """

    def __init__(self, choices: Mapping[str, str] | None = None) -> None:
        self._choices: dict[str, str] = {}
        self.choose(choices or {})

    def choose(self, choices: Mapping[str, str]) -> None:
        """Choose values by name.

        Raises:
            UnknownVariant: unknown name or value; nothing is chosen then.
        """
        for name, value in choices.items():
            _check(name, value)
        self._choices.update(choices)

    def __getitem__(self, name: str) -> str:
        """Return the chosen value of a variant."""
        return self._choices.get(name) or VARIANTS[name].default

    def is_chosen(self, name: str, value: str) -> bool:
        """Whether a variant has this value.

        Raises:
            UnknownVariant: unknown name or value.
        """
        _check(name, value)
        return self[name] == value


def _check(name: str, value: str) -> None:
    variant = VARIANTS.get(name)
    if variant is None:
        raise UnknownVariant(f"there is no variant {name!r}; there are {', '.join(VARIANTS)}")
    if value not in variant.values:
        raise UnknownVariant(f"variant {name!r} has no value {value!r}; it has {', '.join(variant.values)}")
