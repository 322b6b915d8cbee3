//! Python's functions and methods that go by another name.

use std::ops::Range;

use super::{Code, Found};

/// A function: its name, what to say, and how the call is written. `{0}` is the first argument, `{.0}` the same before
/// a dot.
struct Row(&'static str, &'static str, &'static str);

const FUNCTIONS: &[Row] = &[
    Row(
        "str",
        "a value is turned into text by `to_string()`, or in backticks, `${…}`",
        "{.0}.to_string()",
    ),
    Row(
        "repr",
        "`to_debug()` is how a value is written",
        "{.0}.to_debug()",
    ),
    Row(
        "int",
        "a number is cut to a whole one by `to_int()`, a text read by `parse_int(…)`",
        "{int}",
    ),
    Row(
        "float",
        "a whole number is made a float by `to_float()`, a text read by `parse_float(…)`",
        "{float}",
    ),
    Row("bool", "conditions are written out: `x != 0`, `x.len() > 0`", ""),
    Row("type", "the type of a value is `type_of(…)`", "type_of({0})"),
    Row("isinstance", "the type of a value is `type_of(…)`, a text", ""),
    Row("dir", "`help(…)` says what a value is and can do", "help({0})"),
    Row("vars", "`help(…)` says what a value is and can do", "help({0})"),
    Row("range", "a range is `0..n`, without its end", "0..{0}"),
    Row("enumerate", "`for (item, index) in list` counts, item first", ""),
    Row(
        "zip",
        "two arrays are joined by `a.zip(b, |x, y| [x, y])`",
        "{.0}.zip({1}, |a, b| [a, b])",
    ),
    Row(
        "sorted",
        "`order()` gives an array in order, and `sort()` puts it in order",
        "{.0}.order()",
    ),
    Row("reversed", "`reverse()` turns an array round, in its place", ""),
    Row(
        "sum",
        "an array is summed by `reduce`, a tensor by `sum()`",
        "{sum}",
    ),
    Row(
        "list",
        "arrays are written `[…]`; a range becomes one by `to_array()`",
        "{.0}.to_array()",
    ),
    Row("tuple", "there are no tuples: arrays are written `[…]`", ""),
    Row(
        "set",
        "there are no sets: an array loses what is there twice by `dedup()`",
        "",
    ),
    Row("dict", "a map is written `#{…}`", "{dict}"),
    Row(
        "map",
        "`map` belongs to the array: `list.map(|x| …)`",
        "{.1}.map({0})",
    ),
    Row(
        "filter",
        "`filter` belongs to the array: `list.filter(|x| …)`",
        "{.1}.filter({0})",
    ),
    Row(
        "any",
        "whether some item is one is asked by `list.some(|x| …)`",
        "{.0}.some(|x| x)",
    ),
    Row(
        "all",
        "whether every item is one is asked by `list.all(|x| …)`",
        "{.0}.all(|x| x)",
    ),
    Row(
        "round",
        "`format(x, 2)` is a text with two decimals, `x.round()` a whole number",
        "format({0}, {1})",
    ),
    Row("ord", "a character's number is `c.to_int()`", ""),
    Row(
        "open",
        "scripts read no files; results are saved by `result.save(\"name.json\")`",
        "",
    ),
    Row("hasattr", "`help(…)` says what a value can do", "help({0})"),
    Row("getattr", "`help(…)` says what a value can do", "help({0})"),
];

/// A method: its name, what to say, and what stands in its place. A name is the method's, and `…` its arguments.
const METHODS: &[Row] = &[
    Row(
        "append",
        "one item is added by `push`, all of an array by `append`",
        "push(…)",
    ),
    Row(
        "extend",
        "all items of an array are added by `append`",
        "append(…)",
    ),
    Row(
        "items",
        "`for key in map.keys()` goes over a map; the value is `map[key]`",
        "",
    ),
    Row(
        "iteritems",
        "`for key in map.keys()` goes over a map; the value is `map[key]`",
        "",
    ),
    Row("upper", "texts have `to_upper()`", "to_upper(…)"),
    Row("lower", "texts have `to_lower()`", "to_lower(…)"),
    Row("startswith", "texts have `starts_with`", "starts_with(…)"),
    Row("endswith", "texts have `ends_with`", "ends_with(…)"),
    Row(
        "strip",
        "`text.trim()` cuts the text itself, and gives nothing back",
        "trim(…)",
    ),
    Row(
        "find",
        "the place of a part is `index_of`; -1 where there is none",
        "index_of(…)",
    ),
    Row(
        "index",
        "the place of an item is `index_of`; -1 where there is none",
        "index_of(…)",
    ),
    Row(
        "splitlines",
        "a text is split by `split(\"\\n\")`",
        "split(\"\\n\")",
    ),
    Row("format", "values stand as ${…} in a text in backticks", ""),
    Row(
        "update",
        "a map takes the entries of another by `mixin`",
        "mixin(…)",
    ),
    Row(
        "has_key",
        "whether a map has a key is asked by `contains`",
        "contains(…)",
    ),
    Row("copy", "a value is copied when it is given to another name", ""),
    Row("tolist", "`to_array()` gives the numbers as arrays", "to_array()"),
    Row("numpy", "`to_array()` gives the numbers as arrays", "to_array()"),
    Row("item", "a tensor of one number is a number already", ""),
    Row("detach", "tensors are plain numbers here: leave it out", ""),
    Row("cpu", "tensors are plain numbers here: leave it out", ""),
    Row(
        "size",
        "a tensor's sizes are `shape`, an array's length is `len()`",
        "",
    ),
    Row(
        "plot",
        "a result is shown when it ends the cell, or by `display(…)`; `save(\"name.svg\")` keeps its picture",
        "",
    ),
    Row(
        "show",
        "a result is shown when it ends the cell, or by `display(…)`; `save(\"name.svg\")` keeps its picture",
        "",
    ),
    Row("savefig", "results have `save(\"name.svg\")`", "save(…)"),
    Row(
        "to",
        "where a model is kept is said when it is loaded: `ecco::from_pretrained(name, device: \"cuda\")`",
        "",
    ),
    Row("eval", "a model is always ready to be asked: leave it out", ""),
];

/// Functions that are not there under Python's name.
pub(super) fn functions(code: &Code) -> Vec<Found> {
    let calls =
        (0..code.lexemes.len()).filter(|&at| code.is_word(at) && !code.is_member(at) && code.is(at + 1, "("));
    let found = calls.filter_map(|at| {
        let name = code.lexemes[at].text.as_str();
        let row = FUNCTIONS.iter().find(|row| row.0 == name)?;
        let is_defined =
            code.is_function(name) || code.is_variable(name) || (at > 0 && code.is(at - 1, "fn"));
        let (arguments, close) = code.arguments(at)?;
        if is_defined || (name == "range" && arguments.len() != 1) {
            return None;
        }
        let range = code.span(at, close + 1);
        // A loop over two lists has a way of its own.
        let pattern = if name == "zip" && at > 0 && code.is(at - 1, "in") {
            ""
        } else {
            row.2
        };
        let found = match filled(code, pattern, at, &arguments) {
            Some(text) => Found::new(range, text),
            None => Found::only_said(range),
        };
        Some(found.saying(row.1))
    });
    found.collect()
}

/// The pattern with the arguments in it; None where it asks for one that was not given.
fn filled(code: &Code, pattern: &str, name: usize, arguments: &[Range<usize>]) -> Option<String> {
    let whole = |n: usize| arguments.get(n).map(|item| code.text(item.start, item.end));
    let dotted = |n: usize| arguments.get(n).map(|item| operand(code, item));
    let first = whole(0)?;
    let of = || code.type_before(arguments[0].end);
    let is_text = || of().as_deref() == Some("string");
    match pattern {
        "" => None,
        "{int}" if is_text() => Some(format!("parse_int({first})")),
        "{int}" => Some(format!("{}.to_int()", dotted(0)?)),
        "{float}" if is_text() => Some(format!("parse_float({first})")),
        "{float}" => Some(format!("{}.to_float()", dotted(0)?)),
        "{sum}" if of().as_deref() == Some("Tensor") => Some(format!("{}.sum()", dotted(0)?)),
        "{sum}" => Some(format!("{}.reduce(|sum, x| sum + x, 0)", dotted(0)?)),
        "{dict}" => entries(code, arguments).map(|entries| format!("#{{{}}}", entries.join(", "))),
        "0..{0}" if !(name > 0 && code.is(name - 1, "in")) => Some(format!("(0..{first})")),
        _ => {
            let mut text = pattern.replace("{0}", &first).replace("{.0}", &dotted(0)?);
            for n in 1..2 {
                if text.contains(&format!("{{{n}}}")) || text.contains(&format!("{{.{n}}}")) {
                    text = text.replace(&format!("{{{n}}}"), &whole(n)?);
                    text = text.replace(&format!("{{.{n}}}"), &dotted(n)?);
                }
            }
            Some(text)
        }
    }
}

/// Named arguments as entries of a map; None where one has no name.
fn entries(code: &Code, arguments: &[Range<usize>]) -> Option<Vec<String>> {
    let entry = |item: &Range<usize>| {
        let (name, value) = (
            code.text(item.start, item.start + 1),
            code.text(item.start + 2, item.end),
        );
        code.is(item.start + 1, "=").then(|| format!("{name}: {value}"))
    };
    arguments.iter().map(entry).collect()
}

/// As what stands before a dot: a range alone needs brackets.
fn operand(code: &Code, item: &Range<usize>) -> String {
    code.operand(item.start, item.end)
}

/// Methods that are not there under Python's name; `", ".join(list)` is `list.join(", ")`.
pub(super) fn methods(code: &Code) -> Vec<Found> {
    let calls = (2..code.lexemes.len())
        .filter(|&at| code.is_word(at) && code.is(at - 1, ".") && code.is(at + 1, "("));
    let found = calls.filter_map(|at| {
        let name = code.lexemes[at].text.as_str();
        let (arguments, close) = code.arguments(at)?;
        let start = code.chain_start(at);
        let before = code.text(start, at - 1);
        if name == "join" && code.type_before(at - 1).as_deref() == Some("string") {
            let text = format!("{}.join({before})", operand(code, arguments.first()?));
            let found = Found::new(code.span(start, close + 1), text).at(code.lexemes[at].start);
            return Some(found.saying("`join` belongs to the array"));
        }
        let row = METHODS.iter().find(|row| row.0 == name)?;
        let range = code.span(at, close + 1);
        let found = match row.2 {
            "" => Found::only_said(range),
            text => Found::new(range, text.replace('…', &code.text(at + 2, close))),
        };
        Some(found.saying(row.1))
    });
    found.collect()
}

/// `f(**options)` and `f(*list)`.
pub(super) fn stars(code: &Code) -> Vec<Found> {
    let stars = (1..code.lexemes.len())
        .filter(|&at| code.is_one_of(at, &["**", "*"]) && code.is_one_of(at - 1, &["(", ","]));
    let found = stars.map(|at| match code.is(at, "**") {
        true => {
            let from = code.lexemes[at].start;
            Found::new(from..code.lexemes[at].end, String::new())
                .saying("a map of options is handed over as it is")
        }
        false => Found::only_said(code.span(at, at + 1))
            .saying("items are handed over one by one: `f(list[0], list[1])`"),
    });
    found.collect()
}

/// `print(x, end="")`.
pub(super) fn print_options(code: &Code) -> Vec<Found> {
    let found = code.words("print").filter_map(|at| {
        let (arguments, close) = code.arguments(at)?;
        let is_named = |item: &&Range<usize>| code.is_word(item.start) && code.is(item.start + 1, "=");
        let plain: Vec<String> = arguments
            .iter()
            .filter(|item| !is_named(item))
            .map(|item| code.text(item.start, item.end))
            .collect();
        let has_options = plain.len() < arguments.len();
        has_options.then(|| Found::new(code.span(at, close + 1), format!("print({})", plain.join(", "))))
    });
    found.collect()
}

/// `f(a: 1, 2)`: named arguments come last.
pub(super) fn positional_after_named(code: &Code) -> Vec<Found> {
    let calls =
        (0..code.lexemes.len()).filter(|&at| code.is(at, "(") && super::named::is_call(&code.lexemes[..at]));
    let found = calls.filter_map(|open| {
        let close = code.close_of(open)?;
        let items = code.items(open + 1, close);
        let is_named = |item: &Range<usize>| super::named::is_name(&code.lexemes, item.start);
        let first = items.iter().position(is_named)?;
        let late = items[first..].iter().find(|item| !is_named(item))?;
        let text = |item: &Range<usize>| code.text(item.start, item.end);
        let (named, plain): (Vec<_>, Vec<_>) = items.iter().partition(|item| is_named(item));
        let all: Vec<String> = plain.into_iter().chain(named).map(text).collect();
        let found = Found::new(code.span(open + 1, close), all.join(", "));
        Some(found.at(code.lexemes[late.start].start))
    });
    found.collect()
}
