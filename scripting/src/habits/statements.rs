//! Python's statements: `import`, `assert`, `a, b = 1, 2`, `x: int = 3`, and names that are new.

use super::{Code, Found};
use crate::assist::scan::Kind;

/// Programs that cells of Python notebooks call after `!`.
const PROGRAMS: [&str; 12] = [
    "pip", "ls", "cat", "git", "wget", "curl", "nvidia", "python", "conda", "apt", "cd", "pwd",
];

/// `import numpy as np`, `from ecco import x`.
pub(super) fn imports(code: &Code) -> Vec<Found> {
    let all = code.statements().into_iter().filter(|&at| {
        let plain = code.is(at, "import") && code.is_word(at + 1);
        plain || (code.is(at, "from") && code.is_word(at + 1))
    });
    let found = all.map(|at| {
        let (module, range) = (code.text(at + 1, at + 2), code.span(at, code.statement_end(at)));
        let found = match code.is(at, "import") {
            // Rhai reads a name there, and misses it when the cell runs.
            true => Found::only_said(range).at(code.lexemes[at + 1].start),
            false => Found::only_said(range),
        };
        match module.as_str() {
            "ecco" => found.saying("`ecco::` is there without an import: `ecco::from_pretrained(…)`"),
            _ => found,
        }
    });
    found.collect()
}

/// `np.mean(x)`, `math.sqrt(x)`.
pub(super) fn modules(code: &Code) -> Vec<Found> {
    const MODULES: [&str; 18] = [
        "np",
        "numpy",
        "torch",
        "math",
        "plt",
        "os",
        "sys",
        "json",
        "random",
        "time",
        "re",
        "pd",
        "transformers",
        "tf",
        "F",
        "nn",
        "sklearn",
        "captum",
    ];
    let all = (0..code.lexemes.len()).filter(|&at| {
        let name = code.lexemes[at].text.as_str();
        MODULES.contains(&name) && !code.is_member(at) && code.is(at + 1, ".") && !code.is_variable(name)
    });
    all.map(|at| match code.is(at, "math") {
        true => Found::new(code.span(at, at + 2), String::new())
            .saying("mathematical functions stand without a module"),
        false => Found::only_said(code.span(at, at + 2)),
    })
    .collect()
}

/// `%time x`, `!pip install`.
pub(super) fn magics(code: &Code) -> Vec<Found> {
    let all = code.statements().into_iter().filter(|&at| {
        let is_program = || PROGRAMS.contains(&code.lexemes[at + 1].text.as_str());
        code.begins_line(at)
            && (code.is(at, "%") || (code.is(at, "!") && code.is_word(at + 1) && is_program()))
    });
    let found = all.map(|at| {
        let name = if code.is(at, "!") { at + 1 } else { at };
        Found::only_said(code.span(at, code.statement_end(at))).at(code.lexemes[name].start)
    });
    found.collect()
}

/// `assert c, "why"` is `if !(c) { throw "why" }`.
pub(super) fn assertions(code: &Code) -> Vec<Found> {
    let all = code
        .statements()
        .into_iter()
        .filter(|&at| code.is(at, "assert") && at + 1 < code.lexemes.len());
    let found = all.filter(|&at| !code.begins_line(at + 1)).map(|at| {
        let end = code.statement_end(at);
        let items = code.items(at + 1, end);
        let condition = items
            .first()
            .map_or(String::new(), |item| code.operand(item.start, item.end));
        let reason = items.get(1).map(|item| code.text(item.start, item.end));
        let reason = reason.unwrap_or_else(|| "\"this does not hold\"".to_owned());
        Found::new(
            code.span(at, end),
            format!("if !{condition} {{ throw {reason} }}"),
        )
    });
    found.collect()
}

/// `raise ValueError("why")` is `throw "why"`.
pub(super) fn raised(code: &Code) -> Vec<Found> {
    let all = code.statements().into_iter().filter(|&at| code.is(at, "raise"));
    let found = all.map(|at| {
        let end = code.statement_end(at);
        let reason = code
            .arguments(at + 1)
            .and_then(|(items, _)| items.first().cloned());
        match reason {
            Some(item) => Found::new(
                code.span(at, end),
                format!("throw {}", code.text(item.start, item.end)),
            ),
            None if end > at + 1 => {
                Found::new(code.span(at, end), format!("throw {}", code.text(at + 1, end)))
            }
            None => Found::only_said(code.span(at, end)),
        }
    });
    found.collect()
}

pub(super) fn deleted(code: &Code) -> Vec<Found> {
    let all = code
        .statements()
        .into_iter()
        .filter(|&at| code.is(at, "del") && code.is_word(at + 1));
    let found = all.map(|at| {
        let end = code.statement_end(at);
        Found::new(code.span(at, end), format!("{} = ()", code.text(at + 1, end)))
    });
    found.collect()
}

/// `global x`, `nonlocal x`.
pub(super) fn outer_names(code: &Code) -> Vec<Found> {
    let all = code.statements().into_iter().filter(|&at| {
        code.is_one_of(at, &["global", "nonlocal"]) && code.is_word(at + 1) && !code.begins_line(at + 1)
    });
    all.map(|at| Found::only_said(code.span(at, code.statement_end(at))))
        .collect()
}

/// `print x`.
pub(super) fn printed(code: &Code) -> Vec<Found> {
    let all = code.words("print").filter(|&at| {
        let has_value = at + 1 < code.lexemes.len() && !code.begins_line(at + 1);
        has_value && (code.lexemes[at + 1].kind != Kind::Symbol)
    });
    let found = all.map(|at| {
        let end = code.statement_end(at);
        Found::new(code.span(at, end), format!("print({})", code.text(at + 1, end)))
    });
    found.collect()
}

/// `a, b = 1, 2` is `let a = 1; let b = 2`.
pub(super) fn tuples(code: &Code) -> Vec<Found> {
    let all = code
        .statements()
        .into_iter()
        .filter(|&at| code.is_word(at) && code.is(at + 1, ","));
    let found = all.filter_map(|at| {
        let end = code.statement_end(at);
        let equals = (at..end).find(|&i| code.is(i, "="))?;
        let texts = |from: usize, to: usize| -> Vec<String> {
            let items = code.items(from, to);
            items.iter().map(|item| code.text(item.start, item.end)).collect()
        };
        let each = one_by_one(&texts(at, equals), &texts(equals + 1, end))?;
        Some(Found::new(code.span(at, end), each))
    });
    found.collect()
}

/// A `let` for each name, of its value or of its part of the only one.
fn one_by_one(names: &[String], values: &[String]) -> Option<String> {
    let made = |values: &[String]| {
        let pairs = names.iter().zip(values);
        let lets = pairs.map(|(name, value)| format!("let {name} = {value}"));
        lets.collect::<Vec<_>>().join("; ")
    };
    let parts: Vec<String> = (0..names.len()).map(|i| format!("both[{i}]")).collect();
    match values {
        [one] => Some(format!("let both = {one}; {}", made(&parts))),
        _ if values.len() != names.len() => None,
        // Values that speak of the names themselves would change under way.
        _ if values.iter().any(|value| names.contains(value)) => {
            Some(format!("let both = [{}]; {}", values.join(", "), made(&parts)))
        }
        _ => Some(made(values)),
    }
}

/// `x: int = 3` is `let x = 3`.
pub(super) fn annotations(code: &Code) -> Vec<Found> {
    let all = code
        .statements()
        .into_iter()
        .filter(|&at| code.is_word(at) && code.is(at + 1, ":"));
    let found = all.filter_map(|at| {
        let end = code.chain_end(at + 2);
        (end > at + 2 && code.is(end, "=") && !code.begins_line(at + 2)).then(|| {
            let range = code.lexemes[at].start..code.lexemes[end].end;
            Found::new(range, format!("let {} =", code.text(at, at + 1)))
        })
    });
    found.collect()
}

/// `x++`.
pub(super) fn increments(code: &Code) -> Vec<Found> {
    let all = (1..code.lexemes.len().saturating_sub(1)).filter(|&at| {
        let twice = |sign: &str| code.is(at, sign) && code.is(at + 1, sign);
        let adjacent = code.lexemes[at].end == code.lexemes[at + 1].start;
        let is_last = at + 2 >= code.lexemes.len()
            || code.begins_line(at + 2)
            || code.is_one_of(at + 2, &[";", "}", ")"]);
        (twice("+") || twice("-")) && adjacent && is_last && code.ends_operand(at - 1)
    });
    all.map(|at| Found::new(code.span(at, at + 2), format!(" {}= 1", code.lexemes[at].text)))
        .collect()
}

/// `x = 3` where nothing is named `x` yet; and `x += 1`.
pub(super) fn new_names(code: &Code) -> Vec<Found> {
    let all = code
        .statements()
        .into_iter()
        .filter(|&at| code.is_word(at) && !code.is(at, "let"))
        .filter(|&at| {
            // A function sees no variable from outside.
            let in_function = (0..at).any(|before| code.is_one_of(before, &["def", "fn"]));
            in_function || !code.is_variable(&code.lexemes[at].text)
        });
    let found = all.filter_map(|at| {
        let name = code.text(at, at + 1);
        let range = code.span(at, at + 1);
        if code.is(at + 1, "=") {
            let made = (0..at).any(|i| code.is_one_of(i, &["let", "const", "for"]) && code.is(i + 1, &name));
            return (!made).then(|| Found::new(range, format!("let {name}")));
        }
        let changes = code.is_one_of(at + 1, &["+=", "-=", "*=", "/="]);
        let hint = format!("`{name}` has no value yet that could change: `let {name} = …;` comes first");
        changes.then(|| Found::only_said(range).saying(hint))
    });
    found.collect()
}
