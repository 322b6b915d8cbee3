//! `ecco::load`: results that were saved, read again.

mod again;
mod numbers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ecco_scripting::data::{Stored, stored};
use ecco_scripting::result::Show;
use ecco_scripting::result::rich::Plain;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::tensor::work::Work;
use ecco_scripting::{ErrorKind, Registry, RhaiResult, ScriptError, functions, members};
use ecco_widgets::{AttributionGraph, Explorable, view_of};
use numbers::{numbers, ordered, value_of};
use rhai::{Array, Dynamic, FuncRegistration, ImmutableString, Map};
use serde_json::Value;

use crate::corpus::keeping;
use crate::models::model::Model;
use crate::text::chat::Chat;

/// A result as its file has it. Clones share everything.
#[derive(Clone)]
pub(crate) struct Loaded(Rc<Inner>);

struct Inner {
    document: Value,
    /// Of the file, or of the document.
    tensors: Vec<(String, Tensor)>,
}

pub(crate) fn register(registry: &mut Registry) {
    registry.value::<Loaded>("Loaded", "loaded");
    functions! { registry, "ecco";
        /// A result that was saved as `.json` or `.safetensors`: it shows as it did, and has its numbers by the names that they
        /// had (of a document rounded where the document has them rounded; a `.safetensors` file has all as they were). A steering vector is one again; graphs of the viewer that circuit-tracer and Neuronpedia share are shown; a file of tensors that are of no result is a map of them.
        ///
        /// Example:
        /// ```rhai
        /// output.saliency().save("why.json");
        /// ecco::load("why.json").scores
        /// ```
        fn load(state, path: &str) -> Dynamic { load(path, None, &Work::new(state)) }

        /// The same of a model: outputs and scored texts become outputs of it again, and readings runs. A file that names
        /// another model, or has tokens that are others in this one, is refused.
        ///
        /// Example:
        /// ```rhai
        /// output.save("output.json");
        /// ecco::load("output.json", lm).saliency()
        /// ```
        fn load(state, path: &str, lm: Model) -> Dynamic { load(path, Some(&lm), &Work::new(state)) }
    }
    FuncRegistration::new_index_getter()
        .with_purity(true)
        .with_comments(["/// A field of the document, by its name; of numbers a tensor."])
        .with_params_info(["loaded: &mut Loaded", "name: ImmutableString", "Dynamic"])
        .register_into_engine(
            registry.engine,
            |loaded: &mut Loaded, name: ImmutableString| -> RhaiResult<Dynamic> { Ok(loaded.field(&name)?) },
        );
    members! { registry, [Loaded];
        /// What it is: the type of its document, `saliency`.
        get kind(loaded: &Loaded) -> String { Ok(loaded.kind().to_owned()) }

        /// The text of the document, as it was saved.
        fn to_json(loaded: &Loaded) -> String { Ok(loaded.0.document.to_string()) }

        /// All its numbers: a map of tensors by name.
        fn tensors(loaded: &Loaded) -> Map {
            let tensors = loaded.0.tensors.iter();
            Ok(tensors.map(|(name, tensor)| (name.as_str().into(), tensor.clone().into_value())).collect())
        }

        /// The main numbers, as arrays: of a saliency its scores, of factors their components.
        fn to_array(loaded: &Loaded) -> Array {
            Ok(loaded.0.tensors.first().map(|(_, tensor)| tensor.to_array()).unwrap_or_default())
        }

        /// Where the document has the tokens of a text: these, to be given to a model in the place of a text.
        ///
        /// Example:
        /// ```rhai
        /// lm.run(ecco::load("output.json").as_prompt)
        /// ```
        get as_prompt(loaded: &Loaded) -> Chat {
            let tokens = loaded.tokens()?;
            let text = tokens.iter().filter(|token| token.part.is_none_or(|(part, _)| part == 1));
            Ok(Chat::of_tokens(text.map(|token| token.text.as_str()).collect(), tokens.clone()))
        }

        fn to_string(loaded: &Loaded) -> String { Ok(loaded.line()) }

        fn to_debug(loaded: &Loaded) -> String { Ok(loaded.line()) }
    }
}

fn load(path: &str, lm: Option<&Model>, work: &Work) -> Result<Dynamic, ScriptError> {
    let Stored { document, tensors } = stored(path, work)?;
    let Some(document) = document else {
        let tensors = tensors.into_iter();
        let map: Map = tensors
            .map(|(name, tensor)| (name.into(), tensor.into_value()))
            .collect();
        return Ok(Dynamic::from_map(map));
    };
    let about = |error: ScriptError| match error.kind {
        ErrorKind::Value => ScriptError {
            message: format!("cannot load \"{path}\": {}", error.message),
            ..error
        },
        _ => error,
    };
    let document = of_viewer(document).map_err(about)?;
    check(&document, work).map_err(about)?;
    let tensors = match tensors.is_empty() {
        true => numbers(&document, work)?,
        false => tensors,
    };
    let tensors = ordered(tensors);
    let loaded = Loaded(Rc::new(Inner { document, tensors }));
    if let Some(lm) = lm {
        loaded.check_model(lm).map_err(about)?;
    }
    let again = match (loaded.kind(), lm) {
        ("steering", _) => Some(loaded.steering(lm).map_err(about)?),
        ("tokens" | "score", Some(lm)) => loaded.output(lm)?,
        ("reading", Some(lm)) => loaded.run(lm)?,
        (keeping::TYPE, Some(lm)) => Some(loaded.corpus(lm).map_err(about)?),
        _ => None,
    };
    Ok(again.unwrap_or_else(|| Dynamic::from(loaded)))
}

/// A graph of the viewer that circuit-tracer and Neuronpedia share becomes a document of ours.
fn of_viewer(document: Value) -> Result<Value, ScriptError> {
    let is_one = document.get("type").is_none() && document.get("links").is_some();
    if !is_one {
        return Ok(document);
    }
    let graph = AttributionGraph::from_viewer(&document).map_err(|reason| damaged(reason.0))?;
    Ok(graph.json().unwrap_or(document))
}

fn damaged(reason: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, reason)
}

/// Makes the view once: fields may be there and not fit together.
fn check(document: &Value, work: &Work) -> Result<(), ScriptError> {
    let made = ecco_models::guard::quietly(|| {
        catch_unwind(AssertUnwindSafe(|| {
            let view =
                view_of(document).map_err(|error| damaged(format!("it is no result's document: {error}")))?;
            Ok(view.map(|view| (view.text(), view.html(), view.svg())))
        }))
    });
    // A view that takes long ends at an interrupt in this way too.
    work.check()?;
    match made {
        Ok(made) => made.map(|_| ()),
        Err(_) => Err(damaged("its fields do not fit together: the file is damaged")),
    }
}

impl Loaded {
    fn kind(&self) -> &str {
        self.0.document["type"].as_str().unwrap_or_default()
    }

    fn field(&self, name: &str) -> Result<Dynamic, ScriptError> {
        let Inner { document, tensors } = &*self.0;
        if let Some((_, tensor)) = tensors.iter().find(|(known, _)| known == name) {
            return Ok(tensor.clone().into_value());
        }
        let fields = document.as_object();
        if let Some(value) = fields.and_then(|fields| fields.get(name)) {
            return Ok(value_of(value));
        }
        let names = fields
            .into_iter()
            .flat_map(|fields| fields.keys().map(String::as_str));
        let names: Vec<&str> = names
            .chain(tensors.iter().map(|(name, _)| name.as_str()))
            .collect();
        let shown: String = name.chars().take(60).collect();
        let error = ScriptError::new(
            ErrorKind::Attribute,
            format!("a {} has no {shown:?}", self.kind()),
        );
        Err(error.with_nearest(&shown, names.iter().copied()))
    }
}

impl Show for Loaded {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let document = &self.0.document;
        let view = view_of(document).map_err(|error| damaged(error.to_string()))?;
        Ok(view.unwrap_or_else(|| {
            let fields = document.as_object().into_iter().flatten();
            let line = |(name, value): (&String, &Value)| {
                let text: String = match value {
                    Value::Array(items) => format!("{} items", items.len()),
                    Value::Object(fields) => format!("{} fields", fields.len()),
                    plain => plain.to_string().chars().take(80).collect(),
                };
                format!("\n{name}: {text}")
            };
            Box::new(Plain(format!(
                "{}{}",
                self.line(),
                fields.map(line).collect::<String>()
            )))
        }))
    }

    fn line(&self) -> String {
        match self.0.document["model"].as_str() {
            Some(model) => format!("{} of {model:?}, loaded", self.kind()),
            None => format!("{}, loaded", self.kind()),
        }
    }
}
