"""Settings of the operator, read once from the environment with the prefix `DEFENDER_DEVOPS_`.

Identities are not here: azure-identity reads the standard `AZURE_*` variables itself.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
)
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

Endpoint = Annotated[HttpUrl, PlainSerializer(lambda url: str(url).rstrip("/"), return_type=str)]


def _with_scheme(host: str) -> str:
    """azure-identity takes a bare host name too."""
    address = host if "://" in host else f"https://{host}"
    return address.rstrip("/")


def _reached_safely(url: HttpUrl) -> HttpUrl:
    if url.scheme != "https" and url.host not in _LOOPBACK:
        raise ValueError("must be https: a sign-in over plain http can be read and changed on its way")
    return url


def _installed(traces: str) -> str:
    if traces != "none" and not (find_spec("opentelemetry") and find_spec("opentelemetry.sdk")):
        raise ValueError("needs the extra `traces`: install defender-devops-operator[traces]")
    return traces


class IdentityGrant(BaseModel):
    """Connectors of a namespace may act in a subscription as an identity that is not theirs to begin with."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")

    namespace: str
    tenant_id: str
    subscription_id: str

    client_id: str | None = None
    """Client id of a managed identity, or of what trusts a service account's token; None: the operator itself."""

    service_account_name: str | None = None
    """Service account of the namespace whose token may stand for that client; None: none may."""


class Settings(BaseSettings):
    """All that can be set, each with its unit, its default and the reason for it."""

    model_config = SettingsConfigDict(env_prefix="DEFENDER_DEVOPS_", frozen=True, extra="ignore")

    arm_endpoint: Endpoint = HttpUrl("https://management.azure.com")
    """Azure Resource Manager; DevOps security exists in the commercial cloud only."""

    azure_devops_endpoint: Endpoint = HttpUrl("https://dev.azure.com")
    azure_devops_profile_endpoint: Endpoint = HttpUrl("https://app.vssps.visualstudio.com")
    azure_devops_identity_endpoint: Endpoint = HttpUrl("https://vssps.dev.azure.com")
    azure_devops_entitlement_endpoint: Endpoint = HttpUrl("https://vsaex.dev.azure.com")
    azure_devops_extension_endpoint: Endpoint = HttpUrl("https://extmgmt.dev.azure.com")

    namespaces: tuple[str, ...] = ()
    """Namespaces to watch; empty means all (needs cluster-wide rights)."""

    namespace: str = "defender-devops"
    """The operator's own namespace: home of its lease and keys, and granted its own identity."""

    lease_name: str = "defender-devops-operator"
    """Lease in that namespace, which replicas of one installation share and no other installation does."""

    pod_name: str | None = None
    """The own pod, which is labelled while it leads. Set where there are several; the sign-in Service follows it."""

    identity_grants: tuple[IdentityGrant, ...] = ()
    """As JSON: who outside the operator's own namespace may act as the operator, as a managed identity or as a service
    account. Nothing that is not granted is allowed: whoever can write a connector would borrow the identity."""

    cluster_id: str | None = None
    """Stands for this cluster in the owner tag; by default the uid of the namespace kube-system."""

    refresh_interval: PositiveFloat = 300.0
    """Seconds between two looks of the cloud watcher, and so the longest that drift goes unseen."""

    resource_graph_lag: PositiveFloat = 60.0
    """Seconds for which Resource Graph may still show what was before a write of ours: what it shows of that connector
    is not looked at for so long."""

    check_interval: PositiveFloat = 600.0
    """Seconds between two checks of an authorization that works."""

    operation_poll_interval: PositiveFloat = 20.0
    """Seconds to the next look at a long-running operation where the service names none (it names 20)."""

    discovery_settle_interval: PositiveFloat = 3600.0
    """Seconds without a new count after which discovery counts as complete where nobody has signed in, so that nobody
    knows how much there is: Defender reports about 100 projects an hour."""

    backoff_initial: PositiveFloat = 2.0
    backoff_maximum: PositiveFloat = 300.0
    """Seconds before the first repeat of a failed reconcile, and the most between two."""

    concurrency: PositiveInt = 32
    """Reconciles at once. They wait for the network nearly all of their time; Azure's budget is kept elsewhere."""

    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of /livez, /readyz and /metrics; 0 takes a free one."""

    metrics_host: str = "0.0.0.0"  # noqa: S104 - in a pod, probes and Prometheus come from outside

    authority_host: Annotated[str, AfterValidator(_with_scheme)] = Field(
        default="https://login.microsoftonline.com",
        validation_alias=AliasChoices("AZURE_AUTHORITY_HOST", "authority_host"),
    )
    """Entra ID for the sign-in; named as azure-identity names it, so that both always ask the same one."""

    signin_url: Annotated[Endpoint, AfterValidator(_reached_safely)] | None = None
    """Address at which browsers reach the sign-in pages. The app's reply address is its /callback. None: no pages."""

    signin_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    """Port of the sign-in pages; 0 takes a free one."""

    signin_host: str = "0.0.0.0"  # noqa: S104 - in a pod, the ingress comes from outside

    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    traces: Annotated[Literal["none", "otlp"], AfterValidator(_installed)] = "none"
    """Whether a span for each reconcile and request is sent by OTLP; OpenTelemetry's own `OTEL_…` say where to."""
