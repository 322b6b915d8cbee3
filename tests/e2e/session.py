"""A notebook user in a few lines: starts the kernel, runs cells, collects what comes back."""

import time
from dataclasses import dataclass, field
from queue import Empty

from jupyter_client.manager import start_new_kernel

START_TIMEOUT_S = 60
CELL_TIMEOUT_S = 240


def bare_environment(home):
    """What a kernel gets that is started from a desktop: no PATH to any environment, no variables."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}


def data_of(bundle):
    """The data in a MIME bundle: the one entry that is JSON."""
    (value,) = [v for k, v in bundle.items() if k == "application/json" or k.endswith("+json")]
    return value


@dataclass
class Run:
    """One executed cell."""

    reply: dict
    messages: list = field(default_factory=list)

    @property
    def status(self):
        return self.reply["status"]

    def contents(self, *kinds):
        return [m["content"] for m in self.messages if m["msg_type"] in kinds]

    def stream(self, name):
        return "".join(c["text"] for c in self.contents("stream") if c["name"] == name)

    @property
    def result(self):
        """The bundle of the cell's value."""
        (content,) = self.contents("execute_result")
        return content["data"]

    @property
    def text(self):
        return self.result["text/plain"]


class Session:
    """A kernel and its client."""

    def __init__(self, home, extra=None, cwd=None, kernel_name="ecco"):
        environment = bare_environment(home) | (extra or {})
        self.manager, self.client = start_new_kernel(
            startup_timeout=START_TIMEOUT_S, kernel_name=kernel_name, env=environment, cwd=cwd
        )

    def run(self, code, on_message=lambda message: None, timeout=CELL_TIMEOUT_S):
        """Runs a cell and returns its reply and all that was published for it."""
        request = self.client.execute(code)
        run = Run(reply={})
        deadline = time.monotonic() + timeout
        while True:
            message = self._next_iopub(deadline, code)
            if message["parent_header"].get("msg_id") != request:
                continue
            on_message(message)
            if message["msg_type"] != "status":
                run.messages.append(message)
            elif message["content"]["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=max(1, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") == request:
                run.reply = reply["content"]
                return run

    def value(self, code):
        """The text of an expression's value; fails the test where there is none."""
        run = self.run(code)
        assert run.status == "ok", run.reply
        return run.text

    def interrupt(self):
        self.manager.interrupt_kernel()

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def _next_iopub(self, deadline, code):
        try:
            return self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
        except Empty:
            raise TimeoutError(f"no end of the cell {code!r}") from None
