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


def wait_for_port(process, port, log):
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
