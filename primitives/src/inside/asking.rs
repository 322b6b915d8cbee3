//! What the page of a lens at several places can ask, and its options as a script would give them.

use serde_json::{Map, Value};

use super::lens::LensOptions;
use crate::live::Asked;
use crate::text::passage::Passage;

pub(super) fn map(passage: &Passage, options: Map<String, Value>) -> Asked {
    // The default first.
    let flag = |name, usual: bool| (name, vec![usual.into(), (!usual).into()]);
    let offers = vec![flag("raw", false), flag("embedding", true)];
    Asked::new(passage, "lens", options)
        .offering(offers)
        .at("positions", false)
}

/// Those of a map that are not the defaults.
pub(super) fn map_options(positions: Option<&[usize]>, options: &LensOptions) -> Map<String, Value> {
    let mut asked = Map::new();
    if let Some(positions) = positions {
        asked.insert("positions".to_owned(), positions.into());
    }
    if options.top_k != 5 {
        asked.insert("topk".to_owned(), options.top_k.into());
    }
    if options.raw {
        asked.insert("raw".to_owned(), true.into());
    }
    if !options.embedding {
        asked.insert("embedding".to_owned(), false.into());
    }
    asked
}
