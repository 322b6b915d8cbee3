"""A kernel behind a server, as front ends reach it: Jupyter Server's REST API and websockets."""

import json
import time
import uuid

import requests
import websocket

TIMEOUT_S = 120


class RemoteServer:
    """A server's API: its own, a hub's for one of its users, or a gateway's."""

    def __init__(self, url, token):
        self.url, self.headers = url.rstrip("/"), {"Authorization": f"token {token}"}

    def call(self, method, path, data=None):
        """The answer's JSON; fails the test where the server refuses."""
        reply = requests.request(
            method, f"{self.url}/{path}", json=data, headers=self.headers, timeout=TIMEOUT_S
        )
        assert reply.ok, f"{method} {path}: {reply.status_code} {reply.text[:2000]}"
        return reply.json() if reply.content else None

    def knows(self, path):
        """Whether there is a server that answers for it."""
        try:
            return requests.get(f"{self.url}/{path}", headers=self.headers, timeout=TIMEOUT_S).ok
        except requests.ConnectionError:
            return False

    def start(self, name="ecco"):
        return RemoteKernel(self, self.call("POST", "api/kernels", {"name": name})["id"])


class RemoteKernel:
    def __init__(self, server, identity):
        self.server, self.path = server, f"api/kernels/{identity}"
        self._connect()

    def _connect(self):
        url = f"{self.server.url.replace('http', 'ws', 1)}/{self.path}/channels"
        self.socket = websocket.create_connection(url, header=self.server.headers, timeout=TIMEOUT_S)

    def send(self, code):
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
        header |= {"session": uuid.uuid4().hex, "username": "", "date": time.strftime("%Y-%m-%dT%H:%M:%SZ")}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self.socket.send(json.dumps(message | {"channel": "shell", "buffers": []}))
        return header["msg_id"]

    def messages(self, request):
        """What comes of a request, until it is answered and the kernel idle."""
        ended = set()
        while len(ended) < 2:
            message = json.loads(self.socket.recv())
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "execute_reply" or (kind == "status" and content["execution_state"] == "idle"):
                ended.add(kind)
            yield kind, content

    def run(self, code):
        """The text of a cell's value; of one that fails, its error's name."""
        texts = [""]
        for kind, content in self.messages(self.send(code)):
            if kind == "execute_result":
                texts.append(content["data"]["text/plain"])
            elif kind == "error":
                texts.append(content["ename"])
        return texts[-1]

    def interrupt(self):
        self.server.call("POST", f"{self.path}/interrupt")

    def restart(self):
        self.server.call("POST", f"{self.path}/restart")
        self.socket.close()
        self._connect()

    def shut_down(self):
        self.socket.close()
        self.server.call("DELETE", self.path)


LOAD = 'let lm = ecco::from_pretrained("demo"); lm.generate("1.", #{generate: 2}).tokens.len()'


def use(kernel):
    """What every host has to let through: cells, a model, an interrupt that keeps what there is, a restart that does not."""
    assert kernel.run("let kept = 6 * 7; kept") == "42"
    assert int(kernel.run(LOAD)) >= 3
    request = kernel.send('print("running"); loop { }')
    errors = []
    for kind, content in kernel.messages(request):
        if kind == "stream":
            kernel.interrupt()
        elif kind == "error":
            errors.append(content["ename"])
    assert errors == ["KeyboardInterrupt"]
    assert kernel.run("kept") == "42"
    kernel.restart()
    assert kernel.run("kept") != "42"
    assert kernel.run("1 + 1") == "2"
