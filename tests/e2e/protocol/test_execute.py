"""Running cells.

Stands for these tests of ipykernel: test_message_spec.py `test_execute`, `test_execute_silent`,
`test_execute_error`, `test_execute_inc`, `test_execute_stop_on_error`, `test_non_execute_stop_on_error`,
`test_user_expressions`, `test_user_expressions_fail`, `test_single_payload`; test_kernel.py
`test_execute_reply_error_status`, `test_message_order`, `test_parent_header_and_ident`;
test_kernel_direct.py `test_direct_execute_request`, `test_direct_execute_request_aborting`,
`test_direct_execute_request_error`.

| of test_kernel.py, these have no counterpart | because |
|---|---|
| `test_print_to_correct_cell_from_*`, `test_context_vars` | a script has no threads and no event loop |
| `test_capture_fd`, `test_subprocess_*`, `test_shutdown_subprocesses` | a script starts no process |
| `test_sys_path*`, `test_unc_paths`, `test_smoke_faulthandler`, `test_matplotlib_*` | Python's own |
| `test_interrupt_during_pdb_set_trace`, test_debugger.py | there is no debugger |
| `test_save_history` | a magic; what the history holds is in test_history.py |
"""

import pytest

from conversation import kinds, stream


def test_a_cell_is_busy_input_output_result_reply_idle(talk):
    request = talk.execute("print(1); 6 * 7")
    reply = talk.reply(request)["content"]
    published = talk.published(request)
    assert reply["status"] == "ok" and reply["payload"] == [] and reply["user_expressions"] == {}
    assert kinds(published) == ["execute_input", "stream", "execute_result"]
    shown, _, result = (m["content"] for m in (published[0], published[1], published[-1]))
    assert shown["code"] == "print(1); 6 * 7"
    assert shown["execution_count"] == result["execution_count"] == reply["execution_count"]
    assert result["data"]["text/plain"] == "42"


def test_a_reply_names_its_request_as_it_was_sent(talk):
    header = {"username": "somebody", "a_field_of_a_client": {"kept": True}}
    reply = talk.reply(talk.execute("1", header=header))
    assert reply["parent_header"].items() >= header.items()


def test_the_count_goes_up_by_one(talk):
    first, second = (talk.run("let x = 1;")[0]["execution_count"] for _ in range(2))
    assert second == first + 1


def test_silent_publishes_nothing_and_counts_nothing(talk):
    before, _ = talk.run("1")
    reply, published = talk.run("let silently = 5; print(1); silently", silent=True)
    assert reply["status"] == "ok" and published == []
    assert talk.run("1")[0]["execution_count"] == before["execution_count"] + 1
    assert talk.value("silently") == "5", "its variables stay"


def test_a_silent_cell_that_fails_says_so_in_its_reply_alone(talk):
    reply, published = talk.run("no_such_name", silent=True)
    assert reply["status"] == "error" and published == []


def test_without_store_history_the_count_stays(talk):
    before, _ = talk.run("1")
    reply, published = talk.run("2", store_history=False)
    assert kinds(published) == ["execute_input", "execute_result"]
    assert reply["execution_count"] in (before["execution_count"], before["execution_count"] + 1)
    assert talk.run("3")[0]["execution_count"] == before["execution_count"] + 1


@pytest.mark.parametrize("code", ["no_such_name", "let = 5", 'throw "an error"', "[1][5]", "1 / 0"])
def test_an_error_is_published_and_replied_alike(talk, code):
    reply, published = talk.run(code)
    assert reply["status"] == "error"
    (error,) = [m["content"] for m in published if m["msg_type"] == "error"]
    assert all(error[name] == reply[name] for name in ["ename", "evalue", "traceback"])
    assert error["ename"] and error["evalue"] and "^" in "\n".join(error["traceback"])


def test_an_error_that_the_script_catches_is_none(talk):
    reply, published = talk.run('try { throw "x"; } catch (e) { print("caught " + e); }')
    assert reply["status"] == "ok" and stream(published) == "caught x\n"


def test_an_error_calls_off_the_cells_behind_it(talk):
    failing = talk.execute('sleep(0.3); throw "x"')
    behind = [talk.execute(f"let never_{i} = {i};") for i in range(2)]
    assert talk.reply(failing)["content"]["status"] == "error"
    for request in behind:
        assert talk.reply(request)["content"]["status"] == "aborted"
        assert "execute_result" not in kinds(talk.published(request))
    assert talk.run("never_0")[0]["status"] == "error"
    assert talk.value("1 + 1") == "2", "what is sent later runs"


def test_an_error_with_stop_on_error_false_calls_off_nothing(talk):
    failing = talk.execute('sleep(0.3); throw "x"', stop_on_error=False)
    behind = talk.execute('print("hello")')
    assert talk.reply(failing)["content"]["status"] == "error"
    assert talk.reply(behind)["content"]["status"] == "ok"
    assert stream(talk.published(behind)) == "hello\n"


def test_an_error_calls_off_cells_and_nothing_else(talk):
    failing = talk.execute('sleep(0.3); throw "x"')
    others = [
        talk.request("kernel_info_request"),
        talk.request("comm_info_request"),
        talk.request("inspect_request", code="print", cursor_pos=5, detail_level=0),
        talk.request("complete_request", code="pri", cursor_pos=3),
        talk.request("is_complete_request", code="1"),
        talk.request("history_request", output=False, raw=True, hist_access_type="tail", n=1),
    ]
    assert talk.reply(failing)["content"]["status"] == "error"
    assert [talk.reply(request)["content"]["status"] for request in others] == ["ok"] * 4 + ["complete", "ok"]


def test_user_expressions_come_as_bundles(talk):
    reply, _ = talk.run("let x = 1;", user_expressions={"foo": "x + 1", "no": "no_such_name"})
    foo, no = (reply["user_expressions"][name] for name in ["foo", "no"])
    assert foo["status"] == "ok" and foo["data"]["text/plain"] == "2" and foo["metadata"] == {}
    assert no["status"] == "error" and no["ename"] and no["evalue"] and no["traceback"]
    assert reply["status"] == "ok", "the cell itself did not fail"


def test_user_expressions_of_a_cell_that_fails_are_not_evaluated(talk):
    reply, _ = talk.run("no_such_name", user_expressions={"foo": "1"})
    assert reply["status"] == "error" and not reply.get("user_expressions")


def test_a_page_comes_in_the_payload(talk):
    reply, published = talk.run('help("ecco::from_pretrained")')
    (page,) = reply["payload"]
    assert page["source"] == "page" and page["start"] == 0
    assert "from_pretrained" in page["data"]["text/plain"]
    assert kinds(published) == ["execute_input"], "a page is not an output"


def test_a_question_mark_asks_for_the_same_page(talk):
    asked = talk.run("ecco::from_pretrained?")[0]["payload"]
    assert asked and asked == talk.run('help("ecco::from_pretrained")')[0]["payload"]


def test_cells_are_run_and_answered_in_their_order(talk):
    first, _ = talk.run("let a = 0;")
    requests = [talk.execute("a += 1; a") for _ in range(100)]
    for i, request in enumerate(requests, 1):
        reply = talk.next("shell")
        assert reply["parent_header"]["msg_id"] == request
        assert reply["content"]["execution_count"] == first["execution_count"] + i
    result = [m for m in talk.published(requests[-1]) if m["msg_type"] == "execute_result"]
    assert result[0]["content"]["data"]["text/plain"] == "100"


def test_a_request_that_is_not_understood_gets_an_error(talk):
    for content in [{}, {"code": 5}, {"code": None}]:
        request = talk.request("execute_request", **content)
        assert talk.reply(request)["content"]["status"] == "error"
    assert talk.reply(talk.request("no_such_request"))["content"]["status"] == "error"
    assert talk.value("1 + 1") == "2"


def test_variables_functions_closures_and_imports_persist(talk):
    talk.run("let n = 40; fn twice(x) { 2 * x } let add = |x| x + n;")
    assert talk.value("twice(1) + n") == "42"
    assert talk.value("add.call(2)") == "42"
    talk.run("fn twice(x) { 3 * x }")
    assert talk.value("twice(1)") == "3", "a function defined again replaces the first"


def test_an_error_inside_a_function_names_its_cell_and_line(talk):
    defined, _ = talk.run("let here = 1;\nfn fails() {\n  let inside = 1;\n  no_such_name\n}")
    reply, _ = talk.run("fails()")
    traceback = "\n".join(reply["traceback"])
    assert (
        f"In [{defined['execution_count']}]" in traceback or f"cell {defined['execution_count']}" in traceback
    )
    assert "line 4" in traceback and "no_such_name" in traceback
