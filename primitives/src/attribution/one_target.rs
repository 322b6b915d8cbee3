//! One number that is explained: what gradients inside the model are of.

use ecco_explain::{Quantity, Target};
use ecco_scripting::options::{Choice, OneOrMany, TargetOption, Word};
use ecco_scripting::{ErrorKind, ScriptError, options};

use super::saliency_options::TargetOptions;
use super::targets::Selection;
use crate::text::passage::Passage;

options! {
    /// The answer.
    pub struct OneTargetOptions {
        /// the token (any of the vocabulary) or label whose answer it is
        target: Option<Word> = "what was written first; else the most probable token or label",
        /// less the answer for this one
        contrast: Option<Word> = "none",
        /// where the target stands or would stand, counted as the widget counts
        position: Option<usize> = "the first generated token; of a run what follows, or the mask",
        /// which number about it
        of: Choice<Quantity> = Choice(Quantity::Logit),
    }
}

/// What is explained, and the same for people: `logit of " Denmark" less that of " Iceland"`.
///
/// # Errors
/// As for a saliency; more targets than one.
pub(crate) fn one_target(
    passage: &Passage,
    options: &OneTargetOptions,
) -> Result<(Target, String), ScriptError> {
    let written = (passage.n_written() > 0).then(|| passage.n_input());
    let named = options.target.is_some() || options.contrast.is_some();
    let entry = TargetOption {
        target: options.target.clone(),
        contrast: options.contrast.clone(),
        position: None,
    };
    // What was written stands where it was written first; other tokens are looked for.
    let position = options.position.or_else(|| written.filter(|_| !named));
    let asked = TargetOptions {
        target: named.then(|| vec![entry]),
        contrast: None,
        position: position.map(|position| OneOrMany(vec![position])),
        of: options.of,
        told: options.told.clone(),
    };
    let found = Selection::new(passage, &asked)?.targets(passage)?;
    let [target] = found.list[..] else {
        let n = found.list.len();
        let message = format!("the text says {n} things, so it is not clear which is meant");
        return Err(ScriptError::new(ErrorKind::Value, message).with_hint("say its position: #{position: 4}"));
    };
    let name = found.names(passage).remove(0);
    let of = target.of.name().replace('_', " ");
    let label = match name.contrast {
        _ if target.of == Quantity::Entropy => "entropy".to_owned(),
        Some(contrast) => format!("{of} of {:?} less that of {:?}", name.name.text, contrast.text),
        None => format!("{of} of {:?}", name.name.text),
    };
    Ok((target, label))
}
