"""Tokens while they are made, interruption, and what a generation holds."""

import pytest

from session import data_of


@pytest.fixture(scope="module", autouse=True)
def slow(kernel, slow_model):
    run = kernel.run(f'let slow = ecco::from_pretrained("{slow_model}"); let before = 7;')
    assert run.status == "ok", run.reply


def shown_tokens(run):
    """How many tokens the cell's token display held, message by message."""
    shown = run.contents("display_data", "update_display_data")
    return [len(data_of(c["data"])["tokens"]) for c in shown if "text/html" in c["data"]]


def test_tokens_show_up_while_they_are_made(kernel):
    run = kernel.run('let output = slow.generate("abc", #{generate: 200});')
    assert run.status == "ok", run.reply
    counts = shown_tokens(run)
    assert run.contents("display_data") and run.contents("update_display_data")
    assert len(counts) >= 5
    assert counts == sorted(counts)
    assert counts[-1] == int(kernel.value("output.tokens.len()"))
    first, last = (m for m in (run.messages[0], run.messages[-1]))
    assert (last["header"]["date"] - first["header"]["date"]).total_seconds() > 0.1


def test_an_interrupt_stops_and_keeps_the_tokens_so_far(kernel):
    interrupted_after = []

    def interrupt_after_some(message):
        if message["msg_type"] == "update_display_data" and not interrupted_after:
            interrupted_after.append(len(data_of(message["content"]["data"])["tokens"]))
            kernel.interrupt()

    run = kernel.run('let output = slow.generate("abc", #{generate: 1000});', interrupt_after_some)
    assert interrupted_after, "the generation was over before it could be interrupted"
    assert run.status == "error"
    assert run.reply["ename"] == "KeyboardInterrupt"
    made = int(kernel.value("slow.last_output.tokens.len()"))
    assert interrupted_after[0] <= made < 1003
    assert shown_tokens(run)[-1] == made
    assert kernel.value("before") == "7"


def test_a_loop_is_interrupted(kernel):
    def interrupt(message):
        if message["msg_type"] == "stream":
            kernel.interrupt()

    run = kernel.run('print("started"); loop { }', interrupt, timeout=30)
    assert run.status == "error"
    assert "interrupt" in (run.reply["ename"] + run.reply["evalue"]).lower()
    assert kernel.value("before") == "7"


def test_the_same_seed_gives_the_same_text(kernel):
    code = '{ let o = slow.generate("abc", #{generate: 20, do_sample: true, seed: SEED}); o.token_ids }'
    first, again, other = (kernel.value(code.replace("SEED", seed)) for seed in "112")
    assert first == again != other


def test_a_resident_model_comes_back_at_once_and_can_be_freed(kernel, slow_model):
    assert kernel.run(f'let twin = ecco::from_pretrained("{slow_model}");').status == "ok"
    assert str(slow_model.name) in kernel.value("ecco::models()")
    assert kernel.value("ecco::models().len()") == "1"
    assert kernel.run("slow.unload();").status == "ok"
    assert kernel.value("ecco::models().len()") == "0"
    assert kernel.run('twin.generate("a", #{generate: 1})').status == "error"
    assert kernel.value("before") == "7"
