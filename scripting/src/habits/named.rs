//! Named arguments: `saliency(method: "ig")` and `saliency(method = "ig")` are `saliency(#{method: "ig"})`.
//!
//! Rhai has neither form: both are syntax errors to it. So code that it takes is left alone, and of other code the
//! named arguments of each call are put into a map, which goes last. Nothing else moves, and places in what Rhai then
//! reads are brought back to the code as it was written.

use rhai::{Engine, Position};

use crate::assist::scan::{Kind, Lexeme, scan};

/// Words before `(` that call nothing.
const NO_CALLS: [&str; 16] = [
    "if", "else", "while", "until", "for", "in", "switch", "return", "throw", "catch", "fn", "let", "const",
    "do", "loop", "case",
];
/// Functions that take any values: a map there would be one more, not options.
const TAKE_ANYTHING: [&str; 3] = ["print", "debug", "eprint"];

/// Code with its named arguments in maps, and what was put in for that.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rewritten {
    pub(crate) code: String,
    insertions: Vec<Insertion>,
}

/// Characters that the code as written has not. All on one line.
#[derive(Debug, Clone, PartialEq)]
struct Insertion {
    line: usize,
    /// The column of the code as written that they stand before, from 1.
    column: usize,
    text: &'static str,
}

impl Rewritten {
    /// The place in the code as written of one in the rewritten code.
    pub(crate) fn original(&self, position: Position) -> Position {
        let (Some(line), Some(column)) = (position.line(), position.position()) else {
            return position;
        };
        let mut shift = 0;
        for insertion in self.insertions.iter().filter(|insertion| insertion.line == line) {
            let start = insertion.column + shift;
            if column < start {
                break;
            }
            if column < start + insertion.text.len() {
                return place(line, insertion.column);
            }
            shift += insertion.text.len();
        }
        place(line, column - shift)
    }
}

fn place(line: usize, column: usize) -> Position {
    let narrow = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    Position::new(narrow(line), narrow(column))
}

/// The code with its named arguments in maps; None where Rhai takes the code as it is, or it has none.
pub(crate) fn rewritten(engine: &Engine, code: &str) -> Option<Rewritten> {
    let rewritten = in_maps(code)?;
    engine.compile(code).is_err().then_some(rewritten)
}

/// What Rhai reads in the place of some code: the code itself, or with its named arguments in maps.
pub fn read_by_rhai(engine: &Engine, code: &str) -> String {
    rewritten(engine, code).map_or_else(|| code.to_owned(), |rewritten| rewritten.code)
}

/// A bracket that is open while the code is read.
struct Open {
    is_call: bool,
    /// An argument begins with the next lexeme.
    at_start: bool,
    has_named: bool,
}

/// The code with its named arguments in maps, whatever Rhai says of it; None where it has none.
fn in_maps(code: &str) -> Option<Rewritten> {
    let lexemes = scan(code).lexemes;
    let mut chars: Vec<char> = code.chars().collect();
    let mut brackets: Vec<Open> = Vec::new();
    let mut inserted: Vec<(usize, &'static str)> = Vec::new();
    for (at, lexeme) in lexemes.iter().enumerate() {
        if let Some(call) = brackets.last_mut().filter(|open| open.is_call) {
            if std::mem::take(&mut call.at_start) && is_name(&lexemes, at) {
                if !std::mem::replace(&mut call.has_named, true) {
                    inserted.push((lexeme.start, "#{"));
                }
                chars[lexemes[at + 1].start] = ':';
            }
            call.at_start = lexeme.is_symbol(",");
        }
        match lexeme.text.as_str() {
            _ if lexeme.kind != Kind::Symbol => {}
            "(" | "[" | "{" | "#{" | "${" | "?[" => brackets.push(Open {
                is_call: lexeme.text == "(" && is_call(&lexemes[..at]),
                at_start: true,
                has_named: false,
            }),
            ")" | "]" | "}" => {
                let closed = brackets.pop().filter(|open| open.has_named);
                inserted.extend(closed.map(|_| (lexeme.start, "}")));
            }
            _ => {}
        }
    }
    (!inserted.is_empty()).then(|| insert(&chars, inserted))
}

/// Whether the lexeme is an argument's name: a word before `:` or `=`.
pub(crate) fn is_name(lexemes: &[Lexeme], at: usize) -> bool {
    let after = lexemes.get(at + 1);
    lexemes[at].is_word() && after.is_some_and(|after| after.is_symbol(":") || after.is_symbol("="))
}

/// Whether `(` after these lexemes opens the arguments of a call.
pub(crate) fn is_call(before: &[Lexeme]) -> bool {
    let (name, before) = match before {
        [before @ .., name, mark] if mark.is_symbol("!") && name.end == mark.start => (name, before),
        [before @ .., name] => (name, before),
        [] => return false,
    };
    let last = before.last();
    let is_method = last.is_some_and(|last| last.is_symbol(".") || last.is_symbol("?."));
    let is_definition = last.is_some_and(|last| last.is_word() && last.text == "fn");
    let text = name.text.as_str();
    let calls_nothing = NO_CALLS.contains(&text) || (!is_method && TAKE_ANYTHING.contains(&text));
    name.is_word() && !is_definition && !calls_nothing
}

fn insert(chars: &[char], inserted: Vec<(usize, &'static str)>) -> Rewritten {
    let mut code = String::with_capacity(chars.len() + 3 * inserted.len());
    let mut insertions = Vec::new();
    let (mut line, mut column, mut done) = (1, 1, 0);
    for (offset, text) in inserted {
        for &c in &chars[done..offset] {
            code.push(c);
            (line, column) = if c == '\n' {
                (line + 1, 1)
            } else {
                (line, column + 1)
            };
        }
        code.push_str(text);
        insertions.push(Insertion { line, column, text });
        done = offset;
    }
    code.extend(&chars[done..]);
    Rewritten { code, insertions }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(code: &str) -> Option<String> {
        in_maps(code).map(|rewritten| rewritten.code)
    }

    #[test]
    fn named_arguments_become_a_map() {
        let same = |code: &str, expected: &str| assert_eq!(maps(code).as_deref(), Some(expected));
        same("f(a: 1)", "f(#{a: 1})");
        same("f(a = 1)", "f(#{a : 1})");
        same("f(a=1,b: 2,)", "f(#{a:1,b: 2,})");
        same(
            "x.f(1, [2, 3], a: g(b: \"c: d\"))",
            "x.f(1, [2, 3], #{a: g(#{b: \"c: d\"})})",
        );
        same(
            "m::f(|x| { let y = x; y }, a: 1)",
            "m::f(|x| { let y = x; y }, #{a: 1})",
        );
        same("`one ${f(a: 1)} two`", "`one ${f(#{a: 1})} two`");
        same("f!(a: 1)", "f!(#{a: 1})");
        same(
            "f(\n  a: 1, // one\n  b: 2 // two\n)",
            "f(\n  #{a: 1, // one\n  b: 2 // two\n})",
        );
        same("f(a: 1, b", "f(#{a: 1, b");
        for code in [
            "f(a == 1)",
            "f(#{a: 1})",
            "if (a = 1) { }",
            "fn f(a: int) { }",
            "print(x, end = 1)",
            "f(a::b)",
            "f({ a = 1; a })",
            "switch (a) { 1 => b }",
            "\"f(a: 1)\"",
            "// f(a: 1)",
            "f(x.a = 1)",
            "f(g, [a = 1])",
        ] {
            assert_eq!(maps(code), None, "{code}");
        }
    }

    #[test]
    fn places_are_those_of_the_code_as_written() {
        let code = "f(a: 1, b: x)\n  + g(é, c = y) + z";
        let rewritten = in_maps(code).expect("it has named arguments");
        let lines: Vec<Vec<char>> = rewritten
            .code
            .lines()
            .map(|line| line.chars().collect())
            .collect();
        let written: Vec<Vec<char>> = code.lines().map(|line| line.chars().collect()).collect();
        let mut seen = 0;
        for (line, chars) in lines.iter().enumerate() {
            for (column, &c) in chars.iter().enumerate() {
                let found = rewritten.original(place(line + 1, column + 1));
                assert_eq!(found.line(), Some(line + 1));
                let column = found.position().expect("a column");
                if c.is_alphanumeric() {
                    assert_eq!(written[line][column - 1], c);
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 10);
        assert_eq!(
            rewritten.original(place(1, 3)),
            place(1, 3),
            "the map stands where the name does"
        );
        assert_eq!(rewritten.original(Position::NONE), Position::NONE);
    }

    #[test]
    fn what_rhai_takes_is_left_alone() {
        let engine = Engine::new();
        assert_eq!(rewritten(&engine, "f(1, #{a: 2})"), None);
        assert!(rewritten(&engine, "f(1, a: 2)").is_some());
    }
}
