"""What a running cell shows, handed on as it comes: to the notebook that asks, or to a terminal."""

import sys


def show():
    """What shows outputs here: `show()(kind, content)`, by the messages of Jupyter's protocol."""
    if "IPython" in sys.modules:
        from IPython import get_ipython

        if get_ipython() is not None:
            return in_notebook
    return on_terminal


def in_notebook(kind, content):
    """As the notebook's own outputs."""
    from IPython.core.page import page
    from IPython.display import clear_output, publish_display_data

    if kind == "stream":
        stream(content)
    elif kind == "clear_output":
        clear_output(content.get("wait", False))
    elif kind == "page":
        page(content["data"])
    else:
        publish_display_data(
            content["data"],
            content.get("metadata"),
            transient=content.get("transient"),
            update=kind == "update_display_data",
        )


def on_terminal(kind, content):
    """What is printed, and help; what is displayed is in the result's `displays`."""
    if kind == "stream":
        stream(content)
    elif kind == "page":
        print(content["data"].get("text/plain", ""))


def stream(content):
    out = sys.stderr if content["name"] == "stderr" else sys.stdout
    out.write(content["text"])
    out.flush()
