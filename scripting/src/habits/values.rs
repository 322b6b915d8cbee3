//! Corrections where what a value is decides: members by index, options without their names, members as values.

use super::{Code, Correction, Wrong, whole};
use crate::options::OptionSpec;

/// `output["tokens"]` and `output[0]` of a value with these members.
pub(crate) fn member_by_index(wrong: &Wrong, members: &[&str]) -> Option<Correction> {
    let code = Code::new(wrong.code, wrong.known);
    let inside = code.lexemes.iter().rposition(|lexeme| lexeme.start <= wrong.at)?;
    let open = (0..=inside).rev().find(|&at| {
        let holds = code.close_of(at).is_some_and(|close| close > inside);
        code.is(at, "[") && (holds || at == inside)
    })?;
    let close = code.close_of(open)?;
    let index = code.text(open + 1, close);
    let name = index.trim_matches(['"', '\'', '`']);
    let (hint, member) = if name != index && members.contains(&name) {
        ("members stand behind a dot", format!(".{name}"))
    } else if name == index && members.contains(&"tokens") {
        ("its tokens are `tokens`", format!(".tokens[{index}]"))
    } else if name == index && members.contains(&"to_array") {
        ("its numbers are `to_array()`", format!(".to_array()[{index}]"))
    } else {
        return None;
    };
    replaced(wrong, &code, open..close + 1, &member, hint)
}

/// `x[0..2]` of an array.
pub(crate) fn range_of_array(wrong: &Wrong) -> Option<Correction> {
    let code = Code::new(wrong.code, wrong.known);
    let range = code.lexemes.iter().position(|lexeme| lexeme.start == wrong.at)?;
    let open = (0..range)
        .rev()
        .find(|&at| code.is(at, "[") && code.close_of(at).is_some_and(|close| close > range))?;
    let close = code.close_of(open)?;
    let text = format!(".extract({})", code.text(open + 1, close));
    replaced(
        wrong,
        &code,
        open..close + 1,
        &text,
        "a part of an array is given by `extract`",
    )
}

/// `output.layer_predictions(3)`, where `options` could be given: by the first that takes such a value.
pub(crate) fn option_without_name(wrong: &Wrong, options: &[OptionSpec], given: &str) -> Option<Correction> {
    let code = Code::new(wrong.code, wrong.known);
    let name = code.lexemes.iter().position(|lexeme| lexeme.start == wrong.at)?;
    let (arguments, _) = code.arguments(name)?;
    let last = arguments.last()?;
    let takes = |spec: &&OptionSpec| {
        let kinds = spec.kind.name();
        match given {
            "array" => kinds.contains('[') || kinds.contains("array"),
            of => kinds.split([' ', ',']).any(|kind| kind == of),
        }
    };
    let spec = options.iter().find(takes)?;
    let text = format!("{}: {}", spec.name, code.text(last.start, last.end));
    replaced(wrong, &code, last.clone(), &text, "options have names")
}

/// `help(output.saliency)`: what is no value is named by a text.
pub(crate) fn help_by_text(wrong: &Wrong) -> Option<Correction> {
    let code = Code::new(wrong.code, wrong.known);
    let member = code.lexemes.iter().position(|lexeme| lexeme.start == wrong.at)?;
    let start = code.chain_start(member);
    if start < 2 || !code.is(start - 1, "(") || !code.is(start - 2, "help") {
        return None;
    }
    let text = format!("\"{}\"", code.text(start, member + 1));
    replaced(
        wrong,
        &code,
        start..member + 1,
        &text,
        "what is to be explained is named by a text",
    )
}

/// `"%s" % x`, `"%d of %d" % [a, b]`: the text with its values.
pub(crate) fn percent(wrong: &Wrong) -> Option<Correction> {
    let code = Code::new(wrong.code, wrong.known);
    let sign = code.lexemes.iter().position(|lexeme| lexeme.start == wrong.at)?;
    let text = code.lexemes.get(sign.checked_sub(1)?)?.text.clone();
    let content = text.strip_prefix('"')?.strip_suffix('"')?;
    let end = code.chain_end(sign + 1);
    let is_list = code.is_one_of(sign + 1, &["[", "("]);
    let values: Vec<String> = match is_list {
        true => code
            .items(sign + 2, end - 1)
            .iter()
            .map(|item| code.text(item.start, item.end))
            .collect(),
        false => vec![code.text(sign + 1, end)],
    };
    let mut pieces = content.split('%');
    let mut written = pieces.next().unwrap_or_default().replace('`', "``");
    let mut values = values.into_iter();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        written.push_str(&format!(
            "${{{}}}{}",
            values.next()?,
            rest.get(1..)?.replace('`', "``")
        ));
    }
    let hint = "values stand as ${…} in a text in backticks";
    match content.contains('\\') {
        true => Some(said(wrong.at, hint)),
        false => replaced(wrong, &code, sign - 1..end, &format!("`{written}`"), hint),
    }
}

fn said(at: usize, hint: &str) -> Correction {
    Correction {
        at,
        message: None,
        hint: hint.to_owned(),
    }
}

/// The line with `text` in the place of those lexemes.
fn replaced(
    wrong: &Wrong,
    code: &Code,
    lexemes: std::ops::Range<usize>,
    text: &str,
    hint: &str,
) -> Option<Correction> {
    let range = code.span(lexemes.start, lexemes.end);
    let before: String = code.chars[..range.start].iter().collect();
    let after: String = code.chars[range.end..].iter().collect();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = after.find('\n').unwrap_or(after.len());
    let line = format!("{}{text}{}", &before[start..], &after[..end]);
    if (wrong.fault)(&format!("{before}{text}{after}")).is_some() {
        return Some(said(wrong.at, hint));
    }
    Some(said(
        wrong.at,
        &format!("{hint}\n  {}", whole(line.trim(), wrong.known)),
    ))
}
