//! Values of each type that the catalog has, and calls of its signatures.

use std::path::Path;

use ecco_scripting::assist::catalog::{Catalog, Entry, EntryKind, Param};

use crate::common::Notebook;

/// A value of each type that has members: its name for people, the variable that holds it, and how it is made. `lm`
/// and `text` are there before.
pub(crate) const VALUES: &[(&str, &str, &str)] = &[
    ("Generation", "output", "lm.score(text)"),
    ("Outputs", "outputs", "lm.score([\"ab cd\", text])"),
    ("Run", "run", "lm.run(text)"),
    ("Results", "results", "lm.attribute([\"ab cd\", text])"),
    ("Chat", "chat", "output.as_prompt"),
    ("Saliency", "saliency", "output.saliency(#{position: 3})"),
    (
        "Comparison",
        "comparison",
        "output.compare_methods([\"gradient\", \"ig\"], #{position: 3})",
    ),
    (
        "Faithfulness",
        "faithfulness",
        "saliency.faithfulness(#{n_random: 1, n_steps: 2})",
    ),
    ("Lens", "lens", "output.lens(#{positions: [3, 4]})"),
    (
        "LogitAttribution",
        "parts",
        "output.logit_attribution(#{position: 3})",
    ),
    ("Candidates", "candidates", "output.candidates(3)"),
    ("TopK", "top", "output.top_k()"),
    ("TopNeurons", "neurons", "output.top_neurons(#{position: 3})"),
    ("Activity", "activity", "output.neuron(0, 3)"),
    ("Attention", "attention", "output.attention(#{layer: 0})"),
    (
        "Factorization",
        "factors",
        "output.run_nmf(#{n_components: 2, layers: [0]})",
    ),
    ("Stability", "stability", "factors.stability(#{seeds: 1})"),
    (
        "SimilarityGrid",
        "grid",
        "ecco::similarity(run, run, #{layers: [0, 1]})",
    ),
    (
        "SteeringVector",
        "vector",
        "lm.steering_vector([\"good\"], [\"bad\"], #{layer: 0})",
    ),
    (
        "PatchMap",
        "map",
        "lm.patch_map(\"ab cd\", \"ab ce\", #{target: \"a\"})",
    ),
    (
        "PatchMaps",
        "maps",
        "lm.patch_map([\"ab cd\", \"cd ab\"], [\"ab ce\", \"cd ac\"], #{target: \"a\"})",
    ),
    (
        "AttributionPatching",
        "estimate",
        "lm.attribution_patching(\"ab cd\", \"ab ce\", #{target: \"a\", measure: 3})",
    ),
    (
        "Edges",
        "edges",
        "lm.edges(\"ab cd\", \"ab ce\", #{target: \"a\", measure: 3, n_steps: 2})",
    ),
    ("Circuit", "circuit", "edges.circuit(20)"),
    (
        "AttributionGraph",
        "graph",
        "output.circuit(#{max_nodes: 6, measure: 2})",
    ),
    ("Curve", "curve", "edges.curve(#{sizes: [5, 20], random: 1})"),
    (
        "SiteAttribution",
        "attribution",
        "output.site_attribution(\"head_outputs\", #{position: 3})",
    ),
    (
        "SideBySide",
        "sides",
        "lm.score(\"ab cd\").compare(lm.intervene(#{scale: [#{layer: 0, site: \"mlp_output\", factor: 2.0}]}).score(\"ab cd\"))",
    ),
    (
        "Probes",
        "probes",
        "lm.probe([\"ab cd\", \"cd ab\", \"ef ab\", \"ef cd\"], [true, true, false, false], #{folds: 2, shuffles: 1})",
    ),
    ("Projection", "projection", "ecco::project(run, #{clusters: 2})"),
    (
        "Corpus",
        "corpus",
        "lm.corpus([\"ab cd\", text], #{top: 3, sample: 2})",
    ),
    ("CorpusNeuron", "dashboard", "corpus.neuron(0, 3)"),
    (
        "FittedLens",
        "fitted",
        "lm.fit_lens(\"tuned\", [\"ab cd\", \"cd ab\"], #{steps: 2, step_tokens: 4})",
    ),
    ("HeadScores", "heads", "lm.head_scores(#{n: 5, texts: 1})"),
    ("QueryKey", "why", "lm.run(\"ab cd\").query_key(1, 0)"),
    (
        "Vocabulary",
        "vocabulary",
        "lm.vocabulary_of(#{layer: 0, neuron: [1, 3]}, #{top: 3})",
    ),
    (
        "Dictionary",
        "dictionary",
        "lm.dictionary(lm.name + \"/dictionary\")",
    ),
    ("Features", "features", "dictionary.encode(output)"),
    (
        "FeatureAttribution",
        "owed",
        "dictionary.attribute(output, #{position: 3, measure: 2})",
    ),
    (
        "ModelDiff",
        "diff",
        "ecco::diff(lm, lm.intervene(#{scale: [#{layer: 0, site: \"mlp_output\", factor: 2.0}]}), [\"ab cd\"], #{weights: false})",
    ),
    (
        "Loaded",
        "loaded",
        "saliency.save(\"loaded.json\"); let loaded = ecco::load(\"loaded.json\"); loaded",
    ),
    ("ModelList", "models", "ecco::models()"),
    ("Tensor", "tensor", "run.at(\"mlp_inner\", 0)"),
    (
        "Table",
        "table",
        "ecco::table([#{text: \"ab\", n: 1}, #{text: \"cd\", n: 2.5}])",
    ),
    ("Rich", "view", "html(\"<p>x</p>\")"),
    ("Error", "error", "error_of(|| nothing())"),
];

/// Defines `lm`, `text` and all values; what cannot be made of this model is answered with its error.
pub(crate) fn define(notebook: &mut Notebook, folder: &Path, text: &str) -> Vec<(&'static str, String)> {
    let folder = folder.display();
    let setup = format!(
        "let lm = ecco::from_pretrained(\"{folder}\", #{{verbose: false}}); let text = `{text}`; \
         fn error_of(f) {{ try {{ f.call(); }} catch (e) {{ return e; }} }}"
    );
    notebook.run(&setup).result.expect("the model loads");
    let mut missing = Vec::new();
    for (of, variable, make) in VALUES {
        if let Err(error) = notebook.run(&format!("let {variable} = {make};")).result {
            missing.push((*of, format!("{}: {}", error.name, error.value)));
            notebook
                .run(&format!("let {variable} = ();"))
                .result
                .expect("a variable");
        }
    }
    missing
}

/// What scripts call by name, of what is ours.
pub(crate) fn entries(catalog: &Catalog) -> Vec<Entry> {
    let called = catalog
        .entries()
        .filter(|entry| entry.is_ours && entry.kind != EntryKind::Operator);
    called.cloned().collect()
}

/// The variable that holds a value of a type.
pub(crate) fn variable_of(of: &str) -> Option<&'static str> {
    match of {
        "Model" => Some("lm"),
        of => VALUES
            .iter()
            .find(|(name, ..)| *name == of)
            .map(|(_, variable, _)| *variable),
    }
}

/// `lm.generate(…)` with these arguments, the receiver's included, and a map of options where there is one.
pub(crate) fn written(entry: &Entry, arguments: &[String]) -> String {
    match (entry.kind, arguments.split_first()) {
        (EntryKind::Property, Some((of, _))) => format!("{of}.{}", entry.name),
        (EntryKind::Method, Some((of, rest))) => format!("{of}.{}({})", entry.name, rest.join(", ")),
        _ if entry.namespace.is_empty() => format!("{}({})", entry.name, arguments.join(", ")),
        _ => format!("{}::{}({})", entry.namespace, entry.name, arguments.join(", ")),
    }
}

/// The parameters that come before a map of options.
pub(crate) fn before_options(entry: &Entry) -> &[Param] {
    match (entry.options, entry.params.split_last()) {
        (Some(_), Some((_, before))) => before,
        _ => &entry.params,
    }
}
