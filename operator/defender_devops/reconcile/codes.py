"""Defender's one-time code: from the Secret that the connector names, or as a person pasted it on the page."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from defender_devops.api.connector import AuthorizationMethod, AzureDevOpsConnector
from defender_devops.cluster.secrets import Secrets
from defender_devops.reconcile.resources import Key, Resources
from defender_devops.reconcile.snapshot import AuthorizationCode
from defender_devops.signin.defender_code import DefenderCodes, NotACode, read_code
from defender_devops.signin.record import fingerprint

__all__ = ["Codes"]


@dataclass(frozen=True, slots=True)
class Codes:
    """Finds the code, and says what is the matter with it before it is spent.

    Attributes:
        secrets: of the cluster.
        resources: of the cluster; who has handed which code over stands in their statuses.
        pasted: codes that were handed over on the connector's page.
    """

    secrets: Secrets
    resources: Resources
    pasted: DefenderCodes

    async def read(self, connector: AzureDevOpsConnector) -> tuple[AuthorizationCode, SecretStr | None]:
        """What is known of the code, and the code.

        Raises:
            KubernetesError: a Secret could not be read.
        """
        reference = connector.spec.authorization.code_secret_ref
        if connector.spec.authorization.method is not AuthorizationMethod.CODE or reference is None:
            return AuthorizationCode(), None
        pasted = await self.pasted.get(connector)
        if pasted is not None:
            return AuthorizationCode(fingerprint(pasted)), pasted
        value = await self.secrets.read_key(connector.metadata.namespace, reference.name, reference.key)
        if value is None:
            problem = (
                f"There is no Secret {reference.name} with a key {reference.key} in namespace "
                f"{connector.metadata.namespace}. Put a one-time code of Defender's authorization dialog there."
            )
            return AuthorizationCode(problem=problem), None
        try:
            code = read_code(SecretStr(value.get_secret_value().decode(errors="replace")))
        except NotACode as error:
            return AuthorizationCode(
                problem=f"Secret {reference.name}, key {reference.key}: {error}", refused=True
            ), None
        digest = fingerprint(code)
        metadata = connector.metadata
        other = self.resources.spender(Key(metadata.namespace, metadata.name), reference.name, digest)
        if other is not None:
            problem = (
                f"The one-time code in Secret {reference.name} was handed over for connector {other.name}, and works "
                "once only. Give each connector a Secret of its own, with a code of its own."
            )
            return AuthorizationCode(problem=problem, refused=True), None
        return AuthorizationCode(digest), code
