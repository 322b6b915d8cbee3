"""Rhai's names and literals. Nothing of a value can be executed: texts are escaped, all else is digits and brackets."""

import math
import re

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


def check_name(name):
    """Raises ValueError where no variable can be named so."""
    if name in RESERVED:
        raise ValueError(f"{name!r}: Rhai reserves this word; choose another name")
    # As Rhai has it: letters of any alphabet, digits and _, and a letter before the first digit.
    if not (name.isidentifier() and name.lstrip("_")[:1].isalpha()):
        raise ValueError(f"{name!r} is no name: one holds letters, digits and _, a letter first")


def literal(value, item=None):
    """The values that JSON and YAML have, as Rhai; `item` does the same for what lists and dicts hold.

    Raises TypeError for a value of another type, ValueError for an integer of more than 64 bits.
    """
    item = item or literal
    if value is None:
        return "()"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(item, value))}]"
    if isinstance(value, dict):
        items = (f"{text(str(key))}: {item(held)}" for key, held in value.items())
        return f"#{{{', '.join(items)}}}"
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    raise TypeError(f"a value of type {kind} has no form in Rhai")


def text(value):
    """A string's literal."""
    escaped = CONTROL.sub(lambda m: ESCAPES.get(m[0]) or f"\\x{ord(m[0]):02x}", str(value))
    return f'"{escaped}"'


def integer(value):
    """An integer's literal."""
    if not -LARGEST - 1 <= value <= LARGEST:
        raise ValueError(f"{value} does not fit into 64 bits; pass it as a float or a string")
    # The smallest integer has no literal: its minus sign comes after its digits are read.
    return f"({-LARGEST} - 1)" if value < -LARGEST else str(int(value))


def number(value):
    """A float's literal."""
    if not math.isfinite(value):
        return "(0.0 / 0.0)" if math.isnan(value) else f"({math.copysign(1.0, value)} / 0.0)"
    digits, exponent, power = repr(float(value)).partition("e")
    return (digits if "." in digits else f"{digits}.0") + exponent + power.removeprefix("+")
