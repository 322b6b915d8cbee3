"""Lets papermill write a notebook's parameters as Rhai.

papermill knows languages by its table of translators and loads, when it is imported, what other packages
offer as engines (the entry points `papermill.engine`). There is no entry point for translators, so this module
is offered as an engine: loading it puts the translator into the table. As an engine it is papermill's usual one.
"""

import re

from papermill.engines import NBClientEngine
from papermill.exceptions import PapermillException
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

from ecco_kernel import rhai

execute_notebook = NBClientEngine.execute_notebook
nb_kernel_name = NBClientEngine.nb_kernel_name
nb_language = NBClientEngine.nb_language

# `let name = value;` on a line of its own; what a comment behind it says is its description.
PARAMETER = re.compile(
    r"^[ \t]*(?:let|const)[ \t]+(?P<name>\w+)[ \t]*=[ \t]*(?P<value>.*?)[ \t]*;[ \t]*(?://[ \t]*(?P<help>.*?))?[ \t]*$",
    re.MULTILINE,
)


class RhaiTranslator(Translator):
    """The values that JSON and YAML have, as Rhai literals; all others, such as YAML's dates, as texts."""

    @classmethod
    def translate(cls, val):
        try:
            return rhai.literal(val, cls.translate)
        except TypeError:
            return rhai.text(str(val))
        except ValueError as error:
            raise PapermillException(f"parameter {error}") from None

    @classmethod
    def comment(cls, cmt_str):
        return "\n".join(f"// {line}".rstrip() for line in cmt_str.splitlines())

    @classmethod
    def assign(cls, name, str_val):
        try:
            rhai.check_name(name)
        except ValueError as error:
            raise PapermillException(f"parameter {error}") from None
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
