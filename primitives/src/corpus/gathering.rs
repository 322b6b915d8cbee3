//! `lm.corpus`: texts of a list, of a table's column, or of a file, read once.

use std::cell::RefCell;

use ecco_explain::corpus::{CorpusOptions, Reading, Sign, Units, pieces};
use ecco_interpreter::named;
use ecco_models::{Place, Site};
use ecco_scripting::data::each_text;
use ecco_scripting::options::{Choice, OptionKind, OptionValue, number};
use ecco_scripting::result::show;
use ecco_scripting::session::watched;
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::tensor::work::Work;
use ecco_scripting::{ErrorKind, Registry, ScriptError, functions, members, options};
use ndarray::{Array2, Axis};
use rhai::{Array, Dynamic};

use super::keeping::Keeper;
use super::result::Corpus;
use crate::dictionaries::dictionary::Dictionaries;
use crate::interventions::steering::SteeringVector;
use crate::models::model::Model;
use crate::text::capture::{NeuronSite, place_in};
use crate::text::reading::ids_alone;
use crate::text::run::of_text;

options! {
    /// What `lm.corpus` can be told.
    pub struct GatherOptions {
        /// where neurons are looked at: one of lm.sites() with a value at each position
        site: Option<NeuronSite> = "\"mlp_inner\"; of heads \"head_outputs\", of directions \"residual_after\"",
        /// these layers, counted from 0
        layers: Option<Vec<usize>> = "all layers",
        /// "head": in the place of neurons the length of what each head has at the site
        by: Choice<Kind> = Choice(Kind::Neuron),
        /// in their place how much there is of each of these directions: a tensor (direction, number), of one direction (number)
        directions: Option<DirectionRows> = "none",
        /// in their place a dictionary's features, at the site and layer that it reads; of several layers an array of
        /// dictionaries
        dictionary: Option<Dictionaries> = "none",
        /// how many of the strongest places of each neuron are kept, one of a text
        top: usize [1..] = 20,
        /// which values are strong: the largest, the lowest, or those furthest from 0
        sign: Choice<Sign> = Choice(Sign::Positive),
        /// longer texts are read in pieces of so many tokens
        max_tokens: Option<usize> [1..] = "256, or as many as the model reads",
        /// how many texts are drawn for what neurons do where they are not strongest
        sample: usize = 100,
        /// how many tokens are drawn at which the values of all neurons are kept, for quantiles and for which are alike
        sample_tokens: usize = 500,
        /// which texts and tokens are drawn
        seed: u64 = 0,
        /// the column that has the texts, of a table or a file
        column: Option<String> = "\"text\"",
        /// a .safetensors file of the notebook's folder that keeps what was read: where it is there, reading goes on from it
        file: Option<String> = "none",
        /// how many seconds of reading may be lost where the kernel is killed
        save_every: f64 = 30.0,
        /// megabytes, at most, for what is kept and for the numbers of a pass, beside the model
        memory: Option<usize> [1..] = "what is free",
    }
}

named! {
    /// What of a site is followed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(super) enum Kind {
        #[default]
        Neuron = "neuron",
        Head = "head",
    }
}

/// Directions as scripts have them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DirectionRows(Array2<f32>);

impl OptionValue for DirectionRows {
    const KIND: OptionKind = OptionKind::Any("a tensor (direction, number), or a vector");

    fn of(value: &Dynamic) -> Option<Self> {
        if let Some(vector) = value.read_lock::<SteeringVector>() {
            let numbers = &vector.steering.vector;
            return Array2::from_shape_vec((1, numbers.len()), numbers.clone())
                .ok()
                .map(Self);
        }
        if let Ok(array) = value.as_array_ref() {
            let numbers = array.iter().map(|value| Some(number(value)? as f32));
            let numbers: Vec<f32> = numbers.collect::<Option<_>>()?;
            return Array2::from_shape_vec((1, numbers.len()), numbers).ok().map(Self);
        }
        let tensor = value.read_lock::<Tensor>()?;
        let data = tensor.data();
        let rows = match data.ndim() {
            1 => data.view().insert_axis(Axis(0)),
            2 => data.view(),
            _ => return None,
        };
        rows.into_dimensionality().ok().map(|rows| Self(rows.to_owned()))
    }
}

/// Tokens of a piece where nothing is said.
const USUAL: usize = 256;
/// Places of each neuron, and texts and tokens of the sample, at most.
const MOST_KEPT: usize = 10_000;
/// What is said where it is interrupted.
const KEPT: &str = "what was read by then is in `lm.last_corpus`";

/// What `lm.last_corpus` gives: kept with the model's handle.
#[derive(Default)]
struct LastCorpus(RefCell<Option<Corpus>>);

pub(super) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// `lm.corpus(texts)` by another name: of a list of texts, a table, or the path of a file.
        ///
        /// Example:
        /// ```rhai
        /// ecco::corpus(lm, "texts.jsonl", #{top: 10})
        /// ```
        fn corpus(_state, lm: Model, texts: Dynamic; options: GatherOptions) -> Corpus {
            if let Some(table) = texts.read_lock::<Table>() {
                return of_table(&lm, &table, options);
            }
            if let Ok(path) = texts.as_immutable_string_ref() {
                return gathered(&lm, &Texts::File(&path), options);
            }
            match texts.as_array_ref() {
                Ok(list) => of_list(&lm, &list, options),
                Err(_) => show::expected("a list of texts, a table, or the path of a file", &texts),
            }
        }
    }
    members! { registry, [Model];
        /// Reads many texts once and keeps, for every neuron, the strongest places with what stands around them, the share of
        /// tokens where it is above 0, mean, deviation and a histogram. What is kept does not grow with the texts, which may
        /// be a list or a column of a table; one that stands there twice is read once.
        ///
        /// Example:
        /// ```rhai
        /// let corpus = lm.corpus(ecco::read("texts.csv"), #{column: "text", layers: [4, 5]});
        /// corpus.rank(#{by: "selectivity"})
        /// corpus.neuron(4, 117)
        /// ```
        volatile fn corpus(lm: &Model, texts: Array; options: GatherOptions) -> Corpus { of_list(lm, &texts, options) }

        volatile fn corpus(lm: &Model, table: Table; options: GatherOptions) -> Corpus { of_table(lm, &table, options) }

        /// Of a file of the notebook's folder: a column of `.csv`, `.tsv`, `.jsonl` or `.parquet`, or the lines of `.txt` and `.md`
        /// that are not empty. It is read part by part, so that only its tokens' numbers are in memory.
        ///
        /// Example:
        /// ```rhai
        /// lm.corpus("texts.parquet", #{column: "review", memory: 1000})
        /// ```
        volatile fn corpus(lm: &Model, path: &str; options: GatherOptions) -> Corpus {
            gathered(lm, &Texts::File(path), options)
        }

        /// What the last `lm.corpus` has read, also when it was interrupted.
        get last_corpus(lm: &Model) -> Corpus {
            lm.kept::<LastCorpus>().0.borrow().clone().ok_or_else(|| {
                ScriptError::new(ErrorKind::Value, "this model has read no corpus yet")
                    .with_hint("lm.corpus([\"one text\", \"another\"])")
            })
        }
    }
}

/// Where texts come from.
enum Texts<'a> {
    List(&'a [Dynamic]),
    File(&'a str),
}

fn of_list(lm: &Model, texts: &Array, options: GatherOptions) -> Result<Corpus, ScriptError> {
    match options.column {
        None => gathered(lm, &Texts::List(texts), options),
        Some(column) => {
            let message = format!("option `column` is {column:?}: a list of texts has no columns");
            Err(ScriptError::new(ErrorKind::Option, message).pointing_at("column"))
        }
    }
}

fn of_table(lm: &Model, table: &Table, options: GatherOptions) -> Result<Corpus, ScriptError> {
    let name = options.column.as_deref().unwrap_or("text");
    let column = table.column(name).map_err(|error| error.pointing_at("column"))?;
    gathered(lm, &Texts::List(&column.values), options)
}

/// The numbers of their tokens.
fn ids(lm: &Model, texts: &Texts, column: Option<&str>) -> Result<Vec<Vec<u32>>, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let mut ids = Vec::new();
    match texts {
        Texts::File(path) => each_text(path, column, &Work::new(state), &mut |at, text| {
            ids.push(loaded.ids(text).map_err(|error| of_text(error.into(), at))?);
            Ok(())
        })?,
        Texts::List(texts) => {
            for (at, text) in texts.iter().enumerate() {
                state.check_interrupt()?;
                ids.push(ids_alone(&loaded, text, at)?);
            }
        }
    }
    Ok(ids)
}

fn gathered(lm: &Model, texts: &Texts, options: GatherOptions) -> Result<Corpus, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    for (name, number) in [
        ("top", options.top),
        ("sample", options.sample),
        ("sample_tokens", options.sample_tokens),
    ] {
        if number > MOST_KEPT {
            let message = format!("{name} is {number}: at most {MOST_KEPT} are kept");
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at(name));
        }
    }
    let (place, layers, units) = followed(lm, &options)?;
    let ids = ids(lm, texts, options.column.as_deref())?;
    let config = loaded.config().encoder.as_deref().unwrap_or(loaded.config());
    let max_tokens = options.max_tokens.unwrap_or(USUAL.min(config.context_length));
    let pieces = pieces(&loaded, &ids, max_tokens)?;
    drop(ids);
    let settings = CorpusOptions {
        place,
        units,
        layers,
        top: options.top,
        sign: options.sign.0,
        n_sample: options.sample,
        n_tokens: options.sample_tokens,
        seed: options.seed,
        memory: options
            .memory
            .map(|megabytes| (megabytes as u64).saturating_mul(1_000_000)),
    };
    let mut reading = Reading::new(&loaded, pieces, &settings)?;
    let keeper = options.file.as_deref();
    let keeper = keeper.map(|path| Keeper::new(lm, path, options.save_every, &settings, &mut reading));
    let mut keeper = keeper.transpose()?;
    watched(&state, lm.verbose, |watch| {
        reading.read(&loaded, watch, &mut |reading| {
            keeper.as_mut().map_or(Ok(()), |keeper| keeper.after(reading))
        })
    })?;
    if let Some(keeper) = &mut keeper {
        keeper.write(&mut reading)?;
    }
    let found = Corpus::new(lm, reading.finish()?);
    lm.kept::<LastCorpus>().0.replace(Some(found.clone()));
    let kept = match &options.file {
        Some(path) => format!("{KEPT}, and in {path:?}: the same call goes on from there"),
        None => KEPT.to_owned(),
    };
    state.check_interrupt().map_err(|error| error.with_hint(kept))?;
    Ok(found)
}

/// What is followed, and where.
fn followed(lm: &Model, options: &GatherOptions) -> Result<(Place, Option<Vec<usize>>, Units), ScriptError> {
    let by_head = options.by.0 == Kind::Head;
    let named = [
        ("by", by_head),
        ("directions", options.directions.is_some()),
        ("dictionary", options.dictionary.is_some()),
    ];
    let named: Vec<&str> = named
        .iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| *name)
        .collect();
    if let [one, other, ..] = named[..] {
        let message = format!("{one} and {other} are given: of what should there be values?");
        return Err(ScriptError::new(ErrorKind::Option, message).pointing_at(other));
    }
    if let Some(Dictionaries(all)) = &options.dictionary {
        let refused = |option: &'static str, message: String| {
            Err(ScriptError::new(ErrorKind::Option, message).pointing_at(option))
        };
        let Some(first) = all.first() else {
            return refused("dictionary", "no dictionary is named".to_owned());
        };
        for (option, is_given) in [
            ("site", options.site.is_some()),
            ("layers", options.layers.is_some()),
        ] {
            if is_given {
                return refused(
                    option,
                    format!("a dictionary has {option} of its own: leave it out"),
                );
            }
        }
        if let Some(other) = all.iter().find(|other| other.reads.place != first.reads.place) {
            let [one, other] = [first, other].map(|of| of.reads.place.name());
            return refused(
                "dictionary",
                format!("one reads {one}, another {other}: read a corpus with each"),
            );
        }
        let layers: Vec<usize> = all.iter().map(|of| of.reads.layer).collect();
        if let Some(twice) = (1..layers.len()).find(|&at| layers[..at].contains(&layers[at])) {
            return refused(
                "dictionary",
                format!("two read layer {}: read a corpus with each", layers[twice]),
            );
        }
        return Ok((first.reads.place, Some(layers), Units::Features(all.clone())));
    }
    let usual = match (by_head, &options.directions) {
        (true, _) => Site::HeadOutputs,
        (_, Some(_)) => Site::ResidualAfter,
        _ => Site::MlpInner,
    };
    let site = options.site.as_ref().map(|site| site.0.as_str());
    let units = match &options.directions {
        Some(DirectionRows(rows)) => Units::Directions(rows.clone()),
        None if by_head => Units::Heads,
        None => Units::Numbers,
    };
    Ok((place_in(lm, site, usual)?, options.layers.clone(), units))
}
