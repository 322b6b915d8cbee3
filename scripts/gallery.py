"""Every view on one page, build/gallery.html, and the README's pictures, build/images.

    python scripts/gallery.py [demo]

The views are of a real model where it can be had, else (or on request) of the model in the program. The README's are always of
that. Chromium takes the pictures. `make gallery` puts them where the README finds them.
"""

import os
import shutil
import sys
from pathlib import Path

import nbformat
import real_model
import run_notebook
from playwright.sync_api import sync_playwright

REPO = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
CLEAN, CORRUPTED = "The capital of France is", "The capital of Italy is"
ANSWER = 'target: " Paris", contrast: " Rome"'
TEXT = r"The countries of the European Union are:\n1. Austria\n2. Belgium\n3. Bulgaria\n4."

# Of JupyterLab's dark theme.
DARK = {
    "layout-color0": "#111", "content-font-color1": "#fff", "content-font-color2": "#ffffffb3", "brand-color1": "#2196f3",
}  # fmt: skip

# A question, and the call that answers it.
VIEWS = [
    ("Which model is this?", "lm"),
    ("What does it write?", "output"),
    ("Which earlier tokens led to this one?", "output.saliency()"),
    ("… and to this country rather than another?", 'output.saliency(#{position: output.n_input_tokens, contrast: " Denmark", style: "detailed"})'),
    ("… line by line?", 'output.saliency(#{by: "line", style: "detailed"})'),
    ("Can I trust the map?", "output.saliency().faithfulness()"),
    ("Do other methods say the same?", 'output.compare_methods(["grad_x_input", "gradient"], #{faithfulness: false})'),
    ("How surprising is each token?", "output.score()"),
    ("What else might have stood there?", "output.candidates(output.n_input_tokens)"),
    ("… at every place?", "output.top_k(#{k: 3})"),
    ("What does it say of a text?", 'lm.run("The capital of France is")'),
    ("What would each layer say here?", "output.layer_predictions()"),
    ("When does a layer know what is written?", "output.rankings()"),
    ("What would each layer say at each place?", "output.lens()"),
    ("What do its heads look at?", "output.attention(#{layer: 0})"),
    ("Which heads wrote the answer?", 'output.logit_attribution(#{by: "head"})'),
    ("Which neurons?", 'output.logit_attribution(#{by: "neuron"})'),
    ("Which neurons fire together?", "output.run_nmf(#{n_components: 8})"),
    ("Are these factors found again?", "output.run_nmf(#{n_components: 4}).stability(#{seeds: 3})"),
    ("Which neurons are most active?", "output.top_neurons()"),
    ("Where is one of them active?", 'lm.neuron(1, 7, [output, "The chef cooked a meal.", "Austria and Belgium are countries."])'),
    ("How alike are its layers?", "ecco::similarity(output, output)"),
    ("What are its heads like?", "lm.head_scores()"),
    ("What does a direction say in words?", "lm.vocabulary_of(#{layer: 1, neuron: 7})"),
    ("Which layer and place carries the difference?", f'lm.patch_map("{CLEAN}", "{CORRUPTED}", #{{{ANSWER}}})'),
    ("… as one pass back sees it?", f'lm.attribution_patching("{CLEAN}", "{CORRUPTED}", #{{{ANSWER}, measure: 4}})'),
    ("What does each layer contribute?", f'lm.run("{CLEAN}").site_attribution("residual_after", #{{{ANSWER}}})'),
    ("Which ways does it go?", f'let edges = lm.edges("{CLEAN}", "{CORRUPTED}", #{{{ANSWER}, measure: 4}});\nedges'),
    ("… the circuit of these?", "edges.circuit(40)"),
    ("… and how much of it is that?", "edges.curve(#{random: 1})"),
    ("How does the answer come about?", f'lm.run("{CLEAN}").circuit(#{{{ANSWER}}})'),
    ("What if a part were missing?", f'lm.compare("{TEXT}", #{{intervene: #{{ablate: [#{{layer: 1, head: 1}}]}}, generate: 12}})'),
    ("Which way do two kinds of text differ?", 'lm.steering_vector(["Austria, Belgium,", "Spain, Portugal,"], ["apple, pear,", "banana, cherry,"], #{layer: 1})'),
    ("What can be read off its states?", 'let texts = ["in Austria", "an apple", "in Spain", "a pear", "in Italy", "a plum", "in Norway", "a cherry"];\nlet kinds = ["place", "fruit", "place", "fruit", "place", "fruit", "place", "fruit"];\nlm.probe(texts, kinds, #{folds: 2})'),
    ("Which texts lie near each other?", "ecco::project(lm.run(texts), #{labels: kinds, at: -1})"),
    ("Where in many texts does a neuron fire?", "lm.corpus(texts, #{layers: [1]}).neuron(1, 7)"),
    ("Several texts at once?", "lm.generate(texts, #{generate: 3})"),
    ("… as a table?", "lm.score(texts).table"),
    ("What are the numbers?", "output.attention"),
]  # fmt: skip


def cells(model):
    """The gallery as a notebook."""
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "ecco", "language": "rhai", "display_name": "Ecco"}}
    )
    notebook.cells = [
        text("# What the Ecco kernel shows"),
        code(
            f'let lm = ecco::from_pretrained("{model}", #{{verbose: false}});\n'
            f'let output = lm.generate("{TEXT}", #{{generate: 12}});'
        ),
    ]
    for question, call in VIEWS:
        notebook.cells += [text(f"### {question}"), code(call)]
    return notebook


def page_of(notebook, path):
    run_notebook.execute(notebook, lambda line: print(line, flush=True), folder=path.parent)
    path.write_text(run_notebook.to_html(notebook, path.stem), encoding="utf-8")


def readme_pictures(browser, page_path, folder):
    """What the README shows of its own example: the page of notebooks/readme.ipynb, looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    for scheme, end in [("light", ""), ("dark", "-dark")]:
        page = browser.new_page(
            viewport={"width": 780, "height": 900}, color_scheme=scheme, device_scale_factor=1.6
        )
        page.route("http*://**", lambda route: route.abort())
        page.goto(page_path.as_uri())
        # The page's own ground follows its export, which is light: in the dark it is JupyterLab's.
        page.evaluate(f"document.body.dataset.jpThemeLight = {str(scheme == 'light').lower()!r}")
        if end:
            ground = "".join(f"--jp-{name}: {value};" for name, value in DARK.items())
            page.add_style_tag(content=f"body {{{ground}}}")
        # A kernel is not there, which says nothing about the view.
        page.evaluate(
            "for (const e of document.querySelectorAll('[data-live]')) e.shadowRoot?.querySelector('.talk')?.remove()"
        )
        plain, detailed = (page.locator("ecco-saliency").nth(at) for at in range(2))
        boxes = plain.locator(".ecco.live .flow > span.g")
        boxes.nth(min(8, boxes.count() - 1)).click()
        page.mouse.move(0, 0)
        plain.locator(".ecco.live").screenshot(path=folder / f"saliency{end}.png")
        if not end:
            detailed.locator(".ecco.live").screenshot(path=folder / "saliency-detailed.png")
            factors = page.locator("ecco-factors").first
            lines = factors.locator(".ecco.live .list .line")
            lines.nth(min(8, lines.count() - 1)).click()
            page.mouse.move(0, 0)
            factors.locator(".ecco.live").screenshot(path=folder / "factors.png")
        page.close()


def main(model=None):
    build = REPO / "build"
    try:
        model = model or str(real_model.path())
    except real_model.Unreachable as why:
        print(f"{why}: the views are of the model in the program", file=sys.stderr)
        model = "demo"
    page_of(cells(model), build / "gallery.html")
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        readme_pictures(browser, build / "readme.html", build / "images")
        browser.close()
    print("build/gallery.html, build/images")


if __name__ == "__main__":
    main(*sys.argv[1:2])
