"""Logging in and out, and the choice of light or dark. Who may enter, the AAA plugin decides."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from lts_web.blueprints.auth.forms import LoginForm
from lts_web.web import identity, themes
from lts_web.web.context import wiring

blueprint = Blueprint("auth", __name__)


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    """Ask for name and password; success 303, wrong 401, locked 429."""
    form = LoginForm()
    if request.method == "GET":
        if current_user.is_authenticated:
            return redirect(identity.safe_target(request.args.get("next")), code=303)
        form.next.data = request.args.get("next", "")
        return _page(form)
    if not form.validate():
        return _page(form, "Enter both your username and your password."), 401
    answer = wiring().aaa.login(
        (form.username.data or "").strip(), form.password.data or "", ip=request.remote_addr
    )
    if answer.get("success") is True:
        identity.log_in(str(answer["session_token"]))
        return redirect(identity.safe_target(form.next.data), code=303)
    if answer.get("locked"):
        wait = {"Retry-After": str(answer.get("retry_after_seconds", 60))}
        return _page(form, "Too many wrong passwords: wait a while, then try again."), 429, wait
    return _page(form, "Username or password is wrong."), 401


@blueprint.post("/logout")
def logout() -> ResponseReturnValue:
    """End the session."""
    identity.log_out()
    return redirect(url_for("auth.login"), code=303)


@blueprint.post("/theme")
def theme() -> ResponseReturnValue:
    """Remember light, dark or the system's choice in a cookie."""
    response = redirect(identity.safe_target(request.form.get("next")), code=303)
    themes.remember(response, request.form.get("theme", ""))
    return response


def _page(form: LoginForm, problem: str | None = None) -> str:
    return render_template(
        "auth/login.html", form=form, problem=problem, initial_password=_initial_password()
    )


def _initial_password() -> str | None:
    """Return the name of the file with the first password, to people at this computer."""
    file = Path(wiring().settings.data_dir) / "initial-admin.txt"
    return file.name if _is_loopback(request.remote_addr) and file.is_file() else None


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False
