"""Valid and invalid manifests: one table for the API server's rules and for those of the models.

A case is a merge patch over a small valid manifest, so that it contains only what it tests.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from defender_devops.api.names import API_VERSION, CONNECTOR, ORGANIZATION

_CONNECTOR = yaml.safe_load(f"""
apiVersion: {API_VERSION}
kind: {CONNECTOR.kind}
metadata: {{name: contoso}}
spec:
  azure:
    tenantId: 11111111-1111-1111-1111-111111111111
    subscriptionId: 22222222-2222-2222-2222-222222222222
    resourceGroup: rg-devops-security
    location: westeurope
  organizations: {{mode: AllAndFuture}}
""")

_ORGANIZATION = yaml.safe_load(f"""
apiVersion: {API_VERSION}
kind: {ORGANIZATION.kind}
metadata: {{name: contoso-fabrikam}}
spec:
  connectorRef: {{name: contoso}}
  organization: fabrikam
""")

CLIENT = "client: {id: 55555555-5555-5555-5555-555555555555, type: Secret, secretRef: {name: app, key: secret}}"


def merge(body: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """The body with an RFC 7386 merge patch applied."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(body) if isinstance(body, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def connector(patch: str = "", **metadata: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A valid connector with a patch in YAML over its spec."""
    return _patched(_CONNECTOR, patch, metadata)


def organization(patch: str = "", **metadata: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A valid organization with a patch in YAML over its spec."""
    return _patched(_ORGANIZATION, patch, metadata)


def _patched(base: Mapping[str, Any], patch: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    body = copy.deepcopy(dict(base))
    body["spec"] = merge(body["spec"], yaml.safe_load(patch) or {})
    body["metadata"] |= metadata
    return body


@dataclass(frozen=True)
class Refused:
    """A manifest that breaks one rule.

    Attributes:
        name: describes the case.
        body: the manifest.
        field: path that the error names.
        sentence: the message.
    """

    name: str
    body: Mapping[str, Any]
    field: str
    sentence: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Accepted:
    """A manifest that breaks no rule."""

    name: str
    body: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name


_GUID = "must be a GUID such as 22222222-2222-2222-2222-222222222222"
_ORG = "must be the name of an Azure DevOps organization, such as contoso: letters, digits and hyphens, no address"
_OBJECT = "must be the name of an object in this namespace: lower-case letters, digits, hyphens and full stops"
_ACCOUNT = "must be a sign-in name such as mdc-devops-connector@contoso.com"
_DEADLINE = "deadline must be a duration between 15m and 168h, such as 8h or 1h30m"
_GROUP = "resourceGroup may hold letters, digits and . _ ( ) - and must not end with a full stop"
_TAG = (
    "a tag's name has 1 to 512 characters, none of < > % & \\ ? / and does not start with azure, microsoft or windows"
)
_CODE = "codeSecretRef belongs to method Code, which requires it"
_SIGN_IN_SECRET = "secretRef belongs to types Secret and Certificate, which require it"
_IDENTITY_SECRET = "secretRef belongs to types ClientSecret and ClientCertificate, which require it"
_SERVICE_ACCOUNT = "serviceAccountRef belongs to type WorkloadIdentity, which requires it"
_CLIENT_ID = "clientId is required with this type: add the application (client) id"
_REFRESH = "refreshTokenSecretRef belongs to method RefreshToken, which requires it"
_PROOF = "client.type must be Secret, Certificate or Federated with this method"
_PERSON = "account is required where a person signs in: name the account, as any other is rejected"
_APP = "client is required with this method: add the app registration's id and type"
_READER = "55555555-5555-5555-5555-555555555555"

REFUSED = [
    Refused(
        "a name of 64 characters",
        connector(name="x" * 64),
        "metadata.name",
        "the name must have at most 63 characters, as it labels the connector's organizations",
    ),
    # azure
    Refused("a tenant by its domain", connector("azure: {tenantId: contoso.com}"), "spec.azure.tenantId", _GUID),
    Refused("a GUID in braces", connector("azure: {subscriptionId: '{2}'}"), "spec.azure.subscriptionId", _GUID),
    Refused(
        "a group that ends with a dot", connector("azure: {resourceGroup: rg.}"), "spec.azure.resourceGroup", _GROUP
    ),
    Refused("a group that is a path", connector("azure: {resourceGroup: a/b}"), "spec.azure.resourceGroup", _GROUP),
    Refused("an empty group", connector("azure: {resourceGroup: ''}"), "spec.azure.resourceGroup", _GROUP),
    Refused(
        "a region by its long name",
        connector("azure: {location: West Europe}"),
        "spec.azure.location",
        "location is the short name of a region: write westeurope, not West Europe",
    ),
    Refused(
        "a connector's name that climbs",
        connector("azure: {connectorName: ..}"),
        "spec.azure.connectorName",
        "connectorName may hold letters, digits and . _ ( ) - and must not end with a full stop",
    ),
    Refused(
        "the owner's tag",
        connector("azure: {tags: {Defender-DevOps-Owner: me}}"),
        "spec.azure.tags",
        "defender-devops-owner and defender-devops-resource are the operator's own tags",
    ),
    Refused("a tag with a slash", connector("azure: {tags: {a/b: c}}"), "spec.azure.tags", _TAG),
    Refused("a tag with a backslash", connector("azure: {tags: {'a\\b': c}}"), "spec.azure.tags", _TAG),
    Refused("a reserved tag", connector("azure: {tags: {Microsoft-x: c}}"), "spec.azure.tags", _TAG),
    Refused("a nameless tag", connector("azure: {tags: {'': c}}"), "spec.azure.tags", _TAG),
    Refused(
        "two tags that differ by case",
        connector("azure: {tags: {team: a, Team: b}}"),
        "spec.azure.tags",
        "tag names in Azure are case-insensitive",
    ),
    # azure.identity
    Refused(
        "a workload identity without service account",
        connector(f"azure: {{identity: {{type: WorkloadIdentity, clientId: {_READER}}}}}"),
        "spec.azure.identity.serviceAccountRef",
        _SERVICE_ACCOUNT,
    ),
    Refused(
        "a managed identity with service account",
        connector("azure: {identity: {type: ManagedIdentity, serviceAccountRef: {name: a}}}"),
        "spec.azure.identity.serviceAccountRef",
        _SERVICE_ACCOUNT,
    ),
    Refused(
        "a client secret without Secret",
        connector(f"azure: {{identity: {{type: ClientSecret, clientId: {_READER}}}}}"),
        "spec.azure.identity.secretRef",
        _IDENTITY_SECRET,
    ),
    Refused(
        "a certificate without Secret",
        connector(f"azure: {{identity: {{type: ClientCertificate, clientId: {_READER}}}}}"),
        "spec.azure.identity.secretRef",
        _IDENTITY_SECRET,
    ),
    Refused(
        "a managed identity with Secret",
        connector("azure: {identity: {type: ManagedIdentity, secretRef: {name: a, key: b}}}"),
        "spec.azure.identity.secretRef",
        _IDENTITY_SECRET,
    ),
    Refused(
        "a client secret without client",
        connector("azure: {identity: {type: ClientSecret, secretRef: {name: a, key: b}}}"),
        "spec.azure.identity.clientId",
        _CLIENT_ID,
    ),
    Refused(
        "a Secret in another namespace",
        connector(
            f"azure: {{identity: {{type: ClientSecret, clientId: {_READER}, secretRef: {{name: n/a, key: b}}}}}}"
        ),
        "spec.azure.identity.secretRef.name",
        _OBJECT,
    ),
    Refused(
        "a key that is a path",
        connector("authorization: {method: Code, codeSecretRef: {name: a, key: ../b}}"),
        "spec.authorization.codeSecretRef.key",
        "must be a key of the Secret: letters, digits, hyphens, underscores and full stops",
    ),
    # organizations
    Refused(
        "names with AllAndFuture",
        connector("organizations: {names: [fabrikam]}"),
        "spec.organizations.names",
        "names is for mode Selected only: remove names, or set mode to Selected",
    ),
    Refused(
        "names with All",
        connector("organizations: {mode: All, names: [fabrikam]}"),
        "spec.organizations.names",
        "names is for mode Selected only: remove names, or set mode to Selected",
    ),
    Refused(
        "exclude with Selected",
        connector("organizations: {mode: Selected, names: [a], exclude: [b]}"),
        "spec.organizations.exclude",
        "exclude is for modes All and AllAndFuture only: remove exclude, or leave them out of names",
    ),
    Refused(
        "one both in names and in exclude, by case",
        connector("organizations: {names: [fabrikam], exclude: [sandbox, Fabrikam]}"),
        "spec.organizations.exclude",
        "an organization is in names and in exclude: remove it from one of them",
    ),
    Refused(
        "one twice in names, by case",
        connector("organizations: {mode: Selected, names: [a, fabrikam, Fabrikam]}"),
        "spec.organizations.names",
        "more than once (names are case-insensitive): remove one",
    ),
    Refused(
        "one twice in exclude, by case",
        connector("organizations: {exclude: [SANDBOX, sandbox]}"),
        "spec.organizations.exclude",
        "more than once (names are case-insensitive): remove one",
    ),
    Refused(
        "an organization by its address",
        connector("organizations: {mode: Selected, names: ['https://dev.azure.com/contoso']}"),
        "spec.organizations.names[0]",
        _ORG,
    ),
    # authorization
    Refused(
        "Code without a code",
        connector("authorization: {method: Code}"),
        "spec.authorization.codeSecretRef",
        _CODE,
    ),
    Refused(
        "a code without Code",
        connector("authorization: {method: Adopt, codeSecretRef: {name: a, key: b}}"),
        "spec.authorization.codeSecretRef",
        _CODE,
    ),
    Refused(
        "an account with an escape sequence",
        connector('authorization: {account: "mdc\\x1b[31m@contoso.com"}'),
        "spec.authorization.account",
        _ACCOUNT,
    ),
    Refused(
        "an account with a bidirectional control",
        connector('authorization: {account: "mdc\\u202e@contoso.com"}'),
        "spec.authorization.account",
        _ACCOUNT,
    ),
    Refused(
        "an account with a zero-width space",
        connector('authorization: {account: "mdc@contoso\\u200b.com"}'),
        "spec.authorization.account",
        _ACCOUNT,
    ),
    Refused(
        "an account with a no-break space",
        connector('authorization: {account: "mdc\\u00a0x@contoso.com"}'),
        "spec.authorization.account",
        _ACCOUNT,
    ),
    Refused(
        "a display name as account",
        connector("authorization: {account: Ada Lovelace}"),
        "spec.authorization.account",
        _ACCOUNT,
    ),
    # signIn
    Refused(
        "a person's code without account",
        connector(f"signIn: {{method: AuthorizationCode, {CLIENT}}}"),
        "spec.signIn.account",
        _PERSON,
    ),
    Refused(
        "a device code without account",
        connector(f"signIn: {{method: DeviceCode, {CLIENT}}}"),
        "spec.signIn.account",
        _PERSON,
    ),
    Refused(
        "a service principal without client",
        connector("signIn: {method: ServicePrincipal}"),
        "spec.signIn.client",
        _APP,
    ),
    Refused(
        "a service principal with a public client",
        connector(f"signIn: {{method: ServicePrincipal, client: {{id: {_READER}}}}}"),
        "spec.signIn.client.type",
        _PROOF,
    ),
    Refused(
        "a page with a public client",
        connector(f"signIn: {{method: AuthorizationCode, account: a@b.c, client: {{id: {_READER}, type: Public}}}}"),
        "spec.signIn.client.type",
        _PROOF,
    ),
    Refused(
        "a client secret without Secret for signing in",
        connector(f"signIn: {{method: ServicePrincipal, client: {{id: {_READER}, type: Secret}}}}"),
        "spec.signIn.client.secretRef",
        _SIGN_IN_SECRET,
    ),
    Refused(
        "a federated client with Secret",
        connector(
            "signIn: {method: ServicePrincipal,"
            f" client: {{id: {_READER}, type: Federated, secretRef: {{name: a, key: b}}}}}}"
        ),
        "spec.signIn.client.secretRef",
        _SIGN_IN_SECRET,
    ),
    Refused(
        "a refresh token that is not there",
        connector(f"signIn: {{method: RefreshToken, {CLIENT}}}"),
        "spec.signIn.refreshTokenSecretRef",
        _REFRESH,
    ),
    Refused(
        "a refresh token nobody uses",
        connector(f"signIn: {{method: ServicePrincipal, {CLIENT}, refreshTokenSecretRef: {{name: a, key: b}}}}"),
        "spec.signIn.refreshTokenSecretRef",
        _REFRESH,
    ),
    Refused(
        "a token Secret in another namespace",
        connector("signIn: {method: None, tokenSecretName: other/tokens}"),
        "spec.signIn.tokenSecretName",
        _OBJECT,
    ),
    # agentless scanning, security readers, discovery, policies
    Refused(
        "a repository without project",
        connector("agentlessScanning: {mode: Enabled, scope: [{organization: contoso, repository: r}]}"),
        "spec.agentlessScanning.scope[0].project",
        "project is required beside repository: add the repository's project",
    ),
    Refused(
        "scanning of nothing",
        connector("agentlessScanning: {mode: Enabled, inventory: Inclusion}"),
        "spec.agentlessScanning.scope",
        "scope is required with inventory Inclusion, or nothing would be scanned",
    ),
    Refused(
        "a reader by name",
        connector("securityReaders: [{objectId: ada@contoso.com, principalType: User}]"),
        "spec.securityReaders[0].objectId",
        _GUID,
    ),
    Refused("14 minutes", connector("discovery: {deadline: 14m59s}"), "spec.discovery.deadline", _DEADLINE),
    Refused("more than a week", connector("discovery: {deadline: 168h1s}"), "spec.discovery.deadline", _DEADLINE),
    Refused("a deadline in days", connector("discovery: {deadline: 2d}"), "spec.discovery.deadline", "duration"),
    Refused("a negative deadline", connector("discovery: {deadline: -8h}"), "spec.discovery.deadline", "duration"),
    Refused(
        "Adopt that never adopts",
        connector("{adoptionPolicy: Never}"),
        "spec.adoptionPolicy",
        "adoptionPolicy cannot be Never with authorization.method Adopt",
    ),
    # organizations, the resource
    Refused("an organization with a dot", organization("organization: fabri.kam"), "spec.organization", _ORG),
    Refused(
        "a connector elsewhere", organization("connectorRef: {name: other/contoso}"), "spec.connectorRef.name", _OBJECT
    ),
]

ACCEPTED = [
    Accepted("the least", connector()),
    Accepted("a name of 63 characters", connector(name="x" * 63)),
    Accepted("a group with an umlaut", connector("azure: {resourceGroup: 'Sicherheit_(Büro).1'}")),
    Accepted("a region that is not known here", connector("azure: {location: marsnorth}")),
    Accepted("tags", connector("azure: {tags: {owner: platform, 'cost center': '4711'}}")),
    Accepted("a system-assigned identity", connector("azure: {identity: {type: ManagedIdentity}}")),
    Accepted(
        "a user-assigned identity", connector(f"azure: {{identity: {{type: ManagedIdentity, clientId: {_READER}}}}}")
    ),
    Accepted(
        "a workload identity",
        connector(
            f"azure: {{identity: {{type: WorkloadIdentity, clientId: {_READER}, serviceAccountRef: {{name: azure}}}}}}"
        ),
    ),
    Accepted(
        "a client secret",
        connector(
            f"azure: {{identity: {{type: ClientSecret, clientId: {_READER}, secretRef: {{name: a, key: secret}}}}}}"
        ),
    ),
    Accepted(
        "a certificate",
        connector(
            f"azure: {{identity: {{type: ClientCertificate, clientId: {_READER}, secretRef: {{name: a, key: b.pem}}}}}}"
        ),
    ),
    Accepted("exclude with All", connector("organizations: {mode: All, exclude: [sandbox]}")),
    Accepted("exclude with AllAndFuture", connector("organizations: {exclude: [sandbox, Test-1]}")),
    Accepted("Selected by name", connector("organizations: {mode: Selected, names: [fabrikam, Wingtip-Toys]}")),
    Accepted("Selected by objects only", connector("organizations: {mode: Selected}")),
    Accepted("empty lists beside any mode", connector("organizations: {names: [], exclude: []}")),
    Accepted(
        "200 organizations",
        connector(f"organizations: {{mode: Selected, names: [{', '.join(f'o{n:049}' for n in range(200))}]}}"),
    ),
    Accepted("Adopt", connector("authorization: {method: Adopt, account: mdc@contoso.com}")),
    Accepted("an account with letters of any script", connector("authorization: {account: müller.安全@contoso.com}")),
    Accepted("Code", connector("authorization: {method: Code, codeSecretRef: {name: defender-code, key: code}}")),
    Accepted(
        "Code that never adopts",
        connector("{authorization: {method: Code, codeSecretRef: {name: c, key: c}}, adoptionPolicy: Never}"),
    ),
    Accepted("no sign-in, said aloud", connector("signIn: {method: None}")),
    Accepted("a page", connector(f"signIn: {{method: AuthorizationCode, account: a@b.c, {CLIENT}}}")),
    Accepted(
        "a page with the pod's token",
        connector(f"signIn: {{method: AuthorizationCode, account: a@b.c, client: {{id: {_READER}, type: Federated}}}}"),
    ),
    Accepted(
        "a device code by a public client",
        connector(f"signIn: {{method: DeviceCode, account: a@b.c, client: {{id: {_READER}}}}}"),
    ),
    Accepted(
        "a service principal by certificate",
        connector(
            "signIn: {method: ServicePrincipal,"
            f" client: {{id: {_READER}, type: Certificate, secretRef: {{name: a, key: b}}}}}}"
        ),
    ),
    Accepted(
        "a refresh token",
        connector(
            f"signIn: {{method: RefreshToken, client: {{id: {_READER}}}, refreshTokenSecretRef: {{name: a, key: b}},"
            " tokenSecretName: contoso-tokens}"
        ),
    ),
    Accepted("annotations", connector("pullRequestAnnotations: {mode: Enabled, minimumSeverity: High}")),
    Accepted(
        "scanning of all but one project",
        connector(
            "agentlessScanning: {mode: Enabled, scope: [{organization: contoso, project: legacy}], scanners: []}"
        ),
    ),
    Accepted(
        "scanning of one repository",
        connector(
            "agentlessScanning: {mode: Enabled, inventory: Inclusion,"
            " scope: [{organization: contoso, project: My Project, repository: r}], scanners: [gitleaks]}"
        ),
    ),
    Accepted("scanning of nothing, said aloud", connector("agentlessScanning: {mode: Disabled, inventory: Inclusion}")),
    Accepted("a reader", connector(f"securityReaders: [{{objectId: {_READER}, principalType: Group}}]")),
    Accepted("15 minutes", connector("discovery: {deadline: 15m}")),
    Accepted("a week", connector("discovery: {deadline: 168h}")),
    Accepted("an hour and a half", connector("discovery: {deadline: 1h30m}")),
    Accepted(
        "policies",
        connector("{managementPolicy: Observe, adoptionPolicy: Always, deletionPolicy: Detach, suspend: true}"),
    ),
    Accepted("an organization that inherits", organization()),
    Accepted(
        "an organization that decides",
        organization("{onboarding: Excluded, pullRequestAnnotations: {mode: Enabled, minimumSeverity: Low}}"),
    ),
]


@dataclass(frozen=True)
class Change:
    """An edit of an object that exists.

    Attributes:
        name: describes the case.
        original: the object as created.
        patch: merge patch over its spec, in YAML.
        field: path that the error names.
        sentence: the message; None where the edit is allowed.
        status: merge patch over its status before the edit, in YAML.
    """

    name: str
    original: Mapping[str, Any]
    patch: str
    field: str = ""
    sentence: str | None = None
    status: str = "{}"

    def __str__(self) -> str:
        return self.name


_MOVE = "cannot be changed once the connector exists in Azure, which cannot move it. Delete this resource and create it"
_RENAME = "connectorName cannot be changed from contoso once the connector exists in Azure, which cannot rename it"
_ANOTHER = "cannot be changed: create another DevOpsOrganization instead"

CREATED = "azure: {created: true}"
"""Status from which the place in Azure is fixed."""

CHANGES = [
    Change(
        "another tenant",
        connector(),
        f"azure: {{tenantId: {_READER}}}",
        "spec.azure.tenantId",
        f"tenantId {_MOVE}",
        CREATED,
    ),
    Change(
        "another subscription",
        connector(),
        f"azure: {{subscriptionId: {_READER}}}",
        "spec.azure.subscriptionId",
        f"subscriptionId {_MOVE}",
        CREATED,
    ),
    Change(
        "another group",
        connector(),
        "azure: {resourceGroup: other}",
        "spec.azure.resourceGroup",
        f"resourceGroup {_MOVE}",
        CREATED,
    ),
    Change(
        "another region", connector(), "azure: {location: eastus}", "spec.azure.location", f"location {_MOVE}", CREATED
    ),
    Change(
        "another connector's name",
        connector("azure: {connectorName: contoso}"),
        "azure: {connectorName: other}",
        "spec.azure.connectorName",
        _RENAME,
        CREATED,
    ),
    Change(
        "a connector's name that is not the one in use",
        connector(),
        "azure: {connectorName: other}",
        "spec.azure.connectorName",
        _RENAME,
        CREATED,
    ),
    Change(
        "no connector's name where the resource's is another",
        connector("azure: {connectorName: contoso}", name="other"),
        "azure: {connectorName: null}",
        "spec.azure.connectorName",
        _RENAME,
        CREATED,
    ),
    *(
        Change(
            f"another region of a connector that {state}",
            connector(),
            "azure: {location: eastus}",
            "spec.azure.location",
            f"location {_MOVE}",
            status,
        )
        for state, status in {
            "was adopted": "azure: {created: false}",
            "is about to be authorized": f"authorization: {{codeHash: {'a' * 64}}}",
        }.items()
    ),
    *(
        Change(f"{patch} where nothing {state}", connector(), f"azure: {{{patch}}}", status=status)
        for patch in (
            f"tenantId: {_READER}",
            f"subscriptionId: {_READER}",
            "resourceGroup: other",
            "location: eastus",
            "connectorName: other",
        )
        for state, status in {
            "was reconciled": "{}",
            "was created": "{observedGeneration: 1, azure: {managedTagKeys: [a]}, authorization: {account: a}}",
            "but another's connector exists": "{connectorId: /subscriptions/x}",
        }.items()
    ),
    Change("the connector's name that is in use already", connector(), "azure: {connectorName: contoso}"),
    Change("that name taken away again", connector("azure: {connectorName: contoso}"), "azure: {connectorName: null}"),
    Change("tags", connector("azure: {tags: {a: b, c: d}}"), "azure: {tags: {a: null, c: e}}"),
    Change("an identity", connector(), "azure: {identity: {type: ManagedIdentity}}"),
    Change("no identity", connector("azure: {identity: {type: ManagedIdentity}}"), "azure: {identity: null}"),
    Change("another mode", connector(), "organizations: {mode: Selected, names: [fabrikam]}"),
    Change("a code", connector(), "authorization: {method: Code, codeSecretRef: {name: a, key: b}}"),
    Change("a pause", connector(), "{suspend: true}"),
    Change(
        "another connector of an organization",
        organization(),
        "connectorRef: {name: other}",
        "spec.connectorRef.name",
        f"connectorRef.name {_ANOTHER}",
    ),
    Change(
        "another organization", organization(), "organization: other", "spec.organization", f"organization {_ANOTHER}"
    ),
    Change("a decision", organization(), "{onboarding: Excluded, pullRequestAnnotations: {mode: Disabled}}"),
    Change("no decision", organization("{onboarding: Excluded}"), "{onboarding: null}"),
]
