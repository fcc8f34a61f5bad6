"""Remove what supervisors that were killed have left behind."""

import os

import psutil

from lab_services.stack import state


def prune() -> list[str]:
    """Remove every trace of this user's dead supervisors; returns a line for each removed thing.

    On plain processes only folders can be left: services end with their supervisor. On Docker these
    are containers, networks and volumes.
    """
    removed = []
    for ident in state.left_behind():
        state.remove(ident)
        removed.append(f"folder of the supervisor {ident}")
    # The SDK is imported only where it is used.
    from lab_services.stack import docker

    there, _ = docker.available()
    for ident in sorted(docker.left_behind() - living()) if there else ():
        docker.remove_left_behind(ident)
        removed.append(f"containers of the supervisor {ident}")
    return removed


def living() -> set[str]:
    """The supervisors of this user that run, those with another LAB_STATE too."""
    found = set()
    for process in psutil.process_iter(["cmdline", "uids"]):
        words = process.info["cmdline"] or []
        uids = process.info["uids"]
        if (
            "lab_services.stack.supervisor_process" in words[:-1]
            and uids
            and uids.real == os.getuid()
        ):
            found.add(words[words.index("lab_services.stack.supervisor_process") + 1])
    return found
