"""Brings a script into the project's own virtual environment, and makes that environment when it is missing.

Standard library only, and written so that a Python too old for Saudager still parses it and can say so in one line.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NETWORK_WORDS = (
    "NewConnectionError",
    "NameResolutionError",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
    "Connection aborted",
)


def stop(text):
    """End with one line that says what to do, and status 1."""
    sys.stderr.write("saudager: " + text + "\n")
    sys.exit(1)


def enter(dev=False):
    """Go on with the calling script inside the virtual environment, making it or bringing it up to date first.

    With `dev` the tools for tests and checks are there too. Returns only in the right interpreter; ends the program
    with one line and status 1 when there can be none.
    """
    if sys.version_info < OLDEST:
        here = ".".join(map(str, sys.version_info[:2]))
        stop(f"Python 3.11 or newer is needed, and this is {here}. Start with a newer one, e.g. python3.12 {sys.argv[0]}")
    venv = os.path.join(os.path.abspath(os.environ.get("VAR_DIR") or os.path.join(ROOT, "var")), "venv")
    if os.path.realpath(sys.prefix) == os.path.realpath(venv):
        sys.path.insert(0, ROOT)
        return
    python = os.path.join(venv, "bin", "python")
    files = [os.path.join(ROOT, name) for name in ["requirements.txt"] + (["requirements-dev.txt"] if dev else [])]
    try:
        if not _ready(venv, python, files):
            _make(venv, python, files)
    except KeyboardInterrupt:
        stop("interrupted while installing; start again to go on")
    except OSError as error:
        stop(_why_not(error, venv))
    sys.stdout.flush()
    os.execv(python, [python, *sys.argv])


def _why_not(error, venv):
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        place = error.filename or os.path.dirname(venv)
        return (
            f"cannot write to {place}. Give this user the right to, or name a folder it may write to, "
            f"e.g. VAR_DIR=$HOME/saudager {sys.argv[0]}"
        )
    if error.errno == errno.ENOSPC:
        return f"the disk is full: about 1 GB is needed in {os.path.dirname(venv)}"
    return f"cannot prepare {venv}: {error.strerror or error}"


def _stamp(venv, files):
    """What the environment was made from: a change of any part of it calls for a new one."""
    digest = hashlib.sha256("{}|{}.{}".format(venv, *sys.version_info[:2]).encode())
    for path in files:
        with open(path, "rb") as lines:
            digest.update(lines.read())
    return digest.hexdigest()


def _stamp_path(venv, files):
    return os.path.join(venv, "installed-dev" if len(files) > 1 else "installed")


def _ready(venv, python, files):
    try:
        with open(_stamp_path(venv, files)) as stamp:
            return stamp.read() == _stamp(venv, files) and os.access(python, os.X_OK)
    except OSError:
        return False


def _make(venv, python, files):
    _need_modules()
    os.makedirs(os.path.dirname(venv), exist_ok=True)
    import fcntl

    with open(os.path.join(os.path.dirname(venv), "install.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _say("another start is installing the packages; waiting for it ...\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _ready(venv, python, files):
            return
        if not _usable(python):
            _create(venv)
        _install(venv, python, files)
        with open(_stamp_path(venv, files), "w") as stamp:
            stamp.write(_stamp(venv, files))


def _need_modules():
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        stop(
            "this Python has no venv module. Install it and start again, e.g. apt install python{}.{}-venv".format(
                *sys.version_info[:2]
            )
        )


def _usable(python):
    """Whether the interpreter in the environment is there, of this version, and in its own place."""
    code = "import sys, pip; print(sys.version_info[:2], sys.prefix)"
    try:
        said = subprocess.check_output([python, "-c", code], stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return False
    here = os.path.dirname(os.path.dirname(python))
    pip = os.path.join(here, "bin", "pip")
    if said != f"{tuple(sys.version_info[:2])} {here}" or not os.path.exists(pip):
        return False
    with open(pip, "rb") as script:
        return here.encode() in script.read(4096)


def _create(venv):
    _say(f"Making the virtual environment in {venv} ...\n")
    shutil.rmtree(venv, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", venv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    if made.returncode:
        shutil.rmtree(venv, ignore_errors=True)
        lines = made.stdout.decode(errors="replace").strip().splitlines() or ["no reason given"]
        stop(f"python3 -m venv failed: {lines[-1]}")


def _install(venv, python, files):
    """pip, quietly: one line of progress here, everything it says in install.log."""
    log_path = os.path.join(os.path.dirname(venv), "install.log")
    wanted = sum(_count(path) for path in files)
    _say(f"Installing {wanted} packages, once; this takes a minute or two ...\n")
    command = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    for path in files:
        command += ["-r", path]
    seen = 0
    with open(log_path, "w") as log:
        pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            for raw in pip.stdout:
                line = raw.decode(errors="replace")
                log.write(line)
                if line.startswith(("Collecting ", "Requirement already satisfied: ")):
                    seen += 1
                    _progress(f"  {min(seen, wanted)} of {wanted}")
                elif line.startswith("Installing collected"):
                    _progress("  unpacking   ")
        except BaseException:
            pip.terminate()
            raise
        finally:
            status = pip.wait()
            _progress(" " * 20 + "\r")
    if status:
        stop(_pip_failure(log_path))


def _count(path):
    with open(path) as lines:
        return sum(1 for line in lines if line.strip() and not line.startswith(("#", "-")))


def _pip_failure(log_path):
    with open(log_path, errors="replace") as log:
        text = log.read()
    details = f"the details are in {log_path}"
    if "No space left on device" in text:
        return f"the disk is full: about 1 GB is needed; {details}"
    reached = any(line.strip().startswith(("Downloading ", "Using cached ", "Processing ")) for line in text.splitlines())
    if not reached or any(word in text for word in NETWORK_WORDS):
        return f"the packages could not be downloaded: check the network (or pip's index and proxy) and start again; {details}"
    errors = [line[7:].strip() for line in text.splitlines() if line.startswith("ERROR: ")]
    last = errors[-1] if errors else "pip failed"
    if any("No matching distribution" in line for line in errors):
        return f"a package has no build for this machine's Python ({last}). Use Python 3.11 to 3.13 on Linux; {details}"
    return f"the packages could not be installed: {last}; {details}"


def _say(text):
    sys.stderr.write(text)
    sys.stderr.flush()


def _progress(text):
    if sys.stderr.isatty():
        with contextlib.suppress(OSError):
            _say("\r" + text)


if __name__ == "__main__":
    # For shell scripts: makes the environment with the development tools and prints where it is.
    enter(dev=True)
    sys.stdout.write(sys.prefix + "\n")
