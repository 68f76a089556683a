"""The HTML pages: sign in, choose an account, second factor, consent, device code, errors.

Plain forms without scripts. Names of fields are stable, so that a test can fill them in without a browser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sandbox.cloud.transport.message import Reply

__all__ = ["choose_account", "consent", "device_code", "failure", "form_post", "message", "second_factor", "sign_in"]

_STYLE = """
body{font-family:'Segoe UI',sans-serif;background:#f2f2f2;display:flex;justify-content:center;padding-top:8vh;
color:#1b1b1b}
main{background:#fff;width:440px;padding:44px;box-shadow:0 2px 6px rgba(0,0,0,.2);box-sizing:border-box}
h1{font-size:24px;font-weight:600;margin:0 0 16px}p,li{font-size:15px;line-height:20px}
input[type=text],input[type=email],input[type=password]{width:100%;border:0;border-bottom:1px solid #666;padding:6px 0;
margin:6px 0 14px;font-size:15px}
button{min-width:108px;padding:6px 12px;border:0;background:#0067b8;color:#fff;font-size:15px;margin-left:4px}
button.other{background:#ccc;color:#000}.buttons{text-align:right;margin-top:24px}
.tile{display:block;width:100%;text-align:left;background:#fff;color:#1b1b1b;border-bottom:1px solid #ddd;margin:0}
.error{color:#e81123}.small{font-size:13px;color:#666}
"""


def _page(title: str, content: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    html = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><main>{content}"
        '<p class="small">Simulated Microsoft Entra ID. Nothing here reaches Microsoft.</p></main></body></html>'
    )
    common = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store, no-cache"}
    return Reply(status, html.encode(), {**common, "X-Frame-Options": "DENY", **(headers or {})})


def _form(action: str, interaction: str, content: str) -> str:
    hidden = f'<input type="hidden" name="ctx" value="{escape(interaction)}">'
    return f'<form method="post" action="{escape(action)}">{hidden}{content}</form>'


def sign_in(action: str, interaction: str, hint: str, problem: str | None) -> Reply:
    """Return the form for name and password."""
    complaint = f'<p class="error" role="alert">{escape(problem)}</p>' if problem else ""
    fields = (
        f'<h1>Sign in</h1>{complaint}<label>Email<input type="email" name="loginfmt" value="{escape(hint)}" '
        'autocomplete="username" required></label>'
        '<label>Password<input type="password" name="passwd" autocomplete="current-password" required></label>'
        '<div class="buttons"><button class="other" name="action" value="cancel" formnovalidate>Cancel</button>'
        '<button name="action" value="signin">Sign in</button></div>'
    )
    return _page("Sign in to your account", _form(action, interaction, fields))


def choose_account(action: str, interaction: str, accounts: Sequence[tuple[str, str]]) -> Reply:
    """Return the selection of signed-in accounts, as (object id, user principal name), with "another account"."""
    tiles = "".join(
        f'<button class="tile" name="account" value="{escape(identifier)}">{escape(name)}</button>'
        for identifier, name in accounts
    )
    other_account = '<button class="tile" name="account" value="">Use another account</button>'
    return _page("Pick an account", _form(action, interaction, f"<h1>Pick an account</h1>{tiles}{other_account}"))


def second_factor(action: str, interaction: str, account: str) -> Reply:
    """Return the form to approve or deny the second factor."""
    content = (
        f"<h1>Approve sign in request</h1><p>{escape(account)}</p><p>Open your Authenticator app, and approve the "
        'request to sign in.</p><div class="buttons"><button class="other" name="decision" value="deny">Deny</button>'
        '<button name="decision" value="approve">Approve</button></div>'
    )
    return _page("Approve sign in request", _form(action, interaction, content))


def consent(action: str, interaction: str, account: str, application: str, permissions: Sequence[str]) -> Reply:
    """Return the consent form with the requested permissions."""
    items = "".join(f"<li>{escape(permission)}</li>" for permission in permissions)
    content = (
        f"<p>{escape(account)}</p><h1>Permissions requested</h1><p><strong>{escape(application)}</strong></p>"
        f"<p>This application would like to:</p><ul>{items}</ul><p class='small'>Accepting these permissions means "
        "that you allow this app to use your data as specified in their terms of service and privacy statement.</p>"
        '<div class="buttons"><button class="other" name="decision" value="cancel">Cancel</button>'
        '<button name="decision" value="accept">Accept</button></div>'
    )
    return _page("Permissions requested", _form(action, interaction, content))


def device_code(action: str, problem: str | None) -> Reply:
    """Return the form for the code that a device displays."""
    complaint = f'<p class="error" role="alert">{escape(problem)}</p>' if problem else ""
    content = (
        f"<h1>Enter code to allow access</h1>{complaint}<p>Once you enter the code displayed on your app or device, it "
        "will have access to your account.</p>"
        '<label>Code<input type="text" name="otc" autocomplete="off" required></label>'
        '<div class="buttons"><button>Next</button></div>'
    )
    return _page("Sign in to your account", f'<form method="post" action="{escape(action)}">{content}</form>')


def failure(problem: str, action: str | None = None, interaction: str = "") -> Reply:
    """Return an error page, with a button back to the application where possible."""
    back = ""
    if action is not None:
        button = '<div class="buttons"><button name="action" value="cancel">Return to the application</button></div>'
        back = _form(action, interaction, button)
    content = f'<h1>Sorry, but we are having trouble signing you in.</h1><p class="error">{escape(problem)}</p>{back}'
    return _page("Sign in to your account", content, 200 if action is not None else 400)


def message(title: str, text: str) -> Reply:
    """Return a page with a message."""
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>")


def form_post(address: str, parameters: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Reply:
    """Return the form of response mode form_post, which a browser submits automatically."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in parameters.items()
    )
    html = (
        '<!DOCTYPE html><html><head><title>Working...</title></head><body onload="document.forms[0].submit()">'
        f'<form method="post" name="hiddenform" action="{escape(address)}">{fields}'
        "<noscript><p>Script is disabled. Click Submit to continue.</p><button>Submit</button></noscript></form>"
        "</body></html>"
    )
    common = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store, no-cache"}
    return Reply(200, html.encode(), {**common, **(headers or {})})
