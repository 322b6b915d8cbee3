//! `dictionary.encode`: a text in features.

use std::cell::OnceCell;
use std::rc::Rc;

use ecco_explain::dictionary::{Encoding, LossRecovered, Quality, encode, loss_recovered};
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use ecco_widgets::Explorable;
use ndarray::{Array2, ArrayD, IxDyn};
use rhai::{Array, Dynamic, FLOAT, INT, Map};

use super::dictionary::Dictionary;
use crate::text::passage::Passage;

options! {
    /// What `encode` can be told.
    pub struct EncodeOptions {
        /// how many features the page names at each position
        top: usize [1..] = 5,
        /// the first position that quality is measured over, and that is replaced for the loss
        from: Option<usize> = "1 where a special token begins the text, else 0",
    }
}

/// More columns than anyone reads.
const MOST_TOP: usize = 50;

/// A text in the features of a dictionary, computed when it is first looked at. Clones share it.
#[derive(Clone)]
pub(crate) struct Features(Rc<Inner>);

struct Inner {
    passage: Passage,
    dictionary: Dictionary,
    top: usize,
    from: usize,
    encoding: OnceCell<Encoding>,
    loss: OnceCell<LossRecovered>,
}

impl Features {
    fn new(dictionary: &Dictionary, of: &Dynamic, options: &EncodeOptions) -> Result<Self, ScriptError> {
        if options.top > MOST_TOP {
            let message = format!(
                "top is {}: at most {MOST_TOP} features are named at a position",
                options.top
            );
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("top"));
        }
        let passage = dictionary.passage(of)?;
        let loaded = passage.model().loaded()?;
        let first = passage.input().spoken().first();
        let is_special = first.is_some_and(|id| loaded.tokenizer().is_special(*id));
        let n = passage.input().spoken().len();
        let from = options.from.unwrap_or(usize::from(is_special && n > 1));
        if from >= n {
            let message = format!("from is {from}: the text has {n} positions, numbered from 0");
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("from"));
        }
        Ok(Self(Rc::new(Inner {
            passage,
            dictionary: dictionary.clone(),
            top: options.top,
            from,
            encoding: OnceCell::new(),
            loss: OnceCell::new(),
        })))
    }

    fn encoding(&self) -> Result<&Encoding, ScriptError> {
        let inner = &self.0;
        if let Some(encoding) = inner.encoding.get() {
            return Ok(encoding);
        }
        let loaded = inner.passage.model().loaded()?;
        let dictionary = &inner.dictionary.loaded;
        let found = inner
            .passage
            .watched(|watch| encode(&loaded, inner.passage.input(), dictionary, inner.from, watch))??;
        Ok(inner.encoding.get_or_init(|| found))
    }

    fn loss(&self) -> Result<&LossRecovered, ScriptError> {
        let inner = &self.0;
        if let Some(loss) = inner.loss.get() {
            return Ok(loss);
        }
        let loaded = inner.passage.model().loaded()?;
        let dictionary = &inner.dictionary.loaded;
        let found = inner.passage.watched(|watch| {
            loss_recovered(&loaded, inner.passage.input(), dictionary, inner.from, watch)
        })??;
        Ok(inner.loss.get_or_init(|| found))
    }

    /// The texts of the tokens that the place's positions have.
    fn tokens(&self) -> Result<Vec<String>, ScriptError> {
        let inner = &self.0;
        let ids = match inner.dictionary.loaded.reads.place.encoder {
            true => &inner.passage.input().ids,
            false => inner.passage.input().spoken(),
        };
        let tokens = inner.passage.model().loaded()?.tokenizer().tokens(ids);
        Ok(tokens.into_iter().map(|token| token.text).collect())
    }

    /// (position, rank); 0 behind the last active one.
    fn ranked(&self, of: fn(&(u32, f32)) -> f32) -> Result<Tensor, ScriptError> {
        let active = &self.encoding()?.active;
        let width = active.iter().map(Vec::len).max().unwrap_or(0);
        let value = |at: IxDyn| active[at[0]].get(at[1]).map_or(0.0, of);
        let values = ArrayD::from_shape_fn(IxDyn(&[active.len(), width]), value);
        Ok(Tensor::new(values, &["position", "rank"]))
    }

    /// Activations of the named features, (position, feature).
    fn of(&self, named: &Dynamic) -> Result<Tensor, ScriptError> {
        let dictionary = &self.0.dictionary;
        let features = dictionary.numbers(named)?;
        let n = dictionary.loaded.n_features();
        if let Some(feature) = features.iter().find(|&&feature| feature >= n) {
            let message = format!(
                "there is no feature {feature}: the dictionary has {n}, numbered 0 to {}",
                n - 1
            );
            return Err(ScriptError::new(ErrorKind::Index, message));
        }
        let active = &self.encoding()?.active;
        let mut values = Array2::zeros((active.len(), features.len()));
        for (position, row) in active.iter().enumerate() {
            for (at, feature) in features.iter().enumerate() {
                let found = row.iter().find(|(active, _)| *active as usize == *feature);
                values[(position, at)] = found.map_or(0.0, |(_, activation)| *activation);
            }
        }
        Ok(Tensor::new(values.into_dyn(), &["position", "feature"]))
    }

    fn matrix(&self, of: fn(&Encoding) -> &Array2<f32>) -> Result<Tensor, ScriptError> {
        Ok(Tensor::new(
            of(self.encoding()?).clone().into_dyn(),
            &["position", "hidden"],
        ))
    }

    /// The share of a position's squared length that the reconstruction leaves no error of.
    fn kept([own, error]: &[f64; 2]) -> Dynamic {
        Dynamic::from_float(1.0 - error / own)
    }

    /// A row for each position, and one for all.
    fn table(&self) -> Result<Table, ScriptError> {
        let encoding = self.encoding()?;
        let ranks = 0..self.0.top;
        let text = |text: &str| Dynamic::from(text.to_owned());
        let positions = (0..encoding.active.len() as INT).map(Dynamic::from_int);
        let mut columns = vec![
            ("position".to_owned(), positions.chain([Dynamic::UNIT]).collect()),
            (
                "token".to_owned(),
                self.tokens()?
                    .iter()
                    .map(|token| text(token))
                    .chain([text("all")])
                    .collect(),
            ),
            (
                "active".to_owned(),
                encoding
                    .active
                    .iter()
                    .map(|row| Dynamic::from_int(row.len() as INT))
                    .chain([Dynamic::from_float(encoding.quality.l0)])
                    .collect(),
            ),
            (
                "explained".to_owned(),
                encoding
                    .squares
                    .iter()
                    .map(Self::kept)
                    .chain([Dynamic::from_float(encoding.quality.explained)])
                    .collect(),
            ),
        ];
        for rank in ranks {
            let cell = |row: &Vec<(u32, f32)>| match row.get(rank) {
                Some((feature, activation)) => {
                    Dynamic::from(format!("{feature}: {}", short(f64::from(*activation))))
                }
                None => Dynamic::UNIT,
            };
            let cells = encoding.active.iter().map(cell).chain([Dynamic::UNIT]).collect();
            columns.push((format!("feature {}", rank + 1), cells));
        }
        Table::new(columns)
    }
}

impl Show for Features {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.table()?.shown()))
    }

    fn line(&self) -> String {
        let inner = &self.0;
        format!(
            "features of {} by {}",
            inner.passage.phrase(),
            inner.dictionary.line()
        )
    }
}

impl Explanation for Features {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![
            ("activations", self.ranked(|active| active.1)?),
            ("features", self.ranked(|active| active.0 as f32)?),
            (
                "reconstruction",
                self.matrix(|encoding| &encoding.reconstruction)?,
            ),
            ("error", self.matrix(|encoding| &encoding.error)?),
        ])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        (axis == "position").then(|| self.tokens().ok()).flatten()
    }
}

pub(super) fn quality_map(quality: &Quality) -> Map {
    Map::from([
        ("explained".into(), Dynamic::from_float(quality.explained)),
        ("l0".into(), Dynamic::from_float(quality.l0)),
        (
            "n_positions".into(),
            Dynamic::from_int(quality.n_positions as INT),
        ),
    ])
}

pub(super) fn loss_map(loss: &LossRecovered) -> Map {
    let number = |x: FLOAT| Dynamic::from_float(x);
    Map::from([
        ("plain".into(), number(loss.plain)),
        ("reconstructed".into(), number(loss.reconstructed)),
        ("ablated".into(), number(loss.ablated)),
        ("recovered".into(), number(loss.share())),
    ])
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Dictionary];
        /// A text in the dictionary's features: of an output, a run, or a text. Those that are active at each position, the
        /// strongest first; what the dictionary makes of the site, and the error. A row of the page is a position: how many are
        /// active, the share of its squared length that is explained, and the strongest `top`; the last row has them for all, by
        /// the variance. Nothing is computed before one looks.
        ///
        /// Example:
        /// ```rhai
        /// let features = dictionary.encode(lm.run("The Eiffel Tower is in"));
        /// features.quality
        /// ```
        fn encode(dictionary: &Dictionary, of: Dynamic; options: EncodeOptions) -> Features {
            Features::new(dictionary, &of, &options)
        }
    }
    members! { registry, [Features];
        /// The features that are active at each position, strongest first: for each position an array of maps with `feature`
        /// and `activation`.
        get active(features: &Features) -> Array {
            let one = |(feature, activation): &(u32, f32)| Dynamic::from_map(Map::from([
                ("feature".into(), Dynamic::from_int(INT::from(*feature))),
                ("activation".into(), Dynamic::from_float(f64::from(*activation))),
            ]));
            let row = |row: &Vec<(u32, f32)>| Dynamic::from_array(row.iter().map(one).collect());
            Ok(features.encoding()?.active.iter().map(row).collect())
        }

        /// Activations of one feature or several at every position, 0 where they are not active: a tensor (position, feature).
        ///
        /// Example:
        /// ```rhai
        /// features.activations([41, 38]).max("position")
        /// ```
        fn activations(features: &Features, named: Dynamic) -> Tensor { features.of(&named) }

        /// What the dictionary makes of what stands at the place that it writes: a tensor (position, hidden).
        get reconstruction(features: &Features) -> Tensor { features.matrix(|encoding| &encoding.reconstruction) }

        /// What stands there less the reconstruction: a tensor (position, hidden).
        get error(features: &Features) -> Tensor { features.matrix(|encoding| &encoding.error) }

        /// How well the reconstruction stands for it: `explained`, the fraction of its variance; `l0`, how many features are
        /// active at a position; `n_positions`, over how many that is.
        get quality(features: &Features) -> Map {
            Ok(quality_map(&features.encoding()?.quality))
        }

        /// What the text costs the model, in nats a token, measured in three passes: `plain`, `reconstructed` with the
        /// reconstruction in the place of the value, `ablated` with 0 there; and `recovered`, the share of the loss between the
        /// last two ends that the reconstruction saves.
        get loss_recovered(features: &Features) -> Map {
            Ok(loss_map(features.loss()?))
        }
    }
}
