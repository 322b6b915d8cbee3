//! What a cell can ask, by topic. A value that scripts hold and the functions that make it stand together.
//!
//! - [`models`]: loading, residency; [`text`]: generating, running, scoring, conversations
//! - [`attribution`]: which tokens it came from; [`inside`]: lens, parts, attention, candidates; [`circuits`]: heads and weights;
//!   [`dictionaries`]: features
//! - [`tour`]: where to begin; [`live`]: what the pages of results can ask; [`loading`]: results that were saved
//! - [`corpus`], [`factors`], [`neurons`], [`numbers`], [`probes`], [`similarity`]; [`interventions`]: what if a part were different

mod attribution;
mod circuits;
mod corpus;
mod dictionaries;
mod factors;
mod hints;
mod inside;
mod interventions;
mod live;
mod loading;
mod models;
mod neurons;
mod numbers;
mod probes;
mod similarity;
mod text;
mod tour;

use ecco_interpreter::Interrupt;
use ecco_scripting::{Registry, Session};

/// Makes all primitives known to a session.
pub fn register(registry: &mut Registry) {
    registry.hints(hints::in_scripts);
    registry.contents(CONTENTS);
    tour::register(registry);
    models::register(registry);
    text::register(registry);
    attribution::register(registry);
    inside::register(registry);
    circuits::register(registry);
    corpus::register(registry);
    dictionaries::register(registry);
    factors::register(registry);
    neurons::register(registry);
    loading::register(registry);
    numbers::register(registry);
    probes::register(registry);
    similarity::register(registry);
    interventions::register(registry);
}

/// The contents of the page of primitives: what people ask, and where the answer is.
const CONTENTS: &[(&str, &[&str])] = &[
    (
        "where do I begin? and how do views ask in VS Code?",
        &["ecco::tour", "ecco::live"],
    ),
    (
        "how do I load a model, which are loaded, and where is room?",
        &[
            "ecco::from_pretrained",
            "ecco::models",
            "lm.unload",
            "ecco::devices",
            "ecco::crossings",
        ],
    ),
    (
        "what does it write, or say of a text?",
        &["lm.generate", "lm.chat", "lm.predict", "lm.run", "lm.score"],
    ),
    ("why this token? and not that one?", &["output.saliency"]),
    (
        "why this label, or this text that was not generated here?",
        &["lm.attribute", "lm.score"],
    ),
    (
        "can I trust the map?",
        &["saliency.faithfulness", "output.compare_methods"],
    ),
    (
        "when did the model know?",
        &[
            "output.layer_predictions",
            "output.rankings",
            "output.rankings_watch",
            "output.lens",
        ],
    ),
    (
        "which layer, head or neuron wrote it?",
        &[
            "output.logit_attribution",
            "output.site_attribution",
            "output.attention",
            "output.top_neurons",
            "lm.neuron",
        ],
    ),
    (
        "what does each head do, and what does a neuron or a direction say?",
        &[
            "lm.head_scores",
            "output.query_key",
            "lm.vocabulary_of",
            "lm.ov_circuit",
            "lm.qk_circuit",
        ],
    ),
    (
        "which features of a sparse autoencoder or transcoder are active, and what do they do?",
        &[
            "lm.dictionary",
            "lm.dictionaries",
            "dictionary.encode",
            "dictionary.feature",
            "dictionary.attribute",
        ],
    ),
    (
        "what else might have stood there?",
        &["output.candidates", "output.top_k"],
    ),
    (
        "which neurons fire together?",
        &[
            "output.run_nmf",
            "output.run_pca",
            "output.run_ica",
            "ecco::nmf",
            "ecco::pca",
            "ecco::ica",
        ],
    ),
    (
        "do two models, or two layers, hold the same?",
        &[
            "ecco::similarity",
            "ecco::cka",
            "ecco::cca",
            "ecco::svcca",
            "ecco::pwcca",
        ],
    ),
    (
        "what did tuning change, and in which layers?",
        &["ecco::diff", "diff.table", "diff.weights", "diff.parted"],
    ),
    (
        "where in many texts is each neuron strong?",
        &[
            "lm.corpus",
            "corpus.neuron",
            "corpus.rank",
            "corpus.nearest",
            "corpus.search",
        ],
    ),
    (
        "what can be read off its states, over many texts, and which lie near each other?",
        &[
            "lm.probe",
            "ecco::probe",
            "probes.steering_vector",
            "ecco::project",
            "ecco::cluster",
        ],
    ),
    (
        "what if this part were different?",
        &[
            "lm.intervene",
            "lm.compare",
            "lm.steering_vector",
            "lm.patch_map",
            "lm.causal_trace",
            "lm.attribution_patching",
            "lm.patchscope",
        ],
    ),
    (
        "which connections between heads and MLPs carry it, and which circuit?",
        &["output.circuit", "lm.edges", "edges.circuit", "edges.curve"],
    ),
    (
        "what happened inside, as numbers?",
        &["lm.sites", "run.at", "output.gradient", "tensor.slice"],
    ),
    (
        "which tokens are a text, which words has the model, what are its weights?",
        &[
            "lm.tokenize",
            "lm.decode",
            "lm.token",
            "lm.vocabulary",
            "lm.weights",
            "lm.weight",
        ],
    ),
    (
        "how do I compute with numbers of my own?",
        &[
            "ecco::tensor",
            "tensor.matmul",
            "tensor.mean",
            "tensor.softmax",
            "tensor.cosine",
            "ecco::einsum",
            "tensor.svd",
            "ecco::randn",
        ],
    ),
    (
        "how do I bring my data, and work on many rows?",
        &[
            "ecco::read",
            "ecco::table",
            "table.filter",
            "table.sort",
            "table.group",
            "table.join",
            "table.save",
            "outputs.table",
            "results.table",
            "results.numbers",
        ],
    ),
    (
        "how do I take it with me?",
        &[
            "result.save",
            "result.to_json",
            "result.to_array",
            "tensor.save",
            "ecco::load",
        ],
    ),
];

/// A session that can ask all of it.
pub fn session(interrupt: Interrupt) -> Session {
    Session::new(interrupt, register)
}
