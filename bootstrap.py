"""Set LTS up and run, test or check it: `python3 bootstrap.py run|test|check [--quiet]`.

Standard library only. It makes `.venv/` from the hash-locked requirements in `locks/`, installs the
project in it (which brings the front-end packages in) and hands over. It asks nothing, and must not
write anything but `.venv/` and git-ignored build output. A second start finds its stamp and skips
the set-up; an interrupted set-up leaves no stamp and is done again.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Callable, Iterator, Mapping, NoReturn, Sequence  # noqa: UP035

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
STATE = ENVIRONMENT / "lts-setup.json"
SETUP_LOCK = ROOT / ".bootstrap.lock"
VENDOR_STAMP = ROOT / "lts_web" / "static" / "vendor" / ".stamp"
SOURCES = ("lts_web", "worker", "migrations", "wsgi.py")
# Whatever changes one of these files makes the set-up run again.
SETUP_INPUTS = (
    "locks/build.lock",
    "locks/dev.lock",
    "locks/runtime.lock",
    "pyproject.toml",
    "hatch_build.py",
    "package.json",
    "package-lock.json",
    ".npmrc",
)
SUPPORTED = ((3, 13), (3, 12), (3, 11))
STOP_GRACE_SECONDS = 10
OUTPUT_TAIL_LINES = 25
LAUNCH = "_launch"
OK, FAILURE, WRONG_USE = 0, 1, 2

# Settings of the caller that would lead pip away from .venv.
MISLEADING_VARIABLES = ("PIP_PREFIX", "PIP_ROOT", "PIP_TARGET", "PIP_USER", "PYTHONHOME")

Say = Callable[[str], None]


class BootstrapError(Exception):
    """Something a person must put right; the message says what, `code` becomes the exit code."""

    def __init__(self, message: str, code: int = FAILURE) -> None:
        super().__init__(message)
        self.code = code


class Stopped(BaseException):
    """Ctrl-C or SIGTERM arrived: stop the running step and leave with exit code 0."""


def main(arguments: Sequence[str]) -> int:
    """Carry out one command and return its exit code."""
    if arguments[:1] == [LAUNCH]:
        launch(arguments[1:])
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        if options.command == "run":
            options.quiet = options.quiet or is_true(os.environ.get("LTS_QUIET", ""))
        set_up("runtime" if options.command == "run" else "dev", speaker(options.quiet))
        if options.command == "run":
            return run(options.quiet)
        if options.command == "test":
            return test(options.pytest_arguments, options.quiet)
        return check(options.quiet)
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return error.code
    except Stopped:
        return OK


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; wrong usage prints what is right and exits 2."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.py",
        description="Set LTS up in .venv, then run, test or check it.",
    )
    parser.add_argument("command", choices=("run", "test", "check"))
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    own, separator, rest = split(arguments)
    options = parser.parse_args(own)
    if separator and options.command != "test":
        parser.error("only test takes arguments after --; they are passed to pytest")
    options.pytest_arguments = rest
    return options


def split(arguments: Sequence[str]) -> tuple[list[str], bool, list[str]]:
    """Divide the arguments at the first `--` into ours and pytest's."""
    everything = list(arguments)
    if "--" not in everything:
        return everything, False, []
    place = everything.index("--")
    return everything[:place], True, everything[place + 1 :]


def is_true(text: str) -> bool:
    """Read a switch as the settings do."""
    return text.strip().lower() in {"1", "true", "yes", "on"}


def speaker(quiet: bool) -> Say:
    """Return what prints a line of progress: nothing at all when quiet."""

    def say(line: str) -> None:
        if not quiet:
            print(line, flush=True)

    return say


def stop(number: int, frame: object) -> NoReturn:
    """Leave whatever is being done; a second signal must not interrupt the leaving."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


# --- The set-up ----------------------------------------------------------------------------------


def set_up(need: str, say: Say) -> None:
    """Make .venv fit for `need` (runtime or dev), or return at once when it already is."""
    if is_ready(need):
        return
    with one_at_a_time(say):
        if is_ready(need):
            return
        python, version = find_python()
        build_environment(python, version, need, say)


def is_ready(need: str) -> bool:
    """Tell whether the stamp says that .venv was made for this, from what stands here now."""
    state = read_state()
    running = sys.version_info[:2]
    # An unsupported Python may start the environment that a supported one made.
    version = version_text(running) if running in SUPPORTED else state.get("python", "")
    return (
        state.get("digest") == setup_digest(version)
        and need in state.get("needs", [])
        and environment_python().exists()
        and VENDOR_STAMP.exists()
    )


def read_state() -> dict[str, Any]:
    """Return what the last finished set-up noted; empty when there is none to trust."""
    try:
        state = json.loads(STATE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def setup_digest(version: str) -> str:
    """Hash everything that a set-up depends on; the path counts, since scripts hold it."""
    digest = hashlib.sha256(f"{ROOT}|{version}|{sys.platform}".encode())
    for name in SETUP_INPUTS:
        try:
            content = (ROOT / name).read_bytes()
        except OSError as error:
            raise BootstrapError(f"{name} cannot be read ({error}); is the clone whole?") from error
        digest.update(f"|{name}|{len(content)}|".encode() + content)
    return digest.hexdigest()


def build_environment(python: Sequence[str], version: str, need: str, say: Say) -> None:
    """Install everything for `need`; the stamp goes first and comes back last."""
    before = read_state()
    reusable = (
        before.get("python") == version
        and before.get("root") == str(ROOT)
        and environment_python().exists()
    )
    with contextlib.suppress(FileNotFoundError):
        STATE.unlink()
    say(f"Setting up (1/4): environment with Python {version}")
    if not reusable:
        make_environment(python)
    say("Setting up (2/4): build tools")
    install("--require-hashes", "--requirement", "locks/build.lock")
    needs = sorted({need, "runtime", *(before.get("needs", []) if reusable else [])})
    lock = "dev" if "dev" in needs else "runtime"
    say("Setting up (3/4): packages" + (" with test tools" if lock == "dev" else ""))
    install("--require-hashes", "--requirement", f"locks/{lock}.lock")
    say("Setting up (4/4): LTS and its front end")
    install("--editable", ".")
    state = {"digest": setup_digest(version), "needs": needs, "python": version, "root": str(ROOT)}
    temporary = STATE.with_suffix(".tmp")
    temporary.write_text(json.dumps(state), encoding="utf-8")
    temporary.replace(STATE)


def make_environment(python: Sequence[str]) -> None:
    """Make a new, empty .venv in place of whatever stands there."""
    step(
        [*python, "-m", "venv", "--clear", str(ENVIRONMENT)],
        "The environment .venv could not be made. On Debian and Ubuntu, install the package "
        "python3-venv; elsewhere, check that this folder is writable. Then start again.",
    )


def install(*arguments: str) -> None:
    """Run pip in .venv: no cache, no questions, nothing beyond what the lock names."""
    command = [str(environment_python()), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "install", "--no-cache-dir", "--no-deps", "--no-build-isolation"]
    step(
        [*command, *arguments],
        "The packages could not be installed. Check the network and the free disk space "
        "(about 1 GB), then start again: the set-up goes on from the beginning.",
    )


def step(command: Sequence[str], advice: str) -> None:
    """Run one step of the set-up silently; on failure show the end of what it said."""
    code, output = run_tool(command, clean_environment(), capture=True)
    if code != 0:
        tail = "\n".join(output.strip().splitlines()[-OUTPUT_TAIL_LINES:])
        raise BootstrapError(f"{tail}\n{advice}")


def find_python() -> tuple[list[str], str]:
    """Return the command and version of a supported Python: this one, else the newest on PATH."""
    running = sys.version_info[:2]
    if running in SUPPORTED:
        return [sys.executable], version_text(running)
    for version in SUPPORTED:
        text = version_text(version)
        candidates = [[f"python{text}"]]
        if sys.platform == "win32":
            candidates.append(["py", f"-{text}"])
        for candidate in candidates:
            if shutil.which(candidate[0]) and python_version(candidate) == text:
                return candidate, text
    raise BootstrapError(
        f"LTS needs Python 3.11, 3.12 or 3.13; this is {version_text(sys.version_info[:3])}, and "
        "none of them is on PATH. Install one of them and start again.",
        WRONG_USE,
    )


def python_version(command: Sequence[str]) -> str:
    """Ask an interpreter for its version; empty when it does not run (a shim, say)."""
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        code, output = run_tool([*command, "-c", question], clean_environment(), capture=True)
    except OSError:
        return ""
    return output.strip() if code == 0 else ""


def version_text(version: Sequence[int]) -> str:
    """Write a version as people do."""
    return ".".join(str(part) for part in version)


def environment_python() -> Path:
    """Return the interpreter of .venv."""
    return tool("python")


def tool(name: str) -> Path:
    """Return a program of .venv."""
    if sys.platform == "win32":
        return ENVIRONMENT / "Scripts" / f"{name}.exe"
    return ENVIRONMENT / "bin" / name


def clean_environment() -> dict[str, str]:
    """Return the caller's variables without those that would mislead the set-up."""
    return {name: value for name, value in os.environ.items() if name not in MISLEADING_VARIABLES}


@contextlib.contextmanager
def one_at_a_time(say: Say) -> Iterator[None]:
    """Hold the set-up's lock; the system frees it when its holder dies."""
    with SETUP_LOCK.open("a+b") as handle:
        waiting = False
        while not try_lock(handle):
            if not waiting:
                say("Another set-up of this clone is running; waiting for it.")
                waiting = True
            time.sleep(0.2)
        yield


def try_lock(handle: IO[bytes]) -> bool:
    """Take the lock if it is free; closing the file releases it."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - exists on Windows only

        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl  # noqa: PLC0415 - does not exist on Windows

    try:
        fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- The commands --------------------------------------------------------------------------------


def run(quiet: bool) -> int:
    """Become `lts run`; on Windows, where no process can become another, stand in front of it."""
    command = [str(environment_python()), str(ROOT / "bootstrap.py"), LAUNCH]
    command += ["--quiet", "run"] if quiet else ["run"]
    if sys.platform == "win32":
        return stand_in_front(command)
    # Held back until launch() can answer, so that no signal is lost or kills with another code.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    os.execv(command[0], command)


def stand_in_front(command: Sequence[str]) -> int:
    """Run a child that gets the console's Ctrl-C itself, and wait for its orderly end."""
    stopped = False
    with subprocess.Popen(command) as child:
        while True:
            try:
                code = child.wait()
                return OK if stopped else code
            except Stopped:
                stopped = True


def launch(arguments: Sequence[str]) -> NoReturn:
    """Start the `lts` command inside .venv's Python; until it listens, a signal means exit 0."""

    def leave(number: int, frame: object) -> NoReturn:
        raise SystemExit(OK)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    # Bytecode belongs to the set-up: from here on nothing is written outside the data directory.
    for source in SOURCES:
        if (ROOT / source).is_dir():
            compileall.compile_dir(str(ROOT / source), quiet=2)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.argv = ["lts", *arguments]
    from lts_web.cli import main as lts  # noqa: PLC0415 - exists only inside .venv

    lts(arguments)
    sys.exit(OK)


def test(arguments: Sequence[str], quiet: bool) -> int:
    """Run the tests with coverage, free from the caller's LTS_* settings."""
    command = [str(environment_python()), "-m", "pytest", "-n", "2", "--dist", "worksteal"]
    command += ["--cov", "--cov-report=term"]
    code = run_aloud([*command, *arguments], without_settings(), quiet)
    return {0: OK, 4: WRONG_USE}.get(code, FAILURE)


def check(quiet: bool) -> int:
    """Run every check, also after one has failed: format, lint, types, imports."""
    python = str(environment_python())
    checks = {
        "format": [python, "-m", "ruff", "format", "--check", "."],
        "lint": [python, "-m", "ruff", "check", "."],
        "types": [python, "-m", "mypy"],
        "imports": [str(tool("lint-imports")), "--no-logo"],
    }
    say = speaker(quiet)
    failed = []
    for name, command in checks.items():
        say(f"Checking {name} ...")
        if run_aloud(command, without_settings(), quiet) != 0:
            failed.append(name)
    if failed:
        raise BootstrapError(f"Not in order: {', '.join(failed)}.")
    say("All checks passed.")
    return OK


def without_settings() -> dict[str, str]:
    """Return the environment without LTS_* variables, except the folder of real bars."""
    return {
        name: value
        for name, value in clean_environment().items()
        if not name.upper().startswith("LTS_") or name == "LTS_REFERENCE_DATA"
    }


def run_aloud(command: Sequence[str], variables: Mapping[str, str], quiet: bool) -> int:
    """Run a tool with its output shown; when quiet, show it only if the tool fails."""
    code, output = run_tool(command, variables, capture=quiet)
    if code != 0:
        sys.stderr.write(output)
    return code


def run_tool(
    command: Sequence[str], variables: Mapping[str, str], capture: bool
) -> tuple[int, str]:
    """Run a program to its end in the clone's folder; whoever stops us stops its whole family."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.STDOUT if capture else None,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as child:
        try:
            output, _ = child.communicate()
        except Stopped:
            end_family(child)
            raise
        return child.returncode, output or ""


def end_family(child: subprocess.Popen[str]) -> None:
    """Ask a child and all that it started to stop, wait a while, then insist."""
    if sys.platform == "win32":
        child.terminate()
        child.wait()
        return
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=STOP_GRACE_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
