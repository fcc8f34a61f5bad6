"""Run as `python -m probe_me ACT`: the sort of things that a service process does."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time


def child(queue: "multiprocessing.Queue[int]") -> None:
    """What a spawned worker hands back."""
    queue.put(os.getpid())


def main() -> None:
    """Do what the argument says."""
    match sys.argv[1]:
        case "tell":
            told = {
                "arguments": sys.argv[1:],
                "environment": dict(os.environ),
                "folder": os.getcwd(),
                "path": sys.path,
                "name": __name__,
                "leader": os.getpgid(0) == os.getpid(),
                "signals": {
                    n.name: str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGHUP)
                },
                "cores": sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [],
                "descriptors": len(os.listdir("/dev/fd")),
            }
            sys.stdout.write(json.dumps(told) + "\n")
        case "exit":
            sys.exit(int(sys.argv[2]))
        case "say":
            sys.exit("a reason")
        case "raise":
            raise ValueError("a fault")
        case "wait":
            sys.stdout.write("waiting\n")  # in the log though nobody flushes and it is killed
            time.sleep(60)
        case "graceful":
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
            sys.stdout.write("waiting\n")
            time.sleep(60)
        case "orphan":
            other = subprocess.Popen(["sleep", "60"])
            sys.stdout.write(f"{other.pid}\n")
        case "spawn":
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            worker = context.Process(target=child, args=(queue,))
            worker.start()
            answer = queue.get(timeout=20)
            worker.join()
            sys.exit(0 if answer == worker.pid else 1)


if __name__ == "__main__":
    main()
