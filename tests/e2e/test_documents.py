"""Every kind of result is one JSON document: beside its page, as text, and as a file, and as its schema says."""

import json

import pytest
from jsonschema import Draft202012Validator

from session import Session, data_of

MADE = """
let lm = ecco::from_pretrained("demo", #{verbose: false});
let output = lm.generate("The countries are:\\n1.", #{generate: 4, do_sample: false});
let saliency = output.saliency();
let nmf = output.run_nmf(#{n_components: 2});
let v = lm.steering_vector(["It was good", "I love it"], ["It was bad", "I hate it"]);
let edges = lm.edges("The capital of France is", "The capital of Italy is", #{target: " Paris"});
let changed = #{intervene: #{ablate: [#{layer: 1, site: "mlp_output"}]}, generate: 4};
"""

# An expression, its document's type, and fields that its schema lets be missing and that are there.
RESULTS = {
    "run": ('lm.run("The countries are")', "reading", "model predictions"),
    "output": ("output", "tokens", "model text finish"),
    "score": ('lm.score("The countries are:")', "score", "model"),
    "results": ('lm.attribute(["The countries are:", "1. Austria"])', "results", "model"),
    "saliency": ("saliency", "saliency", "model aggregation contributions"),
    "saliency of words": (
        'output.saliency(#{method: "ig", by: "word"})',
        "saliency",
        "model aggregation baseline contributions completeness spans",
    ),
    "faithfulness": ("saliency.faithfulness()", "faithfulness", "model tokens n_input fractions"),
    "comparison": ('output.compare_methods(["gradient"])', "comparison", "model k agreement"),
    "nmf": ("nmf", "factors", "model site layers weights"),
    "pca": ("output.run_pca(#{n_components: 2})", "factors", "model site layers weights mean"),
    "ica": ("output.run_ica(#{n_components: 2})", "factors", "model site layers weights unmixing mean"),
    "stability": ("nmf.stability(#{seeds: 2})", "similarity", "sources"),
    "lens": ("output.lens()", "lens", "model"),
    "layer_predictions": ("output.layer_predictions()", "layer_predictions", "model"),
    "rankings": ("output.rankings()", "rankings", "model"),
    "rankings_watch": (
        'output.rankings_watch(#{watch: [" Austria", " Belgium"]})',
        "rankings",
        "model entropy divergence",
    ),
    "logit_attribution": (
        "output.logit_attribution()",
        "logit_attribution",
        "model heads attention_bias neurons n_neurons",
    ),
    "heads": ("lm.head_scores(#{n: 6, texts: 1})", "heads", "about scores by values"),
    "vocabulary": ("lm.vocabulary_of(#{layer: 0, neuron: [1, 3]})", "vocabulary", "about ends rows"),
    "top_k": ("output.top_k()", "top_k", "model"),
    "attention": ("output.attention(#{layer: 1})", "attention", "model"),
    "candidates": ("output.candidates(output.n_input_tokens)", "candidates", "model"),
    "top_neurons": ("output.top_neurons()", "top_neurons", "model"),
    "neuron": ("output.neuron(0, 3)", "neuron", ""),
    "similarity": ("ecco::similarity(output, output)", "similarity", "sources"),
    "side_by_side": ('lm.compare("The countries are:", changed)', "side_by_side", ""),
    "patch_map": (
        'lm.patch_map("The capital of France is", "The capital of Italy is", #{target: " Paris"})',
        "patch_map",
        "",
    ),
    "patch_map of pairs": (
        'lm.patch_map(["The capital of France is"], ["The capital of Italy is"], #{target: " Paris"})',
        "patch_map",
        "pairs",
    ),
    "attribution_patching": (
        'lm.attribution_patching("The capital of France is", "The capital of Italy is", #{target: " Paris"})',
        "patch_map",
        "estimate",
    ),
    "edges": ("edges", "edges", "model correlation sum"),
    "circuit": ("edges.circuit(40)", "circuit", "model nodes edges"),
    "attribution_graph": (
        "output.circuit(#{position: output.n_input_tokens, max_nodes: 12, measure: 2})",
        "attribution_graph",
        "model nodes edges correlation",
    ),
    "circuit_curve": ("edges.curve(#{sizes: [10, 40], random: 1})", "circuit_curve", "model circuits"),
    "site_attribution": (
        'output.site_attribution("head_outputs")',
        "site_attribution",
        "layers contributions sums",
    ),
    "probes": (
        'lm.probe(["good day", "bad day", "good food", "bad food"], ["g", "b", "g", "b"], #{layers: [1]})',
        "probes",
        "model states places",
    ),
    "projection": (
        'ecco::project(lm.run(["good day", "bad day"]), #{labels: ["g", "b"], clusters: 2})',
        "projection",
        "model x y names texts labels label_names clusters shares",
    ),
    "corpus_neuron": (
        'lm.corpus(["The countries are", "1. Austria"], #{layers: [1], top: 2}).neuron(1, 3)',
        "corpus_neuron",
        "model promotes groups",
    ),
    "steering": ("v", "steering", "vector"),
    "model_diff": (
        'ecco::diff(lm, lm.intervene(#{ablate: [#{layer: 1, head: 0}]}), ["The countries are:"])',
        "model_diff",
        "grafts",
    ),
}
# Values that are shown as a document and are no results.
VALUES = {
    "model": ("lm", "model"),
    "intervened model": ("lm.intervene(#{ablate: [#{layer: 1, head: 0}]})", "model"),
    "models": ("ecco::models()", "models"),
    "tensor": ("output.activations", "tensor"),
    "small tensor": ("output.hidden_states[0][0]", "tensor"),
    "table": ('ecco::table([#{text: "a <b>", n: 1}, #{text: "c", n: 2.5}, #{text: (), n: true}])', "table"),
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A kernel in a folder of its own, with something to make results of."""
    folder = tmp_path_factory.mktemp("notebook")
    session = Session(home=tmp_path_factory.mktemp("home"), cwd=folder)
    session.folder = folder
    assert session.run(MADE).status == "ok"
    yield session
    session.close()


@pytest.fixture(scope="module")
def validators(repo):
    """By type."""
    schemas = [json.loads(path.read_text()) for path in (repo / "docs/schemas").glob("*.json")]
    for schema in schemas:
        Draft202012Validator.check_schema(schema)
    return {schema["title"]: Draft202012Validator(schema) for schema in schemas}


def shown(notebook, code):
    run = notebook.run(code)
    assert run.status == "ok", run.reply
    return data_of(run.result)


def assert_valid(document, kind, validators):
    assert (document["type"], document["version"]) == (kind, 1)
    errors = [f"{error.json_path}: {error.message}" for error in validators[kind].iter_errors(document)]
    assert not errors, errors[:3]


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_one_document(notebook, validators, name):
    code, kind, fields = RESULTS[name]
    document = shown(notebook, f"let result = {code}; result")
    assert_valid(document, kind, validators)
    missing = [field for field in fields.split() if document.get(field) in (None, [], {}, "")]
    assert not missing, missing

    printed = notebook.run("print(result.to_json())").stream("stdout")
    assert json.loads(printed) == document
    assert notebook.run('result.save("result.json")').status == "ok"
    assert json.loads((notebook.folder / "result.json").read_text()) == document


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_a_document_too(notebook, validators, name):
    code, kind = VALUES[name]
    assert_valid(shown(notebook, code), kind, validators)


def test_a_small_tensor_is_the_same_in_a_file(notebook, validators):
    document = shown(notebook, "output.hidden_states[0][0]")
    assert notebook.run('output.hidden_states[0][0].save("tensor.json")').status == "ok"
    assert json.loads((notebook.folder / "tensor.json").read_text()) == document


def test_every_schema_is_tested(validators):
    kinds = {kind for _, kind, _ in RESULTS.values()} | {kind for _, kind in VALUES.values()}
    assert kinds == set(validators)
