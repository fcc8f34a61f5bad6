"""What a stack may have left on this machine: looked for from outside, no supervisor is asked."""

import os
import time
from pathlib import Path

import docker
import psutil

from lab_services.stack import containers, engine
from lab_services.stack.runtime import RuntimeUnavailable

LIMIT = 5.0  # seconds after which nothing may be left


def processes(root: Path) -> list[str]:
    """The processes that work in or below a root of supervisors, or keep one of them."""
    found = []
    for process in psutil.process_iter():
        try:
            place, words = process.cwd(), process.cmdline()
            environment = process.environ()
        except psutil.Error:
            continue
        keeps = (
            "lab_services.stack.supervisor_process" in words or "lab_services.stack.zygote" in words
        )
        if place.startswith(str(root)) or (keeps and environment.get("LAB_STATE") == str(root)):
            found.append(f"{process.pid} {' '.join(words)}")
    return found


def on_the_engine(supervisors: set[str]) -> list[str]:
    """Containers, networks and volumes that carry the label of one of the supervisors."""
    try:
        client = engine.connect().client
    except RuntimeUnavailable:
        return []
    mine = {"label": f"{containers.USER}={os.getuid()}"}
    try:
        things = [
            *client.api.containers(all=True, filters=mine),
            *client.api.networks(filters=mine),
            *(client.api.volumes(filters=mine)["Volumes"] or []),
        ]
    except docker.errors.APIError as error:
        return [str(error)]
    finally:
        client.close()
    return [
        f"{thing.get('Name') or thing.get('Names')} of {thing['Labels'][containers.KEEPER]}"
        for thing in things
        if thing["Labels"][containers.KEEPER] in supervisors
    ]


def left(root: Path, supervisors: set[str]) -> list[str]:
    """Everything: processes, folders, containers, networks, volumes."""
    folders = [str(f) for f in root.rglob("*")] if root.exists() else []
    return [*processes(root), *folders, *on_the_engine(supervisors)]


def wait_until_nothing_is_left(root: Path, supervisors: set[str], since: float) -> None:
    """Fails when something is still there LIMIT seconds after `since`."""
    while rest := left(root, supervisors):
        if time.monotonic() > since + LIMIT:
            raise AssertionError(f"left after {LIMIT} s: {rest}")
        time.sleep(0.1)
