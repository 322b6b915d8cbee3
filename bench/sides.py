"""A kernel as a side of a comparison: started, driven and timed alike, whichever it is."""

import os
import sys
import time
from pathlib import Path

import psutil
import zmq
from jupyter_client.manager import KernelManager

TIMEOUT_S = 900


class Kernel:
    """A freshly started kernel, with the wall and CPU time to its first kernel_info reply."""

    def __init__(self, threads, command=None):
        self.manager = KernelManager(kernel_name="ecco" if command is None else "python3")
        if command:
            self.manager.kernel_spec.argv = command
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",  # as our kernelspec says
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        begin = time.perf_counter()
        self.manager.start_kernel(env=environment)
        self.process = psutil.Process(self.manager.provisioner.pid)
        self.client = self.manager.client()
        # By default a client tries to connect every 100 ms, and would measure that.
        self.client.context.setsockopt(zmq.RECONNECT_IVL, 1)
        self.client.start_channels()
        self.client.kernel_info()  # asked once: the socket delivers it as soon as the port is bound
        self.client.get_shell_msg(timeout=TIMEOUT_S)
        self.start = time.perf_counter() - begin, self._cpu_s()
        self.client.wait_for_ready(timeout=TIMEOUT_S)

    def _cpu_s(self):
        times = self.process.cpu_times()
        return times.user + times.system

    def cell(self, code):
        """Runs a cell; returns its (wall time, CPU time) and values."""
        values, self.written = [], []

        def collect(message):
            if message["msg_type"] == "execute_result":
                values.append(message["content"]["data"])
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                self.written.append(message["content"]["text"])

        before, begin = self._cpu_s(), time.perf_counter()
        reply = self.client.execute_interactive(code, timeout=TIMEOUT_S, output_hook=collect)
        times = time.perf_counter() - begin, self._cpu_s() - before
        if reply["content"]["status"] != "ok":
            sys.exit("\n".join(reply["content"]["traceback"]))
        return times, values

    def printed(self, code):
        """What a cell prints."""
        self.cell(code)
        return "".join(self.written)

    def run(self, steps):
        """(Wall, CPU) of the steps by name, and their values."""
        times, values = {"start": self.start}, {}
        for name, code in steps.items():
            times[name], values[name] = self.cell(code)
        return times, values

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def processor():
    """Cores and their name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{os.cpu_count()} cores of an {name}"
