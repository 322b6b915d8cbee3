//! Attributions of a text, computed once for the same targets and options.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use ecco_explain::faithfulness::n_passes;
use ecco_explain::{Attribution, AttributionOptions, Error, Faithfulness, FaithfulnessOptions, Target};

use crate::text::passage::Passage;
use crate::text::reading;
use ecco_interpreter::Progress;
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::session::each_weighed;

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
    if let Some(known) = known(passage, targets, options) {
        return Ok(known);
    }
    attributions(&[(passage.clone(), targets.to_vec())], options)?;
    let none = || ScriptError::new(ErrorKind::Internal, "an attribution that was not computed");
    known(passage, targets, options).ok_or_else(none)
}

fn known(passage: &Passage, targets: &[Target], options: &AttributionOptions) -> Option<Computed> {
    let kept = passage.kept::<Attributions>();
    let is_it = |known: &&Computed| known.targets == targets && known.options == *options;
    kept.computed.borrow().iter().find(is_it).cloned()
}

/// Those of several texts of a model that are not there yet: texts about equally long side by side, where the method allows that.
pub(super) fn attributions(
    texts: &[(Passage, Vec<Target>)],
    options: &AttributionOptions,
) -> Result<(), ScriptError> {
    let is_missing =
        |(passage, targets): &&(Passage, Vec<Target>)| known(passage, targets, options).is_none();
    let missing: Vec<&(Passage, Vec<Target>)> = texts.iter().filter(is_missing).collect();
    let Some((first, _)) = missing.first() else {
        return Ok(());
    };
    if missing.iter().any(|(_, targets)| targets.is_empty()) {
        return Err(Error::NothingGenerated.into());
    }
    let loaded = first.model().loaded()?;
    loaded.wait()?;
    let (start, mut are_there) = (Instant::now(), true);
    let inputs = missing
        .iter()
        .map(|(passage, targets)| (passage.input().clone(), targets.clone()));
    let inputs: Vec<_> = inputs.collect();
    let mut keep = |at: usize, attribution: Attribution| {
        are_there &= attribution.values.iter().all(|value| value.is_finite());
        let (passage, targets) = missing[at];
        passage
            .kept::<Attributions>()
            .computed
            .borrow_mut()
            .push(Computed {
                targets: targets.clone(),
                options: options.clone(),
                attribution: Rc::new(attribution),
                seconds: start.elapsed().as_secs_f64() / missing.len() as f64,
            });
    };
    first.watched(|watch| ecco_explain::attribute_each(&loaded, &inputs, options, watch, &mut keep))??;
    loaded.wait()?;
    reading::about_numbers(first.model(), are_there)
}

/// Several attributions of a text and, where it is said how, their faithfulness: one piece of work, of which progress says how long the
/// whole takes.
pub(super) fn all_of(
    passage: &Passage,
    all: &[(Vec<Target>, AttributionOptions)],
    how: Option<&FaithfulnessOptions>,
) -> Result<(), ScriptError> {
    let (n, loaded) = (all.len(), passage.model().loaded()?);
    // The methods, then how faithful each is.
    let (mut pieces, mut measured) = (Vec::new(), Vec::new());
    for (at, (targets, options)) in all.iter().enumerate() {
        let (passes, sources) = ecco_explain::n_passes(&loaded, passage.input(), targets, options)?;
        pieces.push((at, passes));
        // Random orders are measured with the first.
        measured.extend(how.map(|how| (n + at, n_passes(&sources, how, at > 0) as u64)));
    }
    pieces.extend(measured);
    let progress = Progress {
        label: format!("comparing {n} methods").into(),
        done: 0,
        total: Some(pieces.iter().map(|(_, weight)| weight).sum()),
        unit: "passes",
    };
    let (state, verbose) = (passage.model().state()?, passage.model().verbose);
    let ended = each_weighed(&state, verbose, progress, &pieces, |at| {
        let (targets, options) = &all[at % n];
        match how {
            Some(how) if at >= n => drop(faithfulness(passage, targets, options, how)?),
            _ => drop(attribution(passage, targets, options)?),
        }
        Ok::<_, ScriptError>(())
    });
    ended.map_err(|(_, error)| error)
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
