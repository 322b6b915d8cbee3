"""A batch whose workers are Ray's: `python -m ecco_kernel.ray script.rhai --input texts.jsonl --output results`.

Takes what `ecco-kernel batch` takes, and does the same: that program reads the input here, puts the results in order here,
and goes on where it was ended. Only its parts are computed elsewhere, each worker an actor of Ray that runs the program on
its machine with the models loaded once. A worker that is lost is started again, and its parts are given out anew.
"""

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time

# Parts that a worker has: one that it computes, one that waits for it.
SLOTS = 2
# Workers that are lost so often after each other, and nothing is done between, would be so for ever.
MOST_LOSSES = 10


def program():
    """The kernel's program on this machine: beside Python's, else on the path."""
    beside = os.path.join(os.path.dirname(sys.executable), "ecco-kernel")
    found = beside if os.path.exists(beside) else shutil.which("ecco-kernel")
    if found is None:
        raise FileNotFoundError("there is no ecco-kernel on this machine: pip install ecco-kernel")
    return found


class Worker:
    """Runs where Ray puts it; a process of the program does the work."""

    def __init__(self, job, environment):
        self._process = subprocess.Popen(
            [program(), "batch-worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | environment,
        )
        self._said = self._ask(job)

    def ready(self):
        """What the program says of itself, a line."""
        return self._said

    def part(self, line):
        """The results of a part, a line for a line."""
        return self._ask(line)

    def _ask(self, line):
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._process.stdout.readline()
        if not answer.endswith(b"\n"):
            raise RuntimeError(f"the worker has ended with status {self._process.wait()}")
        return answer


class Relay:
    """Passes parts from standard input on to workers, and what they say to standard output."""

    def __init__(self, options):
        # Ray's own messages are nobody's parts.
        self._out, sys.stdout = sys.stdout.buffer, sys.stderr
        import ray

        self._ray = ray
        ray.init(address=options.address, log_to_driver=False, include_dashboard=False)
        self._environment = {
            name: os.environ[name] for name in ("OMP_NUM_THREADS", "ECCO_MATMUL") if name in os.environ
        }
        # No restart by Ray: who is lost had parts, and says so.
        self._worker = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_restarts=0)(Worker)
        self._job = sys.stdin.buffer.readline()
        self._lines = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self._n_workers = options.workers
        self._workers, self._losses, self._known = [], 0, None
        # What Ray owes: a reference, and the worker and part (None for its first line) that it is of.
        self._owed = {}

    def run(self):
        """Until standard input ends, or the script has failed: the status to end with."""
        for _ in range(self._n_workers):
            self._start()
        waiting = []
        while None not in waiting:
            waiting = self._give(waiting)
            for reference in self._done():
                if not self._hear(reference):
                    return 1
            waiting += self._new_lines()
        # Nobody waits for what is being done.
        return 0

    def close(self):
        """Ends a Ray that was started here; on a cluster, the workers."""
        self._ray.shutdown()

    def _done(self):
        if not self._owed:
            time.sleep(0.005)
            return []
        return self._ray.wait(list(self._owed), timeout=0.02)[0]

    def _read(self):
        for line in sys.stdin.buffer:
            self._lines.put(line)
        self._lines.put(None)

    def _new_lines(self):
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        return lines

    def _start(self):
        worker = self._worker.remote(self._job, self._environment)
        self._owed[worker.ready.remote()] = (worker, None)

    def _give(self, lines):
        """Gives lines to the workers that have the least to do; those that are left wait."""
        for at, line in enumerate(lines):
            worker = min(self._workers, key=self._load, default=None)
            if worker is None or self._load(worker) >= SLOTS:
                return lines[at:]
            self._owed[worker.part.remote(line)] = (worker, json.loads(line)["part"])
        return []

    def _load(self, worker):
        return sum(of is worker for of, _ in self._owed.values())

    def _hear(self, reference):
        worker, part = self._owed.pop(reference)
        try:
            line = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return self._lost(worker, part, error)
        if part is not None:
            self._losses = 0
            self._say(line)
            return True
        said = json.loads(line)
        if "ready" not in said:
            self._say(line)
            return False
        self._workers.append(worker)
        said["ready"]["slots"] = SLOTS * self._n_workers
        self._say(json.dumps(said).encode() + b"\n")
        return True

    def _lost(self, worker, part, error):
        self._losses += 1
        if self._losses > MOST_LOSSES:
            print(f"workers are lost as soon as they are started: {error}", file=sys.stderr)
            return False
        if worker in self._workers:
            self._workers.remove(worker)
        theirs = [reference for reference, (of, _) in self._owed.items() if of is worker]
        parts = [part] + [self._owed.pop(reference)[1] for reference in theirs]
        for part in parts:
            if part is not None:
                why = f"the worker that had the row was lost ({type(error).__name__})"
                self._say(json.dumps({"lost": {"part": part, "why": why}}).encode() + b"\n")
        # Its process may still live.
        self._ray.kill(worker)
        self._start()
        return True

    def _say(self, line):
        self._out.write(line)
        self._out.flush()


def parser():
    parser = argparse.ArgumentParser(prog="python -m ecco_kernel.ray", description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="how many of Ray's workers (2)")
    parser.add_argument("--cpus", type=float, default=1, help="cores that each is given (1)")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs that each is given (0)")
    parser.add_argument("--address", help="of a cluster; without one Ray is started here")
    return parser


def main(arguments):
    if arguments[:1] == ["--relay"]:
        # Ctrl-C is said to all of a terminal's processes: who gives the parts decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        relay = Relay(parser().parse_args(arguments[1:]))
        try:
            return relay.run()
        finally:
            relay.close()
    options, rest = parser().parse_known_args(arguments)
    if not rest or {"-h", "--help"} & set(rest):
        parser().print_help()
        return subprocess.call([program(), "batch", "--help"])
    own = [f"--workers={options.workers}", f"--cpus={options.cpus}", f"--gpus={options.gpus}"]
    own += [f"--address={options.address}"] if options.address else []
    through = " ".join(map(quoted, [sys.executable, "-m", "ecco_kernel.ray", "--relay", *own]))
    threads = (
        []
        if any(word.startswith("--threads") for word in rest)
        else [f"--threads={max(1, int(options.cpus))}"]
    )
    command = [program(), "batch", *rest, *threads, "--through", through]
    os.execv(command[0], command)


def quoted(word):
    return "'" + word.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
