"""The Compose reader: what it understands, and that everything else is refused by name and line."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from lab_services.errors import LabError
from lab_services.stack import compose
from lab_services.stack.compose import ComposeError, ComposeFile, Port, Probe, Volume
from lab_services.stack.engine import compose_command
from lab_services.stack.runtime import RuntimeUnavailable

WHOLE = """\
x-predictor: &predictor
  image: lab-services
  command: [python, -m, lab_services.services.server, "app:app"]
  environment: &settings {PORT: 8000, THREADS: "${THREADS:-1}", LEVEL: on}
  ports: ["127.0.0.1::8000"]
services:
  good:
    <<: *predictor
    deploy:
      replicas: 2
      resources: {limits: {cpus: "1.0", memory: 256m}}
  rough:
    <<: *predictor
    command: python -m http.server --directory '/a b'
    environment: {<<: *settings, LEVEL: 12:30, URL: "http://store:6379/$$0"}
    volumes: ["./code:/app:ro", "kept:/data"]
    depends_on: {store: {condition: service_healthy}}
    stop_signal: SIGINT
    stop_grace_period: 1m30s
  store:
    image: lab-services
    command: [redis-server, --port, "6379"]
    ports: ["127.0.0.1:16379:6379"]
    healthcheck: {test: [CMD, redis-cli, ping], interval: 1s}
  train:
    image: lab-services
    command: [python, train.py]
    environment: ["ROWS=10=10", "EMPTY="]
    profiles: [job]
    user: "10001"
volumes:
  kept:
"""


def read(tmp_path: Path, text: str, **variables: str) -> ComposeFile:
    path = tmp_path / "compose.yaml"
    path.write_text(text)
    return compose.read(path, variables)


def one(body: str, more: str = "") -> str:
    """A file with one good service, to which `body` is added (line 5 on), and more services."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"services:\n  a:\n    image: x\n    command: [run]\n{lines}{more}"


def test_the_whole_subset(tmp_path: Path) -> None:
    """Every supported key is read; a key that is read and dropped would change a topology."""
    read_file = read(tmp_path, WHOLE)
    good, rough, store, train = read_file.services.values()
    assert good.command == ("python", "-m", "lab_services.services.server", "app:app")
    assert good.environment == {"PORT": "8000", "THREADS": "1", "LEVEL": "on"}
    assert (good.replicas, good.cpus, good.memory) == (2, 1, 256 * 1024**2)
    assert good.ports == (Port(8000),)
    assert good.probe == Probe("tcp", 8000)
    assert rough.command == ("python", "-m", "http.server", "--directory", "/a b")
    assert rough.environment["LEVEL"] == "12:30"
    assert rough.environment["URL"] == "http://store:6379/$0"
    assert rough.volumes == (
        Volume(str(tmp_path / "code"), "/app", named=False, read_only=True),
        Volume("kept", "/data", named=True),
    )
    assert rough.depends_on == {"store": "service_healthy"}
    assert (rough.stop_signal, rough.stop_grace) == ("SIGINT", 90.0)
    assert store.ports == (Port(6379, 16379),)
    assert store.probe == Probe("redis", 6379)
    assert (train.is_job, store.is_job) == (True, False)
    assert train.environment == {"ROWS": "10=10", "EMPTY": ""}
    assert train.container == {"user": "10001"}
    assert read_file.volumes == ("kept",)


def test_compose_itself_reads_the_same(tmp_path: Path) -> None:
    """A file that we read otherwise than Compose would be two topologies under one name."""
    try:
        command = compose_command()
    except RuntimeUnavailable as missing:
        pytest.skip(missing.message)
    ours = read(tmp_path, WHOLE, THREADS="4")
    answer = subprocess.run(
        [*command, "-f", str(ours.path), "--profile", "job", "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "THREADS": "4"},
    )
    theirs = json.loads(answer.stdout)["services"]
    assert set(theirs) == set(ours.services)
    for name, service in ours.services.items():
        other = theirs[name]
        assert list(service.command) == [word.replace("$$", "$") for word in other["command"]]
        assert service.environment == {
            key: value.replace("$$", "$") for key, value in other.get("environment", {}).items()
        }
        assert [(v.source, v.target) for v in service.volumes] == [
            (v["source"], v["target"]) for v in other.get("volumes", [])
        ]
        assert [(p.container, p.host) for p in service.ports] == [
            (p["target"], int(p["published"]) if p.get("published") else None)
            for p in other.get("ports", [])
        ]
        assert list(service.profiles) == other.get("profiles", [])
        limits = other.get("deploy", {}).get("resources", {}).get("limits", {})
        assert (service.cpus or 0) == float(limits.get("cpus", 0))
        assert (service.memory or 0) == int(limits.get("memory", 0))


REFUSED = {
    "service key": (one("restart: always"), 5, "services.a.restart", "not supported"),
    "network": (
        "services: {a: {image: x, command: c}}\nnetworks: {}", 2, "networks", "not supported",
    ),
    "deploy key": (one("deploy: {mode: global}"), 5, "a.deploy.mode", "not supported"),
    "health check key": (
        one(
            'ports: ["127.0.0.1::80"]\n'
            'healthcheck: {test: [CMD, curl, -f, "http://127.0.0.1:80/"], disable: true}'
        ), 6, "a.healthcheck.disable", "not supported",
    ),
    "reservation": (
        one("deploy: {resources: {reservations: {}}}"), 5, "deploy.resources", "only `limits",
    ),
    "other limit": (
        one("deploy: {resources: {limits: {pids: 3}}}"), 5, "deploy.resources", "only `limits",
    ),
    "all interfaces": (one('ports: ["8000:8000"]'), 5, "ports", "loopback only"),
    "port alone": (one("ports: [8000]"), 5, "ports", "loopback only"),
    "other interface": (one('ports: ["0.0.0.0:1:1"]'), 5, "ports", "loopback only"),
    "udp": (one('ports: ["127.0.0.1::53/udp"]'), 5, "ports", "loopback only"),
    "no such port": (one('ports: ["127.0.0.1::70000"]'), 5, "ports", "1 to 65535"),
    "port twice": (one('ports: ["127.0.0.1::80", "127.0.0.1:81:80"]'), 5, "a.ports", "once"),
    "fixed port twice": (
        one(
            'ports: ["127.0.0.1:80:80"]',
            '  b: {image: x, command: run, ports: ["127.0.0.1:80:81"]}',
        ), 6, "b.ports", "only one",
    ),
    "fixed port, replicas": (
        one('ports: ["127.0.0.1:80:80"]\ndeploy: {replicas: 2}'), 5, "a.ports", "only one",
    ),
    "ports not a list": (one('ports: "127.0.0.1::80"'), 5, "a.ports", "a list"),
    "key twice": (one("image: y"), 5, "services.a.image", "twice"),
    "service twice": (
        "services:\n  a: {image: x, command: c}\n  a: {}", 3, "services.a", "twice",
    ),
    "no services": ("name: x", 1, "the file", "needs a mapping `services`"),
    "empty": ("", 1, "the file", "needs a mapping `services`"),
    "no service": ("services: {}", 1, "services", "no service"),
    "service not a mapping": ("services:\n  a: x", 2, "services.a", "a mapping"),
    "service name": ("services:\n  a_b: {}", 2, "services.a_b", "small letters"),
    "no image": ("services:\n  a: {command: c}", 2, "services.a", "needs `image`"),
    "no command": ("services:\n  a: {image: c}", 2, "services.a", "needs `command`"),
    "command's numbers": ("services: {a: {image: x, command: [a, 1]}}", 1, "command", "quotes"),
    "command's quotes": (
        "services: {a: {image: x, command: \"a 'b\"}}", 1, "a.command", "No closing quotation",
    ),
    "image not a text": ("services: {a: {image: 3, command: c}}", 1, "a.image", "a text"),
    "no replicas": (one("deploy: {replicas: 0}"), 5, "deploy.replicas", "count"),
    "replicas yes": (one("deploy: {replicas: true}"), 5, "deploy.replicas", "count"),
    "half a core": (
        one("deploy: {resources: {limits: {cpus: '0.5'}}}"), 5, "limits.cpus", "whole cores",
    ),
    "endless cores": (
        one("deploy: {resources: {limits: {cpus: .inf}}}"), 5, "limits.cpus", "whole cores",
    ),
    "memory": (
        one("deploy: {resources: {limits: {memory: lots}}}"), 5, "limits.memory", "a size",
    ),
    "limits": (one("deploy: {resources: {limits: 3}}"), 5, "deploy.resources", "only `limits"),
    "grace": (one("stop_grace_period: soon"), 5, "a.stop_grace_period", "duration"),
    "signal": (one("stop_signal: SIGSOON"), 5, "a.stop_signal", "not a signal"),
    "variable without value": (one("environment: {A: }"), 5, "environment.A", "no value"),
    "variable of the shell": (one("environment: [A]"), 5, "a.environment", "NAME=value"),
    "nested variable": (one("environment: {A: [1]}"), 5, "environment.A", "one text"),
    "date": (one("environment: {A: 2013-01-01}"), 5, "environment.A", "in quotes"),
    "hexadecimal": (one("environment: {A: 0x1F}"), 5, "environment.A", "in quotes"),
    "octal": (one("environment: {A: 010}"), 5, "environment.A", "in quotes"),
    "power": (one("environment: {A: 1e3}"), 5, "environment.A", "in quotes"),
    "1.0": (one("environment: {A: 1.0}"), 5, "environment.A", "in quotes"),
    "environment a text": (one("environment: A=b"), 5, "a.environment", "a mapping or a list"),
    "unset": (one("environment:\n  A: ${NO_SUCH}"), 6, "environment.A", "not set"),
    "unset, plain": (one("environment:\n  A: $NO_SUCH"), 6, "environment.A", "not set"),
    "unset, asked for": (
        one("environment:\n  A: ${NO_SUCH:?say it}"), 6, "environment.A", "say it",
    ),
    "other operator": (one("environment:\n  A: ${B:+c}"), 6, "environment.A", "${NAME:-default}"),
    "nested default": (one("environment:\n  A: ${B:-${C}}"), 6, "A", "${NAME:-default}"),
    "lone dollar": (one("environment:\n  A: 5$"), 6, "environment.A", "$$"),
    "volume": (one("volumes: [/data]"), 5, "a.volumes", "source:target"),
    "volume's mode": (one('volumes: ["./a:/a:z"]'), 5, "a.volumes", "source:target"),
    "undeclared volume": (one('volumes: ["kept:/a"]'), 5, "a.volumes", "not declared"),
    "volume's options": (one("", "volumes:\n  kept: {driver: x}"), 6, "volumes.kept", "options"),
    "volumes a list": (one("", "volumes: [kept]"), 5, "volumes", "a mapping"),
    "no such dependency": (one("depends_on: [b]"), 5, "a.depends_on", "no service 'b'"),
    "condition": (
        one("depends_on: {a: {condition: soon}}"), 5, "depends_on.a", "service_healthy",
    ),
    "condition missing": (one("depends_on: {a: }"), 5, "depends_on.a", "needs `condition`"),
    "waits for itself": (one("depends_on: [a]"), 5, "a.depends_on", "circle: a"),
    "circle": (
        one("depends_on: [b]", "  b: {image: x, command: c, depends_on: [a]}"),
        5, "a.depends_on", "circle: a, b",
    ),
    "waits for a server's end": (
        one(
            "depends_on: {b: {condition: service_completed_successfully}}",
            '  b: {image: x, command: c, ports: ["127.0.0.1::80"]}',
        ), 5, "depends_on.b", "never ends",
    ),
    "health without check": (
        one(
            "depends_on: {b: {condition: service_healthy}}",
            '  b: {image: x, command: c, ports: ["127.0.0.1::80"]}',
        ), 5, "depends_on.b", "needs a `healthcheck`",
    ),
    "waits for a job": (
        one("depends_on: [b]", "  b: {image: x, command: c, profiles: [job]}"),
        5, "depends_on", "a job",
    ),
    "profile a text": (one("profiles: job"), 5, "a.profiles", "a list"),
    "no probe": (one("healthcheck: {interval: 1s}"), 5, "healthcheck.test", "readiness test"),
    "other probe": (one("healthcheck: {test: [CMD, true]}"), 5, "healthcheck.test", "quotes"),
    "shell probe": (
        one('healthcheck: {test: "curl http://127.0.0.1:80/ || exit 1"}'),
        5, "healthcheck.test", "readiness test",
    ),
    "probe elsewhere": (
        one('healthcheck: {test: "curl http://example.org/"}'),
        5, "healthcheck.test", "readiness test",
    ),
    "probe's port": (
        one('healthcheck: {test: "redis-cli -p many ping"}'),
        5, "healthcheck.test", "readiness test",
    ),
    "probe unpublished": (
        one('healthcheck: {test: "curl -f http://127.0.0.1:80/"}'),
        5, "healthcheck.test", "not published",
    ),
    "unpublished port": (
        one("environment:\n  URL: http://b:81", "  b: {image: x, command: c}"),
        6, "environment.URL", "does not publish port 81",
    ),
    "unpublished, command": (
        "services:\n  b: {image: x, command: c}\n  a: {image: x, command: run b:81}",
        3, "a.command", "does not publish port 81",
    ),
    "calls replicas": (
        one(
            "environment:\n  URL: http://b:80",
            '  b: {image: x, command: c, ports: ["127.0.0.1::80"], deploy: {replicas: 2}}',
        ), 6, "environment.URL", "through a proxy",
    ),
    "calls a job": (
        one(
            "environment:\n  URL: http://b:80",
            '  b: {image: x, command: c, ports: ["127.0.0.1::80"], profiles: [job]}',
        ), 6, "environment.URL", "a job",
    ),
    # What the YAML library itself, or the reading of what it makes, once ended in a traceback for.
    "more than Unicode": (one(r'user: "\U99999999"'), 5, "the file", "is not valid YAML"),
    "control character": (one("user: a\x07b"), 5, "the file", "control character 0x07"),
    "braces of a template": (
        "services:\n  a:\n    image: {{ x }}\n    command: c", 3, "a.image", "a key must be a text",
    ),
    "key that is a list": (one("environment:\n  ? [a]\n  : b"), 6, "a.environment", "a text"),
    "key that is a mapping": (one("environment:\n  {a: b}: c"), 6, "environment", "a text"),
    "alias inside itself": (one("environment: &e\n  A: *e"), 6, "the file", "inside itself"),
    "merged into itself": (one("environment: &e\n  <<: *e"), 6, "the file", "inside itself"),
    "list inside itself": (one("ports: &p\n  - *p"), 6, "the file", "inside itself"),
    "deep nesting": (one(f"ports: {'[' * 5000}"), 5, "the file", "deeper than"),
    "deep mappings": (one(f"ports: {'{a: ' * 5000}"), 5, "the file", "deeper than"),
    "aliases of aliases": (
        "x-a0: &a0 [a]\n"
        + "".join(f"x-a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
        + one(""), 1, "the file", "aliases make more than",
    ),
    "no such alias": (one("environment: *e"), 5, "the file", "undefined alias"),
    "merge of a number": (one("<<: 5"), 5, "the file", "mapping"),
    "two documents": (one("") + "---\na: b\n", 5, "the file", "single document"),
    "tab": (one("\tuser: a"), 5, "the file", "cannot start any token"),
    "tag": (one("environment: !reset null"), 5, "the file", "tag !reset"),
    "tag of Python": (one("environment: !!python/name:os.system x"), 5, "the file", "tag"),
    "tag that does not fit": (one("user: !!int a"), 5, "the file", "tag"),
    "time that is none": (one("environment: {A: 2013-99-99}"), 5, "environment.A", "in quotes"),
    "traffic of mappings": (
        "x-traffic: [{a: 1}]\n" + one(""), 1, "x-traffic", "a list of services: a",
    ),
    "traffic of lists": ("x-traffic: [[a]]\n" + one(""), 1, "x-traffic", "a list of services"),
    "traffic a text": ("x-traffic: a\n" + one(""), 1, "x-traffic", "a list of services"),
    "a list": ("- a", 1, "the file", "needs a mapping `services`"),
    "services a list": ("services: [a]", 1, "the file", "needs a mapping `services`"),
    # What Compose ignores.
    "version": ('version: "3"\n' + one(""), 1, "version", "take the line out"),
    "extension": (one("x-note: a"), 5, "a.x-note", "take the line out"),
    "placement": (one("deploy: {placement: {}}"), 5, "deploy.placement", "take the line out"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "key", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, text: str, line: int, key: str, reason: str) -> None:
    """What not every runtime can do alike is refused with file, line and key, never ignored."""
    with pytest.raises(ComposeError) as caught:
        read(tmp_path, text)
    place, _, what = caught.value.message.partition(": ")
    start = f"{tmp_path / 'compose.yaml'}, line {line}, "
    assert place.startswith(start)
    assert key in place.removeprefix(start)
    assert reason in what


def test_an_unsupported_key_names_the_supported(tmp_path: Path) -> None:
    """Somebody who meets the limit of the subset must learn what is inside it."""
    with pytest.raises(ComposeError) as caught:
        read(tmp_path, one("restart: always"))
    assert "healthcheck" in caught.value.hint


MANY = """\
version: "3"
services:
  a:
    image: x
    command: [run]
    restart: always
    environment: {A: , B: 1e3, C: ${NO}, D: good}
    ports: ["8000", "127.0.0.1::8000", "8001"]
    healthcheck: {test: "curl http://127.0.0.1:8000/", interval: soon, retries: many}
    deploy: {replicas: 0, resources: {limits: {memory: 300, cpus: 0.5}}}
  b:
    image: x
    depends_on: {a: {condition: soon}}
  c:
    image: x
    command: [run, "a:8001"]
    depends_on: [a, d]
"""


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """A file that is mended and refused, one problem after the other, a dozen times."""
    with pytest.raises(ComposeError) as caught:
        read(tmp_path, MANY.replace("${NO}", '"${NO}"'))
    head, *told = caught.value.message.splitlines()
    assert head == f"{tmp_path / 'compose.yaml'} has 16 problems:"
    assert [line.partition(": ")[0].strip() for line in told] == [
        "line 1, version",
        "line 6, services.a.restart",
        *(f"line 7, services.a.environment.{name}" for name in "CAB"),
        "line 8, services.a.ports.0",
        "line 8, services.a.ports.2",
        *(f"line 9, services.a.healthcheck.{key}" for key in ("interval", "retries", "test")),
        "line 10, services.a.deploy.replicas",
        *(f"line 10, services.a.deploy.resources.limits.{key}" for key in ("memory", "cpus")),
        "line 11, services.b",
        "line 13, services.b.depends_on.a",
        "line 17, services.c.depends_on",
    ]
    assert caught.value.hint.count("Supported here") == 1


def test_of_hundreds_the_first_are_told(tmp_path: Path) -> None:
    """A thousand lines of a file that is something else altogether."""
    body = "environment:\n" + "".join(f"  A{n}: \n" for n in range(200))
    with pytest.raises(ComposeError, match="and 180 more") as caught:
        read(tmp_path, one(body))
    assert len(caught.value.message.splitlines()) == 22


def test_a_dotenv_beside_the_file_is_not_passed_over(tmp_path: Path) -> None:
    """A default in the place of the value that Compose takes from the file beside it."""
    (tmp_path / ".env").write_text("# A\nexport THREADS = 4\nOTHER: x\n")
    text = one('environment: {A: "${THREADS:-1}", B: "${UNKNOWN:-2}"}')
    with pytest.raises(ComposeError, match=r"line 5, services.a.environment.A: .*\.env"):
        read(tmp_path, text)
    assert read(tmp_path, text, THREADS="8").service("a").environment == {"A": "8", "B": "2"}


def test_variables(tmp_path: Path) -> None:
    """Each form of a variable, as Compose fills it in."""
    body = """environment:
  SET: "${A} $A ${A:-b} ${A:?c}"
  EMPTY: "<${E}><${E:-d}>"
  DEFAULT: "${NO:-http://x/y z}"
  LITERAL: "$$A $${A}"
  VERSION: 1.2.3
  TIME: 10s
  NUMBER: 0.25
deploy: {replicas: "${N}"}"""
    service = read(tmp_path, one(body), A="1", E="", N="3").service("a")
    assert service.environment == {
        "SET": "1 1 1 1",
        "EMPTY": "<><d>",
        "DEFAULT": "http://x/y z",
        "LITERAL": "$A ${A}",
        "VERSION": "1.2.3",
        "TIME": "10s",
        "NUMBER": "0.25",
    }
    assert service.replicas == 3


def test_variables_that_are_named(tmp_path: Path) -> None:
    """The whole environment of a notebook, secrets too, sent along for one name in the file."""
    text = one('environment: {A: "${FIRST}", B: "${SECOND:-two}", C: "${EMPTY:-}"}')
    variables = {"FIRST": "1", "EMPTY": "", "SECRET": "none of its business"}
    assert read(tmp_path, text, **variables).variables == {"FIRST": "1", "EMPTY": ""}


def test_pairs_that_can_be_cut_off(tmp_path: Path) -> None:
    """A pair of one, of three, of a service that is not there: no partition would ever hold."""
    more = "  b: {image: x, command: [run]}\nx-partitions: [[b, a], [a, b]]\n"
    assert read(tmp_path, one("", more)).partitions == {frozenset({"a", "b"})}
    for wrong in ("[a, b]", "[[a]]", "[[a, a]]", "[[a, b, a]]", "[[a, c]]", "[[a, {}]]", "a"):
        with pytest.raises(ComposeError, match="x-partitions: a list of pairs of services: a, b"):
            read(tmp_path, one("", more.replace("[[b, a], [a, b]]", wrong)))


def test_an_anchor_that_overrides_may_be_used_twice(tmp_path: Path) -> None:
    """The merged keys of an anchor stood in it for good and were then taken for duplicates."""
    text = """
x-first: &first {A: a, B: b}
x-second: &second {<<: *first, B: other}
services:
  one: {image: x, command: c, environment: *second}
  two: {image: x, command: c, environment: *second}
"""
    services = read(tmp_path, text).services
    assert services["one"].environment == services["two"].environment == {"A": "a", "B": "other"}


def test_an_error_in_an_anchor_has_the_line_of_the_anchor(tmp_path: Path) -> None:
    """The line where the merge stands would send the reader to the wrong place."""
    text = "x-a: &a\n  restart: always\nservices:\n  a:\n    <<: *a\n    image: x\n    command: c\n"
    with pytest.raises(ComposeError, match=r"line 2, services\.a\.restart"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("test", "probe"),
    [
        ('[CMD, curl, -fsS, "http://127.0.0.1:80/ready"]', Probe("http", 80, "/ready")),
        ('["CMD-SHELL", "curl -f http://localhost:80/a?b=c"]', Probe("http", 80, "/a?b=c")),
        ("curl --fail http://127.0.0.1:80/", Probe("http", 80, "/")),
        ('[CMD, redis-cli, -p, "80", ping]', Probe("redis", 80)),
        ('[CMD, redis-cli, -p, "80", PING]', Probe("redis", 80)),
        ('[CMD, pg_isready, -h, localhost, -U, me, -p, "80"]', Probe("postgres", 80)),
    ],
)
def test_probes(tmp_path: Path, test: str, probe: Probe) -> None:
    """Each way of asking for readiness that the runtimes can put themselves."""
    text = one(f'ports: ["127.0.0.1::80"]\nhealthcheck: {{test: {test}}}')
    assert read(tmp_path, text).service("a").probe == probe


@pytest.mark.parametrize(
    ("written", "seconds"), [("10s", 10), ("1m", 60), ("1.5s", 1.5), ("200ms", 0.2), ("2m3s", 123)]
)
def test_durations(tmp_path: Path, written: str, seconds: float) -> None:
    """Compose's way to write a duration, in seconds."""
    assert read(tmp_path, one(f"stop_grace_period: {written}")).service("a").stop_grace == seconds


@pytest.mark.parametrize(
    ("written", "size"), [("256m", 2**28), ("1g", 2**30), ("64K", 2**16), ("5mb", 5 * 2**20)]
)
def test_sizes(tmp_path: Path, written: str, size: int) -> None:
    """Compose's way to write a size, in bytes."""
    text = one(f"deploy: {{resources: {{limits: {{memory: {written}}}}}}}")
    assert read(tmp_path, text).service("a").memory == size


def test_not_yaml(tmp_path: Path) -> None:
    """A typing error in the file is told with its line, not as a traceback."""
    with pytest.raises(ComposeError, match="line 2, the file: this is not valid YAML"):
        read(tmp_path, "services:\n  a: [")


def test_unreadable(tmp_path: Path) -> None:
    """A wrong path, a folder, a binary file: each is a plain message."""
    with pytest.raises(ComposeError, match="There is no Compose file"):
        compose.read(tmp_path / "none.yaml", {})
    with pytest.raises(ComposeError, match="cannot be read"):
        compose.read(tmp_path, {})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ComposeError, match="cannot be read"):
        compose.read(tmp_path / "binary.yaml", {})


def test_references(tmp_path: Path) -> None:
    """A service whose name is part of another's, or of a host's, must not be taken for it."""
    file = read(tmp_path, one("", "  a-b: {image: x, command: c}\n  b: {image: x, command: c}\n"))
    text = "a:1 http://a-b:2/x,b:3 my-a:4 x.b:5 b:6x ab:7"
    assert file.references(text) == [("a", 1), ("a-b", 2), ("b", 3)]


def test_no_such_service(tmp_path: Path) -> None:
    """Who mistypes a service's name sees the names there are."""
    with pytest.raises(LabError, match="no service 'b'") as caught:
        read(tmp_path, one("")).service("b")
    assert "a" in caught.value.hint
