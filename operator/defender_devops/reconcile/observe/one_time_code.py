"""Reads Defender's one-time code: from the Secret that the connector names, or as entered on the sign-in page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from pydantic import SecretStr

from defender_devops.api.connector import AuthorizationMethod, AzureDevOpsConnector
from defender_devops.api.schema.fields import SecretKeyRef
from defender_devops.authorization_code.claims import account_in_code
from defender_devops.authorization_code.code import InvalidCode, check_code_secret_type, code_warning, parse_code
from defender_devops.authorization_code.pasted_codes import PastedCodes
from defender_devops.authorization_code.used_codes import used_code_hashes
from defender_devops.cluster.secrets import Secrets
from defender_devops.hashes import sha256_hex
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.facts.snapshot import AuthorizationCode

__all__ = ["OneTimeCodes"]

_SENT_MAX: Final = 10
"""Codes of a connector that are remembered."""

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _SecretVersions:
    """resourceVersions of the Secrets that may hold a code; None while a version is unknown, empty without a Secret.

    Attributes:
        code: of the Secret that the spec names.
        token: of the token Secret.
        own_write: of our own latest write of the token Secret, whose watch event may not have arrived yet.
    """

    code: str | None
    token: str | None
    own_write: str | None


@dataclass(frozen=True, slots=True)
class _CachedCode:
    """A code and where it was read.

    Attributes:
        versions: of the Secrets, before they were read.
        reference: to the Secret, from the spec.
        code: what was read.
    """

    versions: _SecretVersions
    reference: SecretKeyRef
    code: AuthorizationCode


@dataclass(frozen=True, slots=True)
class OneTimeCodes:
    """Reads codes, and finds out what is wrong with one before it is sent.

    A code that was sent is of no more use, so it is not read again while its Secrets are unchanged.

    Attributes:
        secrets: Secrets of the cluster.
        resources: connectors of the cluster; their statuses hold the hashes of the codes that were sent.
        pasted: codes that were entered on the connector's page.
        version: returns the resourceVersion of a Secret by namespace and name, or None while it is unknown.
    """

    secrets: Secrets
    resources: ResourceCache
    pasted: PastedCodes
    version: Callable[[str, str], str | None] = lambda _namespace, _name: None
    _cache: dict[str, _CachedCode] = field(default_factory=dict)
    _sent: dict[str, tuple[str, ...]] = field(default_factory=dict)

    async def read(self, connector: AzureDevOpsConnector) -> tuple[AuthorizationCode, SecretStr | None]:
        """Return the state of the code, and the code itself unless it was sent before.

        Raises:
            KubernetesError: a Secret could not be read.
        """
        reference = connector.spec.authorization.code_secret_ref
        if connector.spec.authorization.method is not AuthorizationMethod.CODE or reference is None:
            return AuthorizationCode(), None
        namespace, uid = connector.metadata.namespace, connector.metadata.uid
        versions = _SecretVersions(
            self.version(namespace, reference.name),
            self.version(namespace, connector.token_secret_name),
            self.pasted.store.last_written(connector),
        )
        cached = self._cache.get(uid)
        if (
            cached is not None
            and (cached.versions, cached.reference) == (versions, reference)
            and cached.code.sha256 in used_code_hashes(connector.status.authorization)
        ):
            return cached.code, None
        has_no_token_secret = versions.token == "" and versions.own_write is None
        pasted = None if has_no_token_secret else await self.pasted.get(connector)
        if pasted is not None:  # not cached: once it was sent, the next reconcile removes it from the token Secret
            return _as_state(pasted), pasted
        code, value = await self._read(connector, reference)
        if versions.code is not None and versions.token is not None:
            self._cache[uid] = _CachedCode(versions, reference, code)
        return code, value

    def record_sent(self, uid: str, digest: str) -> None:
        """Remember that a code is about to be sent, should a status from before that be restored."""
        self._sent[uid] = (*self._sent.get(uid, ()), digest)[-_SENT_MAX:]

    def forget(self, uid: str) -> None:
        """Drop everything about a deleted connector."""
        self._cache.pop(uid, None)
        self._sent.pop(uid, None)

    async def _read(
        self, connector: AzureDevOpsConnector, reference: SecretKeyRef
    ) -> tuple[AuthorizationCode, SecretStr | None]:
        typed = await self.secrets.read_typed_key(connector.metadata.namespace, reference.name, reference.key)
        if typed is None:
            problem = (
                f"There is no Secret {reference.name} with a key {reference.key} in namespace "
                f"{connector.metadata.namespace}. Put a one-time code of Defender's authorization dialog there."
            )
            return AuthorizationCode(problem=problem), None
        try:
            check_code_secret_type(typed.secret_type, reference.key)
            code = parse_code(SecretStr(typed.value.get_secret_value().decode(errors="replace")))
        except InvalidCode as error:
            return AuthorizationCode(
                problem=f"Secret {reference.name}, key {reference.key}: {error}", refused=True
            ), None
        digest = sha256_hex(code)
        metadata = connector.metadata
        other = self.resources.code_used_by(Key.from_metadata(metadata), reference.name, digest)
        if other is not None:
            problem = (
                f"The one-time code in Secret {reference.name} was sent for connector {other.name}, and works "
                "only once. Give each connector a Secret of its own, with a code of its own."
            )
            return AuthorizationCode(problem=problem, refused=True), None
        is_recorded = digest in used_code_hashes(connector.status.authorization)
        if digest in self._sent.get(metadata.uid, ()) and not is_recorded:
            problem = (
                f"The one-time code in Secret {reference.name} was sent before, which the status no longer records: it "
                "was replaced by an older one. The code is not sent again. Put a new one there if Defender has to be "
                "authorized again."
            )
            return AuthorizationCode(problem=problem, refused=True), None
        state = _as_state(code)
        if state.warning and not is_recorded:
            _log.warning("unusual one-time code", secret=reference.name, message=state.warning)
        return state, code


def _as_state(code: SecretStr) -> AuthorizationCode:
    return AuthorizationCode(sha256_hex(code), account=account_in_code(code), warning=code_warning(code))
