//! Notices about what runs, and does something else than in Python.

use crate::assist::complete::NameScope;
use crate::assist::scan::Kind;

use super::Code;

/// A note for each place, with its line.
pub(crate) fn notes(text: &str, known: &NameScope) -> Vec<String> {
    let code = Code::new(text, known);
    let mut found: Vec<(usize, String)> = Vec::new();
    for at in 0..code.lexemes.len() {
        let note = whole_division(&code, at)
            .or_else(|| fraction(&code, at))
            .or_else(|| chain(&code, at))
            .or_else(|| quotes(&code, at));
        found.extend(note.map(|note| (code.lexemes[at].start, note)));
    }
    let line = |at: usize| code.chars[..at].iter().filter(|c| **c == '\n').count() + 1;
    found
        .into_iter()
        .map(|(at, note)| format!("line {}: {note}", line(at)))
        .collect()
}

/// `7//2`: what follows `//` is a comment.
fn whole_division(code: &Code, at: usize) -> Option<String> {
    let end = code.lexemes[at].end;
    let after: String = code.chars[end..].iter().take_while(|c| **c != '\n').collect();
    let divisor = after.strip_prefix("//")?;
    let is_divided = code.ends_operand(at) && divisor.starts_with(|c: char| c.is_ascii_digit());
    let divisor: String = divisor.chars().take_while(char::is_ascii_alphanumeric).collect();
    let value = &code.lexemes[at].text;
    is_divided
        .then(|| format!("`//` begins a comment; whole numbers are divided by `/`: `{value} / {divisor}`"))
}

/// `1/2`: two whole numbers with a rest.
fn fraction(code: &Code, at: usize) -> Option<String> {
    let number = |at: usize| {
        let lexeme = code
            .lexemes
            .get(at)
            .filter(|lexeme| lexeme.kind == Kind::Number)?;
        lexeme.text.replace('_', "").parse::<i64>().ok()
    };
    let (a, b) = (number(at)?, number(at + 2).filter(|_| code.is(at + 1, "/"))?);
    // Before it may stand a product that has no rest, and after it what comes first.
    let is_part = at > 0 && code.is_one_of(at - 1, &["*", "/", "%", "**", "."]);
    if is_part || code.is_one_of(at + 3, &["**", "."]) || b == 0 || a % b == 0 {
        return None;
    }
    Some(format!(
        "`{a}/{b}` is {}, for both are whole numbers; `{a}.0/{b}` is {}",
        a / b,
        a as f64 / b as f64
    ))
}

/// `0 < x < 3`: compares a truth value.
fn chain(code: &Code, at: usize) -> Option<String> {
    const COMPARE: [&str; 4] = ["<", "<=", ">", ">="];
    if at == 0 || !code.is_one_of(at, &COMPARE) || !code.ends_operand(at - 1) || code.begins_line(at) {
        return None;
    }
    let end = code.chain_end(at + 1);
    if end == at + 1 || !code.is_one_of(end, &COMPARE) || code.chain_end(end + 1) == end + 1 {
        return None;
    }
    let start = code.chain_start(at - 1);
    let last = code.chain_end(end + 1);
    let (left, middle) = (code.text(start, at + 1), code.text(at + 1, end));
    let right = code.text(end, last);
    Some(format!(
        "`{left} {middle} {right}` compares a truth value; `{left} {middle} && {middle} {right}` asks for both"
    ))
}

/// `"""x"""` on one line is a text with quotes in it.
fn quotes(code: &Code, at: usize) -> Option<String> {
    let start = code.lexemes[at].start;
    let is_first = code.lexemes[at].text == "\"\"" && code.chars[start..].starts_with(&['"'; 3]);
    let after_text = at > 0 && code.lexemes[at - 1].kind == Kind::Text && code.lexemes[at - 1].end == start;
    (is_first && !after_text).then(|| {
        "`\"\"` inside of a text is a quote; a text over several lines stands in backticks".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assist::catalog::Catalog;

    #[test]
    fn what_runs_otherwise_is_noted() {
        let catalog = Catalog::default();
        let noted = |text: &str| {
            let known = NameScope {
                catalog: &catalog,
                variables: Vec::new(),
                functions: Vec::new(),
                modules: Vec::new(),
                folder: std::path::PathBuf::new(),
                models: None,
            };
            notes(text, &known)
        };
        for code in [
            "7//2",
            "let n = x//2",
            "1/2",
            "3/4*x",
            "f(1 / 3)",
            "0 < x < 3",
            "f(a.b <= c()[0] <= 2)",
            "\"\"\"x\"\"\"",
        ] {
            assert_eq!(noted(code).len(), 1, "{code}: {:?}", noted(code));
        }
        assert_eq!(noted("let a = 1;\n1/2 + 3/2").len(), 2);
        assert!(noted("\n\n5/2")[0].starts_with("line 3: `5/2` is 2"));
        for code in [
            "7 // 2",
            "7 //2 halves",
            "4/2",
            "1/2.0",
            "2 * 1/2",
            "1/2 ** 2",
            "x / 2",
            "1 / 0",
            "0 < x && x < 3",
            "a < b",
            "\"a\" + \"\"",
            "let s = \"\";",
            "`7//2 is ${x}`",
            "// 1/2",
            "\"1/2\"",
            "x.map(|v| v < 3) > y",
        ] {
            assert_eq!(noted(code), [""; 0], "{code}");
        }
    }
}
