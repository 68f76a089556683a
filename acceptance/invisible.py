"""What cannot be observed from outside, each with the reason. A test compares it with docs/sandbox.md."""

from __future__ import annotations

from typing import Final

__all__ = ["INVISIBLE", "INVISIBLE_VARIANTS"]

_PERSON: Final = "needs a person at a sign-in page, or an account that is changed for it"
_FAILED_SIGN_IN: Final = "would be failed sign-ins of a real application, which its owners have to explain"
"""Also of a device code that nobody answers: Entra ID logs it as a failed sign-in when it expires."""

_CODE: Final = "needs one-time codes of Defender, which a person gets from the portal's dialog, one for each attempt"
_HOURS: Final = "takes hours or days in which somebody watches"
_SIMULATOR: Final = "is about the simulated cloud itself"
_OTHER_IDENTITY: Final = "needs a second identity with other rights or scopes"
_LOAD: Final = "needs more load than a courteous visitor causes"
_BUILD: Final = "needs pipelines and builds that are made for it"

INVISIBLE: Final = {
    "authorization_code with PKCE": _PERSON,
    "client_credentials: `openid`": "is a matter of Microsoft's client libraries, which the identity uses or not",
    "a secret with characters outside of ASCII": _FAILED_SIGN_IN,
    "access tokens are opaque": "nobody is to look into a token",
    "access tokens live 3,599 s": _HOURS,
    "a changed password invalidates": _PERSON,
    "device codes live 15 minutes": _FAILED_SIGN_IN,
    "`slow_down` for polling": _FAILED_SIGN_IN,
    "errors with `error`, AADSTS number": _FAILED_SIGN_IN,
    "HTTP status and `error` of a rare AADSTS number": _FAILED_SIGN_IN,
    "page flow: account, password": _PERSON,
    "for an error that only an administrator can resolve": _PERSON,
    "the port of a loopback redirect URI": _PERSON,
    "a missing PKCE verifier": _PERSON,
    "seconds of a successful create": _CODE,
    "an organization without third-party OAuth": "needs an organization whose policy is changed for it",
    "discovery at creation and every 8 hours": _HOURS,
    "Defender installs its container mapping extension": _HOURS,
    "what is added by the portal or the control interface": _SIMULATOR,
    "the assessments of a deleted repository": "needs a repository that is deleted for it",
    "issued by the portal's dialog only": _CODE,
    "works once; a failed attempt uses it up": _CODE,
    "valid for 10 minutes": _CODE,
    "is redeemed when the PUT is accepted": _CODE,
    "becomes invalid with the account": _CODE,
    "a later authorization replaces": _CODE,
    "ResponsePayloadTooLarge beyond": _LOAD,
    "`dcount` and `dcountif` are exact": _SIMULATOR,
    "assessments in `securityresources`, delayed": "needs the time at which Defender made an assessment",
    "`insufficient_claims` after revoked sessions": _PERSON,
    "200 throughput units in 5 minutes": _LOAD,
    "the cost of a call, when headers appear": _LOAD,
    "a delegated token may do what was consented to": _OTHER_IDENTITY,
    "`…/.default` stands for the permissions": _PERSON,
    "errors have the X-RateLimit headers": _LOAD,
    "a project that a member may not see": _OTHER_IDENTITY,
    "Stakeholder access reads no code": _OTHER_IDENTITY,
    "`POST {project}/_apis/pipelines/{pipelineId}/preview`": "is no read to everybody: some see a run in it",
    "`POST {project}/_apis/pipelines/{pipelineId}/runs`": "starts a build",
    "a definition's repository is that of its YAML": _BUILD,
    "pipelines, builds and policies come in pages": "needs a project with more than a thousand of them",
    'a pipeline with "View builds" denied': _OTHER_IDENTITY,
    "a build without finish time": _BUILD,
    "a decorator of the organization": _BUILD,
    "a step with `condition: false`": _BUILD,
    "Microsoft Security DevOps publishes its artifact": _BUILD,
    "names of steps: displayName": _BUILD,
    "YAML that cannot be expanded": _BUILD,
    "anchors in YAML are rejected": _BUILD,
    "a preview makes no build": "is no read to everybody: some see a run in it",
    "preview and `runs` of invalid YAML": _BUILD,
    "preview of a designer or disabled pipeline": "is no read to everybody: some see a run in it",
    'a member without "Queue builds"': _OTHER_IDENTITY,
    "ids of files and commits": _BUILD,
    'words, "phrases"': "needs an index whose content is known",
    "throughput units: preview": _LOAD,
}
"""Reasons by the beginning of a behaviour."""

INVISIBLE_VARIANTS: Final = {
    "administratorErrors": _PERSON,
    "assessmentDelay": "needs the time at which Defender made an assessment",
    "codeAfterLoss": _CODE,
    "codeLifetime": _CODE,
    "codeRedemption": _CODE,
    "commitIds": _HOURS,
    "createDuration": _CODE,
    "deletedRepositories": "needs a repository that is deleted for it",
    "deniedPipelines": _OTHER_IDENTITY,
    "devOpsPages": "needs a project with more than a hundred of them",
    "discoveryCounts": _HOURS,
    "extensionInstallation": _HOURS,
    "hiddenProjects": _OTHER_IDENTITY,
    "invalidYaml": _BUILD,
    "missingScope": _OTHER_IDENTITY,
    "missingVerifier": _PERSON,
    "previewErrors": "is no read to everybody: some see a run in it",
    "previewRights": _OTHER_IDENTITY,
    "rareErrors": _FAILED_SIGN_IN,
    "rateLimitHeaders": _LOAD,
    "resourceLists": _OTHER_IDENTITY,
    "revocation": _PERSON,
    "secretOutsideAscii": _FAILED_SIGN_IN,
    "slowDown": _FAILED_SIGN_IN,
    "stakeholderAccess": _OTHER_IDENTITY,
    "stepNames": _BUILD,
    "taskScope": _OTHER_IDENTITY,
    "unfinishedBuilds": _BUILD,
    "usageCosts": _LOAD,
}
"""Reasons by name of a variant."""
