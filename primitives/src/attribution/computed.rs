//! Attributions of a text, computed once for the same targets and options.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use ecco_explain::{Attribution, AttributionOptions, Error, Faithfulness, FaithfulnessOptions, Target};

use crate::text::passage::Passage;
use crate::text::reading;
use ecco_scripting::errors::ScriptError;

/// An attribution, and how long it took.
#[derive(Clone)]
pub(super) struct Computed {
    targets: Vec<Target>,
    options: AttributionOptions,
    pub attribution: Rc<Attribution>,
    pub seconds: f64,
}

/// A measurement of one.
struct Measurement {
    targets: Vec<Target>,
    options: AttributionOptions,
    how: FaithfulnessOptions,
    faithfulness: Rc<Faithfulness>,
}

/// What a passage keeps of both.
#[derive(Default)]
struct Attributions {
    computed: RefCell<Vec<Computed>>,
    measured: RefCell<Vec<Measurement>>,
}

/// Computed once for the same targets and options.
pub(super) fn attribution(
    passage: &Passage,
    targets: &[Target],
    options: &AttributionOptions,
) -> Result<Computed, ScriptError> {
    let kept = passage.kept::<Attributions>();
    let is_it = |known: &&Computed| known.targets == targets && known.options == *options;
    if let Some(known) = kept.computed.borrow().iter().find(is_it) {
        return Ok(known.clone());
    }
    if targets.is_empty() {
        return Err(Error::NothingGenerated.into());
    }
    let loaded = passage.model().loaded()?;
    loaded.wait()?;
    let start = Instant::now();
    let attribution = passage
        .watched(|watch| ecco_explain::attribute(&loaded, passage.input(), targets, options, watch))??;
    loaded.wait()?;
    let are_there = attribution.values.iter().all(|value| value.is_finite());
    reading::about_numbers(passage.model(), are_there)?;
    let computed = Computed {
        targets: targets.to_vec(),
        options: options.clone(),
        attribution: Rc::new(attribution),
        seconds: start.elapsed().as_secs_f64(),
    };
    kept.computed.borrow_mut().push(computed.clone());
    Ok(computed)
}

/// Measured once for the same attribution and options.
pub(super) fn faithfulness(
    passage: &Passage,
    targets: &[Target],
    options: &AttributionOptions,
    how: &FaithfulnessOptions,
) -> Result<Rc<Faithfulness>, ScriptError> {
    let kept = passage.kept::<Attributions>();
    let is_it =
        |known: &&Measurement| known.targets == targets && known.options == *options && known.how == *how;
    if let Some(known) = kept.measured.borrow().iter().find(is_it) {
        return Ok(Rc::clone(&known.faithfulness));
    }
    let attribution = attribution(passage, targets, options)?.attribution;
    let loaded = passage.model().loaded()?;
    // Random orders are the same for every attribution of the same sources.
    let alike = |known: &&Measurement| {
        known.targets == targets && known.how == *how && known.options.start_token == options.start_token
    };
    let known = kept
        .measured
        .borrow()
        .iter()
        .find(alike)
        .map(|known| Rc::clone(&known.faithfulness));
    let found = passage.watched(|watch| {
        let input = passage.input();
        ecco_explain::faithfulness(
            &loaded,
            input,
            targets,
            &attribution,
            how,
            known.as_deref(),
            watch,
        )
    })??;
    let are_there = found.targets.iter().all(|check| check.full.is_finite());
    reading::about_numbers(passage.model(), are_there)?;
    let faithfulness = Rc::new(found);
    kept.measured.borrow_mut().push(Measurement {
        targets: targets.to_vec(),
        options: options.clone(),
        how: how.clone(),
        faithfulness: Rc::clone(&faithfulness),
    });
    Ok(faithfulness)
}

/// The latest measurement of an attribution, if there was one.
pub(super) fn latest_faithfulness(
    passage: &Passage,
    targets: &[Target],
    options: &AttributionOptions,
) -> Option<Rc<Faithfulness>> {
    let kept = passage.kept::<Attributions>();
    let measured = kept.measured.borrow();
    let mut latest = measured.iter().rev();
    let found = latest.find(|known| known.targets == targets && known.options == *options);
    found.map(|known| Rc::clone(&known.faithfulness))
}
