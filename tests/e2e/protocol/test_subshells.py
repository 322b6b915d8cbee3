"""There are no subshells, and clients are told so: variables and models belong to one thread.

Stands for ipykernel's test_subshells.py and test_message_spec.py `test_subshell`, of which only
`test_no_subshells` applies as it is. What subshells are mostly used for, being answered while a cell runs,
is had without them: test_control.py and test_comms.py.
"""

import pytest

REQUESTS = [("create", {}), ("list", {}), ("delete", {"subshell_id": "no-such-subshell"})]


def test_none_are_offered(talk):
    assert "kernel subshells" not in talk.ask("kernel_info_request")["supported_features"]


@pytest.mark.parametrize(("verb", "content"), REQUESTS, ids=[verb for verb, _ in REQUESTS])
def test_requests_for_them_are_refused_with_the_reason_while_a_cell_runs(talk, verb, content):
    running = talk.execute('print("running"); loop { sleep(0.05); }')
    talk.until_printed(running)
    reply = talk.ask(f"{verb}_subshell_request", channel="control", **content)
    assert reply["status"] == "error" and "subshell" in reply["evalue"]
    talk.request("interrupt_request", channel="control")
    assert talk.reply(running)["content"]["ename"] == "KeyboardInterrupt"


def test_a_cell_for_a_subshell_that_is_not_there_is_refused_and_does_not_run(talk):
    request = talk.execute("let in_a_subshell = 1;", header={"subshell_id": "no-such-subshell"})
    reply = talk.reply(request)
    assert reply["content"]["status"] == "error" and "subshell" in reply["content"]["evalue"]
    assert reply["parent_header"]["subshell_id"] == "no-such-subshell"
    assert talk.run("in_a_subshell")[0]["status"] == "error"


def test_no_subshell_is_the_one_shell(talk):
    request = talk.execute("let in_the_shell = 1;", header={"subshell_id": None})
    assert talk.reply(request)["content"]["status"] == "ok"
    assert talk.value("in_the_shell") == "1"
