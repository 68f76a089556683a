"""`spec.authorization` and `spec.signIn` of a connector: Defender's way into Azure DevOps, and the operator's own.

They are two credentials that never mix: Defender for Cloud holds the first and never shows it; the second lives in a
Secret and only lets the operator check prerequisites and count what Defender should find.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

from defender_devops.api.fields import Account, Guid, ObjectName, SecretKeyRef
from defender_devops.api.model import ApiModel
from defender_devops.api.rules import Rule


class AuthorizationMethod(StrEnum):
    """How Defender for Cloud comes by its authorization."""

    ADOPT = "Adopt"
    CODE = "Code"


class Authorization(ApiModel):
    """Defender's own authorization to Azure DevOps."""

    method: AuthorizationMethod = AuthorizationMethod.ADOPT
    """Adopt: a person has authorized the connector in the Defender portal, and the operator takes it over. Code: the
    operator creates the connector and hands over a one-time code, once."""

    code_secret_ref: SecretKeyRef | None = None
    """Secret with the one-time code from Defender's authorization dialog. It lives for minutes; a code that was sent is
    never sent again. With Code only."""

    account: Account | None = None
    """Account that authorizes Defender; Azure never tells who did. Prerequisites are checked for it. Absent:
    signIn.account."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.method == 'Code') == has(self.codeSecretRef)",
            message="codeSecretRef belongs to method Code, which requires it: name the Secret that holds the code, or"
            " remove codeSecretRef",
            holds=lambda given: (given.method is AuthorizationMethod.CODE) == (given.code_secret_ref is not None),
            field=".codeSecretRef",
        ),
    )


class SignInMethod(StrEnum):
    """How the operator signs in into Azure DevOps."""

    AUTHORIZATION_CODE = "AuthorizationCode"
    DEVICE_CODE = "DeviceCode"
    SERVICE_PRINCIPAL = "ServicePrincipal"
    REFRESH_TOKEN = "RefreshToken"  # noqa: S105 - the name of a method
    NONE = "None"


class ClientType(StrEnum):
    """How the app proves to Entra ID who it is."""

    PUBLIC = "Public"
    SECRET = "Secret"  # noqa: S105 - the name of a method
    CERTIFICATE = "Certificate"
    FEDERATED = "Federated"


_WITH_SECRET: Final = frozenset({ClientType.SECRET, ClientType.CERTIFICATE})
_BY_A_PERSON: Final = frozenset({SignInMethod.AUTHORIZATION_CODE, SignInMethod.DEVICE_CODE})
_CONFIDENTIAL: Final = frozenset({SignInMethod.AUTHORIZATION_CODE, SignInMethod.SERVICE_PRINCIPAL})


class SignInClient(ApiModel):
    """The app registration through which the operator signs in."""

    id: Guid
    """Application (client) id of the app registration."""

    type: ClientType = ClientType.PUBLIC
    """How the app proves who it is. Public: not at all, with DeviceCode and RefreshToken only. Secret, Certificate:
    with the Secret in secretRef. Federated: with the operator's own service account token, if this namespace is
    granted the app."""

    secret_ref: SecretKeyRef | None = None
    """Secret with the client secret, or with the certificate and its private key in PEM. With Secret and Certificate
    only."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.type in ['Secret', 'Certificate']) == has(self.secretRef)",
            message="secretRef belongs to types Secret and Certificate, which require it: name a Secret, set type, or"
            " remove secretRef",
            holds=lambda client: (client.type in _WITH_SECRET) == (client.secret_ref is not None),
            field=".secretRef",
        ),
    )


class SignIn(ApiModel):
    """The operator's own sign-in into Azure DevOps."""

    method: SignInMethod
    """AuthorizationCode: a person signs in on the operator's page. DeviceCode: a person types a code on Microsoft's
    page. ServicePrincipal: the app itself, a member of each organization. RefreshToken: a token that somebody hands
    in. None: no sign-in, so prerequisites and expected counts stay unknown."""

    account: Account | None = None
    """Account that must sign in; any other is refused. Required with AuthorizationCode and DeviceCode."""

    client: SignInClient | None = None
    """App registration to sign in through. Required with every method but None."""

    refresh_token_secret_ref: SecretKeyRef | None = None
    """Secret with a refresh token of this client; it is moved into the token Secret and renewed there. With
    RefreshToken only."""

    token_secret_name: ObjectName | None = None
    """Name of the Secret in which the operator keeps its tokens. Absent: this resource's name with
    -azure-devops-token behind it. A Secret that the operator did not make is never written."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(self.method in ['AuthorizationCode', 'DeviceCode']) || has(self.account)",
            message="account is required where a person signs in: name the account that shall, as any other is refused",
            holds=lambda given: given.method not in _BY_A_PERSON or given.account is not None,
            field=".account",
            reason="FieldValueRequired",
        ),
        Rule(
            cel="self.method == 'None' || has(self.client)",
            message="client is required with this method: add the app registration's id and type",
            holds=lambda given: given.method is SignInMethod.NONE or given.client is not None,
            field=".client",
            reason="FieldValueRequired",
        ),
        Rule(
            cel="!(self.method in ['AuthorizationCode', 'ServicePrincipal']) || !has(self.client) || "
            "(has(self.client.type) && self.client.type != 'Public')",
            message="client.type must be Secret, Certificate or Federated with this method: an app without a proof of"
            " its own cannot use it",
            holds=lambda given: (
                given.method not in _CONFIDENTIAL or given.client is None or given.client.type is not ClientType.PUBLIC
            ),
            field=".client.type",
        ),
        Rule(
            cel="(self.method == 'RefreshToken') == has(self.refreshTokenSecretRef)",
            message="refreshTokenSecretRef belongs to method RefreshToken, which requires it: name the Secret that"
            " holds the token, or remove refreshTokenSecretRef",
            holds=lambda given: (
                (given.method is SignInMethod.REFRESH_TOKEN) == (given.refresh_token_secret_ref is not None)
            ),
            field=".refreshTokenSecretRef",
        ),
    )
