"""Views that ask the kernel of their notebook, in a real JupyterLab and Notebook 7."""

import os
import signal
import time
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

import widgets
from front_ends import OpenNotebook, menu, write_notebook
from servers import server

pytestmark = pytest.mark.timeout(600)
CELLS = [
    'let lm = ecco::from_pretrained("demo");\nlet output = lm.generate("The countries are:\\n1.", #{generate: 6});',
    "output.saliency()",
    "output.lens()",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return two_notebooks(tmp_path_factory.mktemp("live"), CELLS)


def two_notebooks(folder, cells):
    """The folder, with a folder of two notebooks alike in it."""
    (folder / "notebooks").mkdir()
    for name in ["one.ipynb", "two.ipynb"]:
        write_notebook(folder / "notebooks" / name, cells)
    return folder


@pytest.fixture(scope="module", params=["lab", "notebook"])
def front_end(request, folder, tmp_path_factory):
    place = tmp_path_factory.mktemp(request.param)
    (place / "notebooks").symlink_to(folder / "notebooks")
    with server(request.param, place) as address:
        yield request.param, address


@pytest.fixture(scope="module")
def notebook(front_end, chromium, repo):
    kind, address = front_end
    context = chromium.new_context(viewport={"width": 1400, "height": 1100})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(error.stack) if is_ours(error) else None)
    notebook = OpenNotebook(kind, page, address, "one.ipynb", repo / "build/screenshots")
    run_all(notebook)
    yield notebook
    context.close()


def is_ours(error):
    """Not a front end's own: Notebook 7 complains of its settings' schema while it starts."""
    places = [line for line in (error.stack or "").splitlines() if "http" in line]
    return not places or any(
        "/static/notebook/" not in line and "/static/lab/" not in line for line in places
    )


def run_all(notebook):
    for number in range(len(CELLS)):
        notebook.run(number)
    notebook.wait_until_idle()


def saliency(notebook):
    return notebook.output(1).locator(widgets.SALIENCY)


def opened(view):
    """A view with its panel open."""
    ask = view.locator(".talk").get_by_role("button", name="Ask")
    ask.wait_for()
    if ask.get_attribute("aria-expanded") != "true":
        ask.click()
    return view.locator(".ask")


def line(view):
    return view.locator(".ask code")


def shot(notebook, view, name):
    notebook.screenshots.mkdir(parents=True, exist_ok=True)
    view.scroll_into_view_if_needed()
    view.screenshot(path=notebook.screenshots / f"live-{notebook.kind}-{name}.png")


def test_a_view_is_asked_by_another_method(notebook):
    view = saliency(notebook)
    panel = opened(view)
    expect(line(view)).to_have_text("output.saliency()")
    before = widgets.colours(view)
    panel.get_by_label("method").select_option("integrated_gradients")
    expect(line(view)).to_have_text('output.saliency(#{method: "integrated_gradients"})')
    expect(view.locator(".ecco.live .head")).to_contain_text("integrated gradients")
    assert widgets.colours(view) != before
    shot(notebook, view, "method")


def test_what_was_asked_is_kept_and_the_line_is_copied(notebook):
    view = saliency(notebook)
    view.locator(".ask .line").get_by_role("button", name="Copy").click()
    expect(view.locator(".foot .say")).to_have_text("copied")
    assert (
        notebook.page.evaluate("navigator.clipboard.readText()")
        == 'output.saliency(#{method: "integrated_gradients"})'
    )
    view.locator(".ask .visited button").first.click()
    expect(line(view)).to_have_text("output.saliency()")


def test_another_target_at_a_place(notebook):
    view = saliency(notebook)
    n_input, _ = widgets.counts(view)
    view.locator(".ask .text button").nth(n_input).click()
    candidate = view.locator(".ask .choices .choices button").first
    candidate.click()
    expect(line(view)).to_contain_text(f"output.saliency(#{{position: {n_input}, target: ")
    assert view.locator(".targets > span:visible").count() == 1
    shot(notebook, view, "target")
    # Why this and not what stands there.
    view.locator(".ask .choices label", has_text="rather than").get_by_role("checkbox").check()
    view.locator(".ask .choices .choices button").nth(1).click()
    expect(line(view)).to_contain_text(", contrast: ")
    assert view.locator(".targets > span:visible").count() == 1


def test_something_is_put_before_a_token(notebook):
    view = saliency(notebook)
    view.locator(".ask .visited button").first.click()
    expect(line(view)).to_have_text("output.saliency()")
    view.locator(".ask .text button").nth(1).click()
    view.get_by_label("In the place of this token").fill(" large")
    view.locator(".ask").get_by_role("button", name="Insert before").click()
    expect(line(view)).to_have_text('lm.generate("The large countries are:\\n1.", #{generate: 6}).saliency()')


def test_another_token_and_the_text_goes_on_otherwise(notebook):
    view = saliency(notebook)
    view.locator(".ask .visited button").first.click()
    expect(line(view)).to_have_text("output.saliency()")
    view.locator(".ask .text button").nth(1).click()
    editor = view.get_by_label("In the place of this token")
    assert editor.input_value() == " countries"
    editor.fill(" rivers")
    editor.press("Enter")
    expect(line(view)).to_have_text('lm.generate("The rivers are:\\n1.", #{generate: 6}).saliency()')
    text = "".join(view.locator(".ask .text button").all_text_contents())
    assert text.startswith("The·") and "countries" not in text
    shot(notebook, view, "edited")
    # Letters in the panel were no commands of the notebook.
    assert notebook.page.locator(".jp-Notebook .jp-CodeCell").count() == len(CELLS)


def test_a_token_is_removed_from_what_was_written(notebook):
    view = saliency(notebook)
    view.locator(".ask .visited button").first.click()
    n_input, n_tokens = widgets.counts(view)
    view.locator(".ask .text button").nth(n_tokens - 1).click()
    view.locator(".ask").get_by_role("button", name="Remove").click()
    expect(line(view)).to_contain_text('lm.score("The countries are:\\n1."')
    assert widgets.counts(view) == (n_input, n_tokens - 1)


def test_the_lens_is_asked(notebook):
    view = notebook.output(2).locator("ecco-lens")
    panel = opened(view)
    panel.get_by_label("raw").select_option("true")
    expect(line(view)).to_have_text("output.lens(#{raw: true})")
    n_input = 6
    panel.locator(".text button").nth(n_input).click()
    panel.get_by_role("button", name="Only here").click()
    expect(line(view)).to_contain_text("positions: [")
    assert view.locator("thead th:visible").count() == 2
    shot(notebook, view, "lens")


def test_an_error_is_told_in_the_view(notebook):
    """A word that is not in the text any more: the view stays, and says why."""
    view = saliency(notebook)
    view.locator(".ask .visited button").first.click()
    view.locator(".ask .text button").nth(0).click()
    view.get_by_label("In the place of this token").fill("x" * 30_000)
    view.locator(".ask").get_by_role("button", name="Replace").click()
    expect(view.locator(".foot .say")).to_contain_text("token", timeout=30_000)
    expect(line(view)).to_have_text("output.saliency()")


def test_forged_messages_break_nothing(notebook):
    view = saliency(notebook)
    view.evaluate("""view => {
        const send = (detail) => view.dispatchEvent(new CustomEvent("ecco:ask", { bubbles: true, composed: true, cancelable: true, detail }));
        for (const detail of [null, 1, {}, { ask: -1, question: {} }, { ask: 1e9, question: null }, { ask: 1e9 + 1, question: [1] },
            { ask: 1e9 + 2, question: { result: "nobody", call: {} } }, { ask: 1e9 + 3, question: { result: view.dataset.live, call: { options: { "a b": 1 } } } },
            { ask: 1e9 + 4, question: { result: view.dataset.live, call: { text: { read: 7 } } } }]) send(detail);
        view.dispatchEvent(new CustomEvent("ecco:answer", { detail: { ask: 424242, answer: { html: "<img src=x onerror=alert(1)>" } } }));
    }""")
    view.locator(".ask").get_by_label("by").select_option("word")
    expect(line(view)).to_have_text('output.saliency(#{by: "word"})')
    assert notebook.page.complaints == []


def test_a_hundred_questions_end_with_the_last(notebook):
    view = saliency(notebook)
    view.locator(".ask .visited button").first.click()
    answers = view.evaluate("""async view => {
        const seen = [];
        // The view may have a question of its own under way.
        view.addEventListener("ecco:answer", ({ detail }) => detail.ask >= 5e6 && detail.ask < 6e6 && seen.push(detail));
        for (let i = 0; i < 100; i++) view.dispatchEvent(new CustomEvent("ecco:ask", { bubbles: true, composed: true, cancelable: true,
            detail: { ask: 5e6 + i, question: { result: view.dataset.live, call: { options: { position: 8, seed: i } } } } }));
        while (seen.length < 100) await new Promise((done) => setTimeout(done, 50));
        return seen.map((detail) => [detail.ask, !!detail.answer]);
    }""")
    assert sorted(ask for ask, _ in answers) == [5_000_000 + i for i in range(100)]
    assert answers[-1] == [5_000_099, True]
    # The kernel is free at once.
    notebook.run(1)
    notebook.wait_until_idle()


def test_both_themes(notebook):
    if notebook.kind == "notebook":
        return
    view = saliency(notebook)
    opened(view).get_by_label("method").select_option("occlusion")
    expect(line(view)).to_contain_text("occlusion")
    view.locator(".ask .text button").nth(7).click()
    view.locator(".ask .choices .choices button").first.wait_for()
    for theme in ["Dark", "Light"]:
        menu(notebook.page, "Settings", "Theme", f"JupyterLab {theme}")
        notebook.page.locator(f"body[data-jp-theme-light={str(theme == 'Light').lower()}]").wait_for(
            state="attached"
        )
        notebook.page.wait_for_timeout(500)
        shot(notebook, view, theme.lower())
        assert widgets.lowest_contrast(view) >= 4.5


def test_a_page_that_is_saved_answers_what_was_asked(notebook, chromium, tmp_path):
    """With no kernel, and with no request to anybody."""
    view = saliency(notebook)
    opened(view).get_by_label("method").select_option("layerwise_relevance")
    expect(line(view)).to_contain_text("layerwise_relevance")
    view.locator(".save summary").click()
    with notebook.page.expect_download() as download:
        view.locator(".save button", has_text="HTML").click()
    download.value.save_as(tmp_path / "saved.html")
    page = chromium.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "saved.html").as_uri())
    saved = page.locator(widgets.SALIENCY)
    expect(saved.locator(".quiet")).to_have_text("not live")
    opened(saved).locator(".visited button").last.click()
    expect(line(saved)).to_contain_text("layerwise_relevance")
    assert saved.locator("select:visible").count() == 0
    assert len(requests) == 1
    page.close()


def test_an_exported_notebook_is_quiet(notebook, folder, chromium):
    from nbconvert import HTMLExporter

    menu(notebook.page, "File", "Save Notebook")
    path = folder / "notebooks/one.ipynb"
    deadline = time.monotonic() + 20
    while "data-live" not in path.read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    source, _ = HTMLExporter().from_notebook_node(nbformat.read(path, as_version=4))
    exported = path.with_suffix(".html")
    exported.write_text(source)
    page = chromium.new_page()
    page.route("https://**", lambda route: route.abort())
    page.goto(exported.as_uri())
    view = page.locator(widgets.SALIENCY)
    assert widgets.all_upgraded(view)
    expect(view.locator(".quiet")).to_have_text("not live")
    assert view.locator(".talk button").count() == 0
    page.close()


def test_a_reload_finds_the_kernel_again(notebook):
    notebook.page.reload()
    notebook.wait_until_idle()
    view = saliency(notebook)
    view.scroll_into_view_if_needed()
    opened(view).get_by_label("by").select_option("line")
    expect(line(view)).to_contain_text('by: "line"')


def test_two_notebooks_have_their_own_kernels(notebook, front_end, repo):
    kind, address = front_end
    other = OpenNotebook(
        kind, notebook.page.context.new_page(), address, "two.ipynb", repo / "build/screenshots"
    )
    other.run(0)
    other.run(1)
    other.wait_until_idle()
    view = saliency(other)
    opened(view).get_by_label("by").select_option("word")
    expect(line(view)).to_contain_text("word")
    # A result of one is none of the other.
    stranger = saliency(notebook).get_attribute("data-live")
    answer = view.evaluate(
        """(view, stranger) => new Promise((done) => {
        view.addEventListener("ecco:answer", ({ detail }) => done(detail.answer));
        view.dispatchEvent(new CustomEvent("ecco:ask", { bubbles: true, composed: true, cancelable: true,
            detail: { ask: 777, question: { result: stranger } } }));
    })""",
        stranger,
    )
    assert answer == {"gone": True}
    other.page.close()


def kernels():
    """The kernels under test, by their processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
            mine = os.getpid() in (
                parent,
                int(Path(f"/proc/{parent}/stat").read_text().rsplit(")", 1)[1].split()[1]),
            )
        except (OSError, ValueError, IndexError):
            continue
        if mine and command[0].endswith(b"/ecco-kernel") and b"run" in command:
            found.append(int(process.name))
    return found


def test_a_kernel_that_was_killed_is_gone_and_the_cell_runs_again(notebook):
    view = saliency(notebook)
    opened(view)
    assert kernels()
    for process in kernels():
        os.kill(process, signal.SIGKILL)
    expect(view.locator(".quiet")).to_have_text("not live", timeout=60_000)
    notebook.page.locator(".jp-Dialog button", has_text="Ok").click(timeout=5_000) if notebook.page.locator(
        ".jp-Dialog"
    ).count() else None
    again = view.locator(".talk").get_by_role("button", name="Run the cell")
    again.wait_for(timeout=60_000)
    shot(notebook, view, "gone")
    notebook.run(0)
    notebook.wait_until_idle()
    again.click()
    view = saliency(notebook)
    view.locator(".talk").get_by_role("button", name="Ask").wait_for(timeout=60_000)
    assert notebook.page.complaints == []
