"""A kernel that Python has started: runs cells, and brings values in and out."""

import atexit
import contextlib
import functools
import getpass
import re
import tempfile
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from ecco_kernel import outputs, rhai, values

START_TIMEOUT_S = 60
# How often the process is looked at while nothing comes from it.
LOOK_MS = 1000
# Where views ask.
LIVE = "ecco.live"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Told:
    """An error in the kernel's own words: where it is, with a caret, and what to do."""

    def __init__(self, content):
        self.name, self.message = content["ename"], content["evalue"]
        self.traceback = content["traceback"] or [f"{self.name}: {self.message}"]
        super().__init__(COLOURS.sub("", "\n".join(self.traceback)))

    def _render_traceback_(self):
        # IPython shows these lines in place of Python's.
        return self.traceback


class EccoError(Told, Exception):
    """A cell that has failed."""


class Interrupted(Told, KeyboardInterrupt):
    """A cell that was interrupted. The session lives on, with its variables and models."""


@dataclass(repr=False)
class Result:
    """What a cell gave: its value as a MIME bundle, and what it displayed besides."""

    data: dict = field(default_factory=dict)
    metadata: dict = field(default_factory=dict)
    # The bundles that were displayed, each as it was last.
    displays: list = field(default_factory=list)

    @property
    def text(self):
        """The value as text; of a cell without one, what it displayed last, such as the text that a model has written."""
        last = self.displays[-1] if self.displays else {}
        return (self.data or last).get("text/plain", "")

    def __str__(self):
        return self.text

    def __repr__(self):
        # A notebook has shown the displays.
        return self.data.get("text/plain", "")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.data, self.metadata


def in_turn(method):
    """Of a session: one thread at a time."""

    @functools.wraps(method)
    def alone(self, *arguments, **options):
        with self._turn:
            return method(self, *arguments, **options)

    return alone


class Session:
    """A running kernel.

        with ecco_kernel.Session() as session:
            session.set("prompt", "The capital of France is")
            session.run('let lm = ecco::from_pretrained("demo"); let output = lm.generate(prompt);')
            session.get("output")

    `folder` is the kernel's working folder, where its scripts read and save files; by default Python's own. Threads that
    use a session take turns.
    """

    def __init__(self, folder=None):
        self.folder = Path(folder or ".").resolve()
        # Jupyter hands what views ask to a thread of its own, while a cell may be running.
        self._turn = threading.RLock()
        self._start()

    def run(self, code, show=None):
        """Runs a cell. What it prints is printed; in a notebook, what it displays is displayed.

        `show(kind, content)` gets these in their place, as Jupyter's messages have them. Raises EccoError where the
        cell fails, and Interrupted on Ctrl-C, after the cell has ended.
        """
        return self._execute(code, show or outputs.show())

    def set(self, name, value):
        """Makes a variable of a Python value: None, bool, int, float, str, lists and dicts of such, and of numpy arrays,
        torch tensors, pandas' frames and series.

        Raises TypeError or ValueError, which say what cannot be passed.
        """
        rhai.check_name(name)
        with contextlib.ExitStack() as stack:
            sender = values.Sender(lambda: stack.enter_context(exchange(self.folder)))
            try:
                code = sender.expression(value)
            except RecursionError:
                raise ValueError(f"{name} is nested too deep, or holds itself") from None
            self._for_name(name, f"let {name} = {code};")

    def get(self, name):
        """A variable's value: tensors as numpy arrays, tables as pandas' frames (lists of dicts where there is no pandas),
        results as dicts, all others as Python has them."""
        rhai.check_name(name)
        with exchange(self.folder) as folder:
            return values.take(name, folder, lambda code: self._for_name(name, code))

    @in_turn
    def complete(self, code, position):
        """What may stand at a place of a cell: the kernel's `complete_reply`."""
        return self._wait(self._open().complete(code, position), ignore)

    @in_turn
    def ask(self, question):
        """What a view in a page asks, and the kernel's answer, as docs/live.md has them; None where it was no question."""
        client, comm = self._open(), {"comm_id": uuid.uuid4().hex}
        iopub = client.iopub_channel.socket

        def send(kind, **content):
            client.shell_channel.send(client.session.msg(kind, comm | content))

        send("comm_open", target_name=LIVE, data={})
        send("comm_msg", data=question)
        while True:
            try:
                _, message = self._next([iopub])
            except KeyboardInterrupt:
                self.interrupt()
                continue
            if message["content"].get("comm_id") != comm["comm_id"]:
                continue
            if message["msg_type"] == "comm_close":
                return None
            send("comm_close", data={})
            return message["content"]["data"]

    def interrupt(self):
        """Interrupts what runs; from another thread, or a signal's handler."""
        self._manager.interrupt_kernel()

    def restart(self):
        """A fresh kernel in the place of this one."""
        self.close()
        self._start()

    def close(self):
        """Ends the kernel."""
        atexit.unregister(self.close)
        if self._client:
            self._client.stop_channels()
            self._client = None
        if self._manager.has_kernel:
            self._manager.shutdown_kernel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        self._manager, self._client = manager(), None
        atexit.register(self.close)
        try:
            self._manager.start_kernel(cwd=str(self.folder))
            self._client = self._manager.blocking_client()
            self._client.start_channels(hb=False)
            self._client.wait_for_ready(timeout=START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    def _open(self):
        if self._client is None:
            raise RuntimeError("the session is closed")
        return self._client

    def _for_name(self, name, code):
        """Runs code of ours for a variable: no output, no history, and an error does not show that code."""
        try:
            self._execute(code, ignore, silent=True)
        except EccoError as error:
            raise EccoError(told(error.name, f"{name}: {error.message}")) from None

    @in_turn
    def _execute(self, code, show, **options):
        result, gather = gathering(show)
        request = self._open().execute(code, allow_stdin=True, **options)
        try:
            reply = self._wait(request, gather)
        except EccoError:
            raise
        except KeyboardInterrupt:
            raise Interrupted(self._stop(request, gather)) from None
        except BaseException:
            # An input that nobody can type, a pipe that was closed: the cell must not run on unseen.
            self._stop(request, ignore)
            raise
        if reply["status"] != "ok":
            raise EccoError(reply if "ename" in reply else ABORTED)
        for payload in reply.get("payload", []):
            if payload.get("source") == "page":
                show("page", payload)
        return result

    def _stop(self, request, show):
        """Interrupts a cell and waits until it has ended; gives what it says of that."""
        self.interrupt()
        # The interrupt here may have come between a message and what was to be done with it. What is asked now is answered
        # after the cell.
        reply = self._wait(request, show, after=self._client.complete("", 0))
        return reply if reply and "ename" in reply else STOPPED

    def _wait(self, request, show, after=None):
        """Hands on what comes of a request until it is answered and the kernel idle, or until that is so of another one,
        `after`; gives the answer, if it came."""
        client, reply, ended = self._client, None, set()
        shell, *others = [
            c.socket for c in (client.shell_channel, client.iopub_channel, client.stdin_channel)
        ]
        while len(ended) < 2:
            socket, message = self._next([shell, *others])
            parent, kind = message["parent_header"].get("msg_id"), message["msg_type"]
            content = message["content"]
            is_idle = kind == "status" and content["execution_state"] == "idle"
            if parent == (after or request) and (socket is shell or is_idle):
                ended.add(socket)
            if parent != request:
                continue
            if socket is shell:
                reply = content
            elif kind == "input_request":
                ask = getpass.getpass if content["password"] else input
                client.input(ask(content["prompt"]))
            elif kind != "status":
                show(kind, content)
        return reply

    def _next(self, sockets):
        """Waits; gives a socket and its next message."""
        import zmq

        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        while True:
            for socket, _ in poller.poll(LOOK_MS):
                return socket, self._client.session.recv(socket)[1]
            if not self._manager.is_alive():
                raise EccoError(DEAD)


def told(name, message):
    return {"ename": name, "evalue": message, "traceback": []}


DEAD = told("DeadKernelError", "the kernel has ended; restart the session: its variables are gone")
ABORTED = told("Aborted", "the cell was not run, since one before it failed")
STOPPED = told("KeyboardInterrupt", "interrupted")


def manager():
    """What starts the kernel and ends it."""
    try:
        from jupyter_client.kernelspec import NoSuchKernel
        from jupyter_client.manager import KernelManager
    except ModuleNotFoundError:
        raise ModuleNotFoundError("a session needs jupyter_client: pip install jupyter_client") from None
    manager = KernelManager(kernel_name="ecco")
    try:
        manager.kernel_spec_manager.get_kernel_spec("ecco")
    except NoSuchKernel:
        message = "Jupyter knows no kernel `ecco`: install ecco-kernel into this environment, or run `ecco-kernel install`"
        raise FileNotFoundError(message) from None
    return manager


def gathering(show):
    """A result, and what fills it from a cell's messages; `show` gets those that are not its value."""
    result, places = Result(), {}

    def gather(kind, content):
        if kind == "execute_result":
            result.data, result.metadata = content["data"], content["metadata"]
            return
        if kind not in ("stream", "display_data", "update_display_data", "clear_output"):
            return
        name = content.get("transient", {}).get("display_id")
        if kind == "clear_output":
            result.displays.clear()
            places.clear()
        elif kind == "update_display_data" and name in places:
            result.displays[places[name]] = content["data"]
        elif kind == "display_data":
            places[name] = len(result.displays)
            result.displays.append(content["data"])
        show(kind, content)

    return result, gather


def ignore(kind, content):
    pass


@contextlib.contextmanager
def exchange(folder):
    """A folder in a session's, for values on their way."""
    try:
        made = tempfile.TemporaryDirectory(prefix=".ecco-", dir=folder)
    except OSError as error:
        message = f"values go by files in the session's folder, and none can be made there: {error}"
        raise OSError(message) from None
    with made as path:
        yield Path(path)
