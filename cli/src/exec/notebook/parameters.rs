//! Parameters of a notebook, as papermill has them: a cell that sets them, behind the one that is tagged `parameters`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use ecco_scripting::live::literal::literal;
use serde_json::{Map, Value, json};

use super::has_tag;

const TAG: &str = "parameters";
const INJECTED: &str = "injected-parameters";

#[derive(Args, Clone, Default)]
pub(crate) struct Parameters {
    /// Set a variable of a notebook: a number, true, false, None, or else a text
    #[arg(short = 'p', long = "parameter", num_args = 2, value_names = ["NAME", "VALUE"], allow_negative_numbers = true)]
    values: Vec<String>,
    /// Set a variable of a notebook to a text, whatever it looks like
    #[arg(short = 'r', long = "raw", num_args = 2, value_names = ["NAME", "TEXT"])]
    texts: Vec<String>,
    /// Set variables of a notebook to values in YAML or JSON, by name
    #[arg(short = 'y', long = "parameters-yaml", value_name = "YAML")]
    yaml: Option<String>,
    /// Set variables of a notebook to the values in a YAML or JSON file, by name
    #[arg(short = 'f', long = "parameters-file", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Parameters {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.texts.is_empty() && self.yaml.is_none() && self.file.is_none()
    }

    /// The cell's code; `None` where there are no parameters.
    ///
    /// # Errors
    /// A file that cannot be read, and what is no name of a variable.
    pub(super) fn code(&self) -> anyhow::Result<Option<String>> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut all = Map::new();
        if let Some(yaml) = &self.yaml {
            all.extend(named_values(yaml).context("could not read the parameters of --parameters-yaml")?);
        }
        if let Some(path) = &self.file {
            let read = std::fs::read_to_string(path).map_err(anyhow::Error::new);
            let read = read.and_then(|text| named_values(&text));
            all.extend(read.with_context(|| format!("could not read parameters from {}", path.display()))?);
        }
        all.extend(pairs(&self.values).map(|(name, text)| (name, value(text))));
        all.extend(pairs(&self.texts).map(|(name, text)| (name, text.into())));
        let mut code = String::from("// Parameters\n");
        for (name, value) in &all {
            if !is_name(name) {
                bail!(
                    "{name:?} is no name of a variable: letters, digits and _, a letter first, and no word of the language"
                );
            }
            code += &format!("let {name} = {};\n", literal(value));
        }
        code.pop();
        Ok(Some(code))
    }
}

/// JSON is YAML, but for numbers of YAML that JSON has not.
fn named_values(text: &str) -> anyhow::Result<Map<String, Value>> {
    Ok(serde_saphyr::from_str(text)?)
}

fn is_name(name: &str) -> bool {
    let sets = |name: &str| {
        rhai::Engine::new_raw()
            .compile(format!("let {name} = 0;"))
            .is_ok()
    };
    rhai::is_valid_identifier(name) && sets(name)
}

fn pairs(words: &[String]) -> impl Iterator<Item = (String, &str)> {
    words
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].as_str()))
}

/// As papermill takes words for values.
fn value(text: &str) -> Value {
    match text {
        "True" | "true" => true.into(),
        "False" | "false" => false.into(),
        "None" | "null" => Value::Null,
        _ => {
            let whole = text.parse::<i64>().ok().map(Value::from);
            let number = || {
                text.parse::<f64>()
                    .ok()
                    .filter(|number| number.is_finite())
                    .map(Value::from)
            };
            whole.or_else(number).unwrap_or_else(|| text.into())
        }
    }
}

/// Puts the cell in the place of an earlier one, behind that of the parameters, or first.
pub(super) fn insert(cells: &mut Vec<Value>, code: &str, has_ids: bool) {
    let mut cell = json!({
        "cell_type": "code", "execution_count": null, "metadata": {"tags": [INJECTED]}, "outputs": [], "source": code,
    });
    if has_ids {
        cell["id"] = "injected-parameters".into();
    }
    let place = |tag: &str| cells.iter().position(|cell| has_tag(cell, tag));
    match (place(INJECTED), place(TAG)) {
        (Some(at), _) => cells[at] = cell,
        (None, Some(at)) => cells.insert(at + 1, cell),
        (None, None) => cells.insert(0, cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_values_as_papermill_has_them() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let parameters = Parameters {
            values: words(&[
                "a", "-3", "b", "1e3", "c", "True", "d", "None", "e", "a \"b\"", "n", "nan",
            ]),
            texts: words(&["f", "7"]),
            yaml: Some("y: [1, 2.5, {deep: yes it is}]\nz: 'no'\nf: 8".to_owned()),
            file: None,
        };
        let code = parameters.code().expect("names").expect("some");
        let expected = "// Parameters\nlet y = [1, 2.5, #{deep: \"yes it is\"}];\nlet z = \"no\";\nlet f = \"7\";\nlet a = -3;\nlet b = 1000.0;\nlet c = true;\nlet d = ();\nlet e = \"a \\\"b\\\"\";\n\
                        let n = \"nan\";";
        assert_eq!(code, expected);
        let wrong = Parameters {
            values: words(&["let x", "1"]),
            ..Parameters::default()
        };
        assert!(wrong.code().is_err());
        let doubled = (1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
        for yaml in [
            "- 1",
            "a: b: c",
            &format!("a0: &a0 [1]\n{}", doubled.collect::<String>()),
        ] {
            let wrong = Parameters {
                yaml: Some(yaml.to_owned()),
                ..Parameters::default()
            };
            assert!(wrong.code().is_err(), "{yaml}");
        }
    }

    #[test]
    fn the_cell_stands_behind_the_parameters() {
        let tagged = |tag: &str| json!({"cell_type": "code", "source": "", "metadata": {"tags": [tag]}});
        let tags = |cells: &[Value]| -> Vec<String> {
            cells
                .iter()
                .map(|cell| cell["metadata"]["tags"][0].to_string())
                .collect()
        };
        let mut cells = vec![tagged("a"), tagged("parameters"), tagged("b")];
        insert(&mut cells, "1", true);
        assert_eq!(
            tags(&cells),
            ["\"a\"", "\"parameters\"", "\"injected-parameters\"", "\"b\""]
        );
        insert(&mut cells, "2", true);
        assert_eq!((cells.len(), &cells[2]["source"]), (4, &json!("2")));
        let mut cells = vec![tagged("a")];
        insert(&mut cells, "1", false);
        assert_eq!(tags(&cells), ["\"injected-parameters\"", "\"a\""]);
    }
}
