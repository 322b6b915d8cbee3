"""Kernels that a gateway starts, which may be on another machine: Jupyter Enterprise Gateway and Gateway Provisioners."""

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import hosts
from remote import RemoteServer, use
from servers import ended, server
from session import Session

pytestmark = pytest.mark.timeout(240)

# Gateways start no kernels for root, so the tests name a user (`KERNEL_USERNAME`).
# The gateway has an environment of its own: it keeps to a jupyter_client that nobody else has now. The Makefile makes it.
GATEWAY = Path(__file__).resolve().parents[2] / "build/gateway/bin/jupyter-enterprisegateway"


def spec(section, folder):
    """Writes the kernel.json that the page shows for a host, with the tests' Python; gives Jupyter's path to it."""
    (text,) = hosts.blocks(section, "json")
    kernels = folder / "jupyter/kernels/ecco"
    kernels.mkdir(parents=True)
    assert "/opt/ecco/bin/python" in text
    (kernels / "kernel.json").write_text(text.replace("/opt/ecco/bin/python", sys.executable))
    return folder / "jupyter"


def kernels_of(pid):
    """The kernels below a process."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], check=True, capture_output=True, text=True)
    rows = [line.split(maxsplit=2) for line in table.stdout.splitlines()]
    below = {pid}
    for _ in range(4):
        below |= {int(child) for child, parent, _ in rows if int(parent) in below}
    return [int(child) for child, _, command in rows if int(child) in below and command == "ecco-kernel"]


@pytest.fixture
def gateway(tmp_path):
    """An Enterprise Gateway whose kernels are processes of its proxy for several machines, on this one."""
    assert GATEWAY.is_file(), "make build/gateway/.requirements"
    port, token, log = hosts.free_port(), secrets.token_hex(16), tmp_path / "gateway.log"
    environment = os.environ | {
        "JUPYTER_PATH": str(spec("Jupyter Enterprise Gateway", tmp_path)),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "gateway-runtime"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "gateway-config"),
        "EG_KERNEL_LOG_DIR": str(tmp_path),
        "EG_AUTH_TOKEN": token,
        "HOME": str(tmp_path),
    }
    command = [GATEWAY, "--ip=127.0.0.1", f"--port={port}", "--EnterpriseGatewayApp.port_retries=0"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        hosts.wait_for(lambda: hosts.listens(port), process, log)
        yield process, f"http://127.0.0.1:{port}", token
    finally:
        process.terminate()
        ended(process)


def test_a_server_has_its_kernels_run_by_an_enterprise_gateway(gateway, tmp_path, monkeypatch):
    process, url, token = gateway
    monkeypatch.setenv("KERNEL_USERNAME", "ada")
    options = [f"--GatewayClient.url={url}", f"--GatewayClient.auth_token={token}"]
    (tmp_path / "notebooks").mkdir()
    with server("server", tmp_path, *options) as address:
        kernel = RemoteServer(*address).start()
        (first,) = kernels_of(process.pid)
        use(kernel)
        (second,) = kernels_of(process.pid)
        assert second != first
        kernel.shut_down()
        hosts.wait_for(lambda: not kernels_of(process.pid))


def test_a_gateway_provisioner_starts_interrupts_and_ends_it(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(spec("Gateway Provisioners", tmp_path)))
    monkeypatch.setenv("GP_KERNEL_LOG_DIR", str(tmp_path))
    session = Session(home=tmp_path, extra={"KERNEL_USERNAME": "ada"})
    try:
        assert session.manager.provisioner.comm_port > 0
        assert session.value("let kept = 6 * 7; kept") == "42"
        stop = lambda message: message["msg_type"] == "stream" and session.interrupt()
        assert (
            session.run('print("running"); loop { }', on_message=stop).reply["ename"] == "KeyboardInterrupt"
        )
        assert session.value("kept") == "42"
        (kernel,) = kernels_of(os.getpid())
    finally:
        session.close()
    hosts.wait_for(lambda: not Path(f"/proc/{kernel}").exists())


class Gateway:
    """The other side of the answer: a public key, and a socket where it arrives."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(30)

    def options(self):
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        return {
            "--kernel-id": "an-id",
            "--response-address": address,
            "--public-key": base64.b64encode(der).decode(),
        }

    def answer(self):
        caller, _ = self.socket.accept()
        with caller, caller.makefile("rb") as file:
            parts = json.loads(base64.b64decode(file.read()))
        assert parts["version"] == 1
        key, text = (base64.b64decode(parts[name]) for name in ("key", "conn_info"))
        cipher = Cipher(algorithms.AES(self.key.decrypt(key, padding.PKCS1v15())), modes.ECB()).decryptor()
        padded, unpadder = cipher.update(text) + cipher.finalize(), PKCS7(128).unpadder()
        return json.loads(unpadder.update(padded) + unpadder.finalize())


@contextlib.contextmanager
def launched(options, **more):
    command = [
        sys.executable,
        "-m",
        "ecco_kernel.launch",
        *[part for pair in options.items() for part in pair],
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def say(connection, text):
    with socket.create_connection(("127.0.0.1", connection["comm_port"]), timeout=5) as peer:
        peer.sendall(text)


def test_the_answer_has_what_a_gateway_needs_and_its_port_obeys():
    gateway = Gateway()
    with launched(gateway.options() | {"--port-range": "41000..43000"}) as launcher:
        connection = gateway.answer()
        ports = [connection[f"{name}_port"] for name in ("shell", "iopub", "stdin", "hb", "control", "comm")]
        assert len(set(ports)) == 6 and all(41000 <= port <= 43000 for port in ports)
        assert connection["kernel_id"] == "an-id" and len(connection["key"]) == 64
        assert kernels_of(launcher.pid) == [connection["pid"]]
        # What is no request, or no signal that a gateway sends, ends neither.
        for text in [
            b"",
            b"junk",
            b"[1]",
            b'{"signum": 0}',
            b'{"signum": "9"}',
            b'{"signum": 11}',
            b"\xff" * 8192,
        ]:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                say(connection, text)
        time.sleep(0.5)
        assert kernels_of(launcher.pid) == [connection["pid"]]
        say(connection, json.dumps({"signum": signal.SIGTERM}).encode())
        launcher.wait(timeout=20)
        with pytest.raises(ConnectionRefusedError):
            say(connection, b"{}")


def test_in_a_container_variables_say_it():
    gateway = Gateway()
    options = gateway.options()
    variables = {
        "KERNEL_ID": options["--kernel-id"],
        "RESPONSE_ADDRESS": options["--response-address"],
        "PUBLIC_KEY": options["--public-key"],
    }
    with launched({}, env=os.environ | variables) as launcher:
        kernel = gateway.answer()["pid"]
        launcher.kill()
        hosts.wait_for(lambda: not Path(f"/proc/{kernel}").exists())


WRONG = {
    "no-port": ({"--response-address": "127.0.0.1"}, "'127.0.0.1' is not an address and a port"),
    "range": ({"--port-range": "5"}, "'5' is not a range of ports"),
    "key": ({"--public-key": "AAAA"}, "the gateway's public key cannot be read"),
    "nobody": ({"--response-address": "127.0.0.1:1"}, "the gateway at 127.0.0.1:1: "),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_is_a_sentence_and_leaves_no_kernel(wrong):
    options, sentence = WRONG[wrong]
    with launched(Gateway().options() | options) as launcher:
        assert launcher.wait(timeout=30) != 0
        assert sentence in launcher.stderr.read()
