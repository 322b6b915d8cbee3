"""What views cost: bytes, memory, the time until they answer, alone and by the hundred; and how soon the kernel answers them.

    python bench/views.py [MODEL]

MODEL is a folder or GGUF file of a real model, for long texts and questions to it; without it the demo alone is measured. The kernel
is that of the environment, in JupyterLab and in pages that it saved; the browser is Chromium without a GPU. Times are of this
machine: the table bench/results/views.md says what they were on ours.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "tests/e2e"))
from front_ends import OpenNotebook, write_notebook  # noqa: E402
from servers import server  # noqa: E402

PAGE = REPO / "bench/results/views.md"
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
PROMPT = "The countries of the European Union are:\\n1. Austria\\n2. Belgium\\n3. Bulgaria\\n4."
SENTENCE = "The old man went down to the sea in the morning and looked at the water for a long time. "
DEMO = """let lm = ecco::from_pretrained("demo", #{{verbose: false}});
let output = lm.generate("{prompt}", #{{generate: 26}});
output.save("tokens.html"); output.score().save("score.html"); output.saliency().save("saliency.html");
output.lens().save("lens.html"); output.attention().save("attention.html"); output.run_nmf().save("factors.html");
output.logit_attribution(#{{by: "head"}}).save("logit.html"); output.candidates(20).save("candidates.html");
print(output.tokens.len);"""
LONG = """let lm = ecco::from_pretrained("{model}", #{{verbose: false}});
let text = lm.score("{text}");
text.score().save("long-score.html"); text.saliency(#{{position: 990}}).save("long-saliency.html");
print(text.tokens.len);"""
# From the document's first element until every view has its script, what it has drawn is on the screen, and it has answered a pointer.
READY = """globalThis.begunAt = performance.now();
addEventListener("DOMContentLoaded", () => {
    const look = () => {
        const views = [...document.querySelectorAll("[data-view]")];
        if (!views.every((view) => view.shadowRoot)) return requestAnimationFrame(look);
        requestAnimationFrame(() => setTimeout(() => {
            const { shadowRoot } = views[0], place = shadowRoot.querySelector(".flow > span:nth-of-type(9), td");
            place?.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, composed: true, pointerType: "mouse" }));
            shadowRoot.querySelector(".ecco").getBoundingClientRect();
            globalThis.readyAfter = performance.now() - begunAt;
        }));
    };
    look();
});"""
# The same of a view that comes into an open page as a notebook puts it there: its markup, then its scripts.
MOUNT = """async (html) => {
    const begun = performance.now(), frame = document.createElement("div");
    frame.innerHTML = html;
    document.body.append(frame);
    for (const old of frame.querySelectorAll("script:not([type])")) {
        const script = document.createElement("script");
        script.textContent = old.textContent;
        old.replaceWith(script);
    }
    const view = frame.querySelector("[data-view]"), drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    do await drawn(); while (!view.shadowRoot);
    const place = view.shadowRoot.querySelector(".flow > span:nth-of-type(9), td");
    place?.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, composed: true, pointerType: "mouse" }));
    view.shadowRoot.querySelector(".ecco").getBoundingClientRect();
    return performance.now() - begun;
}"""
# What a move of the pointer costs: script, style and layout. Places from all over the text, once all of it is drawn.
HOVER = """async () => {
    const root = document.querySelector("[data-view]").shadowRoot, took = [];
    while (root.querySelector(".later")) await new Promise((done) => setTimeout(done, 20));
    const places = [...root.querySelectorAll(".flow > span, td")], step = Math.max(1, places.length / 120);
    for (let i = 0; i < places.length; i += step) {
        const begun = performance.now();
        places[Math.floor(i)].dispatchEvent(new PointerEvent("pointerover", { bubbles: true, composed: true, pointerType: "mouse" }));
        root.querySelector(".ecco").getBoundingClientRect();
        took.push(performance.now() - begun);
    }
    return took;
}"""
SIZES = """() => {
    const all = (root) => [...root.querySelectorAll("*")].reduce((n, element) => n + 1 + (element.shadowRoot ? all(element.shadowRoot) : 0), 0);
    return [performance.memory.usedJSHeapSize / 1e6, all(document)];
}"""
# From a question to the picture that it brings: the answer is parsed, put into the page and drawn.
ASK = """async ([view, calls]) => {
    const took = [];
    for (const [i, call] of calls.entries()) {
        const begun = performance.now();
        await new Promise((done, fail) => {
            const heard = ({ detail }) => {
                if (detail.ask !== 7e6 + i) return;
                view.removeEventListener("ecco:answer", heard);
                if (!detail.answer) return fail(new Error(JSON.stringify(detail)));
                const frame = document.createElement("div");
                frame.innerHTML = detail.answer.html;
                view.after(frame);
                frame.getBoundingClientRect();
                requestAnimationFrame(() => setTimeout(() => { frame.remove(); done(); }));
            };
            view.addEventListener("ecco:answer", heard);
            view.dispatchEvent(new CustomEvent("ecco:ask", { bubbles: true, composed: true, cancelable: true,
                detail: { ask: 7e6 + i, question: { result: view.dataset.live, call } } }));
        });
        took.push(performance.now() - begun);
    }
    return took;
}"""
GOALS = """Goals: 45 kB without its script for 50 tokens, 150 ms until 1,000 tokens answer, 16 ms at the 95th percentile of a hover, 2 s
for 100 outputs; an answer in 100 ms of the demo and in 500 ms of SmolLM2 (30 tokens)."""
TEXT = "The quick brown fox jumps over the lazy dog, and then it goes home to sleep until the next morning comes."


def quantiles(values):
    return statistics.median(values), sorted(values)[int(0.95 * (len(values) - 1))]


def saved(folder, code):
    """Runs a script that saves pages; what it prints."""
    (folder / "pages.rhai").write_text(code)
    program = Path(sys.executable).with_name("ecco-kernel")
    done = subprocess.run([program, "exec", "pages.rhai"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.strip()


def without_scripts(page):
    return re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def measured(browser, path, times=5):
    """When a page answers, and the view put into an open page; what a hover takes, megabytes of script memory, elements."""
    ready, mounted, hover = [], [], []
    for _ in range(times):
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.add_init_script(READY)
        page.goto(path.as_uri())
        page.wait_for_function("globalThis.readyAfter")
        ready.append(page.evaluate("readyAfter"))
        hover += page.evaluate(HOVER)
        heap, nodes = page.evaluate(SIZES)
        page.close()
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_content("<!doctype html><body>")
        mounted.append(page.evaluate(MOUNT, body(path)))
        page.close()
    return [
        statistics.median(ready),
        statistics.median(mounted),
        *(quantiles(hover) if hover else (None, None)),
        heap,
        nodes,
    ]


def body(path):
    """What a saved page has of a view."""
    found = re.search(r"<body[^>]*>(.*)</body>|(<ecco-.*)", path.read_text(), re.DOTALL)
    return next(filter(None, found.groups()))


def pages(browser, folder, names):
    for name, title in names:
        path = folder / f"{name}.html"
        text = path.read_text()
        yield [
            title,
            len(text.encode()) / 1e3,
            len(without_scripts(text).encode()) / 1e3,
            *measured(browser, path),
        ]


def hundred(browser, folder, name):
    path = folder / "hundred.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{body(folder / f'{name}.html') * 100}</body>")
    size = path.stat().st_size / 1e3
    return [f"100 × {name}", size, None, *measured(browser, path, times=3)]


def latency(browser, folder, model):
    """By question: median and 95th percentile of the time to the picture."""
    (folder / "notebooks").mkdir()
    cells = [
        f'let lm = ecco::from_pretrained("{model}");\nlet text = lm.score("{TEXT}");',
        "text.saliency(#{position: 20})",
        "text.tokens.len",
    ]
    write_notebook(folder / "notebooks/live.ipynb", cells)
    with server("lab", folder) as address:
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        notebook = OpenNotebook("lab", page, address, "live.ipynb", folder)
        for number in range(len(cells)):
            notebook.run(number)
            notebook.wait_until_idle(timeout=300_000)
        view = notebook.output(1).locator("ecco-saliency")
        view.locator(".talk").get_by_role("button", name="Ask").wait_for()
        said = notebook.output(2).get_by_text(re.compile(r"^\s*\d+\s*$")).first
        said.wait_for()  # the kernel is idle before its last output is drawn
        n_tokens = int(said.inner_text())
        scaled = lambda i: {"intervene": {"scale": [{"layer": 1, "head": 1, "factor": i / 4}]}, "generate": 1}
        questions = {
            "saliency at a place": [{"options": {"position": 10 + i}} for i in range(10)],
            "the text with another word, its saliency": [
                {"text": {"read": TEXT.replace("fox", word), "written": ""}, "options": {"position": 20}}
                for word in ["cat", "dog", "man", "car", "boy", "girl", "cow", "pig", "bird", "hen"]
            ],
            "logit attribution by head": [
                {"next": "logit_attribution", "options": {"position": 10 + i, "by": "head"}}
                for i in range(10)
            ],
            "candidates at a place": [{"next": "candidates", "arguments": [10 + i]} for i in range(10)],
            "a head times a factor, beside the text": [
                {"next": "compare", "text": {"read": TEXT, "written": ""}, "options": scaled(i)}
                for i in range(10)
            ],
        }
        for title, calls in questions.items():
            took = view.evaluate(f"(view, calls) => ({ASK})([view, calls])", calls)
            yield [f"{title}, {n_tokens} tokens", *quantiles(took[1:])]
        page.context.close()


def table(head, rows):
    number = lambda value: "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    cell = lambda value: value if isinstance(value, str) else number(value)
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *[[cell(value) for value in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?")
    given = parser.parse_args()
    names = ["tokens", "score", "saliency", "lens", "attention", "factors", "logit", "candidates"]
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        n_tokens = saved(folder, DEMO.format(prompt=PROMPT))
        rows = list(pages(browser, folder, [(name, f"{name}, {n_tokens} tokens") for name in names]))
        if given.model:
            n_long = saved(folder, LONG.format(model=given.model, text=SENTENCE * 50))
            long = [(f"long-{name}", f"{name}, {n_long} tokens") for name in ("score", "saliency")]
            rows += pages(browser, folder, long)
        rows.append(hundred(browser, folder, "saliency"))
        answers = []
        for model in filter(None, ["demo", given.model]):
            (folder / Path(model).stem).mkdir()
            found = latency(browser, folder / Path(model).stem, model)
            answers += [[Path(model).stem, *row] for row in found]
        version = browser.version
        browser.close()
    head = [
        "view",
        "kB",
        "kB without its script",
        "ms until it answers",
        "the same, put into an open page",
        "hover, ms",
        "95th",
        "MB of script memory",
        "elements",
    ]
    text = (
        f"# Views\n\nWhat `bench/views.py` says, on {os.cpu_count()} cores, in Chromium {version} without a GPU. Medians of 5 loads; a hover "
        f"is script, style and layout. {GOALS}\n\n"
        + table(head, rows)
        + "\n\nFrom a question to the picture that answers it, in JupyterLab: "
        "medians and 95th percentiles of 9, in milliseconds.\n\n"
        + table(["model", "question", "ms", "95th"], answers)
        + "\n"
    )
    PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
