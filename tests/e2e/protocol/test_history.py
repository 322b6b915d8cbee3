"""What was run.

Stands for these tests of ipykernel: test_message_spec.py `test_history_range`, `test_history_tail`,
`test_history_search`; test_kernel_direct.py `test_history_request`. The history is a file in the user's
home, as IPython's is, so the later sessions of these tests see the earlier ones.
"""

import pytest

from conversation import Conversation


def history(talk, kind, output=False, **content):
    request = {"output": output, "raw": True, "hist_access_type": kind}
    return talk.ask("history_request", **(request | content))["history"]


def codes(entries):
    return [entry[2] for entry in entries]


@pytest.fixture
def three(fresh):
    for code in ["let a = 1;", "a + 1", "let b = a;"]:
        fresh.run(code)
    return fresh


def test_the_tail(three):
    entries = history(three, "tail", n=2)
    assert codes(entries) == ["a + 1", "let b = a;"]
    assert [line for _, line, _ in entries] == [2, 3]
    assert len({session for session, _, _ in entries}) == 1


def test_the_tail_with_results(three):
    three.run("1 + 1")
    without, with_result = codes(history(three, "tail", output=True, n=2))
    assert without == ["let b = a;", None] and with_result == ["1 + 1", "2"]


def test_a_range_of_this_session(three):
    assert codes(history(three, "range", session=0, start=1, stop=3)) == ["let a = 1;", "a + 1"]
    assert codes(history(three, "range", session=0, start=2)) == ["a + 1", "let b = a;"]
    assert history(three, "range", session=0, start=50, stop=60) == []


def test_a_search_takes_globs_and_the_newest(three):
    assert codes(history(three, "search", pattern="let *")) == ["let a = 1;", "let b = a;"]
    assert codes(history(three, "search", pattern="a ? 1")) == ["a + 1"]
    assert codes(history(three, "search", pattern="*a*", n=1)) == ["let b = a;"]
    assert history(three, "search", pattern="nothing like it") == []


def test_a_search_for_what_is_unique(three):
    for _ in range(3):
        three.run("a + 1")
    assert codes(history(three, "search", pattern="a +*")) == ["a + 1"] * 4
    assert codes(history(three, "search", pattern="a +*", unique=True)) == ["a + 1"]


def test_what_is_silent_or_not_stored_is_not_there(fresh):
    fresh.run("let stored = 1;")
    fresh.run("let silent = 2;", silent=True)
    fresh.run("let unstored = 3;", store_history=False)
    assert codes(history(fresh, "tail", n=10)) == ["let stored = 1;"]


def test_what_failed_is_there(fresh):
    fresh.run("no_such_name")
    assert codes(history(fresh, "tail", n=10)) == ["no_such_name"]


def test_a_pattern_is_no_query_language(three):
    for pattern in ["%", "_", "'; drop table history; --", "[", '"', "\\", "*" * 5_000 + "x"]:
        assert history(three, "search", pattern=pattern) == []


def test_it_survives_the_session(tmp_path):
    first = Conversation(tmp_path)
    first.run('let from_the_first = "session";')
    first.run("6 * 7")
    first.leave()
    second = Conversation(tmp_path)
    try:
        second.run("let from_the_second = 2;")
        assert codes(history(second, "tail", n=3)) == [
            'let from_the_first = "session";',
            "6 * 7",
            "let from_the_second = 2;",
        ]
        earlier = history(second, "range", output=True, session=-1, start=1, stop=3)
        assert [entry[1:] for entry in earlier] == [
            [1, ['let from_the_first = "session";', None]],
            [2, ["6 * 7", "42"]],
        ]
        assert codes(history(second, "range", session=0, start=1)) == ["let from_the_second = 2;"]
        assert codes(history(second, "search", pattern="*from_the_f*")) == ['let from_the_first = "session";']
        (old,), (new,) = ({e[0] for e in h} for h in [earlier, history(second, "tail", n=1)])
        assert old != new, "each session has a number of its own"
    finally:
        second.close()


def test_two_kernels_at_once_both_keep_theirs(tmp_path):
    both = [Conversation(tmp_path) for _ in range(2)]
    try:
        for i, talk in enumerate(both):
            talk.run(f"let mine = {i};")
        for i, talk in enumerate(both):
            assert codes(history(talk, "range", session=0, start=1)) == [f"let mine = {i};"]
        for talk in both:
            found = codes(history(talk, "search", pattern="let mine*"))
            assert sorted(found) == ["let mine = 0;", "let mine = 1;"]
    finally:
        for talk in both:
            talk.close()


def test_a_history_file_that_is_garbage_does_not_stop_the_kernel(tmp_path):
    first = Conversation(tmp_path)
    first.run("1")
    first.leave()
    files = [p for p in tmp_path.rglob("*") if p.is_file() and "history" in p.name]
    assert files, "no history file in the user's home"
    for path in files:
        path.write_bytes(b"\xff garbage" * 1000)
    second = Conversation(tmp_path)
    try:
        assert second.value("6 * 7") == "42"
        assert codes(history(second, "tail", n=1)) == ["6 * 7"]
    finally:
        second.close()
