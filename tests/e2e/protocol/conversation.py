"""A client that talks to the kernel message by message and checks each one that comes in."""

import time
from queue import Empty

import messages
from session import Session

TIMEOUT_S = 20


class Conversation:
    """A kernel and one client. Messages that a test has not asked for yet are kept for it."""

    def __init__(self, home):
        self.session = Session(home)
        self.manager, self.client = self.session.manager, self.session.client
        self.kept = {name: [] for name in ["shell", "control", "iopub", "stdin"]}

    def close(self):
        self.session.close()

    def leave(self):
        """Shuts the kernel down as a front end does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()

    def request(self, kind, channel="shell", buffers=None, header=None, **content):
        """Sends a request; returns its id."""
        message = self.client.session.msg(kind, content)
        message["header"].update(header or {})
        socket = getattr(self.client, f"{channel}_channel").socket
        self.client.session.send(socket, message, buffers=buffers)
        return message["header"]["msg_id"]

    def execute(self, code, **options):
        """Asks for a cell to be run; returns the request's id."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        header = options.pop("header", None)
        return self.request("execute_request", header=header, **(content | options))

    def next(self, channel, wanted=lambda message: True, timeout=TIMEOUT_S):
        """The next message on a channel that a test wants; Empty when none comes in time."""
        kept = self.kept[channel]
        for i, message in enumerate(kept):
            if wanted(message):
                return kept.pop(i)
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Empty(f"not seen on {channel}; kept: {[m['msg_type'] for m in kept]}")
            try:
                message = getattr(self.client, f"get_{channel}_msg")(timeout=left)
            except Empty:
                continue
            messages.check(message)
            if wanted(message):
                return message
            kept.append(message)

    def reply(self, request, channel="shell", timeout=TIMEOUT_S):
        """The reply to a request, as a whole message."""
        return self.next(channel, lambda m: m["parent_header"].get("msg_id") == request, timeout)

    def published(self, request, timeout=TIMEOUT_S):
        """What was published for a request from its `busy` to its `idle`, both left out."""
        found = []
        while True:
            message = self.next("iopub", lambda m: m["parent_header"].get("msg_id") == request, timeout)
            found.append(message)
            if state(message) == "idle":
                break
        assert state(found[0]) == "busy", [m["msg_type"] for m in found]
        return found[1:-1]

    def ask(self, kind, channel="shell", **content):
        """The content of the reply to a request, and no sooner than its idle."""
        request = self.request(kind, channel, **content)
        reply = self.reply(request, channel)
        assert reply["msg_type"] == kind.replace("_request", "_reply")
        self.published(request)
        return reply["content"]

    def run(self, code, **options):
        """Runs a cell; returns the content of its reply, and what it has published."""
        request = self.execute(code, **options)
        return self.reply(request)["content"], self.published(request)

    def value(self, code):
        """The text of a cell's value."""
        _, published = self.run(code)
        (result,) = [m["content"] for m in published if m["msg_type"] == "execute_result"]
        return result["data"]["text/plain"]

    def until_busy(self, request):
        """Waits until a request is being worked on."""
        self.next("iopub", lambda m: m["parent_header"].get("msg_id") == request and state(m) == "busy")

    def until_printed(self, request):
        """Waits for a cell's first output."""
        return self.next(
            "iopub", lambda m: m["parent_header"].get("msg_id") == request and m["msg_type"] == "stream"
        )

    def answer(self, request, value):
        """Answers an `input_request`."""
        reply = self.client.session.msg("input_reply", {"value": value, "status": "ok"}, parent=request)
        self.client.session.send(self.client.stdin_channel.socket, reply)


def state(message):
    return message["content"].get("execution_state") if message["msg_type"] == "status" else None


def kinds(published):
    """The types of messages, neighbours of the same type as one: output comes in pieces of any size."""
    return [
        m["msg_type"]
        for i, m in enumerate(published)
        if i == 0 or m["msg_type"] != published[i - 1]["msg_type"]
    ]


def stream(published, name="stdout"):
    texts = [m["content"] for m in published if m["msg_type"] == "stream"]
    return "".join(content["text"] for content in texts if content["name"] == name)
