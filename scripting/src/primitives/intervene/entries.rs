//! The maps that say what is changed, read as interventions.

use std::ops::{Range, RangeInclusive};

use ecco_explain::intervention::{Change, Intervention, Part, Replacement, Vector};
use ecco_models::Site;
use ecco_models::run::{Input, Place};
use rhai::{Dynamic, INT, Map};

use crate::errors::{ErrorKind, ScriptError};
use crate::options::{OptionKind, OptionSpec, OptionTable, Options, number, option};
use crate::values::model::Model;
use crate::values::run::{Run, place};
use crate::values::show;
use crate::values::steering::SteeringVector;
use crate::values::tensor::Tensor;

const SITE: OptionSpec = option("site", OptionKind::Text, "by what is named", "one of lm.sites()");
const LAYER: OptionSpec = option("layer", OptionKind::Int(0), "all", "a layer");
const LAYERS: OptionSpec = option("layers", OptionKind::Ints, "all", "several layers");
const NEURONS: OptionSpec = option("neurons", OptionKind::Any(INDEX), "all", "neurons of the MLP");
const HIDDEN: OptionSpec = option("hidden", OptionKind::Any(INDEX), "all", "numbers of the stream");
const HEAD: OptionSpec = option("head", OptionKind::Int(0), "all", "a head");
const HEADS: OptionSpec = option("heads", OptionKind::Any(INDEX), "all", "several heads");
const DIRECTION: OptionSpec = option("direction", OptionKind::Any(VECTOR), "none", "only along it");
const POSITIONS: OptionSpec = option("positions", OptionKind::Any(PLACES), "all", "where");

const INDEX: &str = "a whole number or an array of them";
const PLACES: &str = "a position, an array of positions or a range";
const VECTOR: &str = "a vector: a tensor of one axis, an array of numbers or what lm.steering_vector gives";

const ABLATE: OptionTable = OptionTable {
    primitive: "an entry of `ablate`",
    options: &[
        SITE,
        LAYER,
        LAYERS,
        NEURONS,
        HIDDEN,
        HEAD,
        HEADS,
        DIRECTION,
        POSITIONS,
        option(
            "to",
            OptionKind::Any("\"zero\", \"mean\" or a number"),
            "\"zero\"",
            "what is put there",
        ),
        option("over", OptionKind::Texts, "none", "the texts whose mean it is"),
    ],
};

const SCALE: OptionTable = OptionTable {
    primitive: "an entry of `scale`",
    options: &[
        SITE,
        LAYER,
        LAYERS,
        NEURONS,
        HIDDEN,
        HEAD,
        HEADS,
        DIRECTION,
        POSITIONS,
        option("factor", OptionKind::Float, "none", "times this"),
    ],
};

const ADD: OptionTable = OptionTable {
    primitive: "an entry of `add`",
    options: &[
        SITE,
        LAYER,
        LAYERS,
        NEURONS,
        HIDDEN,
        HEAD,
        HEADS,
        POSITIONS,
        option("vector", OptionKind::Any(VECTOR), "none", "what is added"),
        option("number", OptionKind::Float, "none", "what is added to each"),
        option("factor", OptionKind::Float, "1.0", "so many times"),
    ],
};

const PATCH: OptionTable = OptionTable {
    primitive: "an entry of `patch`",
    options: &[
        SITE,
        LAYER,
        LAYERS,
        NEURONS,
        HIDDEN,
        HEAD,
        HEADS,
        DIRECTION,
        POSITIONS,
        option(
            "from",
            OptionKind::Any("a run, or a tensor as `run.at(site, layer)` gives it"),
            "none",
            "whose values",
        ),
    ],
};

/// The lists of `lm.intervene`, in the order in which they are read.
pub const LISTS: [(&str, &OptionTable); 4] = [
    ("ablate", &ABLATE),
    ("scale", &SCALE),
    ("add", &ADD),
    ("patch", &PATCH),
];

/// The entries of one list, which may be a single map.
pub fn of_list(lm: &Model, list: &str, value: &Dynamic) -> Result<Vec<Intervention>, ScriptError> {
    let table = LISTS
        .iter()
        .find(|(name, _)| *name == list)
        .map_or(&ABLATE, |(_, table)| *table);
    let wrong = || {
        let message = format!("`{list}` takes an array of maps; got {}", show::brief(value));
        ScriptError::new(ErrorKind::Option, message)
            .pointing_at(list)
            .with_hint(format!("for example: {list}: [#{{layer: 2, neurons: [1, 5]}}]"))
    };
    let maps: Vec<Map> = if let Ok(map) = value.as_map_ref() {
        vec![map.clone()]
    } else if let Ok(array) = value.as_array_ref() {
        let map = |entry: &Dynamic| entry.as_map_ref().ok().map(|map| map.clone());
        array.iter().map(map).collect::<Option<_>>().ok_or_else(wrong)?
    } else {
        return Err(wrong());
    };
    let entry = |map: &Map| Entry::read(lm, table, map)?.intervention(list);
    maps.iter().map(entry).collect()
}

struct Entry<'a> {
    lm: &'a Model,
    options: Options,
}

fn refused(option: &str, message: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, message).pointing_at(option)
}

impl<'a> Entry<'a> {
    fn read(lm: &'a Model, table: &'static OptionTable, map: &Map) -> Result<Self, ScriptError> {
        let options = table.read(map)?;
        Ok(Self { lm, options })
    }

    fn intervention(&self, list: &str) -> Result<Intervention, ScriptError> {
        let place = self.place()?;
        let layers = self.layers()?;
        Ok(Intervention {
            place,
            part: self.part()?,
            positions: self.options.any("positions").map(positions).transpose()?,
            change: match list {
                "scale" => Change::Scale(self.factor(None)?),
                "add" => self.add()?,
                "patch" => self.patch(place, layers.as_deref())?,
                _ => Change::Ablate(self.to()?),
            },
            layers,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.options.any(name).is_some() || self.options.int(name).is_some()
    }

    /// The named site, or the usual one of what is named.
    fn place(&self) -> Result<Place, ScriptError> {
        if let Some(name) = self.options.text("site") {
            return place(self.lm, name).map_err(|error| error.pointing_at("site"));
        }
        let steering = self.steering();
        match self {
            _ if self.has("neurons") => Ok(Place::of(Site::MlpInner)),
            _ if self.has("head") || self.has("heads") => Ok(Place::of(Site::HeadOutputs)),
            _ if steering.is_some() => Ok(steering.map_or(Place::of(Site::ResidualAfter), |s| s.steering.options.place)),
            _ if self.has("hidden") || self.has("direction") || self.has("vector") => {
                Ok(Place::of(Site::ResidualAfter))
            }
            _ => Err(ScriptError::new(ErrorKind::Value, "an entry names no site, neurons or heads")
                .with_hint("for example: #{layer: 2, neurons: [1, 5]}, #{layer: 3, head: 0}, #{layer: 1, site: \"mlp_output\"}")),
        }
    }

    /// A steering vector that is named, which knows where it belongs.
    fn steering(&self) -> Option<SteeringVector> {
        let value = self.options.any("vector").or(self.options.any("direction"))?;
        value.read_lock::<SteeringVector>().map(|vector| vector.clone())
    }

    fn layers(&self) -> Result<Option<Vec<usize>>, ScriptError> {
        match (self.options.usize("layer"), self.options.usizes("layers")) {
            (Some(_), Some(_)) => Err(refused(
                "layers",
                "layer and layers are the same: give one of them",
            )),
            (Some(layer), None) => Ok(Some(vec![layer])),
            (None, Some(layers)) => Ok(Some(layers)),
            (None, None) => {
                let named = self.options.text("site").is_some();
                let own = self.steering().filter(|_| !named);
                Ok(own.map(|steering| vec![steering.steering.options.layer]))
            }
        }
    }

    fn part(&self) -> Result<Part, ScriptError> {
        let given = ["neurons", "hidden", "head", "heads", "direction"];
        let given: Vec<&str> = given.into_iter().filter(|name| self.has(name)).collect();
        match given[..] {
            [] => Ok(Part::Whole),
            ["direction"] => Ok(Part::Direction(self.vector("direction")?)),
            ["head"] => Ok(Part::Heads(self.options.usize("head").into_iter().collect())),
            ["heads"] => Ok(Part::Heads(self.index("heads")?)),
            [name] => Ok(Part::Features(self.index(name)?)),
            [one, other, ..] => {
                let message = format!("{one} and {other} stand in one entry: make an entry of each");
                Err(refused(other, message))
            }
        }
    }

    fn index(&self, name: &str) -> Result<Vec<usize>, ScriptError> {
        let value = self.options.any(name).cloned().unwrap_or_default();
        let one = |value: &Dynamic| value.as_int().ok().and_then(|at| usize::try_from(at).ok());
        let all = match value.as_array_ref() {
            Ok(array) => array.iter().map(one).collect(),
            Err(_) => one(&value).map(|at| vec![at]),
        };
        all.ok_or_else(|| {
            let message = format!("option `{name}` takes {INDEX}; got {}", show::brief(&value));
            ScriptError::new(ErrorKind::Option, message).pointing_at(name)
        })
    }

    fn vector(&self, name: &str) -> Result<Vec<f32>, ScriptError> {
        let value = self.options.any(name).cloned().unwrap_or_default();
        vector(&value).ok_or_else(|| {
            let message = format!("option `{name}` takes {VECTOR}; got {}", show::brief(&value));
            ScriptError::new(ErrorKind::Option, message).pointing_at(name)
        })
    }

    fn factor(&self, default: Option<f64>) -> Result<f64, ScriptError> {
        let missing = || refused("scale", "an entry of `scale` says no factor").with_hint("factor: 2.0");
        self.options.float("factor").or(default).ok_or_else(missing)
    }

    fn add(&self) -> Result<Change, ScriptError> {
        let factor = self.factor(Some(1.0))?;
        let what = match (self.options.any("vector"), self.options.float("number")) {
            (Some(_), None) => Vector::Values(self.vector("vector")?),
            (None, Some(number)) => Vector::Number(number),
            (None, None) => {
                let error = refused("add", "an entry of `add` says nothing to add");
                return Err(error.with_hint("vector: v, or number: 3.0"));
            }
            (Some(_), Some(_)) => return Err(refused("number", "give a vector or a number, not both")),
        };
        Ok(Change::Add { what, factor })
    }

    fn to(&self) -> Result<Replacement, ScriptError> {
        let over = self.options.texts("over");
        let to = match self.options.any("to") {
            None => Replacement::Number(0.0),
            Some(value) => match (
                number(value),
                value.as_immutable_string_ref().as_ref().map(|text| text.as_str()),
            ) {
                (Some(number), _) if number.is_finite() => Replacement::Number(number),
                (_, Ok("zero")) => Replacement::Number(0.0),
                (_, Ok("mean")) => Replacement::Mean(self.inputs(over)?),
                _ => {
                    let got = show::brief(value);
                    let message = format!("option `to` takes \"zero\", \"mean\" or a number; got {got}");
                    return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("to"));
                }
            },
        };
        match (&to, over) {
            (Replacement::Number(_), Some(_)) => {
                Err(refused("over", "only a mean is over texts: to: \"mean\""))
            }
            _ => Ok(to),
        }
    }

    fn inputs(&self, texts: Option<&[String]>) -> Result<Vec<Input>, ScriptError> {
        let texts = texts.ok_or_else(|| {
            refused("to", "a mean needs texts that it is over").with_hint(
                "over: [\"one text\", \"another\"]: what the site holds on other texts, not only on this one",
            )
        })?;
        let loaded = self.lm.loaded()?;
        let input = |text: &String| Input::new(&loaded, text, None).map_err(ScriptError::from);
        texts.iter().map(input).collect()
    }

    fn patch(&self, place: Place, layers: Option<&[usize]>) -> Result<Change, ScriptError> {
        let value = self.options.any("from").cloned().unwrap_or_default();
        let has_layers = place.axes()[0] == "layer";
        if let Some(tensor) = value.read_lock::<Tensor>() {
            return match layers {
                Some([layer]) => Ok(Change::Patch(vec![(*layer, tensor.view().to_owned())])),
                _ if !has_layers => {
                    let last = self.lm.card().n_layers - 1;
                    Ok(Change::Patch(vec![(last, tensor.view().to_owned())]))
                }
                _ => Err(refused("from", "a tensor is patched into one layer: say which")),
            };
        }
        let Some(run) = value.read_lock::<Run>() else {
            let got = show::brief(&value);
            let message = format!(
                "option `from` takes a run, or a tensor as `run.at(site, layer)` gives it; got {got}"
            );
            return Err(ScriptError::new(ErrorKind::Option, message)
                .pointing_at("patch")
                .with_hint("from: lm.run(\"another text\")"));
        };
        let layers = match layers {
            Some(layers) => layers.to_vec(),
            None if has_layers => run.layers(place)?,
            None => vec![self.lm.card().n_layers - 1],
        };
        let values = |layer: usize| Ok((layer, run.at(place, Some(layer))?.view().to_owned()));
        let values = layers.into_iter().map(values);
        Ok(Change::Patch(values.collect::<Result<_, ScriptError>>()?))
    }
}

/// A vector in any of the ways that scripts have it.
fn vector(value: &Dynamic) -> Option<Vec<f32>> {
    if let Some(steering) = value.read_lock::<SteeringVector>() {
        return Some(steering.steering.vector.clone());
    }
    if let Some(tensor) = value.read_lock::<Tensor>() {
        let is_vector = tensor.shape().len() == 1;
        return is_vector.then(|| tensor.view().iter().copied().collect());
    }
    let array = value.as_array_ref().ok()?;
    let one = |value: &Dynamic| number(value).filter(|x| x.is_finite()).map(|x| x as f32);
    array.iter().map(one).collect()
}

fn positions(value: &Dynamic) -> Result<Vec<Range<usize>>, ScriptError> {
    let at = |position: INT| usize::try_from(position).ok();
    let one = |range: Range<usize>| std::iter::once(range).collect();
    let found = if let Ok(position) = value.as_int() {
        at(position).map(|at| one(at..at + 1))
    } else if let Some(range) = value.read_lock::<Range<INT>>() {
        at(range.start)
            .zip(at(range.end))
            .map(|(start, end)| one(start..end))
    } else if let Some(range) = value.read_lock::<RangeInclusive<INT>>() {
        let ends = at(*range.start()).zip(at(*range.end()));
        ends.map(|(start, end)| one(start..end.saturating_add(1)))
    } else if let Ok(array) = value.as_array_ref() {
        let place = |value: &Dynamic| value.as_int().ok().and_then(at).map(|at| at..at + 1);
        array.iter().map(place).collect()
    } else {
        None
    };
    found.ok_or_else(|| {
        let message = format!("option `positions` takes {PLACES}; got {}", show::brief(value));
        ScriptError::new(ErrorKind::Option, message)
            .pointing_at("positions")
            .with_hint("positions count from 0 at the start of the text, and go on through what is generated")
    })
}
