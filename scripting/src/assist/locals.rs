//! Names that code defines before it has run: `let`, parameters, loop variables, functions.

use super::scan::{Lexeme, scan};

/// A name, and the lexemes of the value it was given where that is plain to see.
#[derive(Debug, PartialEq)]
pub struct Local<'a> {
    pub name: &'a str,
    pub value: &'a [Lexeme],
}

/// What `lexemes` define, the newest definition of a name last.
pub fn variables(lexemes: &[Lexeme]) -> Vec<Local<'_>> {
    let mut found = Vec::new();
    for (at, lexeme) in lexemes.iter().enumerate() {
        let after = &lexemes[at + 1..];
        match lexeme.text.as_str() {
            "let" | "const" if lexeme.is_word() => found.extend(binding(after)),
            "for" if lexeme.is_word() => {
                let names = after.iter().take_while(|l| l.text != "in").take(6);
                found.extend(names.filter(|l| l.is_word()).map(plain));
            }
            "catch" if lexeme.is_word() => found.extend(parameters(after)),
            "fn" if lexeme.is_word() => found.extend(parameters(after.get(1..).unwrap_or_default())),
            "|" if lexeme.kind == super::scan::Kind::Symbol => found.extend(closure_parameters(after)),
            _ => {}
        }
    }
    found
}

/// Name and signature of the functions that `lexemes` define.
pub fn functions(lexemes: &[Lexeme]) -> Vec<(String, String)> {
    let heads = lexemes.windows(3).enumerate();
    let heads = heads.filter(|(_, l)| l[0].is_word() && l[0].text == "fn" && l[1].is_word());
    heads
        .filter(|(_, l)| l[2].is_symbol("("))
        .map(|(at, l)| {
            let names: Vec<&str> = parameters(&lexemes[at + 2..]).map(|local| local.name).collect();
            (l[1].text.clone(), format!("{}({})", l[1].text, names.join(", ")))
        })
        .collect()
}

/// Aliases of `import "…" as alias`.
pub fn modules(code: &str) -> Vec<String> {
    let lexemes = scan(code).lexemes;
    let aliases = lexemes
        .windows(4)
        .filter(|l| l[0].text == "import" && l[2].text == "as");
    aliases
        .filter(|l| l[3].is_word())
        .map(|l| l[3].text.clone())
        .collect()
}

fn plain(lexeme: &Lexeme) -> Local<'_> {
    Local {
        name: &lexeme.text,
        value: &[],
    }
}

/// `name = value;` after `let`.
fn binding(after: &[Lexeme]) -> Option<Local<'_>> {
    let name = after.first().filter(|lexeme| lexeme.is_word())?;
    if !after.get(1).is_some_and(|lexeme| lexeme.is_symbol("=")) {
        return Some(plain(name));
    }
    let value = &after[2..];
    let mut depth = 0;
    let mut is_plain = true;
    let end = value.iter().position(|lexeme| {
        match lexeme.text.as_str() {
            "(" | "[" | "{" | "#{" | "${" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            ";" => return depth <= 0,
            "." | "?." | "::" => {}
            _ if depth == 0 && lexeme.kind == super::scan::Kind::Symbol => is_plain = false,
            _ => {}
        }
        depth < 0
    });
    let value = match end {
        Some(end) if is_plain => &value[..end],
        _ => &[],
    };
    Some(Local {
        name: &name.text,
        value,
    })
}

/// The words of `(a, b)`.
fn parameters(after: &[Lexeme]) -> impl Iterator<Item = Local<'_>> {
    let is_list = after.first().is_some_and(|lexeme| lexeme.is_symbol("("));
    let inside = after.get(usize::from(is_list)..).unwrap_or_default();
    let inside = inside.iter().take_while(|l| l.is_word() || l.is_symbol(","));
    inside.filter(move |l| is_list && l.is_word()).map(plain)
}

/// The words of `a, b|`; nothing where the bar is an operator.
fn closure_parameters(after: &[Lexeme]) -> Vec<Local<'_>> {
    let inside: Vec<&Lexeme> = after
        .iter()
        .take_while(|l| l.is_word() || l.is_symbol(","))
        .take(64)
        .collect();
    let is_list = after.get(inside.len()).is_some_and(|l| l.is_symbol("|"));
    let words = inside.into_iter().filter(|l| is_list && l.is_word());
    words.map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(code: &str) -> Vec<String> {
        let lexemes = scan(code).lexemes;
        variables(&lexemes)
            .iter()
            .map(|local| local.name.to_owned())
            .collect()
    }

    #[test]
    fn finds_definitions() {
        assert_eq!(names("let a = 1; const B = 2; let c"), ["a", "B", "c"]);
        assert_eq!(names("fn f(x, y) { for (v, i) in x { "), ["x", "y", "v", "i"]);
        assert_eq!(names("list.map(|item, n| item + n)"), ["item", "n"]);
        assert_eq!(names("try { } catch (e) { "), ["e"]);
        assert_eq!(names("a | b; fn"), [""; 0]);
        let functions = functions(&scan("fn one() { } private fn two(a, b) { ").lexemes);
        assert_eq!(functions[1], ("two".to_owned(), "two(a, b)".to_owned()));
        assert_eq!(modules("import \"helpers\" as h; h::"), ["h"]);
    }

    #[test]
    fn values_are_kept_where_they_are_plain() {
        let lexemes = scan("let a = f(1, 2).b; let c = 1 + a; let d = g(").lexemes;
        let found = variables(&lexemes);
        assert_eq!(found[0].value.len(), 8);
        assert!(found[1].value.is_empty());
        assert!(found[2].value.is_empty());
    }
}
