"""Inside a session: run a lab through JupyterLab's own interface, as a browser would.

    python drive.py PORT BASE NOTEBOOK

The parameters are those of the lab's short mode. Prints one JSON object: the outputs, the error if
there was one, and the most memory that was in use, in bytes, without what the system can drop.
"""

import json
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from websocket import create_connection

_TOKEN = {"Authorization": "token secret"}
_LOOPBACK = build_opener(ProxyHandler({}))
_CGROUP = Path("/sys/fs/cgroup")


def ask(url: str, **body: Any) -> bytes:
    data = json.dumps(body).encode() if body else None
    with _LOOPBACK.open(Request(url, data, _TOKEN), timeout=60) as answer:
        return bytes(answer.read())


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            ask(url)
            return
        except OSError:
            time.sleep(0.2)
    sys.exit(f"no answer: {url}")


def code_cells(notebook: Path) -> list[str]:
    """The code, with the short mode's parameters behind the cell of the parameters."""
    told = json.loads(notebook.read_text())
    cells = []
    for cell in told["cells"]:
        if cell["cell_type"] == "code":
            cells.append("".join(cell["source"]))
            if "parameters" in cell["metadata"].get("tags", ()):
                short = told["metadata"]["lab_services"]["short"]
                cells.append("\n".join(f"{name} = {value!r}" for name, value in short.items()))
    return cells


def run(line: Any, code: str) -> tuple[list[dict[str, Any]], str]:
    """The outputs of a cell and its error, if there is one."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "test",
              "username": "", "version": "5.3"}  # fmt: skip
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False,
               "user_expressions": {}, "stop_on_error": True}  # fmt: skip
    line.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "channel": "shell",
                          "content": content}))  # fmt: skip
    outputs, error = [], ""
    while True:
        message = json.loads(line.recv())
        if message["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        kind, content = message["header"]["msg_type"], message["content"]
        if kind in ("display_data", "execute_result"):
            outputs.append(content["data"])
        elif kind == "error":
            error = "\n".join(content["traceback"])
        elif kind == "status" and content["execution_state"] == "idle":
            return outputs, error


def used() -> int:
    """Bytes that can not be dropped: what programs have asked for, and shared memory."""
    modern = (_CGROUP / "memory.stat").exists()
    file = _CGROUP / ("memory.stat" if modern else "memory/memory.stat")
    told = dict(line.split() for line in file.read_text().splitlines())
    names = ("anon", "shmem") if modern else ("total_rss", "total_shmem")
    return sum(int(told.get(name, 0)) for name in names)


def main(port: str, base: str, notebook: str) -> None:
    server = f"http://127.0.0.1:{port}{base}"
    wait_for(f"{server}api/status")
    peak = {"idle": used(), "run": 0}
    done = threading.Event()

    def watch() -> None:
        looks = 0
        while not done.wait(0.25):
            peak["run"] = max(peak["run"], used())
            looks += 1
            if looks % 8 == 0:
                ask(f"{server}stacks/now")  # as often as the page beside the notebook does

    ask(f"{server}stacks/")
    session = json.loads(
        ask(
            f"{server}api/sessions",
            path=notebook,
            name="",
            type="notebook",
            kernel={"name": "python3"},
        )
    )
    kernel = session["kernel"]["id"]
    line = create_connection(
        f"ws://127.0.0.1:{port}{base}api/kernels/{kernel}/channels", header=_TOKEN, timeout=300
    )
    watching = threading.Thread(target=watch)
    watching.start()
    outputs, error = [], ""
    try:
        for code in code_cells(Path(notebook)):
            shown, error = run(line, code)
            outputs += shown
            if error:
                break
    finally:
        done.set()
        watching.join()
    sys.stdout.write(json.dumps({"outputs": outputs, "error": error, "memory": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
