"""The commands about users: create, list, set-password, and the first administrator of a start.

They go through the selected AAA plugin, as the pages do. Passwords come from the caller (read from
standard input or made here), and are shown only where one was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lts_web import logs
from lts_web.commands import CommandResult
from lts_web.datadir import DataDir
from lts_web.plugins.base import AAAPluginBase
from lts_web.plugins.registry import Registry
from lts_web.services.accounts import (
    SYSTEM,
    AccountService,
    AdministratorRefusedError,
    ensure_first_administrator,
    password_problems,
)
from lts_web.services.portfolios import Actor
from lts_web.settings import Loaded
from lts_web.store import schema
from lts_web.store.engine import Database
from lts_web.trading.ports import UserAccount
from lts_web.wiring import build_aaa, database_path, wall_clock

REFUSED = 2
COMMAND_LINE = Actor(None, "command line")


@dataclass(frozen=True, slots=True)
class Desk:
    """What the commands work with."""

    loaded: Loaded
    data_dir: DataDir
    aaa: AAAPluginBase
    accounts: AccountService


def run(loaded: Loaded, **options: Any) -> CommandResult:
    """Carry out `action`: create, list, set_password or first_administrator."""
    action = options.pop("action")
    actor = SYSTEM if action == "first_administrator" else COMMAND_LINE
    with _desk(loaded, actor) as desk:
        return _ACTIONS[action](desk, **options)


@contextmanager
def _desk(loaded: Loaded, actor: Actor) -> Iterator[Desk]:
    data_dir = DataDir(loaded.settings.data_dir)
    path = database_path(loaded, data_dir)
    schema.upgrade(path)
    database = Database(path)
    try:
        accounts = AccountService(database, wall_clock, data_dir.initial_admin, lambda: actor)
        aaa = build_aaa(loaded, Registry(("aaa",)), accounts, data_dir)
        yield Desk(loaded, data_dir, aaa, accounts)
    finally:
        database.close()


def _create(desk: Desk, *, username: str, email: str, role: str, password: str) -> CommandResult:
    problems = [*_name_problems(desk.aaa, username, email), *password_problems(desk.aaa, password)]
    if problems:
        return _failed(*problems, exit_code=REFUSED)
    if not desk.aaa.register(username, email, password, role):
        for name in (username, email):
            if desk.accounts.find_user(name):
                return _failed(f"There is a user {name} already: choose another name or address.")
        return _failed(f"The AAA plugin {desk.loaded.selected('aaa')} refused this user.")
    user = desk.accounts.find_user(username)
    if user is None:  # a plugin may keep its users elsewhere
        return CommandResult(document={"username": username}, lines=(f"Created {username}.",))
    return CommandResult(
        document=_document(user), lines=(f"Created {user.role} {user.username} (id {user.id}).",)
    )


def _list(desk: Desk) -> CommandResult:
    users = desk.accounts.list_users()
    rows = [("ID", "USERNAME", "E-MAIL", "ROLE", "STATE")]
    items = []
    for user in users:
        is_locked = user.locked_until is not None and user.locked_until > wall_clock()
        state = "locked" if is_locked else "active" if user.is_active else "disabled"
        rows.append((str(user.id), user.username, user.email, user.role, state))
        items.append(
            {
                "id": user.id,
                "username": user.username,
                "email": user.email,
                "role": user.role,
                "state": state,
                "created_at": user.created_at.isoformat().replace("+00:00", "Z"),
            }
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = tuple(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return CommandResult(document={"items": items, "next_cursor": None}, lines=lines)


def _set_password(desk: Desk, *, username: str, password: str) -> CommandResult:
    replace = getattr(desk.aaa, "set_password", None)
    if replace is None:
        return _failed(f"The AAA plugin {desk.loaded.selected('aaa')} cannot set passwords.")
    user = desk.accounts.find_user(username)
    if user is None:
        return _failed(f"There is no user {username}: see `lts user list`.")
    problems = password_problems(desk.aaa, password)
    if problems:
        return _failed(*problems, exit_code=REFUSED)
    if not replace(user.username, password):
        return _failed(f"The AAA plugin {desk.loaded.selected('aaa')} refused this password.")
    return CommandResult(
        document=_document(user),
        lines=(f"{user.username} has a new password; all sessions of this user ended.",),
    )


def _first_administrator(desk: Desk) -> CommandResult:
    settings = desk.loaded.settings
    file = desk.data_dir.initial_admin
    try:
        created = ensure_first_administrator(
            desk.aaa,
            desk.accounts,
            email=settings.admin_email,
            password=settings.admin_password,
            initial_admin=file,
        )
    except AdministratorRefusedError as error:
        return _failed(str(error), exit_code=REFUSED)
    if created is None:
        return CommandResult(document={"created": False})
    document = {"created": True, "username": created.username}
    if created.password is None:
        return CommandResult(
            document=document,
            lines=(f"Created administrator {created.username} with LTS_ADMIN_PASSWORD.",),
        )
    logs.register_secret(created.password)
    line = (
        f"Created administrator {created.username} with the password {created.password} "
        f"(kept in {file} until it is changed)."
    )
    return CommandResult(document={**document, "password_file": str(file)}, lines=(line,))


def _name_problems(aaa: AAAPluginBase, username: str, email: str) -> list[str]:
    tell = getattr(aaa, "check_name_rules", None)
    return list(tell(username, email)) if tell else []


def _document(user: UserAccount) -> dict[str, Any]:
    return {"id": user.id, "username": user.username, "email": user.email, "role": user.role}


def _failed(*problems: str, exit_code: int = 1) -> CommandResult:
    return CommandResult(exit_code, {"error": " ".join(problems)}, problems)


_ACTIONS: dict[str, Callable[..., CommandResult]] = {
    "create": _create,
    "list": _list,
    "set_password": _set_password,
    "first_administrator": _first_administrator,
}
