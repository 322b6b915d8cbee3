//! The call that a cell ends with: the page of what it shows says how to make it again.

use ecco_interpreter::MimeBundle;
use serde_json::Value;

use crate::assist::scan::scan;
use crate::live::Results;

/// Longer ones are no line for the head of a view.
const LONGEST: usize = 160;

/// Notes the call in the page of what a cell shows, and with the result that it is the page of.
pub(super) fn note(bundle: &mut MimeBundle, code: &str, results: &mut Results) {
    if let (Some(Value::String(page)), Some(call)) = (bundle.data.get_mut("text/html"), last_call(code)) {
        results.note_call(page, &call);
        *page = ecco_widgets::with_data(page, "call", &call);
    }
}

/// `output.saliency(#{method: "ig"})`: a cell's last statement, where that is a call on one line.
fn last_call(code: &str) -> Option<String> {
    let lexemes = scan(code).lexemes;
    let (mut depth, mut first) = (0i32, 0);
    for (at, lexeme) in lexemes.iter().enumerate() {
        let is_any = |symbols: &[&str]| symbols.iter().any(|symbol| lexeme.is_symbol(symbol));
        if is_any(&["(", "[", "{", "#{", "?["]) {
            depth += 1;
        } else if is_any(&[")", "]", "}"]) {
            depth -= 1;
        } else if depth == 0 && lexeme.is_symbol(";") {
            first = at + 1;
        }
    }
    let (begin, end) = (lexemes.get(first)?, lexemes.last()?);
    let n = end.end - begin.start;
    if !begin.is_word() || !end.is_symbol(")") || n > LONGEST {
        return None;
    }
    let call: String = code.chars().skip(begin.start).take(n).collect();
    (!call.contains(['\n', '\r'])).then_some(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_statement_is_a_call_on_one_line() {
        let whole = "output.saliency(#{method: \"ig;\"})";
        assert_eq!(
            last_call(&format!("let a = 1; {whole} // ; why")).as_deref(),
            Some(whole)
        );
        assert_eq!(last_call("a(|x| { x; })").as_deref(), Some("a(|x| { x; })"));
        let long = format!("a({})", "1".repeat(200));
        for code in ["", "output", "let s = 1", "a(\n1)", "(1)", "a[0]", &long] {
            assert_eq!(last_call(code), None, "{code}");
        }
    }
}
