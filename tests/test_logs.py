"""Logs: what a line carries, and that no secret is ever in one, whatever way it took."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lts_web import logs

SECRET = 'Corr3ct "horse" 100%/battery'
logger = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as the test runner had it."""
    root = logging.getLogger()
    level, handlers, raising = root.level, root.handlers[:], logging.raiseExceptions
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    logging.raiseExceptions = raising
    logging.captureWarnings(capture=False)


def written(tmp_path: Path) -> str:
    return (tmp_path / "web.log").read_text(encoding="utf-8")


def fail(message: str) -> None:
    raise ValueError(message)


@pytest.mark.req("SYS-017", "INT-020", "INT-025", "SYS-019")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_registered_secret_is_masked_in_message_arguments_and_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.register_secret(SECRET)
    logs.configure("web", log_format=log_format, directory=tmp_path)
    logger.info("the message has " + SECRET)  # noqa: G003
    logger.info("the argument is %s and %r", SECRET, {"any": SECRET})
    logger.info("as JSON %s", json.dumps({"any": SECRET}))
    logger.warning("with stack %s", SECRET, stack_info=True)
    logger.info("wrong format %d", SECRET)
    try:
        fail(f"broker said {SECRET}")
    except ValueError:
        logger.exception("failed")
    text = written(tmp_path) + capsys.readouterr().err
    assert "horse" not in text
    assert "ValueError: broker said ********" in text
    assert text.count("wrong format") == 2


@pytest.mark.parametrize(
    "line",
    [
        "password=hunter2",
        "password = 'hunter2 and more'",
        '{"password": "hunter2 \\" and more"}',
        "{'api_key': 'hunter2'}",
        "Authorization: Bearer hunter2",
        "Authorization: Basic hunter2",
        "'authorization': 'Token hunter2'",
        "sent Bearer hunter2abcdef",
        "csrf_token=hunter2&next=/",
        "LTS_JWT_SECRET=hunter2",
        "access_token:hunter2",
        "Set-Cookie: session=hunter2; Path=/",
        "apikey=hunter2",
        "https://alice:hunter2@example.org/x",
        'body {\\"password\\": \\"hunter2 x\\"}',
        "the token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.hunter2hunter2",
    ],
)
@pytest.mark.req("INT-020", "INT-025")
def test_what_is_named_a_secret_is_masked(line: str) -> None:
    masked = logs.mask(line)
    assert "hunter2" not in masked
    assert "********" in masked


@pytest.mark.parametrize(
    "line",
    ["token_length is 32", "passwords must match", "basic authentication", "12:30:01 EUR_USD buy"],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert logs.mask(line) == line


@given(st.text(max_size=300))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = logs.mask(text)
    assert logs.mask(once) == once


@pytest.mark.req("STC-10")
@pytest.mark.parametrize("part", ["a", "password", "token=", '"', "\\", "eyJ", "://", "bearer "])
def test_masking_takes_linear_time(part: str) -> None:
    started = time.perf_counter()
    logs.mask(part * (200_000 // len(part)))
    assert time.perf_counter() - started < 2


def test_another_handler_sees_the_masked_record_too() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.MASKING)
    record = logging.LogRecord("x", logging.INFO, "", 1, "password=%s", ("hunter2",), None)
    handler.handle(record)
    assert stream.getvalue() == "password=********\n"


def test_lines_carry_request_cycle_and_portfolio(tmp_path: Path) -> None:
    logs.configure("worker", log_format="json", directory=tmp_path)
    with logs.context(cycle=7, portfolio=3):
        with logs.context(request="r1"):
            logger.info("inside")
        logger.info("between")
    logger.info("outside")
    lines = (tmp_path / "worker.log").read_text(encoding="utf-8").splitlines()
    inside, between, outside = (json.loads(line) for line in lines)
    assert (inside["request_id"], inside["cycle_id"], inside["portfolio_id"]) == ("r1", 7, 3)
    assert "request_id" not in between
    assert between["cycle_id"] == 7
    assert "cycle_id" not in outside
    assert inside["time"].endswith("Z")
    assert (inside["process"], inside["level"]) == ("worker", "INFO")


@pytest.mark.req("SYS-014", "STC-007")
def test_no_text_forges_a_line_or_steers_a_terminal(tmp_path: Path) -> None:
    logs.configure("web", directory=tmp_path)
    with logs.context(request="a\nb"):
        logger.info("name \r\n2026-01-01 forged \x1b[31m \u2028 end")
    try:
        fail("one\n2026-01-01 forged\x1b")
    except ValueError:
        logger.exception("failed")
    lines = written(tmp_path).splitlines()
    assert "\x1b" not in written(tmp_path)
    assert "request=a\\nb" in lines[0]
    assert [line for line in lines if line.startswith("2026-01-01")] == []
    assert all(line.startswith(("20", "    ")) for line in lines)


def test_the_file_has_the_traceback_and_the_console_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("web", directory=tmp_path)
    try:
        fail("boom")
    except ValueError:
        logger.exception("failed")
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert printed.err.endswith("failed (ValueError: boom)\n")
    assert printed.out == ""
    assert "Traceback" in written(tmp_path)


def test_quiet_mode_leaves_errors_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("web", quiet=True, directory=tmp_path)
    logger.warning("a warning")
    logger.error("an error")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "a warning" not in printed.err
    assert "an error" in printed.err
    assert "a warning" in written(tmp_path)


def test_configuring_again_does_not_double_the_lines(tmp_path: Path) -> None:
    for _ in range(3):
        logs.configure("web", directory=tmp_path)
    logger.info("once")
    assert written(tmp_path).count("once") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
@pytest.mark.req("STC-9")
def test_log_files_are_the_owners_alone_also_after_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 300)
    logs.configure("web", directory=tmp_path)
    for number in range(20):
        logger.info("line %s %s", number, "x" * 60)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert len(modes) == 1 + logs.FILES_KEPT
    assert set(modes.values()) == {0o600}


def test_two_processes_share_one_file_without_losing_its_history(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    first, second = (
        logs.PrivateRotatingFileHandler(path, maxBytes=500, backupCount=3) for _ in range(2)
    )

    def write(handler: logging.Handler, text: str) -> None:
        handler.emit(logging.LogRecord("x", logging.INFO, "", 1, text, (), None))

    for number in range(6):
        write(first, f"first {number} " + "x" * 80)
    write(second, "second sees that the file has been rotated " + "x" * 450)
    write(second, "and goes on in the new one")
    first.close()
    second.close()
    everything = "".join(one.read_text(encoding="utf-8") for one in tmp_path.iterdir())
    assert all(f"first {number}" in everything for number in range(6))
    assert "second sees" in everything
    assert "goes on" in path.read_text(encoding="utf-8")


@pytest.mark.req("SYS-019", "SYS-014")
def test_what_nothing_caught_is_one_line_with_a_reference(tmp_path: Path) -> None:
    script = """
        import sys, threading
        from pathlib import Path
        from lts_web import logs
        logs.install_exception_hooks()
        logs.register_secret("hunter2hunter2")
        logs.configure("command", directory=Path(sys.argv[1]))
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start(); thread.join()
        raise KeyError("hunter2hunter2")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    log = (tmp_path / "command.log").read_text(encoding="utf-8")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    in_thread, in_main = done.stderr.splitlines()
    assert "ZeroDivisionError" in in_thread
    reference = in_main.split("reference ")[1].split(" ")[0]
    assert f"reference {reference}" in log
    assert log.count("Traceback") == 2
    assert "hunter2" not in log + done.stderr
