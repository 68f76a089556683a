"""Errors of Entra by their AADSTS number, for faults: every case that a client has to distinguish, however rare.

What happens by itself in this cloud (a wrong secret, a blocked account) is raised where it happens; the catalogue has
those and the remaining ones, so that a test can provoke any of them.
"""

from __future__ import annotations

from sandbox.cloud.entra.errors import EntraError

__all__ = ["CATALOGUE", "catalogue_error"]

_BAD_TOKEN = "bad_token"
_Entry = tuple[str, int, str, str | None]

CATALOGUE: dict[int, _Entry] = {
    # sign in again
    50173: ("invalid_grant", 400, "The provided grant has expired due to it being revoked.", _BAD_TOKEN),
    70000: ("invalid_grant", 400, "Provided grant is invalid or malformed.", _BAD_TOKEN),
    70008: ("invalid_grant", 400, "The provided authorization code or refresh token has expired.", _BAD_TOKEN),
    70043: ("invalid_grant", 400, "The refresh token has expired due to sign-in frequency checks.", _BAD_TOKEN),
    700082: ("invalid_grant", 400, "The refresh token has expired due to inactivity.", _BAD_TOKEN),
    700084: ("invalid_grant", 400, "The refresh token was issued to a single page app and has expired.", _BAD_TOKEN),
    50089: ("invalid_grant", 400, "Authentication failed due to flow token expired.", _BAD_TOKEN),
    50132: (
        "invalid_grant",
        400,
        "The session is not valid due to password expiration or recent password change.",
        None,
    ),
    50133: ("invalid_grant", 400, "Session is invalid due to expiration or recent password change.", None),
    50055: ("invalid_grant", 400, "The password is expired.", "user_password_expired"),
    50144: ("invalid_grant", 400, "User's Active Directory password has expired.", "user_password_expired"),
    50058: ("login_required", 400, "A silent sign-in request was sent but no user is signed in.", None),
    50072: ("interaction_required", 400, "The user must enroll in multi-factor authentication.", "basic_action"),
    50074: ("interaction_required", 400, "Strong authentication is required.", "basic_action"),
    50076: ("interaction_required", 400, "You must use multi-factor authentication.", "basic_action"),
    50079: ("interaction_required", 400, "You must enroll in multi-factor authentication.", "basic_action"),
    50158: ("interaction_required", 400, "External security challenge was not satisfied.", "basic_action"),
    53000: ("invalid_grant", 400, "Device is not in required device state: compliant.", "message_only"),
    53001: ("invalid_grant", 400, "Device is not in required device state: domain joined.", "message_only"),
    # consent
    65001: ("invalid_grant", 400, "The user or administrator has not consented to use the app.", "consent_required"),
    65004: ("access_denied", 400, "User declined to consent to access the app.", None),
    90094: ("access_denied", 400, "An administrator must consent to the permissions.", None),
    90095: ("access_denied", 400, "Admin consent has been requested and is pending.", None),
    650052: ("consent_required", 400, "The app needs access to a service that the organization has not enabled.", None),
    # code already redeemed
    54005: ("invalid_grant", 400, "OAuth2 Authorization code was already redeemed.", None),
    501481: ("invalid_grant", 400, "The Code_Verifier does not match the code_challenge.", None),
    700005: ("invalid_grant", 400, "Provided Authorization Code is intended to use against other tenant.", None),
    # account blocked
    50020: ("invalid_grant", 400, "User account does not exist in the tenant and cannot access the application.", None),
    50034: ("invalid_grant", 400, "The user account does not exist in the directory.", None),
    50053: ("invalid_grant", 400, "The account is locked.", None),
    50057: ("invalid_grant", 400, "The user account is disabled.", None),
    50105: ("access_denied", 400, "The signed in user is not assigned to a role for the application.", None),
    51004: ("invalid_grant", 400, "The user account does not exist in the directory.", None),
    53003: ("invalid_grant", 400, "Access has been blocked by Conditional Access policies.", "message_only"),
    53011: ("access_denied", 400, "User blocked due to risk on home tenant.", None),
    500212: ("access_denied", 400, "The user's administrator has set an outbound access policy.", None),
    530032: ("access_denied", 400, "Blocked by security policy of the tenant.", None),
    # application misconfigured
    7000215: ("invalid_client", 401, "Invalid client secret provided.", None),
    7000222: ("invalid_client", 401, "The provided client secret keys are expired.", None),
    700016: ("unauthorized_client", 400, "Application was not found in the directory.", None),
    50011: ("invalid_request", 400, "The reply URL specified in the request does not match.", None),
    500011: ("invalid_resource", 400, "The resource principal was not found in the tenant.", None),
    70003: ("unsupported_grant_type", 400, "The app requested an unsupported grant type.", None),
    70011: ("invalid_scope", 400, "The scope requested by the app is invalid.", None),
    90002: ("invalid_request", 400, "Tenant not found.", None),
    # transient
    50033: ("temporarily_unavailable", 503, "A transient error has occurred.", None),
    50087: ("temporarily_unavailable", 503, "A transient error has occurred. Please try again.", None),
    90006: ("server_error", 500, "External server error.", None),
    90024: ("server_error", 500, "Request budget exceeded: a transient error has occurred.", None),
    90033: ("temporarily_unavailable", 503, "The service is temporarily unavailable. Please retry later.", None),
    90055: ("temporarily_unavailable", 429, "Tenant throttled: there are too many incoming requests.", None),
    50196: (
        "invalid_grant",
        400,
        "The server terminated an operation because it encountered a client request loop.",
        None,
    ),
}


def catalogue_error(code: int) -> EntraError:
    """Return the error with an AADSTS number.

    Raises:
        KeyError: the number is not in the catalogue.
    """
    error, status, message, suberror = CATALOGUE[code]
    return EntraError(error, code, message, status=status, suberror=suberror)
