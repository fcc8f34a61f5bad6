"""Send traffic and bring home a recording."""

import math
import socket
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from queue import Empty
from typing import Any

import numpy as np

from lab_services.errors import LabError
from lab_services.traffic.actions import Action, Actions
from lab_services.traffic.collector import Collector, Floats, Integers
from lab_services.traffic.generators import (
    Frames,
    Generator,
    GeneratorDied,
    generator_processes,
)
from lab_services.traffic.machine_watch import MachineWatch
from lab_services.traffic.plan import Address, ClosedPlan, Done, OpenPlan, Target
from lab_services.traffic.recording import Recording, judge_lateness, summary
from lab_services.traffic.request import Request
from lab_services.traffic.schedules import Schedule
from lab_services.traffic.send_status import SendStatus

# From the word to begin until the first request: time for the word to arrive.
_LEAD = 0.01
_TICK = 0.1
_SHOWN_EVERY = 0.25
# How long an interrupted run may take to hand over what it has.
_PATIENCE = 1.0
# No wait is for ever, and no run that goes on meets one of these bounds. In seconds: a generator
# starts in two, and says four times a second how far it is; one that has more work than time takes
# a few times the schedule's own length.
_STARTING = 120.0
_SILENCE = 60.0
_TIMES_ITS_LENGTH = 10
_ACTION = 600.0  # after the traffic, for what `at` has called: a rollout takes some minutes
# A turn of the loop takes a tenth of a second. After one that took so long, this process has stood
# still itself (Ctrl-Z and fg, a paused machine), and the clock has measured nobody's silence.
_STOOD_STILL = 5.0

_last: Recording | None = None


def last() -> Recording:
    """The recording of the newest run, also of one that was interrupted or failed.

    Raises LabError when nothing has been sent yet.
    """
    if _last is None:
        raise LabError("No traffic has been sent yet.", "Send some with traffic.send(...).")
    return _last


def send(
    requests: Sequence[Request],
    schedule: Schedule,
    *,
    timeout: float = 10.0,
    warmup: float = 0.0,
    at: Mapping[float, Action] | None = None,
    connections: int = 16,
    generators: int = 1,
    title: str = "",
) -> Recording:
    """Send `requests` in turn at the times of `schedule`, however slow the answers are.

    `timeout` is in seconds from the intended start. `warmup` sends the first so many seconds of
    the schedule once before it; those rows are marked. `at` calls functions of this process at
    seconds after the beginning (after the warm-up), to inject a fault for instance. An exception in
    one of them is raised at the end. One that is still at work ten minutes after the last answer
    raises LabError.
    `connections` are opened to every server beforehand and more when all are in use, up to 2048.
    `generators` splits the schedule over so many processes, for rates that one core cannot keep.

    A server that does not answer is a matter of the recording (status 0 and the reason), not an
    exception. Raises LabError for input that makes no sense, and GeneratorDied.

    >>> flights = traffic.requests(stack.url("predictor", "/predict"), payloads.flights(1000))
    >>> traffic.send(flights, traffic.poisson(100, 10), warmup=2)
    >>> traffic.send(flights, traffic.constant(50, 20), at={5: lambda: stack.kill("predictor")})
    """
    _check(requests, timeout, warmup)
    _check_seconds(schedule.seconds, at)
    _check_count(generators=generators, connections=connections)
    if not len(schedule):
        raise LabError(
            f"The schedule has no arrival: {schedule}.", "Give it more seconds or a higher rate."
        )
    with generator_processes(generators) as workers:
        offsets = _with_warmup(schedule, warmup)
        # Warm-up and measurement both begin with the first request.
        arrival_index = np.arange(len(offsets)) - (len(offsets) - len(schedule))
        request_index = np.where(
            arrival_index < 0, arrival_index + len(offsets), arrival_index
        ) % len(requests)
        servers = _servers([requests[pick] for pick in np.unique(request_index)])
        run = _Run(requests, schedule.seconds, warmup, timeout, at or {}, title)
        for place, worker in enumerate(workers):
            own = slice(place, None, generators)
            used, places = np.unique(request_index[own], return_inverse=True)
            plan = OpenPlan(
                messages=[requests[pick].message for pick in used],
                offsets=array("d", offsets[own].tobytes()),
                request_index=array("q", places.astype(np.int64).tobytes()),
                arrival_index=array("q", np.arange(len(offsets))[own].astype(np.int64).tobytes()),
                servers=servers,
                timeout=timeout,
                connections=math.ceil(connections / generators),
            )
            run.give(worker, plan)
        return run.complete(offsets, request_index)


def closed_loop(
    requests: Sequence[Request],
    users: int,
    seconds: float | None = None,
    *,
    count: int | None = None,
    timeout: float = 10.0,
    warmup: float = 0.0,
    at: Mapping[float, Action] | None = None,
    processes: int = 1,
    title: str = "",
) -> Recording:
    """Locust's own `users`: each sends its next request when the answer to the last has come.

    There is no schedule to fall behind, so a service that stalls is asked less, and the latencies
    do not show what open-loop clients would have waited (coordinated omission). Use it for the
    largest throughput, and to show that bias.

    The traffic lasts `seconds`, or until `count` requests have been answered or given up, both
    after the warm-up: a fixed time brings home few requests from a slow machine, and a statistic
    may need more. Towards the end of a count some users have nothing left to ask. A count takes no
    `at`, for nobody knows beforehand when it ends.

    With `processes` above 1, so many Locust workers and a master share the users, and the workers
    a count in equal parts. The other arguments are those of `send`.

    Raises LabError for input that makes no sense, and GeneratorDied.

    >>> traffic.closed_loop(flights, users=16, seconds=10)
    >>> traffic.closed_loop(flights, users=64, seconds=10, processes=2)
    >>> traffic.closed_loop(flights, users=1, count=50, warmup=0.2)
    """
    _check(requests, timeout, warmup)
    seconds = _check_length(seconds, count, at)
    _check_count(users=users, processes=processes)
    if users < processes:
        raise LabError(
            f"{users} users cannot be shared by {processes} processes.",
            "Take at least one user for each process.",
        )
    several = processes > 1
    with generator_processes(processes + several, keep=not several) as started:
        run = _Run(requests, seconds, warmup, timeout, at or {}, title, count)
        common: dict[str, Any] = {
            "users": users,
            "end": seconds,
            "servers": _servers(requests),
            "timeout": timeout,
            "warmup": warmup,
            "workers": processes,
        }
        messages = [request.message for request in requests]
        workers = started[:processes]
        if several:
            run.give(started[-1], ClosedPlan([], count=None, role="master", **common))
            common["master_port"] = run.wait_for("listening")
        role = "worker" if several else "alone"
        for place, worker in enumerate(workers):
            # Of a count that cannot be shared evenly, the first workers send one more.
            share = None if count is None else len(range(place, count, processes))
            run.give(worker, ClosedPlan(messages, count=share, role=role, first=place, **common))
        return run.complete(master=several)


class _Run:
    """One run: its generators, what has arrived from them, and the line that shows it."""

    def __init__(
        self,
        requests: Sequence[Request],
        seconds: float,
        warmup: float,
        timeout: float,
        at: Mapping[float, Action],
        title: str,
        count: int | None = None,
    ) -> None:
        self._requests = requests
        self._seconds = seconds
        self._warmup = warmup
        self._timeout = timeout
        self._title = title
        self._count = count
        self._actions = Actions(at)
        self._frames = Frames()
        self._generators: list[Generator] = []
        self._done: dict[int, Done] = {}
        self._collector = Collector()

    def give(self, generator: Generator, plan: OpenPlan | ClosedPlan) -> None:
        """Hand a plan to a generator, whose frames then come here."""
        generator.listen(self._frames, len(self._generators))
        self._generators.append(generator)
        generator.tell("plan", plan)

    def wait_for(self, wanted: str) -> Any:
        """The content of the next frame of this kind; rows that come before it are kept.

        Raises GeneratorDied where it does not come.
        """
        until = time.monotonic() + _STARTING
        while (frame := self._next(_TICK))[0] != wanted:
            if time.monotonic() > until:
                silent = min(self._generators, key=lambda generator: generator.heard)
                raise silent.hangs(f"is not {wanted!r} after {_STARTING:g} s")
        return frame[1]

    def complete(
        self,
        offsets: Floats | None = None,
        request_index: Integers | None = None,
        master: bool = False,
    ) -> Recording:
        """Begin when all generators are ready, wait for the end, and make the recording.

        `offsets` and `request_index` are the schedule's; with a `master`, the first generator,
        the others are its workers.
        """
        for _ in self._generators:
            self.wait_for("ready")
        self._watch = MachineWatch()
        begin = time.monotonic() + _LEAD + self._warmup
        to_unix = time.time() - time.monotonic()
        self._collector = Collector(None if offsets is None else begin + offsets, request_index)
        try:
            with SendStatus(self._title, self._seconds, self._count) as progress:
                for generator in self._generators:
                    generator.tell("go", begin)
                self._actions.start(begin)
                self._follow(progress, begin, master)
                recording = self._keep(begin, to_unix)
                progress.say(summary(recording))
        except KeyboardInterrupt:
            self._actions.cancel()
            try:
                with suppress(GeneratorDied):  # what it has sent is kept all the same
                    self._collect_the_rest()
            finally:  # a second interrupt while it waits changes nothing
                self._keep(begin, to_unix, "Interrupted")
            raise
        except GeneratorDied as error:
            self._actions.cancel()
            self._actions.note_errors(error)
            self._keep(begin, to_unix, "A generator died")
            raise
        self._actions.raise_errors()
        if offsets is not None and len(recording) != len(offsets):
            raise RuntimeError(f"{len(recording)} rows of {len(offsets)} arrivals")
        if self._count is not None and self._collector.measured != self._count:
            raise RuntimeError(f"{self._collector.measured} rows of {self._count} requests")
        return recording

    def _follow(self, progress: SendStatus, begin: float, master: bool) -> None:
        senders = len(self._generators) - master
        shown = -math.inf
        until = begin + self._longest()
        last_action = begin + self._actions.latest()  # which may be long after the last answer
        acting_until = last_action + _ACTION
        turned = listens_since = time.monotonic()
        while len(self._done) < senders or self._actions.running():
            self._next(_TICK)
            self._watch.look()
            now = time.monotonic()
            if (took := now - turned) > _STOOD_STILL:
                until, acting_until, listens_since = until + took, acting_until + took, now
            turned = now
            if now - shown > _SHOWN_EVERY:
                shown = now
                progress.show(now - begin, self._collector)
            if len(self._done) < senders:
                self._check_on(until, listens_since)
                acting_until = max(now, last_action) + _ACTION
            elif now > acting_until:
                self._actions.give_up(_ACTION)
        if master:
            self._generators[0].tell("stop")
            self.wait_for("done")

    def _longest(self) -> float:
        """Seconds from the beginning after which a generator that is at work does not come to its
        end: a schedule, or a count of which each request is given up by a single user."""
        if self._count is not None:
            return self._count * self._timeout + _SILENCE
        return _TIMES_ITS_LENGTH * self._seconds + self._timeout + _SILENCE

    def _check_on(self, until: float, listens_since: float) -> None:
        """Raises GeneratorDied for one that is not through and says nothing, or has no end."""
        now = time.monotonic()
        for place, generator in enumerate(self._generators):
            heard = max(generator.heard, listens_since)
            if place not in self._done and now - heard > _SILENCE:
                raise generator.hangs(f"has said nothing for {_SILENCE:g} s")
            if place not in self._done and now > until:
                raise generator.hangs(f"is at work {self._longest():.0f} s after the beginning")

    def _collect_the_rest(self) -> None:
        for generator in self._generators:
            generator.tell("stop")
        deadline = time.monotonic() + _PATIENCE
        while len(self._done) < len(self._generators) and time.monotonic() < deadline:
            self._next(_TICK)

    def _next(self, timeout: float) -> tuple[str, Any]:
        try:
            place, kind, content = self._frames.get(timeout=timeout)
        except Empty:
            return "nothing", None
        if kind == "rows":
            self._collector.add(place, content)
        elif kind == "done":
            self._done[place] = content
        elif kind == "ended":
            raise self._generators[place].died()
        return kind, content

    def _keep(self, begin: float, to_unix: float, ended: str = "") -> Recording:
        global _last
        table = self._collector.table(self._requests, to_unix)
        processor = max((done.processor for done in self._done.values()), default=0.0)
        waited = sum(done.waited for done in self._done.values())
        measured = table[~table["warmup"]]
        behind = judge_lateness(measured, processor, waited)
        notes = [behind]
        if waited:
            limit = min(done.limit for done in self._done.values())
            notes.append(
                f"{waited} requests waited, because all {limit} connections of a generator "
                "were in use."
            )
        seconds = self._seconds
        if ended:
            seconds = min(seconds, max(0.0, time.monotonic() - begin))
            part = f"{seconds:.1f} of {self._seconds:g} s"
            if self._count is not None:
                part = f"{len(measured)} of {self._count} requests"
            notes.append(f"{ended} after {part}.")
        elif self._count is not None:
            last_answer = (measured["started"] + measured["response_time"]).max()
            seconds = float(last_answer) - to_unix - begin
        _last = Recording(
            table,
            begin=begin + to_unix,
            seconds=seconds,
            title=self._title,
            late=bool(behind),
            note=" ".join(filter(None, notes)),
            interrupted=bool(ended),
            disturbance=self._watch.finish(
                to_unix, chain.from_iterable(done.not_run for done in self._done.values())
            ),
        )
        return _last


def _with_warmup(schedule: Schedule, warmup: float) -> Floats:
    """The offsets with the first `warmup` seconds of the schedule, as often as needed, before 0."""
    times = range(math.ceil(warmup / schedule.seconds))
    again = [schedule.offsets + number * schedule.seconds for number in times]
    before = np.concatenate([np.empty(0), *again])
    return np.concatenate([before[before < warmup] - warmup, schedule.offsets])


def _servers(requests: Iterable[Request]) -> dict[Target, list[Address]]:
    """Addresses of all servers, looked up before any clock runs."""
    found: dict[Target, list[Address]] = {}
    for host, port in {(request.message.host, request.message.port) for request in requests}:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise LabError(
                f"The host {host!r} is not known here: {error.strerror}.",
                "Take the URL from the stack: stack.url(service).",
            ) from error
        found[host, port] = [
            (family, kind, protocol, address) for family, kind, protocol, _, address in answers
        ]
    return found


def _check(requests: Sequence[Request], timeout: float, warmup: float) -> None:
    if not requests:
        raise LabError(
            "There are no requests to send.", "Make some with traffic.requests(url, payloads)."
        )
    if not (math.isfinite(timeout) and timeout > 0):
        raise LabError(f"A timeout of {timeout:g} s is not possible.", "Give a number above 0.")
    if not (math.isfinite(warmup) and warmup >= 0):
        raise LabError(f"A warm-up of {warmup:g} s is not possible.", "Give a number from 0 up.")


def _check_length(
    seconds: float | None, count: int | None, at: Mapping[float, Action] | None
) -> float:
    """The seconds of a closed loop, infinite for a count."""
    if count is None and seconds is not None:
        _check_seconds(seconds, at)
        return seconds
    if count is None or seconds is not None:
        raise LabError(
            "A closed loop lasts either some seconds or a number of requests.",
            "Give one of the two: seconds=10 or count=100.",
        )
    _check_count(count=count)
    if at:
        raise LabError(
            "Actions have their seconds, and a number of requests takes as long as it takes.",
            "Give seconds instead of count.",
        )
    return math.inf


def _check_seconds(seconds: float, at: Mapping[float, Action] | None) -> None:
    if not (math.isfinite(seconds) and seconds > 0):
        raise LabError(f"Traffic cannot last {seconds:g} s.", "Give a number above 0.")
    for moment, action in (at or {}).items():
        if not 0 <= moment <= seconds:
            raise LabError(
                f"The action at {moment:g} s is outside of the traffic, which lasts {seconds:g} s.",
                "Give seconds after the beginning, without the warm-up.",
            )
        if not callable(action):
            raise LabError(
                f"What is to be done at {moment:g} s cannot be called: {action!r}.",
                'Give a function: at={5: lambda: stack.kill("predictor")}.',
            )


def _check_count(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise LabError(
                f"{name} = {count!r} is not possible.", f"Give {name} a whole number from 1 up."
            )
