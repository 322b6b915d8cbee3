//! Numbers that are none in JSON, and that Python's files have all the same: `Infinity`, `-Infinity`, `NaN`.

use std::borrow::Cow;

use serde_json::Value;

/// The key of the object that newer files have in the place of such a number, `{"__float__": "Infinity"}`.
const TAG: &str = "__float__";

const NAMES: [(&str, f64); 3] = [
    ("-Infinity", f64::NEG_INFINITY),
    ("Infinity", f64::INFINITY),
    ("NaN", f64::NAN),
];

/// A text whose bare names of such numbers are put as newer files have them.
pub(super) fn tagged(text: &[u8]) -> Cow<'_, [u8]> {
    let starts = |rest: &[u8]| NAMES.iter().find(|(name, _)| rest.starts_with(name.as_bytes()));
    if !(0..text.len()).any(|at| starts(&text[at..]).is_some()) {
        return Cow::Borrowed(text);
    }
    let (mut tagged, mut at) = (Vec::with_capacity(text.len()), 0);
    let (mut is_text, mut is_escaped) = (false, false);
    while let Some(&byte) = text.get(at) {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let is_start = !is_text && !tagged.last().is_some_and(is_word);
        if let Some((name, _)) = starts(&text[at..]).filter(|_| is_start) {
            tagged.extend(format!("{{{TAG:?}: {name:?}}}").bytes());
            at += name.len();
            continue;
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ => {}
        }
        tagged.push(byte);
        at += 1;
    }
    Cow::Owned(tagged)
}

/// A number, which may be one of these.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| named(value).map(|(_, number)| number))
}

/// One of these by its name.
pub(super) fn named(value: &Value) -> Option<(&'static str, f64)> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    let name = map.get(TAG)?.as_str()?;
    NAMES.into_iter().find(|(known, _)| *known == name)
}

#[cfg(test)]
mod tests {
    use super::super::ConfigFile;

    #[test]
    fn numbers_of_pythons_files_are_read_or_named() {
        for text in [
            r#"{"limits": [0.0, Infinity], "name": "NaN, \"Infinity", "size": -Infinity}"#,
            r#"{"limits": [0.0, {"__float__": "Infinity"}], "name": "NaN, \"Infinity", "size": {"__float__": "-Infinity"}}"#,
        ] {
            let file = ConfigFile::parse(text.as_bytes()).unwrap();
            assert_eq!(file.numbers("limits").unwrap(), [0.0, f64::INFINITY]);
            assert_eq!(file.text("name").unwrap(), "NaN, \"Infinity");
            for error in [
                file.size("size").unwrap_err(),
                file.number_or("size", 1.0).unwrap_err(),
            ] {
                let error = error.to_string();
                assert!(error.starts_with("config.json: size is -Infinity"), "{error}");
            }
        }
        let misspelt = ConfigFile::parse(br#"{"size": Infinit}"#);
        assert!(misspelt.is_err());
        assert!(ConfigFile::parse(br#"{"size": Infinity2}"#).is_err());
    }
}
