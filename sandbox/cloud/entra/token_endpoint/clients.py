"""Client authentication: secret, certificate, or a token of a trusted issuer."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.entra.token_endpoint.federation import Federation
from sandbox.cloud.world.directory import Application, Tenant
from sandbox.cloud.world.world import World

__all__ = ["authenticate", "client_id_of", "find_application"]

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def client_id_of(form: Mapping[str, str], authorization: str | None) -> tuple[str, str | None]:
    """Return client id and secret, from the form or from HTTP Basic.

    Raises:
        EntraError: the client id is missing.
    """
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError as error:
            raise EntraError("invalid_client", 7000215, "The Authorization header is malformed.", status=401) from error
        return unquote_plus(name), unquote_plus(secret)
    if "client_id" not in form:
        message = "The request body must contain the following parameter: 'client_id'."
        raise EntraError("invalid_request", 900144, message)
    return form["client_id"], form.get("client_secret")


def find_application(world: World, tenant: Tenant | None, client_id: str) -> Application:
    """Return the application in a tenant; None searches all tenants.

    Raises:
        EntraError: unknown or disabled application.
    """
    application = world.directory.application(client_id)
    if application is None or (tenant is not None and application.tenant_id != tenant.id):
        place = "common" if tenant is None else tenant.name
        message = (
            f"Application with identifier '{client_id}' was not found in the directory '{place}'. This can "
            "happen if the application has not been installed by the administrator of the tenant or consented to by "
            "any user in the tenant. You may have sent your authentication request to the wrong tenant."
        )
        raise EntraError("unauthorized_client", 700016, message)
    if application.disabled:
        message = f"Application '{client_id}'({application.display_name}) is disabled."
        raise EntraError("unauthorized_client", 7000112, message)
    return application


async def authenticate(
    world: World, federation: Federation, application: Application, form: Mapping[str, str], secret: str | None
) -> None:
    """Authenticate the client with the credential of the request.

    Raises:
        EntraError: missing or invalid credential.
    """
    assertion = form.get("client_assertion")
    if assertion is not None:
        if form.get("client_assertion_type") != JWT_BEARER:
            message = "The 'client_assertion_type' must be 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'."
            raise EntraError("invalid_request", 50027, message)
        await _check_assertion(world, federation, application, assertion)
    elif secret is not None:
        _check_secret(world, application, secret)
    else:
        message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        raise EntraError("invalid_client", 7000218, message, status=401)


def _check_secret(world: World, application: Application, secret: str) -> None:
    registered = next(
        (
            candidate
            for candidate in application.secrets
            if hmac.compare_digest(candidate.value.encode(), secret.encode())
        ),
        None,
    )
    name = f"app '{application.client_id}'"
    if registered is None and not secret.isascii() and world.variants.is_chosen("secretOutsideAscii", "invalidRequest"):
        raise EntraError("invalid_request", 9002313, "Invalid request. Request is malformed or invalid.")
    if registered is None:
        message = (
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
            f"not the client secret ID, for a secret added to {name}."
        )
        raise EntraError("invalid_client", 7000215, message, status=401)
    if registered.expires is not None and registered.expires < world.clock.wall():
        message = f"The provided client secret keys for {name} are expired. Visit the Azure portal to create new keys."
        raise EntraError("invalid_client", 7000222, message, status=401)


async def _check_assertion(world: World, federation: Federation, application: Application, assertion: str) -> None:
    """Check an assertion: issued by the application itself (certificate), or by a federated issuer."""
    try:
        unverified = jwt.decode_complete(assertion, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise EntraError("invalid_request", 50027, f"JWT token is invalid or malformed: {error}.") from error
    # Not verified yet: the issuer only selects the keys that verify it.
    if unverified["payload"].get("iss") == application.client_id:
        _check_certificate(world, application, assertion, unverified["header"])
    else:
        await federation.check(application, assertion)


def _check_certificate(world: World, application: Application, assertion: str, header: dict[str, Any]) -> None:
    thumbprint = header.get("x5t#S256") or header.get("x5t")
    for pem in application.certificates:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        encoded = certificate.public_bytes(Encoding.DER)
        digests = (hashlib.sha1(encoded, usedforsecurity=False).digest(), hashlib.sha256(encoded).digest())
        # Some clients send the padding of base64url, most do not.
        if str(thumbprint).rstrip("=") not in {
            base64.urlsafe_b64encode(digest).rstrip(b"=").decode() for digest in digests
        }:
            continue
        if certificate.not_valid_after_utc.timestamp() < world.clock.wall():
            raise EntraError(
                "invalid_client", 1000502, "The provided certificate is not within its valid period.", status=401
            )
        _verify(assertion, certificate)
        return
    message = (
        "A configuration issue is preventing authentication: The certificate with identifier used to sign the client "
        f"assertion is not registered on application. [Reason - The key was not found.] app: '{application.client_id}'."
    )
    raise EntraError("invalid_client", 700027, message, status=401)


def _verify(assertion: str, certificate: x509.Certificate) -> None:
    key: Any = certificate.public_key()
    algorithms = ["RS256", "PS256"]
    options: Any = {"verify_aud": False, "require": ["exp", "sub", "iss"]}
    try:
        jwt.decode(assertion, key, algorithms=algorithms, options=options, leeway=300)
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
        message = "Client assertion is not within its valid time range."
        raise EntraError("invalid_client", 700024, message, status=401) from error
    except jwt.PyJWTError as error:
        message = f"Client assertion failed signature validation: {error}."
        raise EntraError("invalid_client", 700027, message, status=401) from error
