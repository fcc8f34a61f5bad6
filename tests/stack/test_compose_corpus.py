"""What Compose files say in odd ways, read here and by Compose itself: alike, or refused here."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab_services.stack import compose
from lab_services.stack.compose import ComposeError, Service
from lab_services.stack.engine import compose_command
from lab_services.stack.runtime import RuntimeUnavailable

COMMAND = "command: [run]"
VALUES = """\
yes|Yes|NO|no|on|ON|Off|y|N|true|True|FALSE|'n'|"~"|12|-3|-0|0.25|123456.75|-1.5|12:30|12:30:45|1.2.3|10s|=|<<
|a b|'it''s'|"\\x41\\u00e9"|a#b|"a #b"|http://b/c?d|"$$A"|"${UNSET:-d}"|${UNSET:-5}|${SET}|"$SET"
|""|.
|a,b|"[a]"|nulls|NuLL|'null'|"1e3"|"017"|"2013-01-01"|2013-1|é
""".replace("\n", "")
ODD = """\
0o8|1e3|017|09|0x1F|-0x1F|0o17|0O17|0b11|1_000|685_230.15|.5|-.5|+.5|1.|1.0|1.50|0.10|1.e3|1.0e10|1e-7
|+12|1234567.5|-_1|1e_3|.inf|-.INF|.NaN|123456789012345678
|2013-01-01|2013-01-01T10:00:00Z|~|null|Null|[a]|{a: b}|!!str 1|!x 1
|*a|$1
|"a$"|"${}"|"${1:-a}"|"${B:+c}"|"$é"|"${UNSET}"
""".replace("\n", "")


def services(bodies: Sequence[str]) -> str:
    """A file with one service for each body, which says everything but the image."""
    parts = []
    for number, body in enumerate(bodies):
        indented = "".join(f"    {line}\n" for line in body.splitlines())
        parts.append(f"  s{number}:\n    image: x\n{indented}")
    return "services:\n" + "".join(parts)


def with_(body: str) -> str:
    return f"{COMMAND}\n{body}"


PUBLISHED = with_('ports: ["127.0.0.1::80"]\n')
ALIKE = [
    *(with_(f"environment:\n  A: {value}") for value in VALUES.split("|")),
    *(with_(f"environment:\n  {key}: a") for key in ("NO", "ON", "Off", "y", "12:30", "'1'")),
    with_("environment: [NO=1, A=2, A=3, B=, C=a=b, 'D=${SET}']"),
    with_("environment: {<<: {A: b}, C: d}"),
    with_('environment: {<<: {A: 1e3, B: "${UNSET}"}, A: b, B: c}'),
    with_("environment: {<<: [{A: b}, {A: c, D: e}], C: d}"),
    with_('environment:\n  A: |\n    two\n    lines\n  B: >\n    one\n    line'),
    with_('"environment": {"A": "b"}'),
    "command: [a, NO, 'c d', '', '1', \"$$B\"]",
    "command: a 'b c' \"d e\" #f",
    "command: sh -c 'a | b; c'",
    "command: |\n  a b\n  c",
    "command: a * {b,c} ?",
    with_("deploy:"),
    with_("deploy: {replicas: 3}"),
    with_('deploy: {replicas: "${UNSET:-3}"}'),
    *(with_(f"deploy: {{resources: {{limits: {{memory: {size}}}}}}}")
      for size in ('"300"', "5m", "5M", "5mb", "5 m", "5b", "64K", "1g", '"${UNSET:-7}m"')),
    *(with_(f"deploy: {{resources: {{limits: {{cpus: {count}}}}}}}")
      for count in ("1", '"2.0"', "1.0", '"3"')),
    *(with_(f"stop_grace_period: {time}") for time in ("10s", "1m30s", "1.5s", "200ms", "1m5ms")),
    with_("stop_signal: SIGINT"),
    with_("profiles: [job, NO]"),
    with_('ports: ["127.0.0.1::80", "127.0.0.1:08081:081"]'),
    with_('volumes: ["./a:/b", "./c/:/d/:ro", "../e:/f/../g", ".:/h:rw", "~/i:/j", "/k:/l"]'),
    with_("user: '1'\ninit: true\nread_only: True\ntmpfs: /a\ncap_drop: [ALL]\nworking_dir: /b"),
    with_("user: NO\ninit: false\ntmpfs: [/a]"),
    PUBLISHED + "healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], interval: 1m30s}",
    PUBLISHED + "healthcheck: {test: curl -f http://127.0.0.1:80/, retries: 3, timeout: 500ms}",
    PUBLISHED + "healthcheck: {test: [CMD-SHELL, redis-cli -p 80 ping], retries: '3'}",
    with_("healthcheck: {}"),
]  # fmt: skip
LINES = r"""environment:
environment: [1]
environment: [true]
environment: [1e3]
environment: [A]
environment: ["A = b"]
environment: ["=b"]
environment: {"A=b": c}
environment: 5
environment: {<<: 5}
command:
command: ""
command: " "
command: []
command: [""]
command: "''"
command: [a, 1]
command: [a, true]
command: [a, ~]
command: [a, 1e3]
command: 5
command: 1e3
command: a | b
command: a; b
command: a > b
command: a & b
command: a (b)
command: a `b`
command: a \\b
command: 'a "b'
command: {a: b}
healthcheck:
healthcheck: []
healthcheck: {interval: 1s}
healthcheck: {test: }
healthcheck: {test: []}
healthcheck: {test: [curl, -f, 'http://127.0.0.1:80/']}
healthcheck: {test: [NONE]}
healthcheck: {test: ""}
healthcheck: {test: [CMD, curl, 'http://127.0.0.1:80/']}
healthcheck: {test: [CMD, curl -f, 'http://127.0.0.1:80/']}
healthcheck: {test: [CMD, curl -s, -f, 'http://127.0.0.1:80/']}
healthcheck: {test: [CMD, CURL, -f, 'http://127.0.0.1:80/']}
healthcheck: {test: "curl -f\n\n http://127.0.0.1:80/"}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/é']}
healthcheck: {test: [CMD, redis-cli ping]}
healthcheck: {test: [CMD, redis-cli, -P, '80', ping]}
healthcheck: {test: [CMD, pg_isready, -h, 127.0.0.1, -p, '80', -d, 'host=other']}
healthcheck: {test: [CMD, curl, -f, -k, 'http://127.0.0.1:80/']}
healthcheck: {test: [CMD, curl, -f, -H, a, 'http://127.0.0.1:80/']}
healthcheck: {test: [CMD, curl, -f, 'http://b:80/']}
healthcheck: {test: [CMD, curl, -fX, POST, 'http://127.0.0.1:80/']}
healthcheck: {test: 'curl -f http://127.0.0.1:80/ || exit 1'}
healthcheck: {test: 'curl -f http://127.0.0.1:80/a&b'}
healthcheck: {test: [CMD-SHELL, curl -f, 'http://127.0.0.1:80/']}
healthcheck: {test: [CMD-SHELL, 'curl -f http://127.0.0.1:80/ | a']}
healthcheck: {test: [CMD, redis-cli, -p, '80', -a, secret, ping]}
healthcheck: {test: [CMD, redis-cli, -h, b, -p, '80', ping]}
healthcheck: {test: [CMD, redis-cli, -p, '80', -n, '2', ping]}
healthcheck: {test: [CMD, redis-cli, -p, '80', ping, pong]}
healthcheck: {test: [CMD, pg_isready, -h, other, -p, '80']}
healthcheck: {test: [CMD, pg_isready, -p, '80']}
healthcheck: {test: [CMD, pg_isready, -h, 127.0.0.1, -p, '80', -t, '1']}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], interval: soon}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], interval: 5}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], interval: '5'}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], interval: }
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], timeout: 1x}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], start_period: -1s}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], retries: many}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], retries: -3}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], retries: 1.5}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], retries: }
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], retries: true}
healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:80/'], retries: 1e3}
deploy: {resources: {limits: {memory: 300}}}
deploy: {resources: {limits: {memory: 0}}}
deploy: {resources: {limits: {memory: "5  m"}}}
deploy: {resources: {limits: {memory: " 5m"}}}
deploy: {resources: {limits: {memory: many}}}
deploy: {resources: {limits: {memory: 1e3}}}
deploy: {resources: {limits: {memory: }}}
deploy: {resources: {limits: {memory: [5m]}}}
deploy: []
deploy: 5
deploy: {replicas: 0}
deploy: {replicas: true}
deploy: {replicas: 1e0}
deploy: {replicas: 03}
deploy: {replicas: [1]}
deploy: {resources: }
deploy: {resources: {limits: {cpus: [1]}}}
stop_grace_period: 10
stop_grace_period: soon
stop_grace_period: " 2s"
stop_grace_period:
stop_grace_period: [1s]
stop_grace_period: 1e3
stop_signal: 9
stop_signal:
stop_signal: [SIGINT]
stop_signal: SIGSOON
profiles:
profiles: [1]
profiles: [1e3]
profiles: job
profiles: [[a]]
profiles: {a: b}
ports:
ports: [80]
ports: [{target: 80}]
ports: ["127.0.0.1::80/udp"]
ports: [80:80]
volumes:
volumes: [5]
volumes: ["./a"]
volumes: ["./a::ro"]
volumes: [":/b"]
volumes: ["./a:b"]
volumes: ["./a:/b", "./c:/b"]
volumes: ["~b/a:/b"]
volumes: ["none:/b"]
volumes: [{type: bind}]
depends_on:
depends_on: [5]
depends_on: [[a]]
depends_on: {s0: }
depends_on: {s0: [a]}
depends_on: s0
user: 1
user:
user: 1e3
init: yes
init:
read_only: on
tmpfs: [1]
tmpfs: 5
cap_drop: ALL
cap_drop: [1]
security_opt: a
working_dir: 5
build: 5
image: y
restrat: a
"""
REFUSED = [
    *(with_(f"environment:\n  A: {value}") for value in ODD.split("|")),
    *(
        with_(f"environment:\n  {key}: a")
        for key in ("1", "1.5", "true", "~", "012", "1e3", "[a]", "''")
    ),
    *(
        line
        if line.startswith("command")
        else (with_(line) if line.startswith("ports") else PUBLISHED + line)
        for line in LINES.splitlines()
    ),
]


def command() -> tuple[str, ...]:
    try:
        return compose_command()
    except RuntimeUnavailable as missing:
        pytest.skip(missing.message)


def theirs(path: Path) -> dict[str, Any]:
    """The services of a file as Compose reads it."""
    answer = subprocess.run(
        [*command(), "-f", str(path), "--profile", "*", "config", "--format", "json"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "SET": "a value"},
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)["services"]
    return found


def ours(path: Path) -> dict[str, Service]:
    return dict(compose.read(path, {"SET": "a value"}).services)


def seconds(text: str) -> float:
    """A duration as Go writes it."""
    sizes = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(n) * sizes[unit] for n, unit in re.findall(r"([\d.]+)(ms|[hms])", text))


def assert_alike(service: Service, other: dict[str, Any]) -> None:
    """`config` prints each dollar twice, so that its output can be read as a Compose file."""
    other = json.loads(json.dumps(other).replace("$$", "$"))
    assert list(service.command) == other["command"]
    assert service.environment == other.get("environment", {})
    assert [(v.source, v.target, v.read_only) for v in service.volumes] == [
        (v["source"], v["target"], v.get("read_only", False)) for v in other.get("volumes", [])
    ]
    assert [(p.container, p.host) for p in service.ports] == [
        (p["target"], int(p["published"]) if p.get("published") else None)
        for p in other.get("ports", [])
    ]
    assert list(service.profiles) == other.get("profiles", [])
    deploy = other.get("deploy", {})
    limits = deploy.get("resources", {}).get("limits", {})
    assert service.replicas == deploy.get("replicas", 1)
    assert (service.cpus or 0) == float(limits.get("cpus", 0))
    assert (service.memory or 0) == int(limits.get("memory", 0))
    assert service.stop_signal == other.get("stop_signal", "SIGTERM")
    assert service.stop_grace == seconds(other.get("stop_grace_period", "10s"))
    assert service.has_healthcheck == ("test" in other.get("healthcheck", {}))
    for key, value in service.container.items():
        # A default of Compose is left out of what it prints; one path may stand for a list of one.
        printed = other.get(key, False)
        assert printed in (value, [value]), key


def test_what_is_read_is_read_alike(tmp_path: Path) -> None:
    """A name or a value that is lost or changed in silence: two topologies in one file."""
    path = tmp_path / "compose.yaml"
    path.write_text(services(ALIKE))
    read, known = ours(path), theirs(path)
    assert read.keys() == known.keys()
    for body, (name, service) in zip(ALIKE, read.items(), strict=True):
        try:
            assert_alike(service, known[name])
        except AssertionError as error:
            error.add_note(f"in:\n{body}")
            raise


def test_what_is_read_otherwise_is_refused(tmp_path: Path) -> None:
    """Another question than the health check's, or a traceback once the stack starts."""
    path = tmp_path / "compose.yaml"
    taken = []
    for body in REFUSED:
        path.write_text(services([body]))
        try:
            compose.read(path, {"SET": "a value"})
        except ComposeError as error:
            assert re.match(rf"{path}, line [1-9]\d*, \S+.*: ", error.message), error.message
        else:
            taken.append(body)
    assert not taken
