"""Completion, inspection, and whether a cell is complete.

Stands for these tests of ipykernel: test_message_spec.py `test_oinfo`, `test_oinfo_found`,
`test_oinfo_detail`, `test_oinfo_not_found`, `test_complete`, `test_is_complete`; test_kernel.py
`test_is_complete`, `test_complete`; test_kernel_direct.py `test_complete_request`, `test_inspect_request`,
`test_is_complete_request`. Its is_complete of cell magics has no counterpart.
"""

import pytest


def complete(talk, code, cursor=None):
    cursor = len(code) if cursor is None else cursor
    reply = talk.ask("complete_request", code=code, cursor_pos=cursor)
    assert 0 <= reply["cursor_start"] <= reply["cursor_end"] <= len(code)
    types = reply["metadata"]["_jupyter_types_experimental"]
    assert [t["text"] for t in types] == reply["matches"]
    assert all(t["type"] for t in types)
    completed = [code[: reply["cursor_start"]] + m + code[reply["cursor_end"] :] for m in reply["matches"]]
    return completed, {t["text"]: t for t in types}


def inspect(talk, code, cursor=None, detail=0):
    cursor = len(code) if cursor is None else cursor
    return talk.ask("inspect_request", code=code, cursor_pos=cursor, detail_level=detail)


def test_variables_and_functions_are_completed_with_their_types(talk):
    talk.run("let alpha = 5; let albert = 5; fn alchemy(lead) { lead }")
    completed, types = complete(talk, "1 + al")
    assert {"1 + alpha", "1 + albert"} <= set(completed)
    assert types["alpha"]["type"] == "variable"
    (function,) = [t for name, t in types.items() if name.startswith("alchemy")]
    assert function["type"] == "function" and "lead" in function["signature"]


def test_completion_goes_on_in_the_middle_of_a_line(talk):
    talk.run("let alpha = 5;")
    assert "let b = alpha + 1;" in complete(talk, "let b = alp + 1;", cursor=11)[0]


def test_the_cursor_counts_code_points(talk):
    talk.run("let alpha = 5;")
    assert 'let s = "👩‍🔬é"; alpha' in complete(talk, 'let s = "👩‍🔬é"; alph')[0]


def test_methods_fit_the_value_before_the_dot(talk):
    talk.run('let words = ["a"]; let line = "a";')
    of_array, of_string = (complete(talk, code)[1] for code in ["words.", "line."])
    assert any(name.startswith("push") for name in of_array)
    assert not any(name.startswith("push") for name in of_string)
    assert any(name.startswith("to_upper") for name in of_string)


def test_option_names_are_completed_inside_a_map(talk):
    completed, _ = complete(talk, 'ecco::from_pretrained("demo", #{act')
    assert any("activations" in line for line in completed)


def test_models_are_completed_inside_from_pretrained(talk):
    completed, _ = complete(talk, 'ecco::from_pretrained("de')
    assert any(line.startswith('ecco::from_pretrained("demo') for line in completed)


def test_files_are_completed_inside_strings(talk, tmp_path):
    (tmp_path / "a_file_of_ours.txt").touch()
    completed, _ = complete(talk, f'let path = "{tmp_path}/a_fi')
    assert any(f"{tmp_path}/a_file_of_ours.txt" in line for line in completed)


def test_nothing_fits(talk):
    assert complete(talk, "no_name_starts_like_this")[0] == []


def test_a_cursor_outside_of_the_code_does_no_harm(talk):
    for cursor in [-1, 10**6, 2**40]:
        request = talk.request("complete_request", code="pri", cursor_pos=cursor)
        assert talk.reply(request)["msg_type"] == "complete_reply"
    assert talk.value("1 + 1") == "2"


def test_a_value_is_inspected(talk):
    talk.run("let answer = [40, 2];")
    found = inspect(talk, "answer")
    assert found["found"] and "array" in found["data"]["text/plain"]
    assert "40" in found["data"]["text/plain"]


def test_a_function_is_inspected_inside_its_call(talk):
    found = inspect(talk, 'ecco::from_pretrained("demo", ')
    assert found["found"]
    assert all(word in found["data"]["text/plain"] for word in ["from_pretrained", "activations", "device"])


def test_detail_shows_the_source_of_a_function(talk):
    talk.run("/// Doubles it.\nfn doubled(it) {\n    it + it\n}")
    brief, full = (inspect(talk, "doubled", detail=detail)["data"]["text/plain"] for detail in [0, 1])
    assert "doubled(it)" in brief and "Doubles it." in brief
    assert "it + it" in full


def test_what_is_not_there_is_not_found(talk):
    found = inspect(talk, "does_not_exist")
    assert found["status"] == "ok" and not found["found"] and found["data"] == {}
    assert not inspect(talk, "")["found"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("2 + 2", "complete"),
        ("", "complete"),
        ("let a = [1,\n2,", "incomplete"),
        ("fn f(x) {\n  x", "incomplete"),
        ("`a string over\nlines", "incomplete"),
        ("/* a comment", "incomplete"),
        ("let = 2", "invalid"),
        ("1 + )", "invalid"),
    ],
)
def test_complete_unfinished_and_wrong_are_told_apart(talk, code, status):
    assert talk.ask("is_complete_request", code=code)["status"] == status


@pytest.mark.parametrize(
    ("code", "indent"),
    [("if true {", "    "), ("if true {\n    for i in 0..3 {", "        "), ("let a =", "")],
)
def test_the_next_line_is_indented(talk, code, indent):
    reply = talk.ask("is_complete_request", code=code)
    assert (reply["status"], reply["indent"]) == ("incomplete", indent)
