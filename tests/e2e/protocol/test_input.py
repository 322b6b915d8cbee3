"""Asking the user, and interrupting a cell that waits for an answer.

Stands for these tests of ipykernel: test_kernel.py `test_raw_input`, `test_interrupt_during_input`,
`test_interrupt_with_message`; test_async.py `test_async_interrupt` (a cell that waits);
test_ipkernel_direct.py `test_cancel_on_sigint`, `test_direct_interrupt_request`.
"""

import os
import signal
from queue import Empty

import pytest

from conversation import stream


def asked(talk, request):
    question = talk.next("stdin")
    assert question["parent_header"]["msg_id"] == request
    return question


@pytest.mark.parametrize(("code", "masked"), [("input", False), ("password", True)])
def test_a_line_is_asked_for_and_answered(talk, code, masked):
    request = talk.execute(f'print({code}("prompt> "))', allow_stdin=True)
    question = asked(talk, request)
    assert question["content"] == {"prompt": "prompt> ", "password": masked}
    talk.answer(question, "some text 👩‍🔬")
    assert talk.reply(request)["content"]["status"] == "ok"
    assert stream(talk.published(request)) == "some text 👩‍🔬\n"


def test_questions_and_output_alternate(talk):
    request = talk.execute('for i in 0..3 { print(i); print(input("")); }', allow_stdin=True)
    for i in range(3):
        talk.answer(asked(talk, request), f"answer {i}")
    assert talk.reply(request)["content"]["status"] == "ok"
    assert stream(talk.published(request)).splitlines() == ["0", "answer 0", "1", "answer 1", "2", "answer 2"]


def test_what_was_printed_is_shown_before_the_question(talk):
    request = talk.execute('print("listen:"); input("?")', allow_stdin=True)
    question = asked(talk, request)
    assert talk.until_printed(request)["content"]["text"] == "listen:\n"
    talk.answer(question, "")
    assert talk.reply(request)["content"]["status"] == "ok"
    talk.next("iopub", lambda m: m["content"].get("execution_state") == "idle")


def test_a_client_that_cannot_be_asked_is_not_asked(talk):
    reply, _ = talk.run('input("?")', allow_stdin=False)
    assert reply["status"] == "error" and "allow_stdin" in reply["evalue"]
    with pytest.raises(Empty):
        talk.next("stdin", timeout=0.3)


def test_an_answer_that_nobody_asked_for_answers_nothing_later(talk):
    request = talk.execute('input("first")', allow_stdin=True)
    question = asked(talk, request)
    talk.answer(question, "one")
    talk.answer(question, "again")
    assert talk.reply(request)["content"]["status"] == "ok"
    second = talk.execute('input("second")', allow_stdin=True)
    talk.answer(asked(talk, second), "two")
    talk.reply(second)
    (result,) = [m["content"]["data"] for m in talk.published(second) if m["msg_type"] == "execute_result"]
    assert "two" in result["text/plain"]
    talk.published(request)


def interrupt_by_message(talk):
    assert talk.ask("interrupt_request", channel="control") == {"status": "ok"}


def interrupt_by_signal(talk):
    os.kill(talk.manager.provisioner.pid, signal.SIGINT)


WAYS = pytest.mark.parametrize(
    "interrupt", [interrupt_by_message, interrupt_by_signal], ids=["message", "signal"]
)


@WAYS
def test_an_interrupt_ends_the_waiting(talk, interrupt):
    request = talk.execute('input("?")', allow_stdin=True)
    asked(talk, request)
    interrupt(talk)
    reply = talk.reply(request)["content"]
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    talk.published(request)
    assert talk.value("1 + 1") == "2"


@WAYS
@pytest.mark.parametrize("code", ["loop { }", "sleep(600)", "let a = []; loop { a = [1]; }"])
def test_an_interrupt_ends_a_running_cell(talk, interrupt, code):
    request = talk.execute(f'let kept = 7; print("running"); {code}')
    talk.until_printed(request)
    interrupt(talk)
    reply = talk.reply(request)["content"]
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    talk.next("iopub", lambda m: m["content"].get("execution_state") == "idle")
    assert talk.value("kept") == "7"


def test_an_interrupt_cannot_be_caught(talk):
    request = talk.execute('print("running"); loop { try { loop { } } catch { } }')
    talk.until_printed(request)
    interrupt_by_message(talk)
    assert talk.reply(request)["content"]["ename"] == "KeyboardInterrupt"


@WAYS
def test_an_interrupt_of_an_idle_kernel_hits_no_later_cell(talk, interrupt):
    interrupt(talk)
    assert talk.value("let n = 0; for i in 0..100000 { n += 1; } n") == "100000"


def test_an_interrupt_calls_off_the_cells_behind(talk):
    running = talk.execute('print("running"); loop { }')
    behind = talk.execute("let behind = 1;")
    talk.until_printed(running)
    interrupt_by_message(talk)
    assert talk.reply(running)["content"]["ename"] == "KeyboardInterrupt"
    assert talk.reply(behind)["content"]["status"] == "aborted"
