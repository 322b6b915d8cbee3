//! Python's lists and dicts: comprehensions, `{"a": 1}`, slices, several indices.

use std::ops::Range;

use super::{Code, Found};
use crate::assist::scan::Kind;

/// `[e for v in x if c]` is `x.filter(|v| c).map(|v| e)`; the same without brackets in a call.
pub(super) fn comprehension(code: &Code) -> Vec<Found> {
    let found = code.words("for").filter_map(|at| {
        let open = enclosing(code, at)?;
        if code.is(open, "{") || at == open + 1 {
            return None;
        }
        let close = code.close_of(open)?;
        let each = (at + 1..close).find(|&i| code.is(i, "in"))?;
        let end = code.expression_end(each + 1, &["if", "for"]);
        let condition = code.is(end, "if").then(|| code.text(end + 1, close));
        if code.is(end, "for") || each == at + 1 {
            return None;
        }
        let (value, names) = (code.text(open + 1, at), code.text(at + 1, each));
        let (list, names) = list_and_names(code, each + 1..end, names.trim_matches(['(', ')']));
        let filter = condition.map_or(String::new(), |condition| {
            format!(".filter(|{names}| {condition})")
        });
        let map = match value == names {
            true => String::new(),
            false => format!(".map(|{names}| {value})"),
        };
        let range = match code.is(open, "[") {
            true => code.span(open, close + 1),
            false => code.span(open + 1, close),
        };
        Some(Found::new(range, format!("{list}{filter}{map}")))
    });
    found.collect()
}

/// What is gone over, as an array or range, and the closure's parameters.
fn list_and_names(code: &Code, over: Range<usize>, names: &str) -> (String, String) {
    let is_call = code.is(over.start + 1, "(") && code.chain_end(over.start) == over.end;
    let inside = || code.text(over.start + 2, over.end - 1);
    match is_call.then(|| code.lexemes[over.start].text.as_str()) {
        Some("enumerate") => {
            let (index, item) = names.split_once(',').unwrap_or(("i", names));
            (inside(), format!("{}, {}", item.trim(), index.trim()))
        }
        Some("range") => {
            let (arguments, _) = code.arguments(over.start).unwrap_or_default();
            let text = |item: &Range<usize>| code.text(item.start, item.end);
            match arguments.as_slice() {
                [end] => (format!("(0..{})", text(end)), names.to_owned()),
                [start, end] => (format!("({}..{})", text(start), text(end)), names.to_owned()),
                _ => (code.text(over.start, over.end), names.to_owned()),
            }
        }
        _ => (code.operand(over.start, over.end), names.to_owned()),
    }
}

/// The bracket that lexeme `at` stands in.
fn enclosing(code: &Code, at: usize) -> Option<usize> {
    let mut depth = 0;
    (0..at).rev().find(|&i| {
        depth += i32::from(code.is_close(i)) - i32::from(code.is_open(i));
        depth < 0
    })
}

/// `{"a": 1}` where a value stands is `#{"a": 1}`, `{1, 2}` is `[1, 2]`.
pub(super) fn dict(code: &Code) -> Vec<Found> {
    let opens = (0..code.lexemes.len()).filter(|&at| code.is(at, "{") && is_value(code, at));
    let found = opens.filter_map(|at| {
        let close = code.close_of(at)?;
        let inside = code.text(at + 1, close);
        let items = code.items(at + 1, close);
        let is_entry = |item: &Range<usize>| {
            let key = code.lexemes[item.start].kind;
            key != Kind::Symbol && code.is(item.start + 1, ":")
        };
        let text = match items.as_slice() {
            [] if code.is(at.wrapping_sub(1), "=") => "#{}".to_owned(),
            [] => return None,
            items if items.iter().all(is_entry) => map(code, at, close, items),
            [_, _, ..] if !code.is_one_of(at + 1, &["let", "if", "for"]) => format!("[{inside}]"),
            _ => return None,
        };
        Some(Found::new(code.span(at, close + 1), text))
    });
    found.collect()
}

/// The map; keys that are numbers or characters are put into double quotes, for keys are texts.
fn map(code: &Code, open: usize, close: usize, items: &[Range<usize>]) -> String {
    let start = code.lexemes[open].end;
    let mut chars: Vec<String> = code.chars[start..code.lexemes[close].start]
        .iter()
        .map(char::to_string)
        .collect();
    for item in items {
        let key = &code.lexemes[item.start];
        let (first, last) = (key.start - start, key.end - 1 - start);
        if key.kind == Kind::Number {
            chars[first].insert(0, '"');
            chars[last].push('"');
        }
        if key.text.starts_with('\'') {
            (chars[first], chars[last]) = ("\"".to_owned(), "\"".to_owned());
        }
    }
    format!("#{{{}}}", chars.concat())
}

fn is_value(code: &Code, at: usize) -> bool {
    const BEFORE: [&str; 12] = [
        "=", "(", "[", ",", ":", "return", "==", "+", "in", "|", "=>", "??",
    ];
    at == 0 || code.is_one_of(at - 1, &BEFORE) || code.begins_line(at)
}

/// `t[0, 1]`, `t[0:2]`, `x[1:]`, `t[:, 0]`.
pub(super) fn slices(code: &Code) -> Vec<Found> {
    let opens = (1..code.lexemes.len()).filter(|&at| {
        let is_index = code.ends_operand(at - 1) && code.lexemes[at - 1].end == code.lexemes[at].start;
        code.is(at, "[") && is_index
    });
    opens.filter_map(|open| index(code, open)).collect()
}

fn index(code: &Code, open: usize) -> Option<Found> {
    let close = code.close_of(open)?;
    let items = code.items(open + 1, close);
    if code.is(open + 1, "::") {
        return Some(Found::only_said(code.span(open, close + 1)));
    }
    let has_slices = (open + 1..close).any(|at| code.is(at, ":") && enclosing(code, at) == Some(open));
    if items.len() < 2 && !has_slices {
        return None;
    }
    let start = code.chain_start(open - 1);
    let range = code.span(start, close + 1);
    let of = code.text(start, open);
    if !has_slices {
        let each = items
            .iter()
            .map(|item| format!("[{}]", code.text(item.start, item.end)));
        return Some(Found::new(range, format!("{of}{}", each.collect::<String>())));
    }
    if let [only] = items.as_slice() {
        return Some(match slice(code, only, &of) {
            Some((from, to)) => Found::new(range, part(code, open, &of, (from.as_deref(), to.as_deref()))),
            None => Found::only_said(range),
        });
    }
    let each: Option<Vec<String>> = items
        .iter()
        .map(|item| match slice(code, item, &of) {
            Some((None, None)) => Some("()".to_owned()),
            Some((from, Some(to))) => Some(format!("{}..{to}", from.unwrap_or_else(|| "0".to_owned()))),
            Some((Some(from), None)) => Some(from).filter(|_| !has_colon(code, item)),
            None => None,
        })
        .collect();
    Some(match each {
        Some(each) => Found::new(range, format!("{of}.slice([{}])", each.join(", "))),
        None => Found::only_said(range),
    })
}

fn has_colon(code: &Code, item: &Range<usize>) -> bool {
    item.clone().any(|at| code.is(at, ":"))
}

/// The ends of `a:b`, each of which may be missing; None where there is a step. Ends that count from the back are
/// counted from the length of `of`.
fn slice(code: &Code, item: &Range<usize>, of: &str) -> Option<(Option<String>, Option<String>)> {
    let colons: Vec<usize> = item.clone().filter(|&at| code.is(at, ":")).collect();
    let text = |from: usize, to: usize| (from < to).then(|| code.text(from, to));
    let from_back = |end: String| match end.strip_prefix('-') {
        Some(n) => format!("{of}.len() - {}", n.trim()),
        None => end,
    };
    match colons.as_slice() {
        [] => Some((text(item.start, item.end), None)),
        [colon] => {
            let (from, to) = (text(item.start, *colon), text(colon + 1, item.end));
            // From the back to the end needs no length.
            let from = if to.is_some() { from.map(from_back) } else { from };
            Some((from, to.map(from_back)))
        }
        _ => None,
    }
}

/// `of[from:to]` by the type of `of`: ranges are an index of tensors and texts, not of arrays.
fn part(code: &Code, open: usize, of: &str, (from, to): (Option<&str>, Option<&str>)) -> String {
    let kind = code.type_before(open);
    let is_indexed = matches!(kind.as_deref(), Some("Tensor" | "string"));
    match (from, to) {
        (None, None) => of.to_owned(),
        (Some(from), None) if kind.as_deref() == Some("Tensor") => format!("{of}[{from}..{of}.shape[0]]"),
        (Some(from), None) if kind.as_deref() == Some("string") => format!("{of}.sub_string({from})"),
        (Some(from), None) => format!("{of}.extract({from})"),
        (from, Some(to)) => {
            let range = format!("{}..{to}", from.unwrap_or("0"));
            if is_indexed {
                format!("{of}[{range}]")
            } else {
                format!("{of}.extract({range})")
            }
        }
    }
}
