"""Only the operator's own token Secrets are read and written, and no write is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretBytes, SecretStr

from defender_devops.api.names import TOKEN_SECRET_TYPE
from defender_devops.api.schema.model import OwnerReference
from defender_devops.errors import KubernetesConflict
from defender_devops.signin.oauth.errors import OAuthAppMisconfigured
from defender_devops.signin.ports import StoredSecret
from defender_devops.signin.tokens.record import TokenRecord
from defender_devops.signin.tokens.token_store import TokenStore
from tests.support.fakes.secret_store import MemorySecrets
from tests.support.fakes.sign_in import NAMESPACE, TOKENS, UID, connector

ANOTHER = OwnerReference(kind="AzureDevOpsConnector", name="other", uid="bbbbbbbb-0000-4000-8000-000000000002")


def with_account(account: str) -> TokenRecord:
    return TokenRecord(account=account)


async def test_the_secret_is_created_with_the_operators_type_labels_and_owner() -> None:
    secrets = MemorySecrets()
    await TokenStore(secrets).change(connector(), lambda _: with_account("a@b"))
    secret = secrets.stored[NAMESPACE, TOKENS]
    assert secret.type == TOKEN_SECRET_TYPE
    assert secret.labels == {
        "app.kubernetes.io/managed-by": "defender-devops-operator",
        "defender-devops.io/connector": "contoso",
    }
    assert [(owner.kind, owner.uid, owner.controller) for owner in secret.owners] == [
        ("AzureDevOpsConnector", UID, True)
    ]


async def test_the_name_in_the_spec_is_used() -> None:
    secrets = MemorySecrets()
    await TokenStore(secrets).change(connector({"tokenSecretName": "mine"}), lambda _: with_account("a@b"))
    assert (NAMESPACE, "mine") in secrets.stored


@pytest.mark.parametrize(
    "secret",
    [
        StoredSecret(NAMESPACE, TOKENS, "Opaque", data={"password": SecretBytes(b"canary")}),
        StoredSecret(NAMESPACE, TOKENS, "kubernetes.io/tls"),
        StoredSecret(NAMESPACE, TOKENS, TOKEN_SECRET_TYPE),
        StoredSecret(NAMESPACE, TOKENS, TOKEN_SECRET_TYPE, owners=(ANOTHER,)),
        StoredSecret(NAMESPACE, TOKENS, "Opaque", owners=(OwnerReference(uid=UID),)),
    ],
    ids=["a person's", "a certificate", "nobody's", "another connector's", "ours by owner but not by type"],
)
async def test_a_secret_that_is_not_the_connectors_own_is_neither_read_nor_written(secret: StoredSecret) -> None:
    secrets = MemorySecrets()
    stored = secrets.put(secret)
    store = TokenStore(secrets)
    with pytest.raises(OAuthAppMisconfigured, match="neither read nor changed"):
        await store.read(connector())
    with pytest.raises(OAuthAppMisconfigured, match="neither read nor changed"):
        await store.change(connector(), lambda _: with_account("a@b"))
    assert secrets.stored[NAMESPACE, TOKENS] == stored


async def test_a_conflicting_write_is_kept_and_the_change_applied_to_it() -> None:
    secrets = MemorySecrets()
    store = TokenStore(secrets)
    await store.change(connector(), lambda record: replace(record, account="first@b"))

    def overtake(_: StoredSecret) -> None:
        current = secrets.stored[NAMESPACE, TOKENS]
        newer = replace(TokenRecord.decode(current.data), refresh_token=SecretStr("theirs"))
        secrets.put(replace(current, data=newer.encode()))

    secrets.before_write = overtake
    result = await store.change(connector(), lambda record: replace(record, account="second@b"))
    assert (result.account, result.refresh_token) == ("second@b", SecretStr("theirs"))


async def test_a_secret_that_is_created_or_deleted_in_between_is_handled() -> None:
    secrets = MemorySecrets()
    store = TokenStore(secrets)

    def appear(secret: StoredSecret) -> None:
        secrets.put(replace(secret, data=TokenRecord(tenant_id="theirs").encode()))

    secrets.before_write = appear
    result = await store.change(connector(), lambda record: replace(record, account="a@b"))
    assert (result.account, result.tenant_id) == ("a@b", "theirs")
    secrets.before_write = lambda _: secrets.stored.clear()
    await store.change(connector(), lambda record: replace(record, account="c@d"))
    assert secrets.text(NAMESPACE, TOKENS, "account") == "c@d"


async def test_after_too_many_conflicts_a_write_fails() -> None:
    secrets = MemorySecrets(failures=[KubernetesConflict("no", status=409)] * 100)
    with pytest.raises(KubernetesConflict):
        await TokenStore(secrets).change(connector(), lambda _: with_account("a@b"))
    assert len(secrets.failures) > 80


async def test_an_unchanged_record_is_not_written() -> None:
    secrets = MemorySecrets()
    store = TokenStore(secrets)
    await store.change(connector(), lambda record: record)
    await store.change(connector(), lambda _: None)
    assert secrets.writes == []


async def test_own_writes_are_recognized_and_others_are_not() -> None:
    secrets = MemorySecrets()
    store = TokenStore(secrets)
    await store.change(connector(), lambda _: with_account("a@b"))
    first = secrets.stored[NAMESPACE, TOKENS].resource_version
    await store.change(connector(), lambda _: with_account("c@d"))
    second = secrets.stored[NAMESPACE, TOKENS].resource_version
    assert store.is_own_write(NAMESPACE, TOKENS, first), "a watch lags behind"
    assert store.is_own_write(NAMESPACE, TOKENS, second)
    assert not store.is_own_write(NAMESPACE, TOKENS, "999")
    assert not store.is_own_write("elsewhere", TOKENS, second)
