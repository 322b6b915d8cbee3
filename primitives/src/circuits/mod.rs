//! Gradients inside the model, edges and circuits, heads and weights: what an answer owes to what stands at a site, what each head does and why it looks where it looks, and what parts of a model write, read in the vocabulary.

mod attribution_graph;
mod circuit;
mod edges;
mod gradient;
pub(crate) mod heads;
mod query_key;
pub(crate) mod site_attribution;
pub(crate) mod vocabulary;
mod written;

use ecco_scripting::Registry;

use attribution_graph::AttributionGraph;
use circuit::{Circuit, Curve};
use edges::Edges;
use heads::HeadScores;
use query_key::QueryKey;
use site_attribution::SiteAttribution;
use vocabulary::Vocabulary;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.result::<Edges>("Edges", "edges");
    registry.result::<Circuit>("Circuit", "circuit");
    registry.result::<Curve>("Curve", "curve");
    registry.result::<HeadScores>("HeadScores", "heads");
    registry.result::<Vocabulary>("Vocabulary", "vocabulary");
    registry.result::<QueryKey>("QueryKey", "why");
    registry.result::<SiteAttribution>("SiteAttribution", "attribution");
    registry.result::<AttributionGraph>("AttributionGraph", "graph");
    attribution_graph::register(registry);
    edges::register(registry);
    circuit::register(registry);
    gradient::register(registry);
    site_attribution::register(registry);
    heads::register(registry);
    query_key::register(registry);
    vocabulary::register(registry);
}
