"""A result is one JSON document: what stands beside its page, what the page saves, and what its schema says."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
SAVED = {
    "attention": ["attention", "attention-mean", "attention-cross", "hostile-attention", "long-attention"],
    "attribution_graph": ["attribution-graph", "hostile-attribution-graph"],
    "candidates": ["candidates"],
    "circuit": ["circuit", "hostile-circuit"],
    "circuit_curve": ["circuit-curve"],
    "comparison": ["comparison", "hostile-comparison", "long-comparison"],
    "corpus_neuron": ["corpus-neuron", "hostile-corpus-neuron"],
    "edges": ["edges", "hostile-edges"],
    "factors": [
        "factors",
        "factors-signed",
        "factors-texts",
        "hostile-factors",
        "ragged-factors",
        "long-factors",
    ],
    "faithfulness": ["faithfulness", "faithfulness-one", "hostile-faithfulness"],
    "heads": ["heads", "heads-sorted"],
    "layer_predictions": ["predictions", "hostile-predictions"],
    "lens": ["lens", "fitted-lens", "hostile-lens"],
    "logit_attribution": ["parts", "parts-heads", "parts-neurons"],
    "model_diff": ["model-diff", "hostile-model-diff", "long-model-diff"],
    "models": ["models"],
    "neuron": ["neuron", "neuron-texts", "hostile-neuron"],
    "patch_map": ["patch-map", "patch-map-heads", "patch-map-head-positions", "patch-map-pairs", "attribution-patching"],
    "probes": ["probes", "probes-positions", "hostile-probes"],
    "projection": ["projection", "hostile-projection", "long-projection"],
    "reading": ["reading-next", "reading-entities", "hostile-reading"],
    "rankings": ["ranks", "ranks-watched"],
    "saliency": [
        "saliency",
        "saliency-detailed",
        "saliency-signed",
        "saliency-labels",
        "saliency-words",
        "saliency-pair",
        "hostile",
        "hostile-targets",
        "ragged",
        "long",
    ],
    "score": ["score", "score-first", "hostile-score", "long-score"],
    "side_by_side": ["side-by-side"],
    "similarity": ["similarity", "similarity-of-many"],
    "site_attribution": ["site-attribution"],
    "steering": ["steering"],
    "table": ["table", "hostile-table", "wide-table", "long-table"],
    "tensor": ["tensor", "small-tensor"],
    "tokens": ["tokens", "tokens-scored", "hostile-tokens"],
    "top_k": ["top-k"],
    "top_neurons": ["neurons"],
    "vocabulary": ["vocabulary", "hostile-vocabulary"],
}
STILL = {"model", "results"}


def document(gallery, name):
    return json.loads((gallery / f"{name}.json").read_text())


@pytest.mark.parametrize("kind, name", [(kind, name) for kind, names in SAVED.items() for name in names])
def test_a_page_saves_the_document(open_page, gallery, kind, name):
    page = open_page(name, accept_downloads=True)
    menu = page.locator(".live .save")
    menu.locator("summary").evaluate("(summary) => summary.click()")
    with page.expect_download() as download:
        menu.get_by_role("button", name="JSON", exact=True).evaluate("(button) => button.click()")
    assert download.value.suggested_filename == kind.replace("_", "-") + ".json"
    saved = json.loads(Path(download.value.path()).read_text())
    expected = document(gallery, name)
    assert saved == expected, next(key for key in expected if saved.get(key) != expected[key])
    assert list(saved)[:2] == ["type", "version"] and (saved["type"], saved["version"]) == (kind, 1)


def test_every_view_is_among_these():
    assert {path.stem for path in SCHEMAS.glob("*.json")} == {*SAVED, *STILL}


def test_documents_are_what_their_schemas_say(gallery):
    """Those of every page, and each field that a schema allows is one that it knows."""
    schemas = {path.stem: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    seen = set()
    for path in sorted(gallery.glob("*.json")):
        if not 0 < path.stat().st_size < 100_000:  # the long ones have no other form than the short ones
            continue
        document = json.loads(path.read_text())
        schema = schemas[document["type"]]
        errors = [
            f"{path.stem}: {error.json_path}: {error.message[:200]}"
            for error in Draft202012Validator(schema).iter_errors(document)
        ]
        assert errors == []
        assert set(document) <= set(schema["properties"]), path.stem
        seen.add(document["type"])
    assert seen == {*SAVED, *STILL}
