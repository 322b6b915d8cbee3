"""Subshells: cells beside a running one.

Stands for ipykernel's test_subshells.py and test_message_spec.py `test_subshell`. Its `test_thread_counts` and
`test_thread_ids` look at Python's threads, `test_run_concurrently_sequence` at variables that subshells share
while both run: a script's values belong to one thread.
"""

import pytest

from conversation import kinds, state, stream


@pytest.fixture
def subshell(talk):
    identity = talk.ask("create_subshell_request", channel="control")["subshell_id"]
    yield identity
    talk.ask("delete_subshell_request", channel="control", subshell_id=identity)


@pytest.fixture
def busy(talk):
    """The request of a cell in the main shell that runs until the test is over."""
    request = talk.execute('print("running"); loop { sleep(0.05); }')
    talk.until_printed(request)
    yield request
    talk.request("interrupt_request", channel="control")
    assert talk.reply(request)["content"]["ename"] == "KeyboardInterrupt"


def listed(talk):
    return talk.ask("list_subshell_request", channel="control")["subshell_id"]


def test_subshells_are_offered(talk):
    assert "kernel subshells" in talk.ask("kernel_info_request")["supported_features"]


def test_a_subshell_is_listed_until_it_is_deleted(talk):
    assert listed(talk) == []
    identity = talk.ask("create_subshell_request", channel="control")["subshell_id"]
    assert listed(talk) == [identity]
    assert talk.ask("delete_subshell_request", channel="control", subshell_id=identity) == {"status": "ok"}
    assert listed(talk) == []


def test_a_subshell_is_made_while_a_cell_runs(talk, busy, subshell):
    assert listed(talk) == [subshell]


def test_a_subshell_runs_cells_while_the_main_shell_is_busy(talk, busy, subshell):
    request = talk.execute('print("beside"); 6 * 7', header={"subshell_id": subshell})
    reply = talk.reply(request)
    assert reply["content"]["status"] == "ok"
    assert reply["parent_header"]["subshell_id"] == subshell
    published = talk.published(request)
    assert kinds(published) == ["execute_input", "stream", "execute_result"]
    assert stream(published) == "beside\n"
    assert published[-1]["content"]["data"]["text/plain"] == "42"


def test_an_error_in_a_subshell_calls_off_nothing_elsewhere(talk, subshell):
    header = {"subshell_id": subshell}
    failing = talk.execute('sleep(0.3); throw "x"', header=header)
    behind = talk.execute("1", header=header)
    main = [talk.execute("sleep(0.4);"), talk.execute("2")]
    assert [talk.reply(r)["content"]["status"] for r in [failing, behind, *main]] == ["error", "aborted", "ok", "ok"]
    assert talk.reply(talk.execute("3", header=header))["content"]["status"] == "ok"


def test_every_status_names_its_own_request(talk, subshell):
    requests = [talk.execute("sleep(0.2);", header=header) for header in [{}, {"subshell_id": subshell}]]
    for request, identity in zip(requests, [None, subshell]):
        seen = [
            talk.next("iopub", lambda m: m["parent_header"].get("msg_id") == request and state(m)) for _ in range(2)
        ]
        assert [state(m) for m in seen] == ["busy", "idle"]
        assert {m["parent_header"].get("subshell_id") for m in seen} == {identity}


def test_silent_is_silent_in_a_subshell(talk, subshell):
    reply, published = talk.run("print(1); 2", silent=True, header={"subshell_id": subshell})
    assert reply["status"] == "ok" and published == []


def test_a_subshell_that_is_not_there_is_an_error(talk):
    request = talk.execute("1", header={"subshell_id": "no-such-subshell"})
    assert talk.reply(request)["content"]["status"] == "error"
    gone = talk.request("delete_subshell_request", "control", subshell_id="no-such-subshell")
    assert talk.reply(gone, "control")["content"]["status"] == "error"


def test_a_shutdown_ends_subshells_too(fresh):
    fresh.ask("create_subshell_request", channel="control")
    fresh.leave()
    assert not fresh.manager.is_alive()
