//! How scripts name Rust's types, and doc comments without their markers.

/// Joins doc comment lines or blocks, without `///`, `/**` and `*/`.
pub(crate) fn doc_text<'a>(comments: impl Iterator<Item = &'a str>) -> String {
    let mut lines = Vec::new();
    for comment in comments {
        let block = comment
            .strip_prefix("/**")
            .map(|rest| rest.trim_end_matches("*/"));
        for line in block.unwrap_or(comment).lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("///").unwrap_or(line);
            lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
        }
    }
    lines.join("\n").trim().to_owned()
}

/// A Rust type as scripts call it: `&mut Map` is `map`, `Result<Tensor, …>` is `Tensor`.
pub(crate) fn type_for_people(rust: &str) -> String {
    let text = rust.trim().trim_start_matches('&').trim();
    let text = text.strip_prefix("mut ").unwrap_or(text).trim();
    if text.starts_with("str |") || text.contains("| ImmutableString") {
        return "string".to_owned();
    }
    if let Some((outer, inner)) = text.split_once('<') {
        if outer.ends_with("Result") || outer.ends_with("RhaiResultOf") {
            return type_for_people(first_argument(inner));
        }
        if outer.ends_with("Range") || outer.ends_with("RangeInclusive") {
            return "range".to_owned();
        }
    }
    let last = text.rsplit("::").next().unwrap_or(text).trim_end_matches('>');
    let people = match last {
        "i64" | "INT" => "int",
        "f64" | "FLOAT" => "float",
        "str" | "ImmutableString" | "String" => "string",
        "Array" | "Vec<Dynamic" => "array",
        "Map" => "map",
        "Dynamic" | "?" | "_" => "any",
        "FnPtr" | "Fn" => "closure",
        "Blob" => "blob",
        "Instant" => "timestamp",
        "ScriptError" => "Error",
        "RhaiResult" => "any",
        "ExclusiveRange" | "InclusiveRange" => "range",
        other => other,
    };
    people.to_owned()
}

/// The text before the first comma outside of `<…>`.
fn first_argument(generics: &str) -> &str {
    let mut depth = 0;
    for (at, c) in generics.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            ',' | '>' if depth == 0 => return &generics[..at],
            '>' | ')' => depth -= 1,
            _ => {}
        }
    }
    generics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_for_people() {
        assert_eq!(type_for_people("&mut Tensor"), "Tensor");
        assert_eq!(type_for_people("RhaiResult<Tensor>"), "Tensor");
        assert_eq!(type_for_people("Result<Vec<i64>, Box<EvalAltResult>>"), "Vec<i64");
        assert_eq!(type_for_people("&str | ImmutableString | String"), "string");
        assert_eq!(type_for_people("core::ops::range::Range<i64>"), "range");
        assert_eq!(type_for_people("rhai::types::dynamic::Dynamic"), "any");
    }
}
