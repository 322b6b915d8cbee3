"""What tests of hosts share: the files that docs/hosts.md shows, and ports."""

import re
import socket
import time
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/hosts.md"
START_TIMEOUT_S = 90


def blocks(section, language):
    """What a section of the page shows of a language, so that it is tried as it stands there."""
    (text,) = re.findall(
        rf"^##+ {re.escape(section)}\n(.*?)(?=^##+ |\Z)", PAGE.read_text("utf-8"), re.M | re.S
    )
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def wait_for(holds, process=None, log=None):
    """Waits until something is so; fails the test with a process's log where that ends before."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not holds():
        is_late = time.monotonic() > deadline
        assert not is_late and (process is None or process.poll() is None), log and log.read_text()
        time.sleep(0.1)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False
