"""The one-time code is read while it may be needed, and left alone once it was sent and nothing has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from pydantic import SecretBytes, SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, parse_connector
from defender_devops.authorization_code.pasted_codes import PastedCodes
from defender_devops.cluster.secrets import Secrets, TypedValue
from defender_devops.hashes import sha256_hex
from defender_devops.reconcile.cache.resource_cache import ResourceCache
from defender_devops.reconcile.observe.one_time_code import OneTimeCodes
from defender_devops.signin.ports import StoredSecret
from defender_devops.signin.tokens.token_store import TokenStore
from tests.support.fakes.secret_store import MemorySecrets
from tests.support.fakes.sign_in import connector
from tests.unit.authorization_code.test_code import CODE, part

OTHER_CODE = CODE.replace(part({"aui": "x", "exp": 1}), part({"aui": "y", "exp": 2}))


@dataclass
class Cluster:
    """Two Secrets, of which only the one with the code exists; counts who reads them.

    Attributes:
        code: what is in it.
        versions: by name, as the watch has them; None is a watch in trouble.
    """

    code: str = CODE
    secret_type: str = "Opaque"
    versions: dict[str, str] | None = field(default_factory=lambda: {"code": "1"})
    reads: int = 0

    async def read_typed_key(self, namespace: str, name: str, key: str) -> TypedValue:
        del namespace, name, key
        self.reads += 1
        return TypedValue(self.secret_type, SecretBytes(self.code.encode()))

    async def read(self, namespace: str, name: str) -> StoredSecret | None:
        del namespace, name
        return None

    def version(self, namespace: str, name: str) -> str | None:
        del namespace
        return None if self.versions is None else self.versions.get(name, "")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def codes(cluster: Cluster) -> OneTimeCodes:
    pasted = PastedCodes(TokenStore(cast("Any", cluster)))
    return OneTimeCodes(cast("Secrets", cluster), ResourceCache(), pasted, cluster.version)


def with_code(sent: str | None = None, key: str = "code") -> AzureDevOpsConnector:
    authorization = {"method": "Code", "codeSecretRef": {"name": "code", "key": key}}
    body = connector({"method": "None"}, authorization=authorization).dump()
    told = {"codeHash": sha256_hex(SecretStr(sent))} if sent else {}
    return parse_connector(body | {"status": {"authorization": told}})


async def test_a_code_that_was_not_sent_is_read_each_time(codes: OneTimeCodes, cluster: Cluster) -> None:
    for _ in range(2):
        state, code = await codes.read(with_code())
        assert (state.sha256, code) == (sha256_hex(SecretStr(CODE)), SecretStr(CODE))
    assert cluster.reads == 2


async def test_one_that_was_sent_is_known_without_reading_it_again(codes: OneTimeCodes, cluster: Cluster) -> None:
    await codes.read(with_code())
    state, code = await codes.read(with_code(sent=CODE))
    assert (state.sha256, code, cluster.reads) == (sha256_hex(SecretStr(CODE)), None, 1)


async def test_a_changed_secret_is_read_at_once(codes: OneTimeCodes, cluster: Cluster) -> None:
    await codes.read(with_code(sent=CODE))
    cluster.code, cluster.versions = OTHER_CODE, {"code": "2"}
    state, code = await codes.read(with_code(sent=CODE))
    assert (state.sha256, code) == (sha256_hex(SecretStr(OTHER_CODE)), SecretStr(OTHER_CODE))


@pytest.mark.parametrize("change", ["another key", "a token Secret", "our own write", "trouble", "another uid"])
async def test_it_is_read_again_where_something_may_have_changed(
    codes: OneTimeCodes, cluster: Cluster, change: str
) -> None:
    await codes.read(with_code(sent=CODE))
    now = with_code(sent=CODE, key="other" if change == "another key" else "code")
    match change:
        case "a token Secret":
            cluster.versions = {"code": "1", now.token_secret_name: "1"}
        case "our own write":
            codes.pasted.store.own_writes.append((now.metadata.namespace, now.token_secret_name, "7"))
        case "trouble":
            cluster.versions = None
        case "another uid":
            codes.forget(now.metadata.uid)
    await codes.read(now)
    assert cluster.reads == 2


async def test_a_watch_in_trouble_vouches_for_nothing(codes: OneTimeCodes, cluster: Cluster) -> None:
    cluster.versions = None
    for _ in range(3):
        await codes.read(with_code(sent=CODE))
    assert cluster.reads == 3


async def test_a_pasted_code_that_was_sent_is_taken_out_of_its_secret_at_the_next_look(cluster: Cluster) -> None:
    store = TokenStore(MemorySecrets())
    codes = OneTimeCodes(cast("Secrets", cluster), ResourceCache(), PastedCodes(store), cluster.version)
    await codes.pasted.put(with_code(), SecretStr(OTHER_CODE))
    state, code = await codes.read(with_code())
    assert (state.sha256, code) == (sha256_hex(SecretStr(OTHER_CODE)), SecretStr(OTHER_CODE))
    await codes.read(with_code(sent=OTHER_CODE))
    assert (await store.read(with_code())).defender_code is None


@pytest.mark.parametrize("secret_type", ["kubernetes.io/service-account-token", "kubernetes.io/tls"])
async def test_a_secret_of_another_type_is_rejected_with_the_reason(
    codes: OneTimeCodes, cluster: Cluster, secret_type: str
) -> None:
    cluster.secret_type = secret_type
    state, code = await codes.read(with_code())
    assert code is None
    assert state.refused
    assert f"type {secret_type}" in str(state.problem)


async def test_an_unusual_code_is_returned_with_a_warning_and_logged_until_it_was_sent(
    codes: OneTimeCodes, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.code = "opaque-canary"
    state, code = await codes.read(with_code())
    assert (state.refused, state.problem, code) == (False, None, SecretStr("opaque-canary"))
    assert "usual format" in str(state.warning)
    output = capsys.readouterr().out
    assert "unusual one-time code" in output
    assert "canary" not in output
    state, code = await codes.read(with_code(sent="opaque-canary"))
    assert code is None
    assert state.warning
    assert capsys.readouterr().out == ""


async def test_a_code_that_this_process_sent_is_not_sent_again_after_an_older_status_was_restored(
    codes: OneTimeCodes,
) -> None:
    restored = with_code(sent="an older code")
    codes.record_sent(restored.metadata.uid, sha256_hex(SecretStr(CODE)))
    state, code = await codes.read(restored)
    assert (state.refused, code) == (True, None)
    assert "was sent before" in str(state.problem)
    codes.forget(restored.metadata.uid)
    assert (await codes.read(restored))[1] is not None


async def test_another_code_is_sent_after_an_older_status_was_restored(codes: OneTimeCodes, cluster: Cluster) -> None:
    restored = with_code(sent="an older code")
    codes.record_sent(restored.metadata.uid, sha256_hex(SecretStr(CODE)))
    cluster.code = OTHER_CODE
    assert (await codes.read(restored))[1] is not None
