//! Python's blocks, by colon and indent, as blocks in braces.

use super::{Code, Found};

const HEADS: [&str; 12] = [
    "def", "class", "for", "while", "if", "elif", "else", "try", "except", "finally", "with", "async",
];
/// What goes on with the statement before.
const GO_ON: [&str; 4] = ["elif", "else", "except", "finally"];

/// The heads of Python's blocks: what is said of each, without a correction of its own.
pub(super) fn heads(code: &Code) -> Vec<Found> {
    let all = (0..code.lexemes.len()).filter(|&at| code.is_one_of(at, &HEADS) && !code.is_member(at));
    let found = all.filter_map(|at| {
        let colon = colon_of(code, at)?;
        let hint = match code.lexemes[at].text.as_str() {
            "def" | "async" => {
                "a function is `fn name(a) { … }`; its last value, or `return`, is what it gives"
            }
            "class" => "there are no classes: a map holds values and closures, `#{n: 1, add: |x| x + 1}`",
            "with" => "there is no `with`: what it would open or set is an argument here",
            "try" | "except" => "errors are caught by `try { … } catch (e) { … }`",
            "finally" => "there is no `finally`: what follows the block is run after it",
            "for" => "a loop is `for x in list { … }`",
            "elif" => "the other condition is `else if c { … }`",
            _ => "a block stands in braces: `if c { … } else { … }`, `while c { … }`",
        };
        Some(
            Found::only_said(code.span(at, colon + 1))
                .at(code.lexemes[at].start)
                .saying(hint),
        )
    });
    // `elif` after a block in braces.
    let elif = code.words("elif").filter(|&at| colon_of(code, at).is_none());
    let elif = elif.map(|at| Found::new(code.span(at, at + 1), "else if".to_owned()));
    let loops = code.words("for").filter_map(|at| {
        // `for k, v in m {`.
        let pair = code.is_word(at + 1) && code.is(at + 2, ",") && code.is_word(at + 3) && code.is(at + 4, "in");
        let open = code.expression_end(at + 5, &["{", ":"]);
        (pair && code.is(open, "{")).then(|| {
            Found::only_said(code.span(at + 1, at + 4))
                .saying("`for (item, index) in list` gives each item and its number; `for key in map.keys()` goes over a map")
        })
    });
    found.chain(elif).chain(loops).collect()
}

/// The colon that ends the head that begins at `at`, where it ends in one.
fn colon_of(code: &Code, at: usize) -> Option<usize> {
    let begins = code.begins_line(at) || code.is_one_of(at - 1, &[";", "{", "}"]);
    let mut colon = at + 1;
    while begins && colon < code.lexemes.len() && !code.begins_line(colon) {
        if code.is(colon, ":") {
            return Some(colon);
        }
        // A block in braces: this is Rhai.
        if code.is(colon, "{") || code.is(colon, "=") {
            return None;
        }
        colon = match code.is_open(colon) {
            true => code.close_of(colon)? + 1,
            false if code.is(colon, "lambda") => return None,
            false => colon + 1,
        };
    }
    None
}

/// Whether the last line is a head whose block is to follow.
pub(super) fn wants_block(code: &Code) -> bool {
    let last = code.lexemes.len().checked_sub(1);
    last.is_some_and(|last| code.is(last, ":"))
}

/// Whether a line goes on with the block before.
pub(super) fn goes_on(line: &str) -> bool {
    let word = line.trim_start().split(|c: char| !c.is_alphanumeric()).next();
    word.is_some_and(|word| GO_ON.contains(&word))
}

/// A line, with what stands in brackets over several lines.
struct Line {
    indent: usize,
    text: String,
}

fn lines(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let so_far = lines.last().map_or("", |line| line.text.as_str());
        let open = crate::assist::scan::scan(so_far);
        match lines.last_mut() {
            Some(before)
                if !open.brackets.is_empty() || open.open == Some(crate::assist::scan::Open::Text) =>
            {
                before.text.push('\n');
                before.text.push_str(line);
            }
            _ => lines.push(Line {
                indent: line.chars().take_while(|c| c.is_whitespace()).count(),
                text: line.trim().to_owned(),
            }),
        }
    }
    lines
}

/// A head in Rhai, what its block begins with, and what stood behind the colon.
struct Head {
    text: String,
    first: Vec<String>,
    inline: String,
}

impl Head {
    /// With what its block begins with; its whole block where that stood behind the colon.
    fn lines(&self, before: &str, space: &str) -> Vec<String> {
        let head = format!("{before}{} {{", self.text);
        if !self.inline.is_empty() {
            let first = self.first.iter().map(|first| format!("{first} "));
            return vec![format!("{head} {}{} }}", first.collect::<String>(), self.inline)];
        }
        let first = self.first.iter().map(|first| format!("{space}    {first}"));
        [head].into_iter().chain(first).collect()
    }
}

/// The text with its blocks in braces; None where it has none in Python's way.
pub(super) fn in_braces(text: &str, known: &crate::assist::complete::NameScope) -> Option<String> {
    let mut out: Vec<String> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut n_heads = 0;
    for line in lines(text) {
        let code = Code::new(&line.text, known);
        let head = head(&code);
        let goes_on = head.is_some() && goes_on(&line.text);
        let mut joined = "";
        while open.last().is_some_and(|&indent| indent >= line.indent) {
            let indent = open.pop().unwrap_or(0);
            match goes_on && indent == line.indent {
                true => joined = "} ",
                false => out.push(format!("{}}}", " ".repeat(indent))),
            }
        }
        let space = " ".repeat(line.indent);
        match head {
            None => out.push(format!(
                "{space}{}",
                statement(&code, &line.text, !open.is_empty())
            )),
            Some(head) => {
                n_heads += 1;
                out.extend(head.lines(&format!("{space}{joined}"), &space));
                open.extend(head.inline.is_empty().then_some(line.indent));
            }
        }
    }
    while let Some(indent) = open.pop() {
        out.push(format!("{}}}", " ".repeat(indent)));
    }
    (n_heads > 0).then(|| out.join("\n"))
}

/// A statement as it stands in a block.
fn statement(code: &Code, text: &str, in_block: bool) -> String {
    if code.lexemes.len() == 1 && code.is(0, "pass") {
        return "// nothing".to_owned();
    }
    let Some(last) = code.lexemes.last() else {
        return text.to_owned();
    };
    if !in_block || matches!(last.text.as_str(), ";" | "{" | "}") {
        return text.to_owned();
    }
    let (before, after): (String, String) = (
        code.chars[..last.end].iter().collect(),
        code.chars[last.end..].iter().collect(),
    );
    format!("{before};{after}")
}

fn head(code: &Code) -> Option<Head> {
    let start = usize::from(code.is(0, "async"));
    let colon = code.is_one_of(start, &HEADS).then(|| colon_of(code, 0))??;
    let inside = code.text(start + 1, colon);
    let inline = code.text(colon + 1, code.lexemes.len());
    let inline = if inline == "pass" { "".to_owned() } else { inline };
    let plain = |text: String| Some((text, Vec::new()));
    let (text, first) = match code.lexemes[start].text.as_str() {
        "def" => plain(function(code, start))?,
        "for" => iteration(code, colon)?,
        "while" => plain(format!("while {inside}"))?,
        "if" => plain(format!("if {inside}"))?,
        "elif" => plain(format!("else if {inside}"))?,
        "else" => plain("else".to_owned())?,
        "try" => plain("try".to_owned())?,
        "except" => {
            let name = (0..colon)
                .find(|&at| code.is(at, "as"))
                .map(|at| code.text(at + 1, at + 2));
            plain(name.map_or("catch".to_owned(), |name| format!("catch ({name})")))?
        }
        _ => return None,
    };
    Some(Head { text, first, inline })
}

/// `def f(a, b: int = 2) -> int` is `fn f(a, b)`.
fn function(code: &Code, def: usize) -> String {
    let name = code.text(def + 1, def + 2);
    let (parameters, _) = code.arguments(def + 1).unwrap_or_default();
    let names = parameters
        .iter()
        .map(|item| code.text(item.start, item.start + 1));
    format!("fn {name}({})", names.collect::<Vec<_>>().join(", "))
}

/// The head of a loop, and what its block begins with.
fn iteration(code: &Code, colon: usize) -> Option<(String, Vec<String>)> {
    let each = (1..colon).find(|&at| code.is(at, "in"))?;
    let names = code.text(1, each);
    let names: Vec<&str> = names.trim_matches(['(', ')']).split(',').map(str::trim).collect();
    let over = each + 1..colon;
    let whole = code.text(over.start, over.end);
    let is_call = code.chain_end(over.start) == over.end;
    let arguments = code.arguments(over.start).unwrap_or_default().0;
    let argument = |n: usize| arguments.get(n).map(|item| code.text(item.start, item.end));
    let [first, second] = names[..] else {
        return (names.len() == 1).then(|| (format!("for {} in {whole}", names[0]), Vec::new()));
    };
    if is_call && code.is(over.start, "enumerate") {
        return Some((format!("for ({second}, {first}) in {}", argument(0)?), Vec::new()));
    }
    if is_call && code.is(over.start, "zip") {
        let (a, b) = (argument(0)?, argument(1)?);
        let items = vec![
            format!("let {first} = {a}[i];"),
            format!("let {second} = {b}[i];"),
        ];
        return Some((format!("for i in 0..{a}.len()"), items));
    }
    if let Some(map) = whole.strip_suffix(".items()") {
        return Some((
            format!("for {first} in {map}.keys()"),
            vec![format!("let {second} = {map}[{first}];")],
        ));
    }
    None
}
