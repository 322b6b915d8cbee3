"""A Jupyter client of its own on bare pyzmq, so that what it costs is little and the same for every kernel.

It writes the connection file, starts the process, signs and sends requests, and takes messages as they come.
Signatures of what comes in are not checked, and only the headers and contents are parsed.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psutil
import zmq

PORTS = ["shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"]
DELIMITER = b"<IDS|MSG>"
TIMEOUT_S = 120


def free_ports(count):
    """Ports that are free now; the sockets are open together so that no port comes twice."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Kernel:
    """A kernel process and the sockets to it. `start_s` is the time from before the process is started to
    the first kernel_info_reply."""

    def __init__(self, command, environment=None):
        self.key = secrets.token_hex(16)
        info = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        info |= {"ip": "127.0.0.1", "transport": "tcp", "key": self.key, "signature_scheme": "hmac-sha256"}
        handle, path = tempfile.mkstemp(suffix=".json")
        with os.fdopen(handle, "w") as file:
            json.dump(info, file)
        self.file = Path(path)
        self.context = zmq.Context()
        self.session = uuid.uuid4().hex
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [part.replace("{connection_file}", path) for part in command],
            env=os.environ | (environment or {}) | {"JPY_PARENT_PID": str(os.getpid())},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.shell, self.control = (
            self._connect(zmq.DEALER, info[name]) for name in ["shell_port", "control_port"]
        )
        self.iopub = self._connect(zmq.SUB, info["iopub_port"])
        self.iopub.subscribe(b"")
        self.reply(self.send(self.shell, "kernel_info_request"))
        self.start_s = time.perf_counter() - begin
        self._wait_for_iopub()

    def _connect(self, kind, port):
        channel = self.context.socket(kind)
        channel.linger = 0
        channel.reconnect_ivl = 1  # ms; otherwise a client's tries, 100 ms apart, are measured
        channel.rcvhwm = 0  # nothing is lost on this side
        channel.connect(f"tcp://127.0.0.1:{port}")
        return channel

    def _wait_for_iopub(self):
        """Asks until the answer is seen on iopub too: the subscription has arrived."""
        for _ in range(100):
            request = self.send(self.shell, "kernel_info_request")
            self.reply(request)
            if self.iopub.poll(200):
                break
        while self.iopub.poll(300):
            self.iopub.recv_multipart()

    def send(self, channel, kind, content=None):
        """Sends a request; returns its id."""
        request = uuid.uuid4().hex
        header = {
            "msg_id": request,
            "session": self.session,
            "username": "bench",
            "date": "2026-01-01T00:00:00Z",
            "msg_type": kind,
            "version": "5.3",
        }
        frames = [json.dumps(part).encode() for part in [header, {}, {}, content or {}]]
        signature = hmac.new(self.key.encode(), b"".join(frames), hashlib.sha256).hexdigest().encode()
        channel.send_multipart([DELIMITER, signature, *frames])
        return request

    def execute(self, code):
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        return self.send(
            self.shell, "execute_request", content | {"allow_stdin": False, "stop_on_error": True}
        )

    def receive(self, channel):
        """The next message: its type, the id of its request, its content."""
        if not channel.poll(TIMEOUT_S * 1000):
            raise TimeoutError(f"{self.process.args[0]} sent nothing for {TIMEOUT_S} s")
        frames = channel.recv_multipart()
        at = frames.index(DELIMITER)
        header, parent, _, content = (json.loads(part) for part in frames[at + 2 : at + 6])
        return header["msg_type"], parent.get("msg_id"), content

    def reply(self, request, channel=None):
        while True:
            _, parent, content = self.receive(channel or self.shell)
            if parent == request:
                return content

    def until(self, request, wanted):
        """Takes what is published for a request until `wanted(type, content)`; the text printed so far."""
        text = []
        while True:
            kind, parent, content = self.receive(self.iopub)
            if parent != request:
                continue
            if kind == "stream" and content["name"] == "stdout":
                text.append(content["text"])
            if wanted(kind, content):
                return "".join(text)

    def until_idle(self, request):
        return self.until(request, lambda kind, content: content.get("execution_state") == "idle")

    def run(self, code):
        """Runs a cell to its end; fails where it does."""
        request = self.execute(code)
        text = self.until_idle(request)
        content = self.reply(request)
        if content["status"] != "ok":
            raise RuntimeError(f"{code}: {content.get('evalue')}")
        return text

    def interrupt(self):
        """Sends an interrupt_request; does not wait for its reply."""
        return self.send(self.control, "interrupt_request")

    def processes(self):
        """The kernel, and what it has started."""
        main = psutil.Process(self.process.pid)
        return [main, *main.children(recursive=True)]

    def memory(self, field="Rss"):
        """Bytes of all its processes now: `Rss`, or `Pss`, where shared pages count in part."""
        return sum(read_kb(f"/proc/{p.pid}/smaps_rollup", field) for p in self.processes()) * 1024

    def reset_peak(self):
        for each in self.processes():
            Path(f"/proc/{each.pid}/clear_refs").write_text("5")

    def peak(self):
        """Bytes: the most that was resident since `reset_peak`."""
        return sum(read_kb(f"/proc/{p.pid}/status", "VmHWM") for p in self.processes()) * 1024

    def close(self):
        for each in reversed(self.processes()):
            each.kill()
        self.process.wait()
        self.context.destroy(linger=0)
        self.file.unlink()


def read_kb(path, field):
    return int(re.search(rf"^{field}:\s*(\d+) kB", Path(path).read_text(), re.MULTILINE)[1])


def own_cost_s(rounds=500):
    """What this client and the sockets take for one request and its reply, both ends counted: the median of
    round trips to a socket in this process that sends back what it gets."""
    kernel = object.__new__(Kernel)
    kernel.context, kernel.key, kernel.session = zmq.Context(), "key", "session"
    echo = kernel.context.socket(zmq.ROUTER)
    port = echo.bind_to_random_port("tcp://127.0.0.1")
    shell = kernel._connect(zmq.DEALER, port)
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        kernel.shell = shell
        kernel.execute("1+1")
        echo.send_multipart(echo.recv_multipart())
        kernel.receive(shell)
        times.append(time.perf_counter() - begin)
    kernel.context.destroy(linger=0)
    return sorted(times)[rounds // 2]
