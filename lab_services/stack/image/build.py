"""Build the image by the engine's own builder: no Docker client and no buildx are needed."""

import json
import re
import textwrap
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import docker
import requests
from docker.types import CancellableStream

from lab_services import writing
from lab_services.errors import LabError
from lab_services.paths import MOVE_CACHE, cache_dir
from lab_services.stack.image.context import DOCKERFILE, Context, Options, pack

REPOSITORY = "lab-services"
_KEPT = 2  # tags: the one in use and the one before, so that going back costs nothing
_LABEL = "lab-services.image"  # as in the Dockerfile
_TAIL = 15  # lines of the build shown with a failure
_WIDTH = 300  # characters of each; a step's whole command is longer
_SHOWN = 100  # characters of a line while the build goes on


class ImageBuildFailed(LabError):
    """The service image could not be built."""


def ensure(
    client: docker.DockerClient,
    report: Callable[[str], None],
    cancelled: threading.Event | None = None,
) -> str:
    """The tag of the image for this checkout; builds it first where the engine has none.

    Raises ImageBuildFailed with the build's last lines; also when `cancelled` is set meanwhile.
    """
    options = Options.read()
    context = pack(options)
    tag = _tag(context)
    if _exists(client, tag):
        return tag
    with _one_at_a_time(report):
        if not _exists(client, tag):
            report("image: building it, once for this state of the sources")
            _build(client, context, options, tag, report, cancelled or threading.Event())
            _prune(client, keep=tag)
    return tag


def name() -> str:
    """The tag that the image of this checkout has or will have. Raises LabError for an option."""
    return _tag(pack(Options.read()))


def _tag(context: Context) -> str:
    return f"{REPOSITORY}:{context.fingerprint}"


def _exists(client: docker.DockerClient, tag: str) -> bool:
    try:
        client.images.get(tag)
    except docker.errors.ImageNotFound:
        return False
    return True


@contextmanager
def _one_at_a_time(report: Callable[[str], None]) -> Iterator[None]:
    """A second stack waits for the first one's build; the lock dies with its process."""

    def waiting() -> None:
        report("image: another stack is building it")

    with writing.locked(cache_dir(), "image.lock", MOVE_CACHE, waiting):
        yield


def _build(
    client: docker.DockerClient,
    context: Context,
    options: Options,
    tag: str,
    report: Callable[[str], None],
    cancelled: threading.Event,
) -> None:
    tail: deque[str] = deque(maxlen=_TAIL)
    finished = threading.Event()
    try:
        with closing(_request(client, context, options, tag)) as response:
            messages = (json.loads(line) for line in response.iter_lines() if line)
            stream = CancellableStream(messages, response)
            threading.Thread(target=_cut, args=(stream, cancelled, finished), daemon=True).start()
            output = ""  # the engine sends what a step writes in pieces of any size
            for message in stream:
                if error := message.get("error"):
                    raise _failure(error, tail)
                *lines, output = (output + _text(message)).split("\n")
                for line in filter(None, map(str.strip, lines)):
                    tail.append(line)
                    report(f"image: {textwrap.shorten(line, _SHOWN)}")
    except (docker.errors.DockerException, OSError) as error:
        raise _failure(str(error), tail) from None
    finally:
        finished.set()
    if cancelled.is_set():
        raise ImageBuildFailed("The build of the service image was cancelled.")
    if not _exists(client, tag):
        raise _failure("The engine closed the connection.", tail)


def _request(
    client: docker.DockerClient, context: Context, options: Options, tag: str
) -> requests.Response:
    # Not client.api.build: its answer cannot be closed from another thread, and a build that
    # nobody waits for any more would go on. The engine ends it when the connection closes.
    api = client.api
    parameters: dict[str, Any] = {
        "t": tag,
        "dockerfile": DOCKERFILE,
        "buildargs": json.dumps({"BASE": options.base, **options.proxies}),
        "rm": True,
        "forcerm": True,
    }
    if options.network:
        parameters["networkmode"] = options.network
    response = api.post(
        f"{api.base_url}/v{api.api_version}/build",
        params=parameters,
        data=context.archive,
        headers={"Content-Type": "application/x-tar"},
        stream=True,
    )
    if response.status_code != 200:
        response.close()
        raise docker.errors.APIError(response.text, response=response)
    return response


def _cut(
    stream: "CancellableStream[dict[str, Any]]",
    cancelled: threading.Event,
    finished: threading.Event,
) -> None:
    while not finished.wait(0.1):
        if cancelled.is_set():
            stream.close()
            return


def _text(message: dict[str, Any]) -> str:
    # The base is being pulled: a line for each layer's state, not one for each of its bytes.
    if "status" in message and "progressDetail" not in message:
        return f"{message['status']}\n"
    return re.sub(r"\x1b\[\d*m|^ ---> .*", "", message.get("stream", ""))


_HINTS = (
    (
        ("certificate verif", "certificate_verify_failed", "unknownissuer", "self-signed"),
        "Your network looks into TLS: LAB_EXTRA_CA=/path/to/authority.pem adds its certificate.",
    ),
    (("no space left",), "The engine's disk is full: `docker system prune` frees some."),
    (
        ("manifest", "pull access denied", "registry", "repository does not exist"),
        "The base image cannot be pulled. Behind a proxy, tell it to the Docker engine; "
        "LAB_BASE_IMAGE names another base; `.ci/base` makes one from Debian's packages.",
    ),
    (
        ("resolv", "name resolution", "dns error", "connect", "timed out", "unreachable"),
        "The build reaches no package server. Behind a proxy, set HTTPS_PROXY and HTTP_PROXY; "
        "LAB_BUILD_NETWORK=host builds on this machine's own network.",
    ),
)


def _failure(error: str, tail: deque[str]) -> ImageBuildFailed:
    text = "\n".join(textwrap.shorten(line, _WIDTH) for line in (*tail, error))
    # Not the steps themselves, which speak of certificates and indexes too.
    said = "\n".join(
        line.lower() for line in (*tail, error) if not line.startswith(("Step ", "The command "))
    )
    hint = next(
        (hint for words, hint in _HINTS if any(word in said for word in words)),
        "The lines above say which step failed.",
    )
    return ImageBuildFailed(f"The service image could not be built:\n{text}", hint)


def _prune(client: docker.DockerClient, keep: str) -> None:
    images = sorted(client.images.list(REPOSITORY), key=lambda image: str(image.attrs["Created"]))
    ours = [tag for image in reversed(images) for tag in image.tags if tag != keep]
    for tag in [t for t in ours if t.startswith(f"{REPOSITORY}:")][_KEPT - 1 :]:
        try:
            client.images.remove(tag)
        except docker.errors.APIError as error:
            if error.status_code not in (404, 409):  # gone already, or a container runs from it
                raise
    # What builds that failed have left: the next one used it, or never will.
    client.images.prune(filters={"dangling": True, "label": _LABEL})
