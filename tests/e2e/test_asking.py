"""What views of every kind can be asked, in a real JupyterLab: other options, another text, what else there is to know of a place, and
the model without a part."""

import json
import re

import pytest
from playwright.sync_api import expect

import widgets
from front_ends import OpenNotebook, write_notebook
from servers import server

pytestmark = pytest.mark.timeout(600)
SETUP = 'let lm = ecco::from_pretrained("demo");\nlet output = lm.generate("The countries are:\\n1.", #{generate: 6});'
# A cell, its view's element, an option with another value of it, and the line that then stands in the view.
VIEWS = [
    ("output.score()", "ecco-score", None, None),
    (
        "output.layer_predictions()",
        "ecco-layer-predictions",
        ("raw", "true"),
        "output.layer_predictions(#{raw: true})",
    ),
    ("output.rankings()", "ecco-ranks", ("embedding", "true"), "output.rankings(#{embedding: true})"),
    (
        'output.logit_attribution(#{by: "head"})',
        "ecco-parts",
        ("by", "neuron"),
        'output.logit_attribution(#{by: "neuron"})',
    ),
    ("output.attention()", "ecco-attention", ("head", 1), "output.attention(#{head: 1})"),
    ("output.neuron(2, 7)", "ecco-neuron", ("neuron", 9), "output.neuron(2, 9)"),
    ("output.run_pca()", "ecco-factors", ("n_components", 3), "output.run_pca(#{n_components: 3})"),
    (
        "output.saliency().faithfulness()",
        "ecco-faithfulness",
        ("baseline", "mean"),
        'output.saliency().faithfulness(#{baseline: "mean"})',
    ),
    (
        'output.compare_methods(["gradient", "occlusion"], #{faithfulness: false})',
        "ecco-comparison",
        ("seed", 3),
        None,
    ),
    ("output.saliency()", "ecco-saliency", ("of", "logit"), 'output.saliency(#{of: "logit"})'),
    ("output.candidates(8)", "ecco-candidates", ("topk", 4), "output.candidates(8, #{topk: 4})"),
    ("output.top_neurons()", "ecco-top-neurons", ("by", "mean"), 'output.top_neurons(#{by: "mean"})'),
    ('lm.run("1. Austria")', "ecco-reading", None, None),
    (
        'lm.steering_vector(["good"], ["bad"])',
        "ecco-steering",
        ("unit", "true"),
        'lm.steering_vector(["good"], ["bad"], #{unit: true})',
    ),
    (
        'lm.compare("1. Austria", #{generate: 3, intervene: #{ablate: [#{head: 1, layer: 1}]}})',
        "ecco-side-by-side",
        ("generate", 5),
        None,
    ),
    ('lm.patch_map("1. Austria", "2. Austria")', "ecco-patch-map", None, None),
]
CELLS = [SETUP, *(cell for cell, *_ in VIEWS)]


@pytest.fixture(scope="module")
def notebook(chromium, repo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("asking")
    (folder / "notebooks").mkdir()
    write_notebook(folder / "notebooks/views.ipynb", CELLS)
    with server("lab", folder) as address:
        page = chromium.new_context(viewport={"width": 1400, "height": 1100}).new_page()
        notebook = OpenNotebook("lab", page, address, "views.ipynb", repo / "build/screenshots")
        for number in range(len(CELLS)):
            notebook.run(number)
        notebook.wait_until_idle()
        yield notebook
        page.context.close()


def view_of(notebook, name):
    """The view of that element, by what its cell ends with."""
    number = 1 + [tag for _, tag, *_ in VIEWS].index(name)
    view = notebook.output(number).locator(f"{name}:not([slot])")
    view.scroll_into_view_if_needed()
    return view


def opened(view):
    """A view with its panel open."""
    ask = view.locator(".talk").first.get_by_role("button", name="Ask")
    ask.wait_for()
    if ask.get_attribute("aria-expanded") != "true":
        ask.click()
    return view.locator(".ask").first


def line(view):
    return view.locator(".ask code").first


def shot(notebook, view, name):
    notebook.screenshots.mkdir(parents=True, exist_ok=True)
    view.screenshot(path=notebook.screenshots / f"asking-{name}.png")


def as_it_was(view):
    """Without what was asked before."""
    panel = opened(view)
    if panel.locator(".visited button").count():
        panel.locator(".visited button").first.click()
    for close in view.locator(".cards > div > button").all():
        close.click()
    return panel


def held(cell):
    """Holds a cell of a grid, whether it was held before or not."""
    if cell.get_attribute("aria-selected") != "true":
        cell.click()


@pytest.mark.parametrize(
    "cell, tag, option, expected", [view for view in VIEWS if view[2]], ids=lambda value: None
)
def test_every_view_is_asked_by_another_option(notebook, cell, tag, option, expected):
    view = view_of(notebook, tag)
    panel = opened(view)
    expect(line(view)).to_have_text(cell)
    before = view.evaluate("view => view.shadowRoot.querySelector('.ecco').innerHTML.length")
    name, value = option
    chosen = panel.get_by_label(name, exact=True)
    if isinstance(value, str):
        chosen.select_option(value)
    else:
        if not chosen.is_visible():
            panel.locator("summary").click()
        chosen.fill(str(value))
        chosen.press("Enter")
    if expected is None:
        expect(line(view)).to_contain_text(f"{name}: {value}", timeout=60_000)
    else:
        expect(line(view)).to_have_text(expected, timeout=60_000)
    assert view.evaluate("view => view.shadowRoot.querySelector('.ecco').innerHTML.length") != before
    shot(notebook, view, tag)


def test_the_tokens_of_an_output_are_asked(notebook):
    """The first thing that one sees of a text: a token that is held says what can be asked of its place."""
    view = notebook.output(0).locator("ecco-tokens")
    view.scroll_into_view_if_needed()
    # What nobody had asked yet is asked by the first token that is pointed at, and stays in the page.
    readout, last = view.locator(".readout"), view.locator(".flow > span:visible").last
    view.locator(".talk").get_by_role("button", name="Ask").wait_for()
    last.hover()
    expect(readout).to_contain_text("rank", timeout=30_000)
    assert "ranks" in view.locator("> script[type='application/json']").text_content()
    view.locator(".flow > span:visible").nth(7).click()
    acts = view.locator(".acts").first
    acts.get_by_role("button", name="candidates").click()
    expect(view.locator("b:visible", has_text="position 7")).to_be_visible()
    acts.get_by_role("button", name="saliency").click()
    answer = view.locator("ecco-saliency")
    expect(answer.locator(".call")).to_have_text("output.saliency(#{position: 7})")
    # What comes so can be asked itself.
    panel = opened(answer)
    panel.get_by_label("method").select_option("occlusion")
    expect(line(answer)).to_have_text('output.saliency(#{position: 7, method: "occlusion"})')
    shot(notebook, view, "tokens")


def test_a_head_is_taken_out_and_scaled(notebook):
    view = view_of(notebook, "ecco-parts")
    as_it_was(view)
    held(view.locator("td:visible").nth(1))
    acts = view.locator(".acts").first
    acts.get_by_role("button", name="without L0 h1").click()
    sides = view.locator("ecco-side-by-side")
    expected = (
        'lm.compare("The countries are:\\n1.", #{intervene: #{ablate: [#{layer: 0, head: 1}]}, generate: 6})'
    )
    expect(sides.locator(".call")).to_have_text(expected, timeout=30_000)
    acts.locator("input[type=range]").fill("3")
    expect(sides.locator(".call")).to_contain_text("scale: [#{layer: 0, head: 1, factor: 3}]", timeout=30_000)
    assert view.locator("ecco-side-by-side").count() == 1
    shot(notebook, view, "without")


def test_a_factor_is_scaled_and_steered_by(notebook):
    view = view_of(notebook, "ecco-factors")
    as_it_was(view)
    held(view.locator(".list .line:visible").nth(0))
    acts, sides = view.locator(".acts").first, view.locator("ecco-side-by-side")
    scaled, added = (
        acts.get_by_label(re.compile(f"{what} of component 0's")) for what in ["Factor", "Added"]
    )
    scaled.fill("3")
    expect(sides.locator(".call")).to_contain_text("scale: [#{layer: ", timeout=30_000)
    added.fill("1.5")
    expect(sides.locator(".call")).to_contain_text("add: [#{layer: ", timeout=30_000)
    expect(sides.locator(".call")).to_contain_text("factor: 1.5}]")
    assert scaled.input_value() == "1", "one thing at a time"
    said = view.locator(".ask .line code").first
    assert said.bounding_box()["width"] > 2 * said.bounding_box()["height"], (
        "the panel has its own lines, not the view's"
    )
    shot(notebook, view, "steered")


@pytest.mark.parametrize("site", ["residual_after", "head_outputs"])
def test_a_component_of_a_site_is_a_direction(notebook, site):
    """The whole of it is scaled and added, layer by layer, and not some numbers of the stream; of heads in all of them together."""
    view = view_of(notebook, "ecco-factors")
    panel = as_it_was(view)
    panel.get_by_label("site", exact=True).select_option(site)
    expect(line(view)).to_contain_text(f'site: "{site}"', timeout=60_000)
    held(view.locator(".list .line:visible").nth(0))
    acts, call = view.locator(".acts").first, view.locator("ecco-side-by-side .call")
    acts.get_by_label("Factor of component 0", exact=True).fill("3")
    expect(call).to_contain_text(f'scale: [#{{site: "{site}", layer: 0, direction: [', timeout=30_000)
    acts.get_by_label("Added of component 0", exact=True).fill("1.5")
    expect(call).to_contain_text(f'add: [#{{site: "{site}", layer: 0, vector: [', timeout=30_000)
    layers = re.findall(r"layer: (\d), vector: \[([^]]*)\], factor: 1.5", call.text_content())
    assert [layer for layer, _ in layers] == ["0", "1", "2", "3"]
    assert {len(vector.split(", ")) for _, vector in layers} == {192}
    assert call.bounding_box()["height"] < 80, "a long line is cut off, and copied whole"
    shot(notebook, view, f"direction-{site}")


def test_a_place_of_one_view_is_marked_in_the_others(notebook):
    first, second = view_of(notebook, "ecco-score"), view_of(notebook, "ecco-saliency")
    boxes = first.locator(".flow > span:visible")
    boxes.nth(7).click()
    expect(second.locator(".flow > span.marked small")).to_have_text("7")
    assert first.locator(".flow > .marked").count() == 0
    first.locator(".flow > span:visible").nth(7).press("Escape")
    expect(second.locator(".marked")).to_have_count(0)


def test_a_changed_text_brings_its_cards_along(notebook):
    view = view_of(notebook, "ecco-saliency")
    panel = as_it_was(view)
    panel.get_by_role("button", name="lens", exact=True).first.click()
    lens = view.locator("ecco-lens")
    expect(lens.locator(".call")).to_have_text("output.lens()")
    panel.locator(".text button").nth(1).click()
    editor = view.get_by_label("In the place of this token").first
    editor.fill(" rivers")
    editor.press("Enter")
    expect(line(view)).to_contain_text("The rivers are", timeout=30_000)
    expect(lens.locator(".call")).to_contain_text("The rivers are", timeout=30_000)
    shot(notebook, view, "cards")


def test_a_comparison_is_made_of_another_text(notebook):
    view = view_of(notebook, "ecco-side-by-side")
    panel = as_it_was(view)
    assert panel.locator(".text button").all_text_contents()[-1] == "·Austria"
    panel.locator(".text button").last.click()
    editor = view.get_by_label("In the place of this token").first
    editor.fill(" Belgium")
    editor.press("Enter")
    expect(line(view)).to_contain_text('lm.compare("1. Belgium", ')
    shot(notebook, view, "compare")


def test_a_neuron_of_a_list_is_taken_out(notebook):
    view = view_of(notebook, "ecco-top-neurons")
    as_it_was(view)
    row = view.locator("tbody tr:visible").first
    layer, neuron = row.locator("td").all_inner_texts()[:2]
    row.get_by_role("button").click()
    view.locator(".acts").first.get_by_role("button", name=f"without L{layer} n{neuron}").click()
    expect(view.locator("ecco-side-by-side .call")).to_contain_text(
        f"ablate: [#{{layer: {layer}, neurons: [{neuron}]}}]", timeout=30_000
    )


def test_a_cell_of_a_patching_map_shows_the_pass_behind_it(notebook):
    view = view_of(notebook, "ecco-patch-map")
    as_it_was(view)
    held(view.locator("td:visible").first)
    view.locator(".acts").first.get_by_role("button", name="the pass behind it").click()
    sides = view.locator("ecco-side-by-side")
    expect(sides.locator(".call")).to_contain_text(
        'lm.compare("2. Austria", #{intervene: #{patch: [', timeout=30_000
    )


def test_faithfulness_from_a_saliency(notebook):
    view = view_of(notebook, "ecco-saliency")
    panel = as_it_was(view)
    panel.get_by_label("method").select_option("occlusion")
    expect(line(view)).to_have_text('output.saliency(#{method: "occlusion"})', timeout=30_000)
    panel.get_by_role("button", name="faithfulness", exact=True).click()
    answer = view.locator("ecco-faithfulness")
    expect(answer.locator(".call")).to_have_text(
        'output.saliency(#{method: "occlusion"}).faithfulness()', timeout=60_000
    )
    expect(answer.get_by_text("comprehensiveness").locator("visible=true")).to_be_visible()
    shot(notebook, view, "faithfulness")


def test_baseline_and_aggregation_of_a_saliency(notebook):
    view = view_of(notebook, "ecco-saliency")
    panel = as_it_was(view)
    seen = {tuple(widgets.colours(view))}
    told = []
    for name, value in [("method", "integrated_gradients"), ("baseline", "mean"), ("aggregation", "l1")]:
        panel.get_by_label(name, exact=True).select_option(value)
        told.append(f'{name}: "{value}"')
        for part in told:
            expect(line(view)).to_contain_text(part, timeout=30_000)
        seen.add(tuple(widgets.colours(view)))
    assert len(seen) == 4, "each draws other shares"
    shot(notebook, view, "baseline")


def test_another_text_for_a_factor(notebook):
    view = view_of(notebook, "ecco-factors")
    panel = as_it_was(view)
    call = line(view).text_content()
    panel.get_by_label("Another text").fill("It rained all day.")
    panel.get_by_role("button", name="Read it").click()
    expect(line(view)).to_have_text(
        call.replace("output.", 'lm.generate("It rained all day.", #{generate: 6}).'), timeout=30_000
    )
    assert "".join(view.locator(".flow bdi:visible").all_text_contents()).startswith("It·ra")
    shot(notebook, view, "another-text")


def test_another_text_for_a_neuron(notebook):
    view = view_of(notebook, "ecco-neuron")
    panel = as_it_was(view)
    panel.get_by_label("Another text").fill("It rained all day.")
    panel.get_by_role("button", name="Read it").click()
    expect(line(view)).to_contain_text('lm.generate("It rained all day.", #{generate: 6}).neuron(2, 7)')
    assert "".join(panel.locator(".text button").all_text_contents()).startswith("It·ra")


def test_a_saved_page_keeps_what_was_asked(notebook, chromium, tmp_path):
    view = view_of(notebook, "ecco-saliency")
    as_it_was(view).get_by_role("button", name="score", exact=True).first.click()
    card = view.locator("ecco-score")
    expect(card.locator(".call")).to_have_text("output.score()")
    view.locator(".save summary").first.click()
    with notebook.page.expect_download() as download:
        view.locator(".save button", has_text="HTML").first.click()
    download.value.save_as(tmp_path / "saved.html")
    page, requests = chromium.new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "saved.html").as_uri())
    expect(page.locator("ecco-saliency ecco-score .flow").last).to_be_visible()
    assert len(requests) == 1
    page.close()


def test_a_member_that_is_not_offered_is_refused(notebook):
    """What a forged message asks is no way to other calls."""
    view = view_of(notebook, "ecco-saliency")
    opened(view)
    answer = view.evaluate("""view => new Promise((done) => {
        view.addEventListener("ecco:answer", ({ detail }) => detail.ask === 777 && done(detail));
        view.dispatchEvent(new CustomEvent("ecco:ask", { bubbles: true, composed: true, cancelable: true,
            detail: { ask: 777, question: { result: view.dataset.live, call: { next: "save", arguments: ["x.html"] } } } }));
    })""")
    assert "nothing that can be asked" in answer["error"]


def test_how_soon_an_answer_comes(notebook, repo):
    """Measured, not judged: from the change of an option to the picture. build/latency.json has the seconds."""
    view = view_of(notebook, "ecco-parts")
    as_it_was(view)
    took = view.evaluate("""async view => {
        const took = [];
        for (let i = 0; i < 12; i++) {
            const begun = performance.now();
            await new Promise((done) => {
                const heard = ({ detail }) => {
                    if (detail.ask !== 5000 + i) return;
                    view.removeEventListener("ecco:answer", heard);
                    requestAnimationFrame(() => setTimeout(done));
                };
                view.addEventListener("ecco:answer", heard);
                view.dispatchEvent(new CustomEvent("ecco:ask", { bubbles: true, composed: true, cancelable: true,
                    detail: { ask: 5000 + i, question: { result: view.dataset.live, call: { options: { position: 6 + i % 4, by: "head" } } } } }));
            });
            took.push(performance.now() - begun);
        }
        return took;
    }""")
    assert len(took) == 12
    (repo / "build/latency.json").write_text(json.dumps({"milliseconds": sorted(took)}))
    assert re.fullmatch(r"[\d.]+", str(min(took)))
