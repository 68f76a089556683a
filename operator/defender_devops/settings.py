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
    NonNegativeFloat,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
)
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict

from defender_devops.entra.authority import DEFAULT_AUTHORITY_HOST, VARIABLE, parse_authority_host

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

Endpoint = Annotated[HttpUrl, PlainSerializer(lambda url: str(url).rstrip("/"), return_type=str)]


def _reached_safely(url: HttpUrl) -> HttpUrl:
    if url.scheme != "https" and url.host not in _LOOPBACK:
        raise ValueError("must be https: a sign-in over plain http can be read and changed on its way")
    return url


def _installed(traces: str) -> str:
    if traces != "none" and not (find_spec("opentelemetry") and find_spec("opentelemetry.sdk")):
        raise ValueError("needs the extra `traces`: install defender-devops-operator[traces]")
    return traces


class IdentityGrant(BaseModel):
    """Allows connectors of a namespace to act in a subscription with an identity of the operator's side."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")

    namespace: str
    tenant_id: str
    subscription_id: str

    client_id: str | None = None
    """Client id of a managed identity or of an app that trusts a service account; None: the operator itself."""

    service_account_name: str | None = None
    """Service account of the namespace whose token may be exchanged for that client; None: no service account."""

    resource_groups: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Resource groups whose connectors may use the identity; None: every resource group of the subscription."""


class Settings(BaseSettings):
    """All settings, each with its unit, its default and the reason for it."""

    model_config = SettingsConfigDict(
        env_prefix="DEFENDER_DEVOPS_", frozen=True, extra="ignore", str_strip_whitespace=True
    )

    arm_endpoint: Endpoint = HttpUrl("https://management.azure.com")
    """Azure Resource Manager; DevOps security exists in the commercial cloud only."""

    azure_devops_endpoint: Endpoint = HttpUrl("https://dev.azure.com")
    azure_devops_profile_endpoint: Endpoint = HttpUrl("https://app.vssps.visualstudio.com")
    azure_devops_identity_endpoint: Endpoint = HttpUrl("https://vssps.dev.azure.com")
    azure_devops_entitlement_endpoint: Endpoint = HttpUrl("https://vsaex.dev.azure.com")
    azure_devops_extension_endpoint: Endpoint = HttpUrl("https://extmgmt.dev.azure.com")
    azure_devops_search_endpoint: Endpoint = HttpUrl("https://almsearch.dev.azure.com")
    azure_devops_advanced_security_endpoint: Endpoint = HttpUrl("https://advsec.dev.azure.com")

    namespaces: tuple[str, ...] = ()
    """Namespaces to watch; empty means all (needs cluster-wide rights)."""

    namespace: str = "defender-devops"
    """The operator's own namespace: home of its lease and keys, and granted its own identity."""

    lease_name: str = "defender-devops-operator"
    """Lease in that namespace, which replicas of one installation share and no other installation does."""

    operator_name: str = ""
    """Name of this installation in status.operator of the connectors that it manages; if empty, its namespace and
    the name of its lease. Set it to the name of an installation that no longer exists to take its connectors over at
    once: installations with the same name count as one."""

    pod_name: str | None = None
    """Name of the operator's pod, which is labelled while it leads so that the sign-in Service selects it. Set with
    several replicas."""

    identity_grants: tuple[IdentityGrant, ...] = ()
    """As JSON: which other namespaces may act as the operator, as a managed identity or as a
    service account. Everything else is denied, or whoever can write a connector could use the identity."""

    cluster_id: str | None = None
    """Identifies this cluster in the owner tag; by default the uid of the namespace kube-system."""

    refresh_interval: PositiveFloat = 300.0
    """Seconds between two polls of Resource Graph, and so the longest time until drift is detected."""

    resource_graph_lag: PositiveFloat = 60.0
    """Seconds for which Resource Graph may still show the state before a write of ours: its row of that connector is
    ignored for so long."""

    posture_interval: NonNegativeFloat = 1800.0
    """Seconds between two queries for the recommendations of all connectors; 0 disables them. Defender for Cloud
    evaluates every 8 to 24 hours."""

    check_interval: PositiveFloat = 600.0
    """Seconds between two checks of a working authorization. Also used for checks of a sign-in, of prerequisites and
    of the plan Defender CSPM, for counting projects without a Resource Graph row, and for repeating requests that
    Azure has not fulfilled."""

    operation_poll_interval: PositiveFloat = 20.0
    """Seconds between two reads of a long-running operation if the service states none (it states 20)."""

    pipeline_request_interval: PositiveFloat = 2.0
    """Seconds between two requests of the pipeline checks of one account: at most 150 in the five minutes of its rate
    limit. The first check of 2,000 repositories then takes about an hour."""

    pipeline_budget_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of an account's rate limit at Azure DevOps that pipeline checks may use: they pause until the limit is
    reset once the service reports less than the rest as remaining, so that everything else under that account
    continues."""

    pipeline_preview: bool = False
    """Whether pipeline checks may ask Azure DevOps for the YAML that a pipeline would run, where no run shows it. The
    request starts no run, but may need the permission to queue builds, which readers lack."""

    discovery_settle_interval: PositiveFloat = 3600.0
    """Seconds without a new count after which discovery counts as complete without a sign-in, when the number of
    projects to expect is unknown: Defender reports about 100 projects an hour."""

    backoff_initial: PositiveFloat = 2.0
    backoff_maximum: PositiveFloat = 300.0
    """Seconds before the first retry of a failed reconcile, and the maximum between two retries."""

    terminal_retry_interval: PositiveFloat = 600.0
    """Seconds between two retries of a reconcile that failed for a reason which only a person or a changed spec can
    solve, after two retries in the first minute. An edit, or the annotation that requests a reconcile, acts at once."""

    min_requeue_interval: PositiveFloat = 5.0
    """Minimum seconds between two reconciles of a connector without an event, whatever the state of Azure: a due time
    that is always in the past must not use up a subscription's request limits."""

    concurrency: PositiveInt = 32
    """Maximum number of concurrent reconciles. They wait for the network most of the time; Azure's request limits are
    enforced separately."""

    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of /livez, /readyz and /metrics; 0 selects a free one."""

    metrics_host: str = "::"
    """Address on which the probes and metrics listen: `::` for all of IPv4 and IPv6, as in a pod probes and Prometheus
    come from outside; `0.0.0.0` for IPv4 only."""

    authority_host: Annotated[str, AfterValidator(parse_authority_host)] = Field(
        default=DEFAULT_AUTHORITY_HOST,
        validation_alias=AliasChoices(VARIABLE, "authority_host"),
    )
    """Entra ID for the sign-in; the variable is azure-identity's, so that both always use the same one."""

    signin_url: Annotated[Endpoint, AfterValidator(_reached_safely)] | None = None
    """URL at which browsers reach the sign-in pages. The app's redirect URI is its /callback. None: no pages."""

    signin_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    """Port of the sign-in pages; 0 selects a free one."""

    signin_host: str = "::"
    """Address on which the sign-in pages listen: `::` for all of IPv4 and IPv6; `0.0.0.0` for IPv4 only."""

    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    traces: Annotated[Literal["none", "otlp"], AfterValidator(_installed)] = "none"
    """Whether a span for each reconcile and request is sent with OTLP, as OpenTelemetry's `OTEL_…` configure."""
