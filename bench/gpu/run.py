"""The clock, the program under test, and the results, which are written as they come."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

REPO = Path(__file__).resolve().parents[2]
# The models that are made, one of 2.5 GB, and what is saved of them.
SCRATCH_BYTES = 6_000_000_000


class Late(Exception):
    """The step's time is up."""


@dataclass
class Step:
    """One of the steps: its rows, and when it has to be over."""

    name: str
    until: float
    file: Path
    # Called after each row, which is then in all files: whoever ends the bench loses nothing.
    written: Callable[[], None]
    rows: list = field(default_factory=list)

    def left(self) -> float:
        """Seconds that are left; raises when there are none."""
        left = self.until - time.monotonic()
        if left <= 0.5:
            raise Late
        return left

    def add(self, what: str, ok: bool | None = None, **values) -> dict:
        """A row: whether it is as it should be (None: a figure, nothing to hold it to), and what was found."""
        self.rows.append({"what": what, "ok": ok} | values)
        self.write()
        mark = {True: "ok", False: "NOT AS IT SHOULD BE", None: ""}[ok]
        print(f"  {self.name}: {what}: {said(values)} {mark}".rstrip(), file=sys.stderr, flush=True)
        return self.rows[-1]

    def more(self, row: dict, **values):
        """What was found later for a row."""
        row |= values
        self.write()
        print(f"  {self.name}: … {row['what']}: {said(values)}", file=sys.stderr, flush=True)

    def write(self):
        self.file.write_text(json.dumps(self.rows, indent=1, ensure_ascii=False), encoding="utf-8")
        self.written()


@contextlib.contextmanager
def in_time(step: Step):
    """Work of others in this process, which asks nobody for the time: it is broken off when the step is over."""

    def late(*_):
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, step.left())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def said(values: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


@dataclass
class Bench:
    program: Path
    device: str
    minutes: float
    out: Path
    # For models: gigabytes, which are not results.
    scratch: Path
    start: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)
    written: Callable[[], None] = lambda: None
    begun: list["Running"] = field(default_factory=list)

    @property
    def takes_large(self) -> bool:
        """Whether there is time for more than a thousand million parameters."""
        return self.on_gpu or self.minutes >= 15

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def step(self, name: str, share: float) -> Step:
        """A step that ends when so much of the whole time is over: what earlier ones left is its own."""
        until = self.start + share * self.minutes * 60
        step = Step(name, until, self.out / f"{name}.json", self.written)
        self.steps.append(step)
        return step

    def begin(self, name: str, script: str) -> "Running":
        """Starts a script. Its current folder is the scratch one, where it may save."""
        file = self.out / "scripts" / f"{name}.rhai"
        file.parent.mkdir(exist_ok=True)
        file.write_text(script, encoding="utf-8")
        self.begun.append(Running([self.program, "exec", file], self.scratch, file.with_suffix(".stderr")))
        return self.begun[-1]

    def stop(self):
        """Ends what still runs: whoever waited for it has no more time, or failed."""
        for running in self.begun:
            if running.process.poll() is None:
                running.kill()
        self.begun.clear()

    def run(self, name: str, script: str, timeout: float) -> list[dict]:
        """Runs a script to its end and returns the JSON that it printed, a document in a line."""
        running = self.begin(name, script)
        lines = running.finish(timeout)
        if running.status != 0:
            raise Failed(f"{name}: ended with {running.status}: {running.complaints().strip()[-2000:]}")
        return lines


class Failed(Exception):
    """A script ended otherwise than it should."""


class Running:
    """A process of the program; the JSON lines it prints come one by one."""

    def __init__(self, command, folder: Path, errors: Path):
        self.errors = errors
        # Nothing of what surrounds the bench says where libtorch is; where the driver is may have to be said.
        paths = os.environ.get("LD_LIBRARY_PATH", "").split(":")
        paths = ":".join(path for path in paths if path and not (Path(path) / "libtorch_cpu.so").exists())
        kept = {
            name: value for name, value in os.environ.items() if name not in ("LD_LIBRARY_PATH", "PYTHONPATH")
        }
        kept |= {"LD_LIBRARY_PATH": paths} if paths else {}
        with errors.open("w") as stderr:
            self.process = subprocess.Popen(
                [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=stderr, text=True, env=kept,
            )  # fmt: skip
        self.lines: Queue = Queue()
        self.peak = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def next(self, timeout: float) -> dict | None:
        """The next line; None when it has ended. Raises Late."""
        try:
            line = self.lines.get(timeout=max(timeout, 0.1))
        except Empty:
            self.kill()
            raise Late from None
        if line is None:
            self.process.wait()
        return line

    def finish(self, timeout: float) -> list[dict]:
        until = time.monotonic() + timeout
        lines = []
        while (line := self.next(until - time.monotonic())) is not None:
            lines.append(line)
        return lines

    @property
    def status(self):
        return self.process.wait()

    def complaints(self) -> str:
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def without_graph(self) -> set[str]:
        """Why no CUDA graph was recorded, where its notices say so."""
        return set(re.findall(r"recorded, since (.+)\. The text", self.complaints()))

    def host_memory(self, key: str = "VmRSS") -> int:
        """What is resident of it on the host, in bytes; `VmHWM` is the most that was, `VmSize` its addresses."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0
        found = re.search(rf"{key}:\s*(\d+)", status)
        return int(found[1]) * 1024 if found else 0

    def cpu_seconds(self) -> float:
        """Time on a processor so far, of all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def libraries(self) -> str:
        return Path(f"/proc/{self.process.pid}/maps").read_text()

    def signal(self, number: signal.Signals):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()


def scratch(out: Path) -> Path:
    """A folder on a disk with room for the models, which `TMPDIR` may name; else beside the results."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(tempfile.gettempdir()).free > SCRATCH_BYTES:
            return Path(tempfile.mkdtemp(prefix="ecco-gpu-"))
    return Path(tempfile.mkdtemp(prefix="scratch-", dir=out))


def installed(binary: Path, folder: Path) -> Path:
    """The program as an installation has it: `<env>/bin`, beside the `<env>/lib/python3.x` of this very Python.

    So it has to find libtorch by its own run path. The environment itself is not touched: its packages are linked to.
    """
    packages = Path(importlib.util.find_spec("torch").submodule_search_locations[0]).parent
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    link = folder / "lib" / name / "site-packages"
    link.parent.mkdir(parents=True)
    link.symlink_to(packages)
    program = folder / "bin" / "ecco-kernel"
    program.parent.mkdir()
    shutil.copy2(binary, program)
    return program


def quoted(text: str) -> str:
    """A text as the scripts' language writes it: JSON's escapes are its own, but for the slash."""
    return json.dumps(str(text), ensure_ascii=False)
