"""What every message of the protocol, 5.5, must hold: names and types, checked on everything that a test
receives. Fields beyond these are allowed, as the protocol says."""

import re

NUMBER = (int, float)
MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
ERROR = {"ename": str, "evalue": str, "traceback": list}
BUNDLE = {"data": dict, "metadata": dict}

CONTENTS = {
    # iopub
    "status": {"execution_state": str},
    "execute_input": {"code": str, "execution_count": int},
    "stream": {"name": str, "text": str},
    "display_data": BUNDLE | {"transient": dict},
    "update_display_data": BUNDLE | {"transient": dict},
    "execute_result": BUNDLE | {"execution_count": int},
    "error": ERROR,
    "clear_output": {"wait": bool},
    "iopub_welcome": {"subscription": str},
    "comm_open": {"comm_id": str, "target_name": str, "data": dict},
    "comm_msg": {"comm_id": str, "data": dict},
    "comm_close": {"comm_id": str, "data": dict},
    # shell
    "execute_reply": {"execution_count": int, "payload": list, "user_expressions": dict},
    "inspect_reply": BUNDLE | {"found": bool},
    "complete_reply": {"matches": list, "cursor_start": int, "cursor_end": int, "metadata": dict},
    "history_reply": {"history": list},
    "is_complete_reply": {},
    "connect_reply": dict.fromkeys([f"{name}_port" for name in "shell iopub stdin hb control".split()], int),
    "comm_info_reply": {"comms": dict},
    "kernel_info_reply": {
        "protocol_version": str,
        "implementation": str,
        "implementation_version": str,
        "language_info": dict,
        "banner": str,
        "help_links": list,
    },
    # control
    "interrupt_reply": {},
    "shutdown_reply": {"restart": bool},
    "usage_reply": {"kernel_cpu": NUMBER, "kernel_memory": NUMBER, "hostname": str, "pid": int},
    "debug_reply": {},
    "create_subshell_reply": {"subshell_id": str},
    "delete_subshell_reply": {},
    "list_subshell_reply": {"subshell_id": list},
    # stdin
    "input_request": {"prompt": str, "password": bool},
}
# What takes the place of a reply's fields when it is not ok. A cell that was called off has nothing to say.
FAILED = {"error": ERROR, "aborted": {}}
LANGUAGE = {"name": str, "version": str, "mimetype": str, "file_extension": str}
HEADER = {"msg_id": str, "session": str, "username": str, "msg_type": str, "version": str}
STATES = {
    "status": ("execution_state", {"busy", "idle", "starting"}),
    "stream": ("name", {"stdout", "stderr"}),
    "is_complete_reply": ("status", {"complete", "incomplete", "invalid", "unknown"}),
}


def check(message):
    """Fails where a message is not as the protocol has it."""
    kind, content = message["header"]["msg_type"], message["content"]
    check_fields(message["header"], HEADER)
    assert message["header"]["date"].tzinfo is not None, "a date without its zone"
    assert isinstance(message["metadata"], dict)
    failed = content.get("status") in FAILED
    check_fields(content, FAILED[content["status"]] if failed else CONTENTS[kind])
    if kind in STATES:
        name, states = STATES[kind]
        assert content[name] in states, message
    elif kind.endswith("_reply"):
        assert content["status"] in {"ok", *FAILED}, message
    if "data" in content and not kind.startswith("comm"):
        assert all(MIME_TYPE.fullmatch(name) for name in content["data"]), message
    if kind == "kernel_info_reply":
        check_fields(content["language_info"], LANGUAGE)


def check_fields(values, fields):
    for name, kind in fields.items():
        assert isinstance(values[name], kind), f"{name!r} in {values}"
        assert kind is bool or not isinstance(values[name], bool), f"{name!r} in {values}"
