"""The list of resident models in a real JupyterLab: a model is unloaded there, and other views hear of it. Options keep their order."""

import pytest
from playwright.sync_api import expect

import widgets
from front_ends import OpenNotebook, write_notebook
from servers import server
from test_live import line, opened, shot

pytestmark = pytest.mark.timeout(600)
CELLS = [
    'let lm = ecco::from_pretrained("demo");\nlet output = lm.generate("The countries are:\\n1.", #{generate: 6});',
    'output.saliency(#{position: 8, method: "occlusion"})',
    "ecco::models()",
]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory, chromium, repo):
    folder = tmp_path_factory.mktemp("live-models")
    (folder / "notebooks").mkdir()
    write_notebook(folder / "notebooks/models.ipynb", CELLS)
    with server("lab", folder) as address:
        context = chromium.new_context(viewport={"width": 1400, "height": 1100})
        notebook = OpenNotebook(
            "lab", context.new_page(), address, "models.ipynb", repo / "build/screenshots"
        )
        for number in range(len(CELLS)):
            notebook.run(number)
        notebook.wait_until_idle()
        yield notebook
        context.close()


def test_options_keep_the_order_in_which_they_were_written(notebook):
    view = notebook.output(1).locator(widgets.SALIENCY)
    panel = opened(view)
    expect(line(view)).to_have_text('output.saliency(#{position: 8, method: "occlusion"})')
    panel.get_by_label("method").select_option("integrated_gradients")
    expect(line(view)).to_have_text('output.saliency(#{position: 8, method: "integrated_gradients"})')
    panel.get_by_label("baseline").first.select_option(index=1)
    expect(line(view)).to_contain_text(
        'output.saliency(#{position: 8, method: "integrated_gradients", baseline: '
    )


def test_a_model_is_unloaded_in_the_list_and_others_hear_of_it(notebook):
    models = notebook.output(2).locator("ecco-models .ecco.live")
    unload = models.get_by_role("button", name="Unload demo")
    unload.wait_for()
    assert models.get_by_role("button", name="Ask").count() == 0, "there is nothing else to ask"
    shot(notebook, models, "models")
    unload.click()
    expect(models.locator(".done")).to_have_text("By lm.unload()")
    expect(models.locator("tbody td.unload")).to_have_text("unloaded")
    shot(notebook, models, "models-unloaded")
    view = notebook.output(1).locator(widgets.SALIENCY)
    expect(view.locator(".quiet")).to_have_text('the model "demo" was unloaded')
    shot(notebook, view, "model-gone")
