"""Keeps what pipeline checks have read across restarts: in one Secret for each organization of a connector.

A Secret, because the operator may write Secrets of its own types already, because names of repositories are not for
everyone who may read the resources, and because a status has no room (docs/decisions/pipeline-evidence-is-a-secret.md).

Others may write Secrets in that namespace too, so the bytes are signed for their connector and organization. The
operator decompresses only what it has signed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog
from pydantic import SecretBytes, TypeAdapter, ValidationError

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.names import (
    API_VERSION,
    CONNECTOR,
    FIELD_MANAGER,
    LABEL_CONNECTOR,
    PIPELINE_EVIDENCE_SECRET_TYPE,
    pipeline_evidence_secret_name,
)
from defender_devops.api.schema.model import OwnerReference
from defender_devops.errors import KubernetesConflict, KubernetesNotFound, OperatorError
from defender_devops.reconcile.observe.pipelines.sweep_state import SweepState
from defender_devops.signin.ports import SecretStore, StoredSecret

__all__ = [
    "EVIDENCE_KEY",
    "SIGNATURE_KEY",
    "EvidenceSecrets",
    "EvidenceStore",
    "EvidenceTooLarge",
    "Sign",
    "decode_state",
    "encode_state",
]

EVIDENCE_KEY: Final = "evidence"
"""Key in the Secret."""

SIGNATURE_KEY: Final = "signature"
"""Key of the signature of connector, organization and evidence."""

_SIGNING_PURPOSE: Final = "pipeline evidence"

_VERSION: Final = b"1\n"
"""Beginning of the bytes; others are of another version of the operator, and are read anew."""

_SECRET_MAX_BYTES: Final = 1_000_000
"""Kubernetes limits the data of a Secret to 1 MiB: enough for about 9,000 repositories."""

_INLINE_BYTES: Final = 8 * 1024
_INLINE_PIPELINES: Final = 100
"""Sizes up to which a state is encoded and decoded at once, in a few milliseconds; a larger one in a thread."""

_DECODED_MAX_BYTES: Final = 64 * 1024 * 1024
_ATTEMPTS: Final = 3
_ADAPTER: Final = TypeAdapter(SweepState)
_LOG: Final = structlog.get_logger(__name__)

Sign = Callable[[str, str], str]
"""Returns the signature of a text, in ASCII. Arguments: the purpose, and the text."""


class EvidenceTooLarge(OperatorError):
    """The evidence of an organization has more bytes than a Secret may have."""

    reason = "EvidenceTooLarge"

    def __init__(self, organization: str) -> None:
        # Without its size: the condition would change whenever the evidence does.
        super().__init__(
            f"What the pipeline checks have read of {organization} has more than the {_SECRET_MAX_BYTES} bytes that a "
            "Secret may have, so it is in the operator's memory only, and a restart of the operator reads everything "
            "again."
        )


def encode_state(state: SweepState) -> bytes:
    """Return a state as bytes."""
    return _VERSION + zlib.compress(_ADAPTER.dump_json(state, exclude_defaults=True), level=6)


def decode_state(data: bytes) -> SweepState | None:
    """Return the state that bytes hold; None if they are of another version, or damaged."""
    if not data.startswith(_VERSION):
        return None
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(data[len(_VERSION) :], _DECODED_MAX_BYTES)
        return _ADAPTER.validate_json(content) if decompressor.eof else None
    except (zlib.error, ValidationError):
        return None


@dataclass(slots=True)
class EvidenceSecrets:
    """Evidence Secrets of all connectors. Only Secrets of the operator's type that the connector owns are read.

    Attributes:
        secrets: the cluster's Secrets.
    """

    secrets: SecretStore

    async def read(self, connector: AzureDevOpsConnector, organization: str) -> bytes | None:
        """Return the stored bytes of an organization, for `decode_state`, whoever wrote them; None if there are none.

        Raises:
            KubernetesError: the Secret cannot be read.
        """
        secret = await self._read(connector, organization)
        data = secret.data.get(EVIDENCE_KEY) if secret is not None else None
        return data.get_secret_value() if data is not None else None

    async def _read(self, connector: AzureDevOpsConnector, organization: str) -> StoredSecret | None:
        """Return the Secret; None if there is none.

        Raises:
            KubernetesConflict: a Secret of that name is not the connector's evidence.
        """
        name = pipeline_evidence_secret_name(connector.metadata.name, organization)
        secret = await self.secrets.read(connector.metadata.namespace, name)
        if secret is None:
            return None
        owner_uids = {owner.uid for owner in secret.owners}
        if secret.type != PIPELINE_EVIDENCE_SECRET_TYPE or connector.metadata.uid not in owner_uids:
            raise KubernetesConflict(
                f"The Secret {name} exists and does not hold this connector's pipeline evidence, so it is neither read "
                "nor changed. Delete that Secret."
            )
        return secret


@dataclass(slots=True)
class EvidenceStore(EvidenceSecrets):
    """Evidence Secrets that only the operator can have written.

    Attributes:
        sign: signs with the operator's key, which those who may write Secrets beside connectors do not have.
    """

    sign: Sign

    async def load(self, connector: AzureDevOpsConnector, organization: str) -> SweepState | None:
        """Return the stored state of an organization; None if there is none that can be used.

        Raises:
            KubernetesError: the Secret cannot be read.
        """
        secret = await self._read(connector, organization)
        if secret is None:
            return None
        content, signature = (
            value.get_secret_value() if (value := secret.data.get(key)) is not None else b""
            for key in (EVIDENCE_KEY, SIGNATURE_KEY)
        )
        # Not decompressed before: a few hundred kilobytes can become more than the operator's memory.
        if not hmac.compare_digest(signature, self._signature(connector, organization, content)):
            _LOG.warning(
                "pipeline evidence was not written by this operator with its present key, and is read anew",
                connector=connector.metadata.name,
                organization=organization,
            )
            return None
        if len(content) <= _INLINE_BYTES:
            return decode_state(content)
        return await asyncio.to_thread(decode_state, content)

    async def save(self, connector: AzureDevOpsConnector, organization: str, state: SweepState) -> None:
        """Store the state of an organization.

        Raises:
            KubernetesError: the Secret cannot be written.
            EvidenceTooLarge: the state does not fit into a Secret.
        """
        if len(state.pipelines) <= _INLINE_PIPELINES:
            data = encode_state(state)
        else:  # nobody changes the state meanwhile, since its check waits here
            data = await asyncio.to_thread(encode_state, state)
        if len(data) > _SECRET_MAX_BYTES:
            raise EvidenceTooLarge(organization)
        for attempt in range(_ATTEMPTS):
            secret = await self._read(connector, organization)
            signature = self._signature(connector, organization, data)
            values = {EVIDENCE_KEY: SecretBytes(data), SIGNATURE_KEY: SecretBytes(signature)}
            try:
                if secret is None:
                    await self.secrets.create(replace(_new_secret(connector, organization), data=values))
                else:
                    await self.secrets.replace(replace(secret, data=values))
            except (KubernetesConflict, KubernetesNotFound):
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def _signature(self, connector: AzureDevOpsConnector, organization: str, data: bytes) -> bytes:
        text = f"{connector.metadata.uid}/{organization.lower()} {hashlib.sha256(data).hexdigest()}"
        return self.sign(_SIGNING_PURPOSE, text).encode()


def _new_secret(connector: AzureDevOpsConnector, organization: str) -> StoredSecret:
    metadata = connector.metadata
    owner = OwnerReference(
        api_version=API_VERSION, kind=CONNECTOR.kind, name=metadata.name, uid=metadata.uid, controller=True
    )
    return StoredSecret(
        namespace=metadata.namespace,
        name=pipeline_evidence_secret_name(metadata.name, organization),
        type=PIPELINE_EVIDENCE_SECRET_TYPE,
        labels={"app.kubernetes.io/managed-by": FIELD_MANAGER, LABEL_CONNECTOR: metadata.name},
        owners=(owner,),
    )
