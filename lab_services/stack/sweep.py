"""Remove what keepers that were killed have left behind."""

import os

import psutil

from lab_services.stack import state


def sweep() -> list[str]:
    """Remove every trace of this user's dead keepers; returns a line for each removed thing.

    On plain processes only folders can be left: services end with their keeper. On Docker these
    are containers, networks and volumes.
    """
    removed = []
    for ident in state.left_behind():
        state.remove(ident)
        removed.append(f"folder of the keeper {ident}")
    # The SDK is imported only where it is used.
    from lab_services.stack import docker

    there, _ = docker.available()
    for ident in sorted(docker.left_behind() - living()) if there else ():
        docker.remove_left_behind(ident)
        removed.append(f"containers of the keeper {ident}")
    return removed


def living() -> set[str]:
    """The keepers of this user that run, those with another LAB_STATE too."""
    found = set()
    for process in psutil.process_iter(["cmdline", "uids"]):
        words = process.info["cmdline"] or []
        uids = process.info["uids"]
        if "lab_services.stack.keeper" in words[:-1] and uids and uids.real == os.getuid():
            found.add(words[words.index("lab_services.stack.keeper") + 1])
    return found
