"""Every public name: group, kinds, labels, annotations, tags, and how names are derived.

Users' manifests, queries and policies depend on them, so they are all in one file and none is ever reused.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

GROUP: Final = "defender-devops.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "defender"
"""`kubectl get defender` lists both resources."""


@dataclass(frozen=True, slots=True)
class ResourceNames:
    """The names of a resource in the API server.

    Attributes:
        kind: as in manifests.
        plural: as in URLs and RBAC rules.
        singular: as kubectl also accepts it.
        short_name: abbreviation for kubectl.
    """

    kind: str
    plural: str
    singular: str
    short_name: str

    @property
    def list_kind_name(self) -> str:
        """Kind of a list of them."""
        return f"{self.kind}List"

    @property
    def crd(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


CONNECTOR: Final = ResourceNames("AzureDevOpsConnector", "azuredevopsconnectors", "azuredevopsconnector", "adoc")
ORGANIZATION: Final = ResourceNames("DevOpsOrganization", "devopsorganizations", "devopsorganization", "adoorg")

FINALIZER: Final = f"{GROUP}/finalizer"
"""On connectors only: delays deletion until Azure is cleaned up, or need not be."""

FIELD_MANAGER: Final = "defender-devops-operator"
"""The operator's name in managedFields, in events and in user agents."""

LABEL_GENERATED: Final = f"{GROUP}/generated"
"""`"true"` on organizations that the operator created and may delete."""

LABEL_CONNECTOR: Final = f"{GROUP}/connector"
"""Name of the connector that a generated object belongs to; hence its limit of 63 characters."""

LABEL_ROLE: Final = f"{GROUP}/role"
"""On the operator's own pods if there are several: the Service of the sign-in pages selects the leader by it."""

ROLE_LEADER: Final = "leader"

ANNOTATION_RECONCILE_REQUESTED_AT: Final = f"{GROUP}/reconcile-requested-at"
"""A new value requests a reconcile; the status repeats it afterwards."""

ANNOTATION_OPERATOR: Final = f"{GROUP}/operator"
"""Lease and name of the installation that has added the finalizer; from the first status on, status.operator counts."""

TOKEN_SECRET_TYPE: Final = f"{GROUP}/azure-devops-token"
"""Type of the only Secrets that the operator writes for a connector; a Secret of another type is never written."""

PIPELINE_EVIDENCE_SECRET_TYPE: Final = f"{GROUP}/pipeline-evidence"
"""Type of the Secrets in which the operator keeps what pipeline checks have read."""

TAG_OWNER: Final = "defender-devops-owner"
"""Azure tag: `<uid of kube-system>/<uid of the resource>`. (Tag names may hold none of / < > % & \\ ?)"""

TAG_RESOURCE: Final = "defender-devops-resource"
"""Azure tag: `<namespace>/<name>` of the resource, for people."""

OWNER_TAGS: Final = frozenset({TAG_OWNER, TAG_RESOURCE})

TRACKING_ANNOTATIONS: Final = frozenset({"argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name"})
TRACKING_LABELS: Final = frozenset(
    {
        "app.kubernetes.io/instance",  # Argo CD, where it tracks by label
        "argocd.argoproj.io/instance",
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
    }
)
"""Marks of GitOps tools on their objects: an object with one belongs to the user, whoever created it."""

NAME_MAX_LENGTH: Final = 253
"""Of any object: a DNS subdomain (RFC 1123)."""

CONNECTOR_NAME_MAX_LENGTH: Final = 63
"""Of a connector: its name is the value of a label on its organizations."""


def organization_object_name(connector: str, organization: str, used_names: Container[str] = frozenset()) -> str:
    """Return the name of the generated object of an organization: stable for the same pair, in any case.

    Args:
        connector: name of the AzureDevOpsConnector.
        organization: name of the Azure DevOps organization, in any case.
        used_names: names in the namespace that belong to other pairs.

    Returns:
        `<connector>-<organization>`; with eight hexadecimal digits of the pair's hash appended if that name is
        used (`a-b` + `c` and `a` + `b-c` meet) or longer than Kubernetes allows.
    """
    organization = organization.lower()
    plain = f"{connector}-{organization}"
    if len(plain) <= NAME_MAX_LENGTH and plain not in used_names:
        return plain
    suffix = "-" + hashlib.sha256(f"{connector}/{organization}".encode()).hexdigest()[:8]
    return plain[: NAME_MAX_LENGTH - len(suffix)].rstrip("-.") + suffix


def default_token_secret_name(connector: str) -> str:
    """Return the name of the token Secret if the spec names none."""
    return f"{connector}-azure-devops-token"


def pipeline_evidence_secret_name(connector: str, organization: str) -> str:
    """Return the name of the Secret with the pipeline evidence of an organization, whose name may be in any case."""
    return f"{connector}-pipelines-{hashlib.sha256(organization.lower().encode()).hexdigest()[:10]}"


@lru_cache(maxsize=4096)
def hierarchy_identifier(uid: str) -> str:
    """Return the connector's GUID. It is derived from the resource's uid, so a repeated create is idempotent."""
    return str(uuid.uuid5(uuid.UUID(uid), "hierarchyIdentifier"))
