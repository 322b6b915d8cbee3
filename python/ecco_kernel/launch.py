"""Starts the kernel where a gateway wants it: `python -m ecco_kernel.launch`, for Jupyter Enterprise Gateway and Gateway Provisioners.

The gateway does not choose the kernel's ports, since it may be on another machine. It tells this program where to report and a
public key. This program chooses ports, starts the kernel, and reports them, encrypted; then it waits for the kernel's end, and
for what the gateway says on a port of its own: signals for the kernel, and that it is to be shut down.

The answer is version 1 of that of Enterprise Gateway's launchers: base64 of JSON, whose `key` is an AES key encrypted by the
public key (RSA, PKCS #1 v1.5), and whose `conn_info` is the connection file with `pid`, `pgid`, `comm_port` and `kernel_id`,
encrypted by that AES key (ECB, padded as PKCS #7 says).
"""

import argparse
import base64
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

PORTS = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
# The program that wins the race for a port ends a kernel at its start; then others are tried.
STARTS = 5
START_TIMEOUT_S = 30
# How often a candidate in a range may be taken.
CANDIDATES = 100
ANSWER_VERSION = 1
# Who asks has so long, and so many bytes.
REQUEST_TIMEOUT_S = 5
REQUEST_BYTES = 4096


class LaunchError(Exception):
    """Why no kernel could be started or reported."""


def arguments(given, environment):
    """What the gateway says: as options in either of their two spellings, or, in a container, by variables."""
    parser = argparse.ArgumentParser(
        prog="python -m ecco_kernel.launch",
        description="Starts the kernel and reports its ports to a gateway.",
    )

    def option(name, *variables, **details):
        default = next((environment[name] for name in variables if environment.get(name)), None)
        parser.add_argument(
            f"--{name}", f"--RemoteProcessProxy.{name}", default=default, required=default is None, **details
        )

    option("kernel-id", "KERNEL_ID", help="the gateway's name for the kernel")
    option("response-address", "EG_RESPONSE_ADDRESS", "RESPONSE_ADDRESS", metavar="IP:PORT", type=address)
    option("public-key", "EG_PUBLIC_KEY", "PUBLIC_KEY", help="base64 of the gateway's public key")
    parser.add_argument(
        "--port-range",
        "--RemoteProcessProxy.port-range",
        type=port_range,
        default=environment.get("EG_PORT_RANGE") or environment.get("PORT_RANGE") or "0..0",
        metavar="FIRST..LAST",
        help="where the kernel's ports have to be; 0..0: anywhere",
    )
    parser.add_argument("--ip", default="0.0.0.0", help="the address that the kernel listens on")
    return parser.parse_args(given)


def address(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address and a port, such as 10.0.0.5:8877")
    return host, int(port)


def port_range(text):
    first, _, last = text.partition("..")
    if first.isdecimal() and last.isdecimal() and int(first) <= int(last) <= 65535:
        return int(first), int(last)
    raise argparse.ArgumentTypeError(f"{text!r} is not a range of ports, such as 40000..42000")


def free_socket(ip, ports):
    """A socket bound to a free port of the range; (0, 0) leaves the choice to the system."""
    for _ in range(CANDIDATES):
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.bind((ip, random.randint(*ports)))
            return bound
        except OSError as error:
            bound.close()
            reason = error
    raise LaunchError(f"no port of {ip} in {ports[0]}..{ports[1]} is free: {reason}")


def program():
    """The kernel of this environment, else the one on the path."""
    beside = Path(sysconfig.get_path("scripts")) / "ecco-kernel"
    found = str(beside) if beside.is_file() else shutil.which("ecco-kernel")
    if not found:
        raise LaunchError(f"ecco-kernel is neither in {beside.parent} nor on the path")
    return found


def start(ip, ports, folder):
    """Starts the kernel; gives the process and its connection, once it listens."""
    path = Path(folder) / "connection.json"
    # The kernel ends when this program does.
    environment = os.environ | {"JPY_PARENT_PID": str(os.getpid())}
    for _ in range(STARTS):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(free_socket(ip, ports)) for _ in PORTS]
            chosen = [bound.getsockname()[1] for bound in sockets]
        connection = {
            "transport": "tcp",
            "ip": ip,
            "key": secrets.token_hex(32),
            "signature_scheme": "hmac-sha256",
            **dict(zip(PORTS, chosen, strict=True)),
        }
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(connection, file)
        kernel = subprocess.Popen([program(), "run", "-f", str(path)], env=environment)
        if listens(kernel, ip, connection["hb_port"]):
            return kernel, connection
    raise LaunchError(f"the kernel ended {STARTS} times at its start, with {kernel.returncode} at last")


def listens(kernel, ip, port):
    """Waits until the kernel listens, or has ended."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while kernel.poll() is None:
        try:
            socket.create_connection(("127.0.0.1" if ip == "0.0.0.0" else ip, port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)
        if time.monotonic() > deadline:
            kernel.kill()
            raise LaunchError(f"the kernel does not listen after {START_TIMEOUT_S} s")
    return False


def encrypted(connection, public_key):
    """The answer, for the eyes of the gateway alone."""
    try:
        from cryptography.hazmat.primitives.asymmetric import padding
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.padding import PKCS7
        from cryptography.hazmat.primitives.serialization import load_der_public_key
    except ModuleNotFoundError:
        raise LaunchError("a gateway's answer is encrypted: pip install cryptography") from None
    try:
        public_key = load_der_public_key(base64.b64decode(public_key, validate=True))
    except ValueError as error:
        raise LaunchError(f"the gateway's public key cannot be read: {error}") from None
    key = secrets.token_bytes(16)
    padder, cipher = PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    text = padder.update(json.dumps(connection).encode()) + padder.finalize()
    parts = {"key": public_key.encrypt(key, padding.PKCS1v15()), "conn_info": cipher.update(text)}
    answer = {name: base64.b64encode(part).decode() for name, part in parts.items()}
    return base64.b64encode(json.dumps({"version": ANSWER_VERSION, **answer}).encode())


def report(answer, response_address):
    try:
        with socket.create_connection(response_address, timeout=START_TIMEOUT_S) as gateway:
            gateway.sendall(answer)
    except OSError as error:
        raise LaunchError(f"the gateway at {':'.join(map(str, response_address))}: {error}") from None


def request(listener):
    """What somebody says on the gateway's port: a map, or nothing that counts."""
    with contextlib.suppress(OSError, ValueError):
        caller, _ = listener.accept()
        with caller:
            deadline, text = time.monotonic() + REQUEST_TIMEOUT_S, b""
            while len(text) < REQUEST_BYTES and (left := deadline - time.monotonic()) > 0:
                caller.settimeout(left)
                part = caller.recv(REQUEST_BYTES)
                if not part:
                    said = json.loads(text)
                    return said if isinstance(said, dict) else {}
                text += part
    return {}


def obey(listener, kernel):
    """Passes signals on. Without this port the gateway takes the kernel for ended, so it is open until then."""
    while True:
        number = request(listener).get("signum")
        if number in SIGNALS and kernel.poll() is None:
            kernel.send_signal(number)


def launch(options):
    """Runs a kernel from its start to its end; returns the status to end with."""
    with (
        tempfile.TemporaryDirectory(prefix="ecco-") as folder,
        free_socket(options.ip, options.port_range) as listener,
    ):
        listener.listen()
        kernel, connection = start(options.ip, options.port_range, folder)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: kernel.send_signal(number))
        try:
            known = {
                "pid": kernel.pid,
                "pgid": os.getpgid(kernel.pid),
                "comm_port": listener.getsockname()[1],
                "kernel_id": options.kernel_id,
            }
            report(encrypted(connection | known, options.public_key), options.response_address)
        except LaunchError:
            kernel.kill()
            raise
        threading.Thread(target=obey, args=(listener, kernel), daemon=True).start()
        status = kernel.wait()
        return status if status >= 0 else 128 - status


def main():
    try:
        sys.exit(launch(arguments(sys.argv[1:], os.environ)))
    except LaunchError as error:
        sys.exit(f"ecco_kernel.launch: {error}")


if __name__ == "__main__":
    main()
