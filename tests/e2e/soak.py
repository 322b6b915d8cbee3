"""A long session: mixed cells with interrupts at random, several kernels at once.

    python tests/e2e/soak.py --minutes 90

Replies and idles are counted, their order is looked at, and memory, descriptors and threads have to stay within bounds.
`test_soak.py` runs a minute of it.
"""

import argparse
import json
import os
import random
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty

import models
from session import Session

MB = 1 << 20
# What a session may take beyond what it had after the first quarter, whatever it has done since.
MEMORY = 160 * MB
DESCRIPTORS = 24
THREADS = 4
# From an interrupt to the reply, on a machine that does something else too.
LATE_S = 5

SETUP = """
let lm = ecco::from_pretrained(FOLDER, #{verbose: false});
let text = "one two three four five six seven";
let output = lm.generate(text, #{generate: 4});
let n = 0;
"""

# What people do, and how often each is taken.
CELLS = [
    (8, "n += 1; n"),
    (4, "let a = []; a.pad(10000, 1); a.len"),
    (4, "print(`line ${n}`);"),
    (2, "for i in 0..200 { print(i); }"),
    (3, "lm.generate(text, #{generate: 8})"),
    (2, "lm.generate(text, #{generate: 8, do_sample: true})"),
    (2, "output.saliency()"),
    (2, 'output.saliency(#{method: "ig"})'),
    (1, 'output.compare_methods(["gradient", "occlusion"])'),
    (2, "output.lens()"),
    (2, "output.run_nmf(#{n_components: 3})"),
    (1, "output.run_pca(#{n_components: 3})"),
    (1, "ecco::similarity(lm.run(text), lm.run(text))"),
    (2, "lm.score(text).perplexity"),
    (2, "display(n, `one`); display(n + 1, `one`);"),
    (2, "no_such_variable"),
    (2, 'throw "on purpose"'),
    (1, 'output.saliency().save("saliency.html")'),
    (2, "let s = 0; for i in 0..200000 { s += i; } s"),
    (2, "sleep(0.2)"),
    (1, "loop { n += 0; }"),
    (1, "lm.intervene(#{ablate: [#{layer: 0, neurons: [1, 2]}]}).generate(text, #{generate: 4})"),
]
ENDLESS = "loop { n += 0; }"


@dataclass
class Figures:
    """What was seen."""

    cells: int = 0
    interrupts: int = 0
    ends: Counter = field(default_factory=Counter)
    slowest_interrupt: float = 0.0
    problems: list = field(default_factory=list)
    usage: list = field(default_factory=list)


class User:
    """One kernel, and somebody who works with it."""

    def __init__(self, home, folder, seed, history):
        self.random = random.Random(seed)
        self.figures = Figures()
        self.session = Session(home, extra={"ECCO_DATA_DIR": str(history)}, cwd=str(home))
        self.proc = Path(f"/proc/{self.session.manager.provisioner.pid}")
        run = self.session.run(SETUP.replace("FOLDER", json.dumps(str(folder))))
        assert run.status == "ok", run.reply

    def usage(self):
        """Anonymous memory, open files, threads."""
        status = dict(line.split(":", 1) for line in (self.proc / "status").read_text().splitlines())
        memory = int(status["RssAnon"].split()[0]) * 1024
        return memory, len(os.listdir(self.proc / "fd")), int(status["Threads"])

    def work(self, until):
        weights, cells = zip(*CELLS, strict=True)
        while time.monotonic() < until:
            codes = self.random.choices(cells, weights, k=self.random.choice([1, 1, 2, 5]))
            self.batch(codes)
            self.figures.usage.append(self.usage())

    def batch(self, codes):
        """Cells that are sent in one go; a reply and an idle for each, in their order."""
        client, figures = self.session.client, self.figures
        ids = [client.execute(code, stop_on_error=False) for code in codes]
        figures.cells += len(ids)
        needs_one = ENDLESS in codes
        asked = None
        if needs_one or self.random.random() < 0.3:
            time.sleep(self.random.uniform(0, 0.3))
            self.session.interrupt()
            figures.interrupts += 1
            asked = time.monotonic()
        replies, idles = [], []
        deadline = time.monotonic() + 120
        while len(replies) < len(ids) or len(idles) < len(ids):
            if time.monotonic() > deadline:
                figures.problems.append(f"no end of {codes}: {len(replies)} replies, {len(idles)} idles")
                return
            # An endless cell may have been behind the one that the interrupt hit.
            if needs_one and time.monotonic() - (asked or 0) > 1:
                self.session.interrupt()
                asked = time.monotonic()
            self.collect(ids, replies, idles, asked)
        for name, seen in [("replies", replies), ("idles", idles)]:
            if seen != ids:
                figures.problems.append(f"{name} of {codes} are lost or out of order")

    def collect(self, ids, replies, idles, asked):
        client = self.session.client
        try:
            reply = client.get_shell_msg(timeout=0.02)
            if reply["parent_header"].get("msg_id") in ids:
                replies.append(reply["parent_header"]["msg_id"])
                content = reply["content"]
                self.figures.ends[content.get("ename", content["status"])] += 1
                if content.get("ename") == "KeyboardInterrupt" and asked:
                    waited = time.monotonic() - asked
                    self.figures.slowest_interrupt = max(self.figures.slowest_interrupt, waited)
                if content.get("ename") == "InternalError":
                    self.figures.problems.append(str(content["evalue"]))
        except Empty:
            pass
        try:
            while True:
                message = client.get_iopub_msg(timeout=0.002)
                is_idle = message["content"].get("execution_state") == "idle"
                if message["msg_type"] == "status" and is_idle and message["parent_header"]["msg_id"] in ids:
                    idles.append(message["parent_header"]["msg_id"])
        except Empty:
            pass

    def judge(self):
        """Problems that the figures show: what grows."""
        figures = self.figures
        quarter = figures.usage[: max(1, len(figures.usage) // 4)]
        for name, of, bound in [
            ("memory", 0, MEMORY),
            ("descriptors", 1, DESCRIPTORS),
            ("threads", 2, THREADS),
        ]:
            first, last = max(usage[of] for usage in quarter), figures.usage[-1][of]
            if last > first + bound:
                figures.problems.append(f"{name} grew from {first} to {last}")
        if figures.slowest_interrupt > LATE_S:
            figures.problems.append(f"an interrupt took {figures.slowest_interrupt:.1f} s")
        run = self.session.run("n >= 0")
        if run.status != "ok" or run.text != "true":
            figures.problems.append("the session has lost its variables")


def soak(minutes, n_kernels, seed=0):
    """Figures of each kernel; all read one model and write one history."""
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        (place / "model").mkdir()
        folder = models.write_gpt2(place / "model", n_layer=2, n_embd=32, n_positions=64)
        users = []
        for number in range(n_kernels):
            home = place / f"home{number}"
            home.mkdir()
            users.append(User(home, folder, seed + number, place / "history"))
        until = time.monotonic() + minutes * 60
        threads = [threading.Thread(target=user.work, args=[until]) for user in users]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for user in users:
            user.judge()
            user.session.close()
        return [user.figures for user in users]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=90)
    arguments.add_argument("--kernels", type=int, default=1)
    arguments.add_argument("--seed", type=int, default=0)
    asked = arguments.parse_args()
    problems = 0
    for number, figures in enumerate(soak(asked.minutes, asked.kernels, asked.seed)):
        first, last = figures.usage[len(figures.usage) // 4], figures.usage[-1]
        print(
            f"kernel {number}: {figures.cells} cells, {figures.interrupts} interrupts, {dict(figures.ends)}"
        )
        print(f"  slowest interrupt {figures.slowest_interrupt:.2f} s")
        print(f"  memory {first[0] / MB:.0f} to {last[0] / MB:.0f} MB from a quarter to the end")
        print(f"  descriptors {first[1]} to {last[1]}, threads {first[2]} to {last[2]}")
        for problem in figures.problems:
            print("  PROBLEM", problem)
        problems += len(figures.problems)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
