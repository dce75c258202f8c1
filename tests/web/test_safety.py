"""Who gets in, who sees what, and what every answer carries."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from lts_web.store.engine import Database
from lts_web.web.identity import OPEN_TO_VIEWERS, PUBLIC
from lts_web.web.limits import SqliteStorage, storage_uri
from lts_web.web.security import HEADERS
from tests import factories
from tests.cast import ALICE, BOB, CHARLIE, VERA
from tests.web.house import House, build, csrf_token, log_in

TEMPLATES = Path(__file__).parents[2] / "lts_web" / "templates"
STATIC = Path(__file__).parents[2] / "lts_web" / "static"
ARGUMENTS = {
    "portfolio_id": "1",
    "order_id": "1",
    "decision_id": "1",
    "name": "summary",
    "kind": "orders",
    "filename": "app.css",
}


def every_route(house: House) -> list[tuple[str, str, str]]:
    """Return (endpoint, method, path) of every route, its arguments filled in."""
    found = []
    for rule in house.app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: ARGUMENTS[match.group(1)], rule.rule)
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        found += [(rule.endpoint, method, path) for method in methods]
    return found


def call(client: FlaskClient, method: str, path: str, token: str | None = None) -> int:
    """Call a route and return its status."""
    data = {"csrf_token": token} if token else {}
    status: int = client.open(
        path, method=method, data=data if method == "POST" else None
    ).status_code
    return status


@pytest.mark.req("SYS-016", "INT-07")
def test_every_route_is_public_by_list_or_refuses_strangers(house: House) -> None:
    routes = every_route(house)
    assert len(routes) > 20
    for endpoint, method, path in routes:
        answer = house.client().open(path, method=method)
        if endpoint in PUBLIC:
            assert answer.status_code in {200, 400}, (endpoint, method)
            continue
        assert answer.status_code == 303, (endpoint, method)
        assert answer.headers["Location"].startswith("/login"), (endpoint, method)


def test_the_public_list_names_only_what_exists(house: House) -> None:
    endpoints = {rule.endpoint for rule in house.app.url_map.iter_rules()}
    assert endpoints >= PUBLIC | OPEN_TO_VIEWERS


@pytest.mark.req("SYS-016")
def test_foreign_rows_are_missing_rows(house: House) -> None:
    """Everything that names a row of Alice's answers Charlie as if it were not there."""
    charlie, alice = house.client(CHARLIE), house.client(ALICE)
    token = csrf_token(charlie.get("/").text)
    checked = 0
    for endpoint, method, path in every_route(house):
        rule = next(r for r in house.app.url_map.iter_rules() if r.endpoint == endpoint)
        if not any(argument.endswith("_id") for argument in rule.arguments):
            continue
        checked += 1
        assert call(charlie, method, path, token) == 404, (endpoint, method)
        assert call(alice, method, path, csrf_token(alice.get("/").text)) in {200, 303}, endpoint
    assert checked >= 9
    for path in ("/orders", "/positions", "/decisions", "/portfolios", "/"):
        assert "Majors" not in charlie.get(path).text
        assert "Majors" in alice.get(path).text
    assert charlie.get("/orders?portfolio=1").text.count("/orders/1") == 0


def test_an_administrator_sees_all_and_whose_it_is(house: House) -> None:
    page = house.client(BOB).get("/portfolios").text
    assert "Majors" in page
    assert "of alice" in page
    assert house.client(BOB).get("/orders/1").status_code == 200


@pytest.mark.req("SYS-016")
def test_viewers_change_nothing(house: House) -> None:
    vera = house.client(VERA)
    token = csrf_token(vera.get("/").text)
    for endpoint, method, path in every_route(house):
        if method == "POST" and endpoint not in OPEN_TO_VIEWERS:
            assert call(vera, method, path, token) == 403, endpoint
    page = vera.get("/portfolios/4").text
    assert "Vera&#39;s own" in page
    assert 'id="activate"' not in page


@pytest.mark.req("STC-007")
def test_a_form_without_its_token_is_refused(house: House) -> None:
    client = house.client(ALICE)
    for endpoint, method, path in every_route(house):
        if method == "POST":
            answer = client.open(path, method=method, data={"username": "alice"})
            assert answer.status_code == 400, endpoint
            assert "reload the page" in answer.text
    other = house.client(BOB)
    foreign = csrf_token(other.get("/").text)
    assert call(client, "POST", "/portfolios/1/run", foreign) == 400
    assert house.wakes == []


def test_every_answer_carries_the_headers(house: House) -> None:
    client = house.client(ALICE)
    paths = [path for _, method, path in every_route(house) if method == "GET"]
    for path in (*paths, "/nothing-here", "/portfolios/99", "/orders?before=x"):
        answer = client.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        assert re.fullmatch("[0-9a-f]{12}", answer.headers["X-Request-ID"])
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy


def test_pages_are_not_kept_and_files_are(house: House) -> None:
    client = house.client(ALICE)
    assert client.get("/").headers["Cache-Control"] == "no-store"
    page = client.get("/").text
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        assert "?v=" in address, address
        assert "immutable" in client.get(address).headers["Cache-Control"]


def test_transport_security_follows_the_request(house: House) -> None:
    plain, secure = house.app.test_client(), house.app.test_client()
    assert "Strict-Transport-Security" not in plain.get("/login").headers
    answer = secure.get("/login", base_url="https://lts.example.org")
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "Secure" not in house.app.test_client().get("/login").headers["Set-Cookie"]


@pytest.mark.req("SYS-004", "STC-003")
def test_logging_in_and_out(house: House) -> None:
    client = house.client()
    assert client.get("/orders?status=filled").headers["Location"].startswith("/login?next=")
    answer = log_in(client, ALICE, next="/orders?status=filled")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/orders?status=filled")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert client.get("/login").status_code == 303
    token = csrf_token(client.get("/").text)
    assert client.post("/logout", data={"csrf_token": token}).headers["Location"] == "/login"
    assert house.aaa.sessions == {}
    assert client.get("/").status_code == 303


def test_a_session_that_ended_elsewhere_is_over_at_once(house: House) -> None:
    client = house.client(ALICE)
    house.aaa.sessions.clear()
    assert client.get("/").status_code == 303


def test_wrong_passwords_tell_nothing(house: House) -> None:
    answers = []
    for name in ("alice", "nobody"):
        client = house.client()
        token = csrf_token(client.get("/login").text)
        form = {"username": name, "password": "wrong", "csrf_token": token}
        answer = client.post("/login", data=form)
        assert answer.status_code == 401
        answers.append(re.findall(r'role="alert".*?</div>', answer.text, re.DOTALL)[0])
    assert answers[0] == answers[1]
    house.aaa.locked.add("alice")
    locked = log_in(house.client(), ALICE)
    assert locked.status_code == 429
    assert "Too many wrong passwords" in locked.text


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\tx",
        "",
    ],
)
def test_logging_in_leads_nowhere_else(house: House, target: str) -> None:
    assert log_in(house.client(), ALICE, next=target).headers["Location"] == "/"


def test_the_first_password_is_pointed_to_on_this_computer_only(house: House) -> None:
    assert "initial-admin.txt" not in house.client().get("/login").text
    (house.folder / "initial-admin.txt").write_text("secret", encoding="utf-8")
    page = house.client().get("/login").text
    assert "initial-admin.txt" in page
    assert "secret" not in page
    far = house.client().get("/login", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert "initial-admin.txt" not in far.text


@pytest.mark.req("INT-014", "SYS-019")
def test_errors_are_pages_for_people_and_problems_for_machines(house: House) -> None:
    client = house.client(ALICE)
    missing = client.get("/nothing-here")
    assert missing.status_code == 404
    assert missing.headers["X-Request-ID"] in missing.text
    wrong = client.post("/live", data={"csrf_token": csrf_token(client.get("/").text)})
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["Allow"]
    for path in ("/api/nothing", "/health/nothing"):
        problem = client.get(path)
        assert problem.mimetype == "application/problem+json"
        body = problem.json
        assert body["status"] == 404
        assert body["reference"] == problem.headers["X-Request-ID"]
        assert set(body) == {"type", "title", "status", "code", "detail", "reference", "errors"}


@pytest.mark.req("SYS-019", "SYS-011")
def test_a_crash_leaks_nothing_and_is_found_by_its_reference(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    client = house.client(ALICE)
    house.database.close()
    (house.folder / "lts.db").unlink()
    answer = client.get("/")
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] in answer.text
    for leak in ("sqlite", "Traceback", "SELECT", str(house.folder)):
        assert leak not in answer.text
    assert any(record.exc_info for record in caplog.records)


def test_health_tells_machines_the_state(house: House, database: Database) -> None:
    client = house.client()
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json == {
        "status": "ok",
        "version": "0.1.0",
        "checks": {"database": "ok", "worker": "ok", "queue": "ok", "cycle": "ok"},
    }
    with database.write() as session:
        factories.add_heartbeat(session, factories.NOW - timedelta(seconds=31))
    answer = client.get("/health")
    assert (answer.status_code, answer.json["status"]) == (200, "degraded")
    assert answer.json["checks"]["worker"] == "degraded"
    database.close()
    (house.folder / "lts.db").unlink()
    answer = client.get("/health")
    assert (answer.status_code, answer.json["status"]) == (503, "down")


@pytest.mark.req("STC-10")
def test_a_body_that_is_too_large_is_refused(tmp_path: Path, database: Database) -> None:
    client = build(tmp_path, database, request_body_limit_mb=1).client()
    answer = client.post("/login", data={"username": "x" * 2_000_000})
    assert answer.status_code == 413
    assert "too large" in answer.text


@pytest.mark.req("INT-015")
def test_strangers_and_logins_are_limited_and_sessions_are_not(
    tmp_path: Path, database: Database
) -> None:
    house = build(tmp_path, database, rate_limit_per_minute=10)
    alice = house.client(ALICE)  # two of the ten
    for _ in range(30):
        assert alice.get("/live").status_code == 204
        assert alice.get("/parts/dashboard").status_code == 200
        assert alice.get("/health").status_code == 200
    stranger = house.client()
    for _ in range(8):
        assert stranger.get("/login").status_code == 200
    refused = stranger.get("/login")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert "Too many requests" in refused.text
    elsewhere = stranger.get("/login", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert elsewhere.status_code == 200
    # Logging in again counts, also with a session.
    assert alice.post("/login", data={}).status_code == 429
    # A second process counts with the first.
    assert (
        build(tmp_path, database, rate_limit_per_minute=10).client().get("/login").status_code
        == 429
    )


def test_counters_are_exact_and_windows_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = storage_uri(tmp_path / "limits with space.db")
    first, second = SqliteStorage(uri), SqliteStorage(uri)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda each: (first, second)[each % 2].incr("key", 60), range(200)))
    assert sorted(counts) == list(range(1, 201))
    assert first.get("key") == 200
    assert first.check()
    now = time.time()
    monkeypatch.setattr("lts_web.web.limits.time.time", lambda: now + 61)
    assert first.get("key") == 0
    assert second.incr("key", 60) == 1
    first.clear("key")
    assert second.get("key") == 0


def test_templates_hold_nothing_inline() -> None:
    """No inline script, style or handler: the content policy would drop it silently."""
    files = sorted(TEMPLATES.rglob("*.html"))
    assert len(files) > 20
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), file
        assert "<style" not in text, file
        assert not re.search(r"\sstyle=", text), file
        assert not re.search(r"\son[a-z]+=", text), file
        assert "hx-on" not in text, file
        assert "javascript:" not in text, file
        assert "|safe" not in text.replace(" ", ""), file
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text), file
        assert not re.search(r'hx-trigger="[^"]*\[', text), f"{file}: a filter needs eval"
        assert "hx-vals='js" not in text, file


def test_every_form_that_posts_has_its_token() -> None:
    for file in TEMPLATES.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        for form in re.findall(r'<form[^>]*method="post".*?</form>', text, re.DOTALL):
            assert "csrf_token" in form, file


def test_scripts_evaluate_nothing_and_fetch_from_nowhere_else() -> None:
    script = (STATIC / "app.js").read_text(encoding="utf-8")
    for forbidden in ("eval(", "new Function", "innerHTML", "outerHTML", "document.write", "://"):
        assert forbidden not in script, forbidden
    sheet = (STATIC / "app.css").read_text(encoding="utf-8")
    assert "url(" not in sheet
    assert "@import" not in sheet
