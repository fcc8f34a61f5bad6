"""The docker runtime: every replica a container on the engine of this machine.

Compose starts the containers; everything else is asked of the engine itself, whose answers come
in milliseconds.
"""

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import docker
from requests.exceptions import JSONDecodeError, RequestException

from lab_services.errors import LabError
from lab_services.stack import blackhole, containers, image
from lab_services.stack.compose import ComposeFile, Service
from lab_services.stack.engine import available, compose_command, connect
from lab_services.stack.messages import Emit, JobResult, Progress, Replica, Usage
from lab_services.stack.ports import check_fixed, free_port
from lab_services.stack.runtime import Cancelled, PortTaken, Runtime, ServiceFailed, WhenGone

__all__ = ["DockerRuntime", "available", "left_behind", "remove_left_behind"]

_PORT_ATTEMPTS = 3  # a port that was free may be gone before its container starts
_LAUNCH_TIMEOUT = 600.0  # seconds for Compose, which may have to pull a large image
_SETTLE = 1.0  # seconds in which the engine may still finish what an ended Compose asked for
_REMOVE_TIMEOUT = 15.0  # seconds
_END_TIMEOUT = 60  # seconds for a container that is killed, or soon done, to end
_SIDE_BY_SIDE = 8  # requests to the engine at once
_STATES = {"running": "starting", "created": "starting", "paused": "paused"}


class DockerRuntime(Runtime):
    """One stack as containers."""

    name: ClassVar[str] = "docker"

    def __init__(self, compose: ComposeFile, ident: str, folder: Path, supervisor: str) -> None:
        super().__init__(compose, ident, folder)
        self._engine = connect()
        self._api = self._engine.client.api
        self._labels = {
            containers.STACK: ident,
            containers.KEEPER: supervisor,
            containers.USER: str(os.getuid()),
        }
        self._images: dict[str, str] = {}
        self._ports: dict[tuple[str, int], dict[int, int]] = {}
        self._exit_codes: dict[str, int] = {}
        self._addresses: dict[str, str] = {}  # by container
        self._separated: set[frozenset[str]] = set()  # the pairs of services that are cut off now
        # By container, the addresses that it does not reach; None where that is not known.
        self._unreached: dict[str, set[str] | None] = {}
        self._cpu_limits: dict[str, float] = {}  # cores a replica, by service
        self._launching = threading.RLock()
        self._spawning = threading.Lock()  # between `closing` and the start of Compose
        self._process: subprocess.Popen[str] | None = None
        self._settled = 0.0  # when the engine has surely finished what a failed Compose began

    # --- start --------------------------------------------------------------------------------

    def prepare(self, emit: Emit) -> None:
        """Check ports and mounts; build the image where a service needs it and it is not there."""
        for service in self.services.values():
            check_fixed(service)
            containers.check_mounts(service)
            self._images[service.image] = service.image
        if image.REPOSITORY in self._images:
            built = image.ensure(
                self._engine.client, lambda text: emit(Progress(text)), self.closing
            )
            self._images[image.REPOSITORY] = built

    def launch(self, counts: Mapping[str, int]) -> None:
        """Create and start the containers that are not there yet."""
        with self._launching:
            there = {(r.service, r.number) for r in self.replicas()}
            wanted = [(name, n) for name, count in counts.items() for n in range(1, count + 1)]
            self._create([replica for replica in wanted if replica not in there])
            if self._separated:
                self._cut_off()

    def _create(self, replicas: list[tuple[str, int]]) -> None:
        for attempt in range(_PORT_ATTEMPTS):
            if not replicas:
                return
            entries = [self._entry(name, number) for name, number in replicas]
            error = self._compose_up(containers.project(self.ident, self._labels, entries))
            if error is None:
                return
            fixed = [n for n, _ in replicas if any(p.host for p in self.services[n].ports)]
            if not _is_port_error(error) or fixed or attempt + 1 == _PORT_ATTEMPTS:
                raise self._start_error(error)
            replicas = self._discard_unstarted(replicas)

    def _entry(self, name: str, number: int) -> dict[str, Any]:
        service = self.services[name]
        if (name, number) not in self._ports:
            taken = {port for ports in self._ports.values() for port in ports.values()}
            chosen: dict[int, int] = {}
            for port in service.ports:
                chosen[port.container] = port.host or free_port(taken | set(chosen.values()))
            self._ports[name, number] = chosen
        return containers.entry(
            self.compose,
            service,
            number,
            self._images[service.image],
            self._ports[name, number],
            self._cores(name),
        )

    def _compose_up(self, project: Any) -> str | None:
        """Run Compose; None, or what it complained of."""
        file = self.folder / "compose.json"
        file.write_text(json.dumps(project, indent=1))
        kept = {k: v for k, v in os.environ.items() if not k.startswith("COMPOSE_")}
        command = [*compose_command(), "--progress", "quiet", "--file", str(file)]
        command += ["up", "--detach", "--no-recreate", "--no-build", "--quiet-pull"]
        with self._spawning:
            self._check_open()
            self._process = subprocess.Popen(
                command,
                # Compose refuses to work where the folder of whoever started us has gone meanwhile.
                cwd=self.folder,
                env={**kept, "DOCKER_HOST": self._engine.host, "COMPOSE_IGNORE_ORPHANS": "true"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        try:
            errors = self._process.communicate(timeout=_LAUNCH_TIMEOUT)[1].strip()
        except subprocess.TimeoutExpired:
            self._end_compose()
            self._process.communicate()
            raise ServiceFailed(
                f"Compose has not started its containers within {_LAUNCH_TIMEOUT:.0f} s.",
                "Where it pulls an image, pull it by hand first: docker pull IMAGE.",
            ) from None
        if self._process.returncode == 0:
            return None
        self._settled = time.monotonic() + _SETTLE
        self._check_open()
        return errors or f"Compose ended with exit code {self._process.returncode}."

    def _discard_unstarted(self, replicas: list[tuple[str, int]]) -> list[tuple[str, int]]:
        running = set()
        for container in self._containers():
            if container["State"] == "running":
                running.add(_identity(container))
            elif _identity(container) in replicas:
                self._api.remove_container(container["Id"], force=True)
        remaining = [replica for replica in replicas if replica not in running]
        for replica in remaining:
            del self._ports[replica]
        return remaining

    def _start_error(self, error: str) -> LabError:
        text = error.splitlines()[-1].removeprefix("Error response from daemon: ")
        if _is_port_error(error):
            return PortTaken(
                f"A port that the stack publishes is taken: {text}", "End the program that has it."
            )
        if "address pool" in text:
            return LabError(
                f"The engine has no network left: {text}",
                "Stop stacks that nobody uses: `lab ps`, `lab down --all`.",
            )
        named = re.search(rf"lab-{self.ident}-([a-z0-9-]+)_\d+", error)
        return ServiceFailed(f"{named[1] if named else 'The stack'} could not be started: {text}")

    # --- look ---------------------------------------------------------------------------------

    def _containers(self) -> list[dict[str, Any]]:
        # With a service's label: helpers have that of the stack, and are no replicas.
        mine = [f"{containers.STACK}={self.ident}", containers.SERVICE]
        found: list[dict[str, Any]] = self._api.containers(all=True, filters={"label": mine})
        for container in found:
            networks = container["NetworkSettings"]["Networks"].values()
            self._addresses[container["Id"]] = next((n["IPAddress"] for n in networks), "")
        return found

    def replicas(self, service: str | None = None) -> list[Replica]:
        """What the engine lists now."""
        return [
            Replica(
                service=name,
                number=number,
                state=_STATES.get(container["State"], "exited"),
                ports=self._ports.get((name, number), {}),
                exit_code=self._exit_code(container),
                ident=container["Id"],
            )
            for container in sorted(self._containers(), key=_identity)
            for name, number in [_identity(container)]
            if service in (None, name) and container["State"] != "removing"
        ]

    def endpoint(self, caller: str, replica: Replica, container_port: int) -> str | None:
        """The container's own address on the stack's network, as the engine's DNS tells it."""
        if frozenset({caller, replica.service}) in self._separated:
            return None
        return f"{self._addresses[replica.ident]}:{container_port}"

    def _exit_code(self, container: dict[str, Any]) -> int | None:
        ident = container["Id"]
        if container["State"] in _STATES:
            return None
        if ident not in self._exit_codes:
            with contextlib.suppress(docker.errors.NotFound):  # removed this very moment
                state = self._api.inspect_container(ident)["State"]
                self._exit_codes[ident] = int(state["ExitCode"])
        return self._exit_codes.get(ident)

    def logs(self, service: str, number: int | None, lines: int) -> str:
        """The last lines of one replica, or of all."""
        self.compose.service(service)
        found = [r for r in self.replicas(service) if number in (None, r.number)]
        texts = []
        for replica in found:
            mark = f"{service}-{replica.number} | " if len(found) > 1 else ""
            texts += [mark + line for line in self._log(replica, lines).splitlines()]
        return "\n".join(texts)

    def _log(self, replica: Replica, lines: int | Literal["all"]) -> str:
        try:
            text: bytes = self._api.logs(replica.ident, tail=lines)
        except docker.errors.APIError as error:
            if error.status_code not in (404, 409):  # gone, or on its way out
                raise
            return ""
        return text.decode(errors="replace")

    def usage(self) -> list[Usage]:
        """As the engine's cgroups count; memory without the file cache that can be given back."""
        running = [r for r in self.replicas() if r.state != "exited"]
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            return [usage for usage in pool.map(self._usage, running) if usage is not None]

    def _usage(self, replica: Replica) -> Usage | None:
        try:
            stats = self._api.stats(replica.ident, stream=False, one_shot=True)
        except (docker.errors.NotFound, JSONDecodeError):
            return None  # it ended this very moment; the engine may answer with nothing then
        memory = stats["memory_stats"]
        if "usage" not in memory:
            return None
        detail = memory["stats"]
        cache = detail.get("inactive_file", detail.get("total_inactive_file", 0))
        seconds = stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        used = memory["usage"] - cache
        return Usage(replica.service, replica.number, seconds, used, _time(stats["read"]))

    # --- act ----------------------------------------------------------------------------------

    def signal(self, replica: Replica, signal_name: str) -> None:
        """Send a signal; SIGKILL returns when the container has ended.

        Raises LabError where the engine does not say so within a minute.
        """
        if replica.state == "paused":
            self.resume(replica)  # the engine signals no paused container
        try:
            self._api.kill(replica.ident, signal_name)
            if signal_name == "SIGKILL":
                self._api.wait(replica.ident, timeout=_END_TIMEOUT)  # without one it has no bound
        except docker.errors.APIError:  # it has answered, and refuses
            raise
        except RequestException as error:
            raise LabError(
                f"The engine does not say whether {replica.service} {replica.number} has got its "
                f"{signal_name}: {error}",
                "Where `docker ps` hangs too, restart Docker; then `lab down --all`.",
            ) from error

    def pause(self, replica: Replica) -> None:
        """Freeze the container's cgroup."""
        self._api.pause(replica.ident)

    def resume(self, replica: Replica) -> None:
        """Let it go on."""
        self._api.unpause(replica.ident)

    def separate(self, pair: frozenset[str], *, cut: bool) -> None:
        """Let nothing pass between a pair of services, or let it pass again."""
        with self._launching:
            self._separated = self._separated | {pair} if cut else self._separated - {pair}
            self._cut_off()

    def _cut_off(self) -> None:
        """In each of the containers, what goes to the others is sent to nobody: see `blackhole`."""
        there = [r for r in self.replicas() if r.state != "exited"]
        wanted = {
            replica.ident: {
                self._addresses[other.ident]
                for other in there
                if frozenset({replica.service, other.service}) in self._separated
            }
            for replica in there
        }
        changed = [r for r in there if wanted[r.ident] != self._unreached.get(r.ident, set())]
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            list(pool.map(lambda r: self._lose(r, wanted[r.ident]), changed))

    def _lose(self, replica: Replica, addresses: set[str]) -> None:
        """Run `blackhole` in the network of a container, which itself has no right to."""
        self._unreached[replica.ident] = None
        try:
            code, said = self._run_helper(
                replica,
                ["python", "-c", Path(blackhole.__file__).read_text(), *sorted(addresses)],
            )
        except docker.errors.APIError as error:
            code, said = 1, str(error)
        except RequestException as error:
            raise LabError(
                f"The engine does not say whether {replica.service} {replica.number} has been cut "
                f"off from another, or joined to it again: {error}",
                f"Try again: lab fault clear {replica.service}. "
                "Where `docker ps` hangs too, restart Docker; then `lab down --all`.",
            ) from error
        if code:
            raise LabError(
                f"{replica.service} cannot be cut off from another: {said[-500:]}",
                "Its image needs a Python, and the engine must grant NET_ADMIN.",
            )
        self._unreached[replica.ident] = addresses

    def _run_helper(self, replica: Replica, command: list[str]) -> tuple[int, str]:
        """The exit code of a program in the network of a container, and what it said."""
        helper = self._api.create_container(
            self._images[self.services[replica.service].image],
            command,
            user="0",
            entrypoint=[],
            labels=self._labels,
            host_config=self._api.create_host_config(
                network_mode=f"container:{replica.ident}",
                cap_drop=["ALL"],
                cap_add=["NET_ADMIN"],
                read_only=True,
            ),
        )["Id"]
        try:
            self._api.start(helper)
            code = int(self._api.wait(helper, timeout=_END_TIMEOUT)["StatusCode"])
            return code, self._api.logs(helper).decode(errors="replace").strip()
        finally:
            with contextlib.suppress(RequestException):  # what stays goes with the stack
                self._api.remove_container(helper, force=True, v=True)

    def hold_to_cores(self, service: str, cores: float | None) -> None:
        """Hold each replica by the quota of its container; None for that of the Compose file."""
        self.compose.service(service)
        errors: dict[int, RequestException] = {}
        with self._launching:  # what is being started has the limit from before
            if cores is None:
                self._cpu_limits.pop(service, None)
            else:
                self._cpu_limits[service] = cores
            quota = containers.cpu_quota(self._cores(service))
            for replica in self.replicas(service):
                if replica.state != "exited":
                    try:
                        self._api.update_container(
                            replica.ident, cpu_period=containers.CPU_PERIOD, cpu_quota=quota
                        )
                    except RequestException as error:  # the others are to be held all the same
                        errors[replica.number] = error
        if errors:
            numbers, last = ", ".join(map(str, errors)), list(errors.values())[-1]
            raise LabError(
                f"The limit of the processor of {service} {numbers} cannot be changed: {last}",
                f"Try again, or end it: lab fault clear {service}",
            ) from last

    def _cores(self, service: str) -> float | None:
        """The limit that holds now: that of the Compose file, or a lower one."""
        stated, limit = self.services[service].cpus, self._cpu_limits.get(service)
        return min((each for each in (stated, limit) if each is not None), default=None)

    def stop(self, replica: Replica) -> None:
        """The stop signal, then SIGKILL after the grace period, in whole seconds."""
        if replica.state == "paused":
            self.resume(replica)
        grace = math.ceil(self.services[replica.service].stop_grace)
        self._api.stop(replica.ident, timeout=grace)

    def discard(self, replica: Replica) -> None:
        """Remove the container; its successor gets the same ports."""
        with contextlib.suppress(docker.errors.NotFound):  # it is to be gone, and is
            self._api.remove_container(replica.ident, force=True, v=True)

    def run_job(self, service: Service, when_gone: WhenGone) -> JobResult:
        """Run a job to its end."""
        begin = time.monotonic()
        with self._launching:
            number = max((r.number for r in self.replicas(service.name)), default=0) + 1
            self._create([(service.name, number)])
        replica = self.replica(service.name, number)

        def kill() -> None:
            # It has ended by itself; or the engine is slow, and then its end is waited for below.
            with contextlib.suppress(docker.errors.APIError, LabError):
                self.signal(replica, "SIGKILL")

        try:
            with when_gone(kill):
                # However long it takes: its end, that of who asked and that of the stack end this.
                exit_code = self._api.wait(replica.ident, timeout=None)["StatusCode"]
        except docker.errors.NotFound:
            raise Cancelled(f"{service.name} was removed before its end.") from None
        self._check_open()
        output = self._log(replica, "all")
        self.discard(replica)
        return JobResult(exit_code, output, time.monotonic() - begin)

    # --- end ----------------------------------------------------------------------------------

    def remove(self) -> None:
        """Kill Compose if it is at work, then remove what carries the stack's label."""
        self.closing.set()
        self._end_compose()
        _remove_labelled(self._api, f"{containers.STACK}={self.ident}", self._settled)
        self._engine.client.close()

    def _end_compose(self) -> None:
        with self._spawning:
            process = self._process
        if process is not None and process.poll() is None:
            self._settled = time.monotonic() + _SETTLE
            with contextlib.suppress(ProcessLookupError):  # it ended this very moment
                os.killpg(process.pid, signal.SIGKILL)


def left_behind() -> set[str]:
    """The supervisors of this user of which the engine still has something."""
    mine = {"label": f"{containers.USER}={os.getuid()}"}
    with contextlib.closing(connect().client) as client:
        labelled = [
            *client.api.containers(all=True, filters=mine),
            *client.api.networks(filters=mine),
            *(client.api.volumes(filters=mine)["Volumes"] or []),
        ]
    return {thing["Labels"][containers.KEEPER] for thing in labelled}


def remove_left_behind(supervisor: str) -> None:
    """Remove what a supervisor that is no more has left on the engine."""
    with contextlib.closing(connect().client) as client:
        _remove_labelled(client.api, f"{containers.KEEPER}={supervisor}", settled=0.0)


def _identity(container: Mapping[str, Any]) -> tuple[str, int]:
    labels = container["Labels"]
    return labels[containers.SERVICE], int(labels[containers.NUMBER])


def _is_port_error(error: str) -> bool:
    return "already allocated" in error or "address already in use" in error


def _remove_labelled(api: docker.APIClient, label: str, settled: float) -> None:
    """Remove containers, then networks, then volumes, until none is left after `settled`."""
    mine = {"label": label}
    deadline = time.monotonic() + _REMOVE_TIMEOUT
    refusals: list[RequestException] = []
    while True:
        boxes = [c["Id"] for c in api.containers(all=True, filters=mine)]
        networks = [n["Id"] for n in api.networks(filters=mine)]
        volumes = [v["Name"] for v in api.volumes(filters=mine)["Volumes"] or []]
        there = [*boxes, *networks, *volumes]
        if not there and time.monotonic() >= settled:
            return
        if there and time.monotonic() > deadline:
            raise LabError(
                "The engine does not remove everything of the stack: "
                f"{refusals[-1] if refusals else f'{there[0]} is still there'}",
                f"docker ps --all --filter label={label} shows what is left.",
            )
        # A container may be on its way out already, a network still in use: asked again.
        refusals = [
            *_each(boxes, lambda ident: api.remove_container(ident, force=True, v=True)),
            *_each(networks, api.remove_network),
            *_each(volumes, lambda name: api.remove_volume(name, force=True)),
        ]
        time.sleep(0.05)


def _each(things: list[str], remove: Any) -> list[RequestException]:
    """What the engine said against it, or that it said nothing in time, after all were tried."""

    def attempt(thing: str) -> RequestException | None:
        try:
            remove(thing)
        except docker.errors.NotFound:
            return None
        except RequestException as error:  # APIError is one too
            return error
        return None

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return [error for error in pool.map(attempt, things) if error is not None]


def _time(text: str) -> float:
    """The engine's time stamp, with nine digits of a second, in Unix seconds."""
    moment, fraction = re.fullmatch(r"([^.Z+]+)(\.\d+)?(?:Z|\+00:00)", text).groups()  # type: ignore[union-attr]
    whole = datetime.fromisoformat(f"{moment}+00:00").timestamp()
    return whole + float(fraction or 0)
