"""Defender's one-time codes that were pasted on the page, stored in the token Secret."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from defender_devops.api.connector import parse_connector
from defender_devops.authorization_code.pasted_codes import PastedCodes
from defender_devops.hashes import sha256_hex
from tests.support.fakes.sign_in import SignInSetup, connector
from tests.unit.authorization_code.test_code import CODE


async def test_a_code_is_stored_until_that_code_is_discarded(world: SignInSetup) -> None:
    codes, contoso = world.package.codes, connector()
    await codes.put(contoso, SecretStr(CODE))
    assert (await codes.get(contoso)) == SecretStr(CODE)
    await codes.discard(contoso, sha256_hex(SecretStr("another")))
    assert (await codes.get(contoso)) == SecretStr(CODE)
    await codes.discard(contoso, sha256_hex(SecretStr(CODE)))
    assert (await codes.get(contoso)) is None


@pytest.mark.parametrize("field", ["codeHash", "spentCodeHashes"])
async def test_a_used_code_is_removed_and_never_returned_again(world: SignInSetup, field: str) -> None:
    codes, contoso = world.package.codes, connector()
    await codes.put(contoso, SecretStr(CODE))
    digest = sha256_hex(SecretStr(CODE))
    body = contoso.dump() | {"status": {"authorization": {field: digest if field == "codeHash" else [digest]}}}
    assert (await codes.get(parse_connector(body))) is None
    assert world.stored("defender-code") is None


async def test_a_code_and_a_sign_in_share_a_secret_without_overwriting_each_other(world: SignInSetup) -> None:
    contoso = connector()
    await world.package.codes.put(contoso, SecretStr(CODE))
    store = world.sign_ins.refresher.store
    await store.change(
        contoso, lambda record: type(record)(**{**vars(record), "refresh_token": SecretStr("refresh-0")})
    )
    await world.sign_ins.state(contoso)
    assert world.stored("refresh-token") == "refresh-1"
    assert (await PastedCodes(store).get(contoso)) == SecretStr(CODE)
