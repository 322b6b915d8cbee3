"""What is answered at once, also while a cell runs.

Stands for these tests of ipykernel: test_message_spec.py `test_kernel_info_request`, `test_connect_request`,
`test_comm_info_request`; test_kernel.py `test_control_thread_priority`, `test_sequential_control_messages`;
test_kernel_direct.py `test_direct_kernel_info_request`, `test_connect_request`, `test_process_control`,
`test_direct_debug_request`, and the usage request (`test_usage_request_without_psutil`). ipykernel runs cells that
come on the control channel; here that is an error, as the protocol has it.
"""

import time

import pytest
import zmq
from jupyter_client.blocking.client import BlockingKernelClient

import messages
from conversation import stream


@pytest.fixture
def busy(talk):
    """The request of a cell that runs until the test is over."""
    request = talk.execute('print("running"); loop { sleep(0.05); }')
    talk.until_printed(request)
    yield request
    talk.request("interrupt_request", channel="control")
    assert talk.reply(request)["content"]["ename"] == "KeyboardInterrupt"


def test_kernel_info_names_language_and_protocol(talk):
    info = talk.ask("kernel_info_request")
    assert info["protocol_version"] >= "5.5" and info["language_info"]["name"] == "rhai"
    assert info["language_info"]["file_extension"] == ".rhai"
    assert isinstance(info["supported_features"], list) and info["debugger"] is False


def test_the_ports_are_those_of_the_connection_file(talk):
    ports = talk.ask("connect_request")
    wanted = talk.manager.get_connection_info()
    assert all(ports[name] == port for name, port in wanted.items() if name.endswith("_port"))


@pytest.mark.parametrize("kind", ["kernel_info_request", "usage_request"])
def test_control_is_answered_while_a_cell_runs(talk, busy, kind):
    assert talk.ask(kind, channel="control")["status"] == "ok"


@pytest.mark.parametrize("kind", ["kernel_info_request", "comm_info_request", "connect_request"])
def test_shell_answers_what_needs_no_interpreter_while_a_cell_runs(talk, busy, kind):
    assert talk.ask(kind)["status"] == "ok"


def test_control_overtakes_the_cells_that_wait(talk):
    running = talk.execute('print("running"); sleep(1);')
    talk.until_printed(running)
    waiting = [talk.execute(f"let i = {i};") for i in range(5)]
    control = [talk.request("kernel_info_request", channel="control") for _ in range(5)]
    controlled = [talk.reply(request, "control")["header"]["date"] for request in control]
    talk.reply(running)
    executed = [talk.reply(request)["header"]["date"] for request in waiting]
    assert max(controlled) <= min(executed)
    assert controlled == sorted(controlled) and executed == sorted(executed), "each in its order"


def test_usage_says_what_a_resource_monitor_shows(talk):
    usage = talk.ask("usage_request", channel="control")
    assert usage["pid"] == talk.manager.provisioner.pid
    assert 1 << 20 < usage["kernel_memory"] < 1 << 33, "bytes"
    assert 0 <= usage["kernel_cpu"] < 10_000, "percent"
    assert usage["host_virtual_memory"]["total"] > usage["kernel_memory"]
    assert usage["host_virtual_memory"].keys() >= {"total", "available", "percent", "used", "free"}
    assert usage["cpu_count"] >= 1 and usage["host_cpu_percent"] >= 0


def test_usage_sees_a_cell_that_works(talk):
    request = talk.execute('print("running"); loop { }')
    talk.until_printed(request)
    talk.ask("usage_request", channel="control")
    time.sleep(0.5)  # it is the time since the last request that is measured
    usage = talk.ask("usage_request", channel="control")
    talk.request("interrupt_request", channel="control")
    talk.reply(request)
    assert usage["kernel_cpu"] > 5


def test_a_cell_on_the_control_channel_is_refused(talk):
    request = talk.request(
        "execute_request", channel="control", code="let through_control = 1;", silent=False
    )
    assert talk.reply(request, "control")["content"]["status"] == "error"
    assert talk.run("through_control")[0]["status"] == "error"


def test_debug_requests_are_refused(talk):
    request = talk.request("debug_request", channel="control", type="request", command="initialize", seq=1)
    assert talk.reply(request, "control")["content"]["status"] == "error"


def test_the_heartbeat_beats_while_a_cell_runs(talk, busy):
    info = talk.manager.get_connection_info()
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.connect(f"{info['transport']}://{info['ip']}:{info['hb_port']}")
        for beat in [b"ping", b"", bytes(range(256))]:
            socket.send(beat)
            assert socket.poll(5_000), "no heartbeat"
            assert socket.recv() == beat


def test_a_new_subscriber_is_welcomed(talk):
    info = talk.manager.get_connection_info()
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        socket.connect(f"{info['transport']}://{info['ip']}:{info['iopub_port']}")
        socket.subscribe(b"")
        assert socket.poll(5_000), "no welcome"
        session = talk.client.session.clone()  # one session takes a message only once
        _, frames = session.feed_identities(socket.recv_multipart())
        welcome = session.deserialize(frames)
        messages.check(welcome)
        assert welcome["msg_type"] == "iopub_welcome" and welcome["content"]["subscription"] == ""


def test_two_clients_see_each_other(talk):
    other = BlockingKernelClient(connection_file=talk.manager.connection_file)
    other.load_connection_file()
    other.start_channels()
    try:
        other.wait_for_ready(timeout=20)
        reply = talk.reply(request := talk.execute('print("for all")'))
        assert reply["content"]["status"] == "ok"
        assert stream(talk.published(request)) == "for all\n"
        seen = []
        while not seen or seen[-1]["content"].get("execution_state") != "idle":
            message = other.get_iopub_msg(timeout=20)
            if message["parent_header"].get("msg_id") == request:
                seen.append(message)
        assert stream(seen) == "for all\n"
    finally:
        other.stop_channels()
