//! A corpus in a file of the notebook's folder: written while it is read, gone on from, loaded.

use std::time::{Duration, Instant};

use ecco_explain::corpus::{CorpusOptions, Numbers, Pieces, Reading, Sign, Stored, StoredLayer, Units};
use ecco_models::Place;
use ecco_scripting::data::{self, stored};
use ecco_scripting::result::saving::save_tensors;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::tensor::work::Work;
use ecco_scripting::{ErrorKind, ScriptError};
use ndarray::{Array1, Array2, ArrayD, Ix2};
use serde_json::{Map, Value, json};

use super::result::Corpus;
use crate::models::model::Model;

/// The type of its document.
pub(crate) const TYPE: &str = "corpus";
/// Of what is written: of this time at most one part in so many goes into writing.
const SHARE: u32 = 10;
/// How far the first text's sums may be from those that were stored, as a part of them: other processors round otherwise.
const ROUNDING: f64 = 1e-3;

/// A file that a reading is kept in.
pub(super) struct Keeper {
    lm: Model,
    path: String,
    about: Map<String, Value>,
    check: Vec<f64>,
    pace: Duration,
    /// When it was written, and how long that took.
    written: Instant,
    took: Duration,
}

impl Keeper {
    /// The file of a reading that begins, or that goes on from it where the file is there.
    ///
    /// # Errors
    /// A file of something else, or of other texts, options or another model; one that cannot be written.
    pub(super) fn new(
        lm: &Model,
        path: &str,
        pace: f64,
        options: &CorpusOptions,
        reading: &mut Reading,
    ) -> Result<Self, ScriptError> {
        let pace = Duration::try_from_secs_f64(pace).map_err(|_| {
            let message = format!("save_every is {pace}: a number of seconds is expected");
            ScriptError::new(ErrorKind::Value, message).pointing_at("save_every")
        })?;
        if !path.ends_with(".safetensors") {
            let message = format!("file is {path:?}: a corpus is kept in a .safetensors file");
            let error = ScriptError::new(ErrorKind::Value, message).pointing_at("file");
            return Err(error.with_hint("#{file: \"corpus.safetensors\"}"));
        }
        let loaded = lm.loaded()?;
        let mut keeper = Self {
            about: about(lm, options)?,
            check: reading.check(&loaded)?,
            lm: lm.plain(),
            path: path.to_owned(),
            pace,
            written: Instant::now(),
            took: Duration::ZERO,
        };
        match stored(path, &Work::new(lm.state()?)) {
            Ok(file) => keeper.go_on(&file, reading)?,
            // Written before anything is read: an hour later it would be too late to learn that it cannot be.
            Err(error) if error.kind == ErrorKind::File => keeper.write(reading)?,
            Err(error) => return Err(error),
        }
        Ok(keeper)
    }

    fn go_on(&self, file: &data::Stored, reading: &mut Reading) -> Result<(), ScriptError> {
        let about = |error: ScriptError| match error.kind {
            ErrorKind::Value => ScriptError {
                message: format!("cannot go on from {:?}: {}", self.path, error.message),
                at: Some("file".to_owned()),
                ..error
            }
            .with_hint("name another file, or ask as for that one"),
            _ => error,
        };
        let mut go_on = || {
            let (document, found) = parts(file)?;
            same(document, &self.about)?;
            if found.texts()? != ids(reading.pieces()) {
                let (then, now) = (
                    document["n_texts"].as_u64().unwrap_or(0),
                    reading.pieces().n_texts,
                );
                return Err(unfit(format!(
                    "it is of other texts: of {then}, and now there are {now}"
                )));
            }
            same_sums(&found.doubles("check")?, &self.check)?;
            Ok(reading.restore(&found.stored()?)?)
        };
        go_on().map_err(about)
    }

    /// Writes the file now and then.
    pub(super) fn after(&mut self, reading: &mut Reading) -> Result<(), ScriptError> {
        let least = self.pace.max(self.took * SHARE);
        match self.written.elapsed() >= least {
            true => self.write(reading),
            false => Ok(()),
        }
    }

    /// # Errors
    /// What the system says.
    pub(super) fn write(&mut self, reading: &mut Reading) -> Result<(), ScriptError> {
        let start = Instant::now();
        let stored = reading.stored()?;
        let pieces = reading.pieces();
        let mut document = self.about.clone();
        document.insert("n_texts".to_owned(), pieces.n_texts.into());
        document.insert("n_same".to_owned(), pieces.n_same.into());
        document.insert("is_whole".to_owned(), reading.is_whole().into());
        let mut tensors = tensors(stored, pieces);
        tensors.push(("check", doubles(self.check.clone(), "neuron")));
        if let Units::Directions(rows) = reading.units() {
            let axes = ["direction", "hidden"];
            tensors.push(("directions", Tensor::new(rows.clone().into_dyn(), &axes)));
        }
        save_tensors(&*self.lm.state()?, &self.path, &Value::Object(document), &tensors)?;
        drop(tensors);
        ecco_models::guard::give_back();
        (self.written, self.took) = (Instant::now(), start.elapsed());
        Ok(())
    }
}

/// The corpus of a file, as far as it was read.
///
/// # Errors
/// Another model, numbers that do not fit together, features of a dictionary, which the file does not have.
pub(crate) fn loaded(
    lm: &Model,
    document: &Value,
    tensors: &[(String, Tensor)],
) -> Result<Corpus, ScriptError> {
    let found = Found(tensors);
    let missing = |what: &str| unfit(format!("its {what} is missing, or none"));
    let text = |name: &str| document[name].as_str().ok_or_else(|| missing(name));
    let whole = |name: &str| document[name].as_u64().ok_or_else(|| missing(name));
    let units = match text("unit")? {
        "neuron" => Units::Numbers,
        "head" => Units::Heads,
        "direction" => Units::Directions(found.rows("directions")?),
        "feature" => {
            let hint =
                "give lm.corpus the texts, the dictionary and the file: what was read is not read again";
            return Err(unfit("it is of features of a dictionary, which is not in the file").with_hint(hint));
        }
        _ => return Err(missing("unit")),
    };
    let layers = match &document["layers"] {
        Value::Null => None,
        layers => {
            let layers = layers.as_array().ok_or_else(|| missing("layers"))?;
            let each = layers
                .iter()
                .map(|layer| layer.as_u64().map(|layer| layer as usize));
            Some(
                each.collect::<Option<Vec<usize>>>()
                    .ok_or_else(|| missing("layers"))?,
            )
        }
    };
    let options = CorpusOptions {
        place: Place::parse(text("site")?).ok_or_else(|| missing("site"))?,
        units,
        layers,
        top: whole("top")? as usize,
        sign: Sign::parse(text("sign")?).ok_or_else(|| missing("sign"))?,
        n_sample: whole("sample")? as usize,
        n_tokens: whole("sample_tokens")? as usize,
        seed: text("seed")?.parse().map_err(|_| missing("seed"))?,
        memory: None,
    };
    same(document, &about(lm, &options)?)?;
    let model = lm.loaded()?;
    let (n_texts, n_same) = (whole("n_texts")? as usize, whole("n_same")? as usize);
    let texts = found.texts()?;
    if let Some((text, _)) = texts.iter().find(|(text, _)| *text >= n_texts) {
        return Err(unfit(format!(
            "it has a piece of text {text}, and {n_texts} texts"
        )));
    }
    let pieces = Pieces::of_ids(&model, texts, n_texts, n_same)?;
    let mut reading = Reading::new(&model, pieces, &options)?;
    same_sums(&found.doubles("check")?, &reading.check(&model)?)?;
    reading.restore(&found.stored()?)?;
    Ok(Corpus::new(lm, reading.finish()?))
}

fn unfit(reason: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, reason)
}

/// What has to be the same where a reading goes on.
fn about(lm: &Model, options: &CorpusOptions) -> Result<Map<String, Value>, ScriptError> {
    let card = lm.card();
    let about = json!({
        "type": TYPE,
        "version": 1,
        "model": card.name,
        "digest": lm.loaded()?.digest(),
        "dtype": card.dtype,
        "changes": lm.changes(),
        "site": options.place.name(),
        "unit": options.units.name(),
        "layers": options.layers,
        "top": options.top,
        "sign": options.sign.name(),
        "sample": options.n_sample,
        "sample_tokens": options.n_tokens,
        // A document's whole numbers have 53 bits.
        "seed": options.seed.to_string(),
    });
    Ok(about.as_object().cloned().unwrap_or_default())
}

/// # Errors
/// The first field that is another one. Of the model its files count, and not its name.
fn same(document: &Value, now: &Map<String, Value>) -> Result<(), ScriptError> {
    for (name, now) in now.iter().filter(|(name, _)| *name != "model") {
        let then = &document[name];
        if then != now {
            return Err(unfit(match name.as_str() {
                "digest" => format!("it was read by {}, whose files are others", document["model"]),
                "changes" => format!("then the model was changed by {then}, and now by {now}"),
                name => format!("its {name} is {then}, and now {now}"),
            }));
        }
    }
    Ok(())
}

/// # Errors
/// Sums that differ by more than rounding: what is changed in the model, directions or dictionaries are other ones.
fn same_sums(then: &[f64], now: &[f64]) -> Result<(), ScriptError> {
    let both = || {
        then.iter()
            .zip(now)
            .filter(|(then, now)| !(then.is_nan() && now.is_nan()))
    };
    let off: f64 = both().map(|(then, now)| (then - now).powi(2)).sum();
    let size: f64 = both().map(|(_, now)| now * now).sum();
    match then.len() == now.len() && off.sqrt() <= ROUNDING * size.sqrt() {
        true => Ok(()),
        false => Err(unfit(
            "in its first text there are other values than now: the model, or what is followed in it, is another one",
        )),
    }
}

/// Of each piece the text that it is of, and its ids.
fn ids(pieces: &Pieces) -> Vec<(usize, Vec<u32>)> {
    let piece = |piece: &ecco_explain::corpus::Piece| (piece.text, piece.input.ids.clone());
    pieces.all.iter().map(piece).collect()
}

fn doubles(values: Vec<f64>, axis: &'static str) -> Tensor {
    Tensor::exact(Array1::from_vec(values).into_dyn(), &[axis])
}

fn tensors(stored: Stored, pieces: &Pieces) -> Vec<(&'static str, Tensor)> {
    let whole =
        |values: &mut dyn Iterator<Item = usize>, axis| doubles(values.map(|n| n as f64).collect(), axis);
    let each = ids(pieces);
    let all = each.iter().flat_map(|(_, ids)| ids).map(|&id| id as usize);
    let state = |of: &StoredLayer| {
        let layer = of.layer.map_or(-1.0, |layer| layer as f64);
        [layer, of.n_neurons as f64, of.n_passes as f64, of.n_tokens as f64]
    };
    let states: Vec<f64> = stored.layers.iter().flat_map(state).collect();
    // Four numbers of each.
    let states = Array2::from_shape_vec((stored.layers.len(), 4), states).unwrap_or_default();
    let mut tensors = vec![
        ("ids", whole(&mut all.into_iter(), "token")),
        (
            "piece_lengths",
            whole(&mut each.iter().map(|(_, ids)| ids.len()), "piece"),
        ),
        (
            "piece_texts",
            whole(&mut each.iter().map(|(text, _)| *text), "piece"),
        ),
        (
            "order",
            whole(&mut stored.batches.iter().flatten().copied(), "piece"),
        ),
        (
            "pass_lengths",
            whole(&mut stored.batches.iter().map(Vec::len), "pass"),
        ),
        ("layer_states", Tensor::exact(states.into_dyn(), &["layer", ""])),
    ];
    tensors.extend(stored.numbers.into_iter().map(|(name, numbers)| {
        let axes = vec![""; numbers.shape().len()];
        let tensor = match numbers {
            Numbers::Single(array) => Tensor::new(array, &axes),
            Numbers::Double(array) => Tensor::exact(array, &axes),
        };
        (name, tensor)
    }));
    tensors
}

/// # Errors
/// What is no file of a corpus.
fn parts(file: &data::Stored) -> Result<(&Value, Found<'_>), ScriptError> {
    match &file.document {
        Some(document) if document["type"] == TYPE => Ok((document, Found(&file.tensors))),
        Some(document) => Err(unfit(format!("it is a result of the type {}", document["type"]))),
        None => Err(unfit("it has tensors that are of no corpus")),
    }
}

/// The tensors of a file.
struct Found<'a>(&'a [(String, Tensor)]);

impl Found<'_> {
    fn get(&self, name: &str) -> Result<&Tensor, ScriptError> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, tensor)| tensor)
            .ok_or_else(|| unfit(format!("it has no {name}")))
    }

    fn doubles(&self, name: &str) -> Result<Vec<f64>, ScriptError> {
        Ok(self.get(name)?.exact_data().iter().copied().collect())
    }

    fn whole(&self, name: &str) -> Result<Vec<usize>, ScriptError> {
        let whole = |value: f64| {
            (value >= 0.0 && value.fract() == 0.0 && value < 2f64.powi(53)).then_some(value as usize)
        };
        let all = self
            .doubles(name)?
            .into_iter()
            .map(whole)
            .collect::<Option<Vec<usize>>>();
        all.ok_or_else(|| unfit(format!("its {name} are no whole numbers")))
    }

    fn rows(&self, name: &str) -> Result<Array2<f32>, ScriptError> {
        let rows = self.get(name)?.data().to_owned().into_dimensionality::<Ix2>();
        rows.map_err(|_| unfit(format!("its {name} are no rows")))
    }

    /// Lists of these lengths, one after the other.
    fn lists<T: Copy>(&self, all: &[T], lengths: &str) -> Result<Vec<Vec<T>>, ScriptError> {
        let mut rest = all;
        let mut lists = Vec::new();
        for n in self.whole(lengths)? {
            let (list, behind) = rest
                .split_at_checked(n)
                .ok_or_else(|| unfit(format!("its {lengths} are too long")))?;
            lists.push(list.to_vec());
            rest = behind;
        }
        match rest.is_empty() {
            true => Ok(lists),
            false => Err(unfit(format!("its {lengths} are too short"))),
        }
    }

    fn texts(&self) -> Result<Vec<(usize, Vec<u32>)>, ScriptError> {
        let id = |id: usize| u32::try_from(id).map_err(|_| unfit(format!("it has the token {id}")));
        let ids = self
            .whole("ids")?
            .into_iter()
            .map(id)
            .collect::<Result<Vec<u32>, _>>()?;
        let (lists, texts) = (self.lists(&ids, "piece_lengths")?, self.whole("piece_texts")?);
        match lists.len() == texts.len() {
            true => Ok(texts.into_iter().zip(lists).collect()),
            false => Err(unfit("its pieces are not of its texts")),
        }
    }

    fn stored(&self) -> Result<Stored, ScriptError> {
        let states = self.get("layer_states")?.exact_data().to_owned();
        let states = states
            .into_dimensionality::<Ix2>()
            .ok()
            .filter(|states| states.ncols() == 4);
        let states = states.ok_or_else(|| unfit("its layers say something else"))?;
        let layer = |row: ndarray::ArrayView1<f64>| StoredLayer {
            layer: (row[0] >= 0.0).then_some(row[0] as usize),
            n_neurons: row[1] as usize,
            n_passes: row[2] as usize,
            n_tokens: row[3] as usize,
        };
        let layers: Vec<StoredLayer> = states.outer_iter().map(layer).collect();
        let numbers = |name: &'static str| {
            let array: ArrayD<f64> = self.get(name)?.exact_data().to_owned();
            Ok((name, Numbers::Double(array)))
        };
        Ok(Stored {
            numbers: match layers.is_empty() {
                true => Vec::new(),
                false => Stored::names().map(numbers).collect::<Result<_, ScriptError>>()?,
            },
            batches: self.lists(&self.whole("order")?, "pass_lengths")?,
            layers,
        })
    }
}
