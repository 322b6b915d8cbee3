"""What a cell publishes.

Stands for these tests of ipykernel: test_message_spec.py `test_stream`, `test_display_data`; test_kernel.py
`test_simple_print`; of test_io.py what a client sees of it. Its rest is about Python's own stdout object.
"""

from conversation import kinds, stream


def test_print_goes_to_stdout_and_eprint_to_stderr(talk):
    _, published = talk.run('print("hi"); eprint("oops")')
    assert stream(published) == "hi\n" and stream(published, "stderr") == "oops\n"


def test_streams_keep_the_order_of_their_lines(talk):
    _, published = talk.run("for i in 0..1000 { print(i); }")
    assert stream(published).splitlines() == [str(i) for i in range(1000)]
    messages = [m for m in published if m["msg_type"] == "stream"]
    assert len(messages) < 100, "lines are sent together"


def test_outputs_keep_their_order_among_each_other(talk):
    _, published = talk.run('print("a"); display(1); eprint("b"); display(2); print("c"); 3')
    assert kinds(published) == [
        "execute_input",
        "stream",
        "display_data",
        "stream",
        "display_data",
        "stream",
        "execute_result",
    ]


def test_a_trailing_semicolon_suppresses_the_result(talk):
    assert kinds(talk.run("1 + 1;")[1]) == ["execute_input"]
    assert kinds(talk.run("1 + 1")[1]) == ["execute_input", "execute_result"]


def test_markup_is_shown_as_what_it_is(talk):
    cells = {
        'display(html("<b>x</b>"))': ("text/html", "<b>x</b>"),
        'display(markdown("**x**"))': ("text/markdown", "**x**"),
        'display(svg("<svg></svg>"))': ("image/svg+xml", "<svg></svg>"),
    }
    for code, (kind, source) in cells.items():
        (shown,) = [m["content"] for m in talk.run(code)[1] if m["msg_type"] == "display_data"]
        assert shown["data"][kind] == source and "text/plain" in shown["data"]


def test_a_display_with_an_id_is_updated(talk):
    _, published = talk.run('for i in 0..3 { display(i, "one"); }')
    shown = published[1:]
    kinds, texts = [m["msg_type"] for m in shown], [m["content"]["data"]["text/plain"] for m in shown]
    assert kinds == ["display_data", *["update_display_data"] * (len(shown) - 1)]
    assert texts == sorted(texts) and texts[-1] == "2", (
        "what waits to be sent is replaced by what comes after it"
    )
    (identity,) = {m["content"]["transient"]["display_id"] for m in shown}
    assert identity


def test_clear_output_says_whether_to_wait(talk):
    _, published = talk.run("clear_output(); clear_output(true);")
    assert [m["content"]["wait"] for m in published if m["msg_type"] == "clear_output"] == [False, True]


def test_characters_survive_whole(talk):
    text = "héllo wörld 👩‍🔬 日本語 \u2028 \x00"
    reply, published = talk.run(f"print(`{text}`)")
    assert reply["status"] == "ok" and stream(published) == text + "\n"
