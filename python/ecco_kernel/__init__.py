"""The kernel from Python: a session for scripts, and `%load_ext ecco_kernel` for notebooks.

- `session`: starts the kernel, runs cells, brings values in and out
- `values`, `arrays`: what becomes of a Python value in Rhai, and back
- `outputs`: shows what a cell shows, in a notebook or on a terminal
- `magic`: `%%ecco`
- `launch`: starts the kernel for a gateway
- `rhai`: names and literals; `lexer`: colours of Rhai, for Pygments; `papermill`: parameters of notebooks

The kernel itself needs nothing of this.
"""

from ecco_kernel.session import EccoError, Interrupted, Result, Session

__all__ = [
    "EccoError",
    "Interrupted",
    "Result",
    "Session",
    "load_ipython_extension",
    "unload_ipython_extension",
]


def load_ipython_extension(shell):
    """`%load_ext ecco_kernel`."""
    from ecco_kernel import magic

    magic.load(shell)


def unload_ipython_extension(shell):
    """`%unload_ext ecco_kernel`."""
    from ecco_kernel import magic

    magic.unload(shell)
