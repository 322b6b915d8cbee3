"""Comms: what widgets and front ends' extensions talk through.

Stands for these tests of ipykernel: test_message_spec.py `test_comm_info_request`; test_comm.py as far as a
client sees it (open, message, close, an unknown target). A script opens no comms itself.
"""

import uuid

from conversation import kinds, stream


def opened(talk, target):
    comm = uuid.uuid4().hex
    request = talk.request("comm_open", comm_id=comm, target_name=target, data={})
    return comm, talk.published(request)


def test_there_are_none_at_first(talk):
    assert talk.ask("comm_info_request")["comms"] == {}
    assert talk.ask("comm_info_request", target_name="jupyter.widget")["comms"] == {}


def test_an_unknown_target_is_closed(talk):
    comm, published = opened(talk, "no.such.target")
    assert kinds(published) == ["comm_close"]
    assert published[0]["content"]["comm_id"] == comm
    assert talk.ask("comm_info_request")["comms"] == {}


def test_messages_to_a_comm_that_is_not_there_do_no_harm(talk):
    for kind in ["comm_msg", "comm_close"]:
        request = talk.request(kind, buffers=[b"\x00" * 1000, b""], comm_id="nowhere", data={"a": [1, None]})
        talk.published(request)
    assert talk.value("1 + 1") == "2"


def test_a_comm_is_answered_while_a_cell_runs(talk):
    running = talk.execute('print("running"); loop { sleep(0.05); }')
    talk.until_printed(running)
    _, published = opened(talk, "no.such.target")
    assert kinds(published) == ["comm_close"]
    talk.request("interrupt_request", channel="control")
    assert talk.reply(running)["content"]["ename"] == "KeyboardInterrupt"


def test_malformed_comm_messages_do_no_harm(talk):
    for content in [{}, {"comm_id": 5}, {"comm_id": None, "target_name": [], "data": 1}]:
        for kind in ["comm_open", "comm_msg", "comm_close"]:
            talk.published(talk.request(kind, **content))
    assert stream(talk.run('print("alive")')[1]) == "alive\n"
