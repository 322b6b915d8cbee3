"""jupyter console as a person at a terminal uses it."""

import re
import sys

import pexpect
import pytest

from session import bare_environment

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
UP, TAB, INTERRUPT, END, ENTER = "\x1b[A", "\t", "\x03", "\x04", "\r"


class Console:
    """The program behind a terminal. What it shows is read up to a text that must come."""

    def __init__(self, home):
        environment = bare_environment(home) | {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"}
        command = ["-m", "jupyter", "console", "--kernel=ecco"]
        self.program = pexpect.spawn(
            sys.executable, command, env=environment, encoding="utf-8", dimensions=(40, 120), timeout=30
        )

    def send(self, keys):
        self.program.send(keys)

    def until(self, text):
        """What is shown up to `text`, as plain text. Colours may stand between any two characters."""
        pattern = r"(?:\x1b\[[0-9;?]*[a-zA-Z])*".join(map(re.escape, text))
        self.program.expect(pattern)
        return ESCAPES.sub("", self.program.before + self.program.after)

    def cell(self, code, number):
        """Runs a cell of one line; returns what is shown up to the next prompt."""
        self.send(code + ENTER)
        return self.until(f"In [{number}]: ")

    def leave(self):
        self.send(END)
        self.until("want to exit")
        self.send("y" + ENTER)
        self.program.expect(pexpect.EOF)

    def close(self):
        self.program.close(force=True)


@pytest.fixture
def console(tmp_path):
    console = Console(tmp_path)
    console.until("In [1]: ")
    yield console
    console.close()


def test_cells_run_and_are_numbered(console):
    assert "Out[1]: 2" in console.cell("1 + 1", 2)
    assert "hello" in console.cell('print("hello")', 3)


def test_a_cell_goes_on_until_it_is_complete(console):
    console.send("fn twice(x) {" + ENTER)
    console.until("...:     ")
    console.send("2 * x }" + ENTER)
    console.until("In [2]: ")
    assert "Out[2]: 42" in console.cell("twice(21)", 3)


def test_tab_completes(console):
    console.cell("let striped_zebra = 3;", 2)
    console.send("striped_z" + TAB)
    console.until("striped_zebra")
    console.send(ENTER)
    assert "Out[2]: 3" in console.until("In [3]: ")


def test_up_brings_earlier_cells_back_also_those_of_an_earlier_session(console, tmp_path):
    console.cell("let earlier = 6 * 7;", 2)
    console.send(UP)
    console.until("let earlier = 6 * 7;")
    console.send(ENTER)
    console.until("In [3]: ")
    console.leave()
    later = Console(tmp_path)
    try:
        later.until("In [1]: ")
        later.send(UP)
        later.until("let earlier = 6 * 7;")
    finally:
        later.close()


def test_an_error_shows_its_place_and_the_session_goes_on(console):
    shown = console.cell("let a = 1; no_such_name", 2)
    assert "no_such_name" in shown and "^^^" in shown and "line 1" in shown
    assert "Out[2]: 1" in console.cell("a", 3)


def test_control_c_interrupts_a_loop(console):
    console.send('print("running"); loop { }' + ENTER)
    console.until("running\r\n")
    console.send(INTERRUPT)
    assert "KeyboardInterrupt" in console.until("In [2]: ")
    assert "Out[2]: 2" in console.cell("1 + 1", 3)


def test_input_is_typed_and_a_password_is_not_shown(console):
    console.send('input("name? ")' + ENTER)
    console.until("\r\nname? ")
    console.send("Ada" + ENTER)
    assert 'Out[1]: "Ada"' in console.until("In [2]: ")
    console.send('password("secret? ").len()' + ENTER)
    console.until("\r\nsecret? ")
    console.send("hidden" + ENTER)
    shown = console.until("In [3]: ")
    assert "Out[2]: 6" in shown and "hidden" not in shown


def test_help_is_paged_into_the_terminal(console):
    console.send("ecco::from_pretrained?" + ENTER)
    assert "from_pretrained" in console.until("options")


def test_leaving_ends_the_program(console):
    console.leave()
    console.program.wait()
    assert console.program.exitstatus == 0
