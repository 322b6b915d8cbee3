"""Lets papermill write a notebook's parameters as Rhai.

papermill knows languages by its table of translators and loads, when it is imported, what other packages
offer as engines (the entry points `papermill.engine`). There is no entry point for translators, so this module
is offered as an engine: loading it puts the translator into the table. As an engine it is papermill's usual one.
"""

import math
import re

from papermill.engines import NBClientEngine
from papermill.exceptions import PapermillException
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

execute_notebook = NBClientEngine.execute_notebook
nb_kernel_name = NBClientEngine.nb_kernel_name
nb_language = NBClientEngine.nb_language

# The words that no variable of Rhai may have as its name.
RESERVED = frozenset(
    """
    _ Fn as async await break call case catch const continue curry debug default do else eval export false fn for
    if import in is is_def_fn is_def_var is_shared let loop match module new nil null package print private protected
    public return shared spawn static super switch sync this thread throw true try type_of until use var void while
    with yield go goto
    """.split()
)
LARGEST = 2**63 - 1
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
CONTROL = re.compile(r'[\\"\x00-\x1f\x7f-\x9f]')
# `let name = value;` on a line of its own; what a comment behind it says is its description.
PARAMETER = re.compile(
    r"^[ \t]*(?:let|const)[ \t]+(?P<name>\w+)[ \t]*=[ \t]*(?P<value>.*?)[ \t]*;[ \t]*(?://[ \t]*(?P<help>.*?))?[ \t]*$",
    re.MULTILINE,
)


class RhaiTranslator(Translator):
    """The values that JSON and YAML have, as Rhai literals."""

    @classmethod
    def translate_none(cls, val):
        return "()"

    @classmethod
    def translate_int(cls, val):
        if not -LARGEST - 1 <= val <= LARGEST:
            raise PapermillException(
                f"parameter {val} does not fit into 64 bits; pass it as a float or a string"
            )
        # The smallest integer has no literal: its minus sign comes after its digits are read.
        return f"({-LARGEST} - 1)" if val < -LARGEST else str(val)

    @classmethod
    def translate_float(cls, val):
        if not math.isfinite(val):
            return "(0.0 / 0.0)" if math.isnan(val) else f"({math.copysign(1.0, val)} / 0.0)"
        digits, exponent, power = repr(float(val)).partition("e")
        return (digits if "." in digits else f"{digits}.0") + exponent + power.removeprefix("+")

    @classmethod
    def translate_escaped_str(cls, str_val):
        escaped = CONTROL.sub(lambda m: ESCAPES.get(m[0]) or f"\\x{ord(m[0]):02x}", str(str_val))
        return f'"{escaped}"'

    @classmethod
    def translate_list(cls, val):
        return f"[{', '.join(map(cls.translate, val))}]"

    @classmethod
    def translate_dict(cls, val):
        items = (f"{cls.translate_str(str(key))}: {cls.translate(value)}" for key, value in val.items())
        return f"#{{{', '.join(items)}}}"

    @classmethod
    def comment(cls, cmt_str):
        return "\n".join(f"// {line}".rstrip() for line in cmt_str.splitlines())

    @classmethod
    def assign(cls, name, str_val):
        if name in RESERVED:
            raise PapermillException(
                f"parameter {name!r}: Rhai reserves this word; give the parameter another name"
            )
        # As Rhai has it: letters of any alphabet, digits and _, and a letter before the first digit.
        if not (name.isidentifier() and name.lstrip("_")[:1].isalpha()):
            raise PapermillException(
                f"parameter {name!r} is no name: one holds letters, digits and _, a letter first"
            )
        return f"let {name} = {str_val};"

    @classmethod
    def inspect(cls, parameters_cell):
        return [
            Parameter(
                name=found["name"],
                inferred_type_name="None",
                default=found["value"],
                help=found["help"] or "",
            )
            for found in PARAMETER.finditer(parameters_cell["source"])
        ]


papermill_translators.register("rhai", RhaiTranslator)
