"""A stack of six services on Docker against the engine's own time for the same containers.

The engine's own time: the containers are created and started side by side through its API, and
asked whether they are ready until all have answered. Both ways take turns, round by round.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker

from lab_services.paths import models_dir
from lab_services.stack import containers, image
from lab_services.stack.compose import ComposeFile, Service, read
from lab_services.stack.docker import DockerRuntime
from lab_services.stack.engine import connect
from lab_services.stack.ports import free_port
from lab_services.stack.readiness import answers

ROUNDS = 5
AT_MOST = 1.25
SIX = Path(__file__).parent / "six" / "compose.yaml"


def seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def bare_start(client: docker.DockerClient, tag: str, compose: ComposeFile, mark: str) -> None:
    """The containers that the stack would have, by the engine's API alone."""
    client.networks.create(mark, driver="bridge", labels={mark: ""})

    def start(service: Service) -> None:
        port = service.ports[0].container
        host = free_port(set())
        entry = containers.entry(compose, service, 1, tag, {port: host}, service.cpus)
        mounts = {v.source: {"bind": v.target, "mode": "ro"} for v in service.volumes}
        client.containers.run(
            tag,
            entry["command"],
            detach=True,
            environment=entry["environment"],
            ports={f"{port}/tcp": ("127.0.0.1", host)},
            volumes=mounts,
            network=mark,
            user=entry["user"],
            init=True,
            cap_drop=entry["cap_drop"],
            security_opt=entry["security_opt"],
            labels={mark: ""},
        )
        assert service.probe is not None
        while not answers(service.probe, host):
            time.sleep(0.02)

    with ThreadPoolExecutor(len(compose.services)) as pool:
        list(pool.map(start, compose.services.values()))


def bare_remove(client: docker.DockerClient, mark: str) -> None:
    for container in client.containers.list(all=True, filters={"label": mark}):
        container.remove(force=True)
    for network in client.networks.list(filters={"label": mark}):
        network.remove()


def main() -> int:
    client = connect().client
    compose = read(SIX, {"LAB_MODELS": str(models_dir())})
    tag = image.ensure(client, print)
    bare: list[float] = []
    stack: list[float] = []
    down: list[float] = []
    for number in range(ROUNDS + 1):
        mark = f"lab-bench-{number}"
        try:
            bare.append(seconds(lambda: bare_start(client, tag, compose, mark)))  # noqa: B023
        finally:
            bare_remove(client, mark)
        with tempfile.TemporaryDirectory() as folder:
            runtime = DockerRuntime(compose, f"bench{number}", Path(folder), "bench")
            try:
                stack.append(seconds(lambda: runtime.up(lambda text: None)))  # noqa: B023
            finally:
                down.append(seconds(runtime.remove))
    for times in (bare, stack, down):
        del times[0]  # the first round reads everything from the disk
    ratio = statistics.median(stack) / statistics.median(bare)
    print(f"the engine alone {statistics.median(bare):.2f} s  {[f'{t:.2f}' for t in bare]}")
    print(f"the stack        {statistics.median(stack):.2f} s  {[f'{t:.2f}' for t in stack]}")
    print(f"the stack's end  {statistics.median(down):.2f} s  {[f'{t:.2f}' for t in down]}")
    print(
        f"ratio {ratio:.2f}, at most {AT_MOST}: {'reached' if ratio <= AT_MOST else 'NOT REACHED'}"
    )
    return 0 if ratio <= AT_MOST else 1


if __name__ == "__main__":
    sys.exit(main())
