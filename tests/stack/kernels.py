"""A real Jupyter kernel with a stack in its hand."""

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from lab_services.stack.needs import missing_programs
from tests.stack.conftest import ECHO

REPOSITORY = Path(__file__).parents[2]


class Kernel:
    """A real Jupyter kernel, driven as a notebook's page drives it."""

    def __init__(self, runtime: str) -> None:
        # Here, where the tests know what to do about it, and not in the kernel.
        for error in missing_programs(ECHO) if runtime == "process" else ():
            raise error
        self.manager = KernelManager()
        self.manager.start_kernel(cwd=str(REPOSITORY))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.run(
            "import time; from lab_services.stack import Stack; "
            f"stack = Stack({ECHO!r}, runtime={runtime!r})"
        )

    @property
    def pid(self) -> int:
        """The kernel's process."""
        provisioner: Any = self.manager.provisioner
        return int(provisioner.pid)

    def begin(self, code: str) -> str:
        """Execute a cell, do not wait.

        If it fails, what is asked right afterwards is executed all the same: a kernel else sends
        back, unexecuted, what reaches it within a moment of an error.
        """
        return str(self.client.execute(code, stop_on_error=False))

    def result(self, request: str, timeout: float = 60) -> dict[str, Any]:
        """The reply to a cell."""
        deadline = time.monotonic() + timeout
        while True:
            reply = self.client.get_shell_msg(timeout=deadline - time.monotonic())
            if reply["parent_header"].get("msg_id") == request:
                return dict(reply["content"])

    def run(self, code: str) -> dict[str, Any]:
        """Execute a cell that must work."""
        content = self.result(self.begin(code))
        assert content["status"] == "ok", "\n".join(content.get("traceback", []))
        return content

    def value(self, expression: str) -> Any:
        """What an expression is in the kernel, as its repr evaluates."""
        request = self.client.execute("", user_expressions={"it": expression})
        answer = self.result(str(request))["user_expressions"]["it"]
        assert answer["status"] == "ok", answer
        return eval(answer["data"]["text/plain"])

    def progress(self) -> Iterator[str]:
        """What the running cell shows, as it shows it."""
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=30)
            except queue.Empty:
                return
            yield str(message["content"].get("data", {}).get("text/plain", ""))

    def close(self) -> None:
        """End it, whatever it does."""
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
