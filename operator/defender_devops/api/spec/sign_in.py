"""`spec.authorization` and `spec.signIn` of a connector: Defender's access to Azure DevOps, and the operator's own.

They are two separate credentials: Defender for Cloud stores the first and never reveals it; the second is stored in a
Secret, and lets the operator check prerequisites and count what Defender should discover.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

from defender_devops.api.schema.fields import Account, Guid, ObjectName, SecretKeyRef
from defender_devops.api.schema.model import ApiModel
from defender_devops.api.schema.rules import Rule


class AuthorizationMethod(StrEnum):
    """How Defender for Cloud gets its authorization."""

    ADOPT = "Adopt"
    CODE = "Code"


class Authorization(ApiModel):
    """Defender's own authorization to Azure DevOps."""

    method: AuthorizationMethod = AuthorizationMethod.ADOPT
    """Adopt: a person has authorized the connector in the Defender portal, and the operator adopts it. Code: the
    operator creates the connector and sends a one-time code, once."""

    code_secret_ref: SecretKeyRef | None = None
    """Secret with the one-time code from Defender's authorization dialog. It is valid for minutes; a code that was
    sent is never sent again. With Code only."""

    account: Account | None = None
    """Account that authorizes Defender; Azure does not reveal it. Prerequisites are checked for this account. Absent:
    signIn.account."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.method == 'Code') == has(self.codeSecretRef)",
            message="codeSecretRef belongs to method Code, which requires it: name the Secret that holds the code, or"
            " remove codeSecretRef",
            holds=lambda authorization: (
                (authorization.method is AuthorizationMethod.CODE) == (authorization.code_secret_ref is not None)
            ),
            field=".codeSecretRef",
        ),
    )


class SignInMethod(StrEnum):
    """How the operator signs in to Azure DevOps."""

    AUTHORIZATION_CODE = "AuthorizationCode"
    DEVICE_CODE = "DeviceCode"
    SERVICE_PRINCIPAL = "ServicePrincipal"
    REFRESH_TOKEN = "RefreshToken"  # noqa: S105 - the name of a method
    NONE = "None"


class ClientType(StrEnum):
    """How the app authenticates to Entra ID."""

    PUBLIC = "Public"
    SECRET = "Secret"  # noqa: S105 - the name of a method
    CERTIFICATE = "Certificate"
    FEDERATED = "Federated"


_WITH_SECRET: Final = frozenset({ClientType.SECRET, ClientType.CERTIFICATE})
_INTERACTIVE: Final = frozenset({SignInMethod.AUTHORIZATION_CODE, SignInMethod.DEVICE_CODE})
_CONFIDENTIAL: Final = frozenset({SignInMethod.AUTHORIZATION_CODE, SignInMethod.SERVICE_PRINCIPAL})


class SignInClient(ApiModel):
    """The app registration through which the operator signs in."""

    id: Guid
    """Application (client) id of the app registration."""

    type: ClientType = ClientType.PUBLIC
    """How the app authenticates. Public: not at all, with DeviceCode and RefreshToken only. Secret, Certificate:
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
    """The operator's own sign-in to Azure DevOps."""

    method: SignInMethod
    """AuthorizationCode: a person signs in on the operator's page. DeviceCode: a person types a code on Microsoft's
    page. ServicePrincipal: the app itself, which must be a member of each organization. RefreshToken: a token that a
    user supplies in a Secret. None: no sign-in, so prerequisites and expected counts are unknown."""

    account: Account | None = None
    """Account that must sign in; any other is rejected. Required with AuthorizationCode and DeviceCode."""

    client: SignInClient | None = None
    """App registration to sign in through. Required with every method but None."""

    refresh_token_secret_ref: SecretKeyRef | None = None
    """Secret with a refresh token of this client; it is copied to the token Secret and renewed there. With
    RefreshToken only."""

    token_secret_name: ObjectName | None = None
    """Name of the Secret in which the operator stores its tokens. Absent: this resource's name followed by
    -azure-devops-token. A Secret that the operator did not create is never written."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(self.method in ['AuthorizationCode', 'DeviceCode']) || has(self.account)",
            message="account is required where a person signs in: name the account, as any other is rejected",
            holds=lambda sign_in: sign_in.method not in _INTERACTIVE or sign_in.account is not None,
            field=".account",
            reason="FieldValueRequired",
        ),
        Rule(
            cel="self.method == 'None' || has(self.client)",
            message="client is required with this method: add the app registration's id and type",
            holds=lambda sign_in: sign_in.method is SignInMethod.NONE or sign_in.client is not None,
            field=".client",
            reason="FieldValueRequired",
        ),
        Rule(
            cel="!(self.method in ['AuthorizationCode', 'ServicePrincipal']) || !has(self.client) || "
            "(has(self.client.type) && self.client.type != 'Public')",
            message="client.type must be Secret, Certificate or Federated with this method: an app without a"
            " credential cannot use it",
            holds=lambda sign_in: (
                sign_in.method not in _CONFIDENTIAL
                or sign_in.client is None
                or sign_in.client.type is not ClientType.PUBLIC
            ),
            field=".client.type",
        ),
        Rule(
            cel="(self.method == 'RefreshToken') == has(self.refreshTokenSecretRef)",
            message="refreshTokenSecretRef belongs to method RefreshToken, which requires it: name the Secret that"
            " holds the token, or remove refreshTokenSecretRef",
            holds=lambda sign_in: (
                (sign_in.method is SignInMethod.REFRESH_TOKEN) == (sign_in.refresh_token_secret_ref is not None)
            ),
            field=".refreshTokenSecretRef",
        ),
    )
