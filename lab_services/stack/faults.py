"""What can be done to a running stack: each fault, each mend, each change is one class here.

From these classes follow the methods of `Stack` (`changeable`), the orders of a supervisor, the
commands of `lab fault`, and when a fault is over. A new one is a class, and, where it needs
something new of a runtime, a method of that in `process` and in `docker`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias, Union

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from lab_services.errors import LabError, Refused
from lab_services.stack.messages import Replica

if TYPE_CHECKING:
    from lab_services.stack.docker import DockerRuntime
    from lab_services.stack.process import ProcessRuntime

    # Whatever a change asks of a runtime both must have: mypy names the one that lacks it.
    AnyRuntime: TypeAlias = ProcessRuntime | DockerRuntime

ReplicaNumber = Annotated[int, Meta(description="Which one.")]
Share = Annotated[float, Meta(gt=0, le=1, description="The share of requests, in whole percents.")]


class Change(Struct, frozen=True, tag=True, tag_field="type", forbid_unknown_fields=True):
    """Something that can be done to a running stack.

    A class with this base alone is no fault: it mends, or is over when it has been done.
    """

    # Its command of `lab fault`, and the kind of its `Fault`.
    word: ClassVar[str]
    # Its method of `Stack`; the word where it is empty.
    method: ClassVar[str] = ""
    # What `lab fault` says when it has been done; the stack's table where it is empty.
    said: ClassVar[str] = ""
    example: ClassVar[str]

    service: str

    def act(self, runtime: "AnyRuntime") -> None:
        """Do it. Raises LabError where it cannot be done, Refused where nothing of it has been."""
        raise NotImplementedError

    @property
    def replica_number(self) -> int | None:
        """The replica that it is done to; None for all of the service."""
        return getattr(self, "replica", None)

    @property
    def detail(self) -> str:
        """How much of it, in a few words for charts and tables."""
        return ""


class Passing(Change, frozen=True):
    """A fault, or a change, that lasts as long as it takes to do it."""


class Lasting(Change, frozen=True):
    """A fault that lasts while the replica is in a state."""

    state: ClassVar[str]

    replica: ReplicaNumber = 1

    def is_over(self, replicas: list[Replica]) -> bool:
        """Whether the replica is in another state by now, or is no more."""
        states = {(r.service, r.number): r.state for r in replicas}
        return states.get((self.service, self.replica)) != self.state


class Standing(Change, frozen=True):
    """A fault that lasts until it is lifted, or another of its kind takes its place.

    It holds for replicas, too, that are started meanwhile.
    """

    def lift(self, runtime: "AnyRuntime") -> None:
        """End it."""
        raise NotImplementedError

    @property
    def services(self) -> frozenset[str]:
        """Those that it is done to."""
        return frozenset({self.service})

    def replaces(self, other: "Change") -> bool:
        """Whether the other is over as soon as this one is there."""
        return type(other) is type(self) and other.services == self.services


# --- replicas -----------------------------------------------------------------------------------


class Kill(Lasting, frozen=True):
    """SIGKILL a replica: its process is gone at once, requests in it are lost."""

    word = "kill"
    said = (
        "{service} {replica} is killed; mend it with: lab fault start {service} --replica {replica}"
    )
    example = "predictor --replica 2"
    state = "exited"

    def act(self, runtime: "AnyRuntime") -> None:
        with runtime.settling(self.service, self.replica):
            target = runtime.replica(self.service, self.replica)
            if target.state == "exited":
                raise LabError(f"{self.service} {self.replica} has ended already.")
            runtime.signal(target, "SIGKILL")


class Start(Change, frozen=True):
    """Start a replica that has ended; returns when it answers."""

    word = "start"
    said = "{service} {replica} answers."
    example = "predictor --replica 2"

    replica: ReplicaNumber = 1

    def act(self, runtime: "AnyRuntime") -> None:
        runtime.start(self.service, self.replica)


class Pause(Lasting, frozen=True):
    """Freeze a replica: its connections stay open, nothing answers."""

    word = "pause"
    said = (
        "{service} {replica} is paused; "
        "mend it with: lab fault resume {service} --replica {replica}"
    )
    example = "predictor"
    state = "paused"

    def act(self, runtime: "AnyRuntime") -> None:
        with runtime.settling(self.service, self.replica):
            target = runtime.replica(self.service, self.replica)
            if target.state in ("exited", "paused"):
                raise LabError(
                    f"{self.service} {self.replica} is {target.state}: it cannot be paused."
                )
            runtime.pause(target)


class Resume(Change, frozen=True):
    """Let a paused replica go on."""

    word = "resume"
    said = "{service} {replica} goes on."
    example = "predictor"

    replica: ReplicaNumber = 1

    def act(self, runtime: "AnyRuntime") -> None:
        with runtime.settling(self.service, self.replica):
            target = runtime.replica(self.service, self.replica)
            if target.state != "paused":
                raise LabError(f"{self.service} {self.replica} is not paused.")
            runtime.resume(target)


class Scale(Passing, frozen=True):
    """Run that many replicas; returns when they answer and every proxy knows them."""

    word = "scale"
    example = "predictor 4"

    replicas: Annotated[int, Meta(ge=1)]

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise LabError(f"{self.replicas} is not a count of replicas.", "Use 1 or more.")

    def act(self, runtime: "AnyRuntime") -> None:
        runtime.scale(self.service, self.replicas)

    @property
    def detail(self) -> str:
        return f"to {self.replicas}"


class Rollout(Passing, frozen=True):
    """Replace the replicas one by one by new ones with a changed environment."""

    word = "rollout"
    example = "predictor LATE_ABOVE=0.4"

    environment: Mapping[str, str]

    def __post_init__(self) -> None:
        stated = {name: str(value) for name, value in self.environment.items()}
        force_setattr(self, "environment", stated)

    def act(self, runtime: "AnyRuntime") -> None:
        runtime.rollout(self.service, self.environment)

    @property
    def detail(self) -> str:
        return ", ".join(self.environment)


# --- what the proxies in front of a service do ----------------------------------------------------


class Delay(Standing, frozen=True):
    """Let the proxy in front of a service hold that share of its requests for some seconds."""

    word = "delay"
    method = "inject_delay"
    said = "{service}: {share:.0%} of requests wait {seconds:g} s until: lab fault clear {service}"
    example = "predictor 0.2 --share 0.1"

    seconds: Annotated[float, Meta(gt=0)]
    share: Share = 1.0

    def __post_init__(self) -> None:
        _check_share(self.share)
        if not self.seconds >= 0.001:
            raise LabError(
                f"{self.seconds} s is no delay.", "Use 0.001 or more, or stack.clear_faults(…)."
            )

    def act(self, runtime: "AnyRuntime") -> None:
        values = {"delay_ms": round(self.seconds * 1000), "delay_percent": round(self.share * 100)}
        runtime.set_proxies(self.service, values)

    def lift(self, runtime: "AnyRuntime") -> None:
        runtime.set_proxies(self.service, {"delay_percent": 0})

    @property
    def detail(self) -> str:
        return f"{self.seconds:g} s, {self.share:.0%}"


class Errors(Standing, frozen=True):
    """Let the proxy in front of a service answer that share of its requests with an error."""

    word = "errors"
    method = "inject_errors"
    said = "{service}: {share:.0%} of requests get {status} until: lab fault clear {service}"
    example = "predictor --status 503 --share 0.5"

    status: Annotated[int, Meta(ge=400, le=599, description="The status of the answers.")] = 503
    share: Share = 1.0

    def __post_init__(self) -> None:
        _check_share(self.share)
        if not 400 <= self.status <= 599:
            raise LabError(f"{self.status} is not an error status.", "Use 400 to 599.")

    def act(self, runtime: "AnyRuntime") -> None:
        values = {"abort_status": self.status, "abort_percent": round(self.share * 100)}
        runtime.set_proxies(self.service, values)

    def lift(self, runtime: "AnyRuntime") -> None:
        runtime.set_proxies(self.service, {"abort_percent": 0})

    @property
    def detail(self) -> str:
        return f"{self.status}, {self.share:.0%}"


def _check_share(share: float) -> None:
    if not 0 < share <= 1 or round(share * 100) != round(share * 100, 6):
        raise LabError(f"{share} is not a share.", "Envoy takes whole percents: 0.01 to 1.")


class Clear(Change, frozen=True):
    """End the faults of a service that last until they are lifted; it may have none."""

    word = "clear"
    method = "clear_faults"
    said = "{service} has no such faults any more."
    example = "predictor"

    def act(self, runtime: "AnyRuntime") -> None:
        runtime.compose.service(self.service)


# --- what surrounds a service -----------------------------------------------------------------


class Partition(Standing, frozen=True):
    """Cut two services off from each other: nothing passes between them, in either direction.

    Open connections stay open and silent, new ones hang until their caller gives up, as in a
    network that drops packets; all other services reach both. The Compose file names the pair under
    `x-partitions`: as plain processes each of the two is told a relay's address at its start, and
    a relay between all services would add its own time to whatever is measured.
    """

    word = "partition"
    said = "{service} and {other} do not reach each other until: lab fault clear {service}"
    example = "web store"

    other: str

    def __post_init__(self) -> None:
        if self.service == self.other:
            raise LabError(f"{self.service} cannot be cut off from itself.", "Name another.")

    def act(self, runtime: "AnyRuntime") -> None:
        for name in (self.service, self.other):
            runtime.compose.service(name)
        named = runtime.compose.partitions
        if self.services not in named:
            pairs = ", ".join(f"[{', '.join(sorted(pair))}]" for pair in named)
            pairs += (", " if pairs else "") + f"[{self.service}, {self.other}]"
            place = "in the place of its `x-partitions`" if named else "above `services:`"
            raise Refused(
                f"{self.service} and {self.other} cannot be cut off from each other: "
                f"{runtime.compose.path} does not name the pair.",
                f"Write this line there, {place}:\n"
                f"x-partitions: [{pairs}]\n"
                "Then start the stack anew: stack.down(), and stack.up().",
            )
        runtime.separate(self.services, cut=True)

    def lift(self, runtime: "AnyRuntime") -> None:
        runtime.separate(self.services, cut=False)

    @property
    def services(self) -> frozenset[str]:
        return frozenset({self.service, self.other})

    @property
    def detail(self) -> str:
        return f"from {self.other}"


class LimitCpu(Standing, frozen=True):
    """Hold each replica of a service to that many cores, such as 0.25, while it runs.

    On Docker it is the kernel's quota; plain processes are stopped and let go on in turns, which is
    true to some per cent on the average. A limit of the Compose file holds besides.
    """

    word = "limit-cpu"
    said = "{service}: {cores:g} cores a replica until: lab fault clear {service}"
    example = "predictor 0.25"

    cores: Annotated[float, Meta(gt=0)]

    def __post_init__(self) -> None:
        if not self.cores >= 0.01:
            raise LabError(f"{self.cores} cores are too few to run.", "Use 0.01 or more.")

    def act(self, runtime: "AnyRuntime") -> None:
        runtime.hold_to_cores(self.service, self.cores)

    def lift(self, runtime: "AnyRuntime") -> None:
        runtime.hold_to_cores(self.service, None)

    @property
    def detail(self) -> str:
        return f"{self.cores:g} cores"


# --- all of them --------------------------------------------------------------------------------

CHANGES: tuple[type[Change], ...] = tuple(
    each
    for each in list(vars().values())
    if isinstance(each, type) and issubclass(each, Change) and hasattr(each, "word")
)
if TYPE_CHECKING:
    AnyChange = Change
else:
    AnyChange = Union[CHANGES]  # noqa: UP007 - of a tuple
