"""How a kernel ends, and that nothing is lost when it does.

Stands for these tests of ipykernel: test_kernel.py `test_shutdown`; test_kernel_direct.py
`test_direct_shutdown_request`; test_parentpoller.py; test_subshells.py `test_shutdown_with_subshell`: see
test_subshells.py. That a cell's processes end with it (`test_shutdown_subprocesses`) has no counterpart: there are none.
"""

import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from conversation import stream
from session import bare_environment

END_S = 10

# Starts a kernel as a client does, says its process id, and waits to be killed.
PARENT = textwrap.dedent(
    """
    import sys, time
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="ecco")
    client.execute(sys.argv[1])
    while client.get_iopub_msg(timeout=30)["msg_type"] != "execute_input":
        pass
    print(manager.provisioner.pid, flush=True)
    time.sleep(600)
    """
)


def ended(process):
    """Whether a process ends in time."""
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def process(fresh):
    return psutil.Process(fresh.manager.provisioner.pid)


@pytest.mark.parametrize("channel", ["control", "shell"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_shutdown_request_is_answered_and_obeyed(fresh, process, channel, restart):
    request = fresh.request("shutdown_request", channel, restart=restart)
    assert fresh.reply(request, channel)["content"] == {"status": "ok", "restart": restart}
    assert ended(process)


@pytest.mark.parametrize("code", ["loop { }", "sleep(600)", 'input("?")'])
def test_a_shutdown_ends_a_running_cell(fresh, process, code):
    running = fresh.execute(f'print("running"); {code}', allow_stdin=True)
    fresh.until_printed(running)
    started = time.monotonic()
    fresh.request("shutdown_request", "control", restart=False)
    assert ended(process)
    assert time.monotonic() - started < 2.5, "clients send SIGTERM after 2.5 s"


def test_nothing_that_was_printed_is_lost_at_the_end(fresh, process):
    running = fresh.execute("for i in 0..50000 { print(i); }")
    fresh.reply(running)
    fresh.request("shutdown_request", "control", restart=False)
    time.sleep(0.5)  # this client reads late
    assert stream(fresh.published(running)).splitlines() == [str(i) for i in range(50_000)]
    assert ended(process)


def test_sigterm_ends_the_kernel_and_a_running_cell(fresh, process):
    running = fresh.execute('print("running"); loop { }')
    fresh.until_printed(running)
    process.send_signal(signal.SIGTERM)
    assert ended(process)


def test_sigint_does_not_end_it(fresh, process):
    for _ in range(20):
        process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # signals and messages have no order among each other
    assert fresh.value("6 * 7") == "42"


@pytest.mark.parametrize("code", ["1", "loop { }"], ids=["idle", "busy"])
def test_no_kernel_outlives_a_parent_that_is_killed(tmp_path, code):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, code],
        stdout=subprocess.PIPE,
        text=True,
        env=bare_environment(tmp_path),
    )
    try:
        kernel = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        assert ended(kernel)
    finally:
        parent.kill()
        parent.stdout.close()


def test_a_restart_forgets_everything(fresh):
    fresh.run("let gone = 1;")
    fresh.manager.restart_kernel()
    fresh.client.wait_for_ready(timeout=30)
    reply, _ = fresh.run("gone")
    assert reply["status"] == "error" and reply["execution_count"] == 1
