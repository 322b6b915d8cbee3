"""`%%ecco` in IPython: a cell that runs in a companion kernel and shows in this notebook."""

import atexit

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from ecco_kernel import outputs
from ecco_kernel.session import LIVE, EccoError, Session

NAMES = {"action": "append", "default": [], "metavar": "NAME"}


@magics_class
class EccoMagics(Magics):
    """The companion starts with the first cell that needs it and ends with the notebook's kernel."""

    companion = None

    @property
    def session(self):
        if self.companion is None:
            self.companion = Session()
        return self.companion

    @magic_arguments()
    @argument("-i", "--input", help="a Python variable that the cell gets; several by commas", **NAMES)
    @argument("-o", "--output", help="a variable of the cell that Python gets; several by commas", **NAMES)
    @cell_magic
    def ecco(self, line, cell):
        """Run the cell's Rhai script in the Ecco kernel; its value is this cell's."""
        options = parse_argstring(self.ecco, line)
        inputs, wanted = split(options.input), split(options.output)
        for name in inputs:
            if name not in self.shell.user_ns:
                raise UsageError(f"-i {name}: Python has no variable of that name")
            self.pass_on("-i", self.session.set, name, self.shell.user_ns[name])
        result = self.session.run(cell, outputs.in_notebook)
        for name in wanted:
            self.shell.user_ns[name] = self.pass_on("-o", self.session.get, name)
        return result if result.data else None

    @staticmethod
    def pass_on(option, call, name, *value):
        try:
            return call(name, *value)
        except (TypeError, ValueError, OSError, ModuleNotFoundError) as error:
            raise UsageError(f"{option} {name}: {error}") from None

    @line_magic
    def ecco_restart(self, line):
        """Start the Ecco kernel anew: its variables and models are gone."""
        if self.companion is not None:
            self.companion.restart()

    def close(self):
        if self.companion is not None:
            self.companion.close()
            self.companion = None

    def talk(self, comm, _):
        """A page has opened a way for its views to ask; their kernel, for them, is Python's."""

        def answer(message):
            try:
                reply = self.companion and self.companion.ask(message["content"]["data"])
            except EccoError:
                reply = None
            if reply:
                comm.send(reply)
            else:
                comm.close()

        comm.on_msg(answer)

    def complete(self, context):
        """What IPython's completer asks each matcher; only cells that begin with `%%ecco` are ours."""
        first, _, cell = context.full_text.partition("\n")
        if first.split()[:1] != ["%%ecco"] or context.cursor_line == 0:
            return {"completions": []}
        before = cell.split("\n")[: context.cursor_line - 1]
        position = sum(len(line) + 1 for line in before) + context.cursor_position
        reply = self.session.complete(cell, position)
        types = reply.get("metadata", {}).get("_jupyter_types_experimental", [])
        kinds = {entry["text"]: entry["type"] for entry in types}
        return {
            "completions": [SimpleCompletion(text, type=kinds.get(text)) for text in reply["matches"]],
            "matched_fragment": cell[reply["cursor_start"] : position],
            "suppress": True,
            "ordered": True,
        }


def split(lists):
    return [name.strip() for names in lists for name in names.split(",")]


loaded = {}


def load(shell):
    magics = EccoMagics(shell)
    shell.register_magics(magics)
    # A matcher is a function with marks on it, which a bound method does not take.
    matcher = context_matcher(identifier="ecco")(lambda context: magics.complete(context))
    shell.Completer.custom_matchers.append(matcher)
    # IPython on a terminal has no comms.
    if kernel := getattr(shell, "kernel", None):
        kernel.comm_manager.register_target(LIVE, magics.talk)
    atexit.register(magics.close)
    loaded[shell] = magics, matcher


def unload(shell):
    magics, matcher = loaded.pop(shell)
    shell.Completer.custom_matchers.remove(matcher)
    if kernel := getattr(shell, "kernel", None):
        kernel.comm_manager.unregister_target(LIVE, magics.talk)
    atexit.unregister(magics.close)
    for kind, name in (("cell", "ecco"), ("line", "ecco_restart")):
        shell.magics_manager.magics[kind].pop(name, None)
    magics.close()
