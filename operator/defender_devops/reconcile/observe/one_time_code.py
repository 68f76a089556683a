"""Defender's one-time code: from the Secret that the connector names, or as a person pasted it on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

from defender_devops.api.connector import AuthorizationMethod, AzureDevOpsConnector
from defender_devops.api.fields import SecretKeyRef
from defender_devops.authorization_code.code import InvalidCode, parse_code
from defender_devops.authorization_code.pasted_codes import PastedCodes
from defender_devops.authorization_code.used_codes import used_code_hashes
from defender_devops.cluster.secrets import Secrets
from defender_devops.hashes import sha256_hex
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.facts.snapshot import AuthorizationCode

__all__ = ["OneTimeCodes"]


@dataclass(frozen=True, slots=True)
class _Versions:
    """Of the Secrets in which a code may be; None while that is not known.

    Attributes:
        code: of the Secret that the spec names; empty where there is none.
        token: of the token Secret; empty where there is none.
        written: of our own latest write of the token Secret, which its watch may not know of yet.
    """

    code: str | None
    token: str | None
    written: str | None

    @property
    def are_known(self) -> bool:
        return self.code is not None and self.token is not None

    @property
    def show_no_token_secret(self) -> bool:
        return self.token == "" and self.written is None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found, and in which Secrets.

    Attributes:
        versions: of the Secrets, before they were read.
        reference: to the code, as the spec had it.
    """

    versions: _Versions
    reference: SecretKeyRef
    code: AuthorizationCode


@dataclass(frozen=True, slots=True)
class OneTimeCodes:
    """Finds the code, and says what is the matter with it before it is spent.

    A code that was sent is worth nothing any more, so that one is not read again while its Secrets stay as they are.

    Attributes:
        secrets: of the cluster.
        resources: of the cluster; who has handed which code over stands in their statuses.
        pasted: codes that were handed over on the connector's page.
        version: resourceVersion of a Secret by namespace and name, as its watch has it; None while that is not known.
    """

    secrets: Secrets
    resources: ResourceCache
    pasted: PastedCodes
    version: Callable[[str, str], str | None] = lambda _namespace, _name: None
    _seen: dict[str, _Seen] = field(default_factory=dict)

    async def read(self, connector: AzureDevOpsConnector) -> tuple[AuthorizationCode, SecretStr | None]:
        """What is known of the code, and the code unless it was sent before.

        Raises:
            KubernetesError: a Secret could not be read.
        """
        reference = connector.spec.authorization.code_secret_ref
        if connector.spec.authorization.method is not AuthorizationMethod.CODE or reference is None:
            return AuthorizationCode(), None
        versions, uid = self._versions(connector, reference), connector.metadata.uid
        seen = self._seen.get(uid)
        unchanged = seen is not None and (seen.versions, seen.reference) == (versions, reference)
        if seen is not None and unchanged and seen.code.sha256 in used_code_hashes(connector.status.authorization):
            return seen.code, None
        pasted = None if versions.show_no_token_secret else await self.pasted.get(connector)
        if pasted is not None:  # not remembered: once it was sent, the next look takes it out of the token Secret
            return AuthorizationCode(sha256_hex(pasted)), pasted
        code, value = await self._read(connector, reference)
        if versions.are_known:
            self._seen[uid] = _Seen(versions, reference, code)
        return code, value

    def forget(self, uid: str) -> None:
        """The connector is gone."""
        self._seen.pop(uid, None)

    def _versions(self, connector: AzureDevOpsConnector, reference: SecretKeyRef) -> _Versions:
        namespace = connector.metadata.namespace
        return _Versions(
            self.version(namespace, reference.name),
            self.version(namespace, connector.token_secret_name),
            self.pasted.store.last_written(connector),
        )

    async def _read(
        self, connector: AzureDevOpsConnector, reference: SecretKeyRef
    ) -> tuple[AuthorizationCode, SecretStr | None]:
        value = await self.secrets.read_key(connector.metadata.namespace, reference.name, reference.key)
        if value is None:
            problem = (
                f"There is no Secret {reference.name} with a key {reference.key} in namespace "
                f"{connector.metadata.namespace}. Put a one-time code of Defender's authorization dialog there."
            )
            return AuthorizationCode(problem=problem), None
        try:
            code = parse_code(SecretStr(value.get_secret_value().decode(errors="replace")))
        except InvalidCode as error:
            return AuthorizationCode(
                problem=f"Secret {reference.name}, key {reference.key}: {error}", refused=True
            ), None
        digest = sha256_hex(code)
        metadata = connector.metadata
        other = self.resources.code_used_by(Key.from_metadata(metadata), reference.name, digest)
        if other is not None:
            problem = (
                f"The one-time code in Secret {reference.name} was handed over for connector {other.name}, and works "
                "once only. Give each connector a Secret of its own, with a code of its own."
            )
            return AuthorizationCode(problem=problem, refused=True), None
        return AuthorizationCode(digest), code
