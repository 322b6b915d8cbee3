//! A scanner over Rhai text that never fails: it serves unfinished code under the cursor.
//!
//! Rhai's own lexer needs its parser to come back from `${…}` inside a backtick string, and stops at
//! the first fault. This one knows just enough: words, numbers, texts, comments, symbols, brackets.

use unicode_xid::UnicodeXID;

/// What a lexeme is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Word,
    Number,
    /// A string or character literal, or a piece of one between interpolations.
    Text,
    Symbol,
}

/// A piece of code; `start..end` are code points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lexeme {
    pub kind: Kind,
    pub text: String,
    pub start: usize,
    pub end: usize,
}

impl Lexeme {
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    pub fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }
}

/// What the code ended inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// A block comment that begins at code point `start`, with so many of them inside of each other open.
    Comment { start: usize, levels: usize },
    /// A literal that may go on at the end of the code.
    Text,
    /// A line comment; nothing can be completed there.
    LineComment,
}

/// The lexemes of some code, and what is still open at its end.
#[derive(Debug, Default)]
pub struct Scan {
    pub lexemes: Vec<Lexeme>,
    pub open: Option<Open>,
    /// Indices into `lexemes` of brackets that were not closed, outermost first.
    pub brackets: Vec<usize>,
}

impl Scan {
    /// The last lexeme that is not a comment.
    pub fn last(&self) -> Option<&Lexeme> {
        self.lexemes.last()
    }
}

const SYMBOLS: [&str; 33] = [
    "<<=", ">>=", "**=", "..=", "===", "!==", "::", "#{", "=>", "->", "==", "!=", "<=", ">=", "&&", "||",
    "??", "?.", "?[", "..", "+=", "-=", "*=", "/=", "%=", "^=", "|=", "&=", "<<", ">>", "**", "!in", "<-",
];

/// Splits `code` into lexemes.
pub fn scan(code: &str) -> Scan {
    let chars: Vec<char> = code.chars().collect();
    let mut scanner = Scanner {
        chars: &chars,
        at: 0,
        scan: Scan::default(),
    };
    while scanner.scan.open.is_none() && scanner.at < chars.len() {
        scanner.step();
    }
    scanner.scan
}

struct Scanner<'a> {
    chars: &'a [char],
    at: usize,
    scan: Scan,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c))
    }

    fn push(&mut self, kind: Kind, start: usize) {
        let text = self.chars[start..self.at].iter().collect();
        self.scan.lexemes.push(Lexeme {
            kind,
            text,
            start,
            end: self.at,
        });
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&keep) {
            self.at += 1;
        }
    }

    fn step(&mut self) {
        let start = self.at;
        let Some(c) = self.peek(0) else { return };
        match c {
            _ if c.is_whitespace() => self.at += 1,
            '/' if self.peek(1) == Some('/') => self.line_comment(),
            '/' if self.peek(1) == Some('*') => self.block_comment(),
            '"' | '\'' => self.quoted(c),
            '`' => {
                self.at += 1;
                self.backticks(start);
            }
            '#' if self.raw_hashes().is_some() => self.raw_text(),
            _ if c.is_xid_start() || c == '_' => {
                self.skip_while(UnicodeXID::is_xid_continue);
                self.push(Kind::Word, start);
            }
            _ if c.is_ascii_digit() => self.number(),
            _ => self.symbol(),
        }
    }

    fn line_comment(&mut self) {
        self.skip_while(|c| c != '\n');
        if self.at == self.chars.len() {
            self.scan.open = Some(Open::LineComment);
        }
    }

    /// Block comments nest.
    fn block_comment(&mut self) {
        let start = self.at;
        let mut levels = 0;
        while self.at < self.chars.len() {
            if self.starts_with("/*") {
                levels += 1;
                self.at += 2;
            } else if self.starts_with("*/") {
                levels -= 1;
                self.at += 2;
                if levels == 0 {
                    return;
                }
            } else {
                self.at += 1;
            }
        }
        self.scan.open = Some(Open::Comment { start, levels });
    }

    /// `"…"` and `'…'` end at a line break, unless it is escaped.
    fn quoted(&mut self, quote: char) {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek(0) {
                None => {
                    self.push(Kind::Text, start);
                    self.scan.open = Some(Open::Text);
                    return;
                }
                Some('\\') => self.at = (self.at + 2).min(self.chars.len()),
                Some('\n') => break,
                Some(c) => {
                    self.at += 1;
                    if c == quote {
                        break;
                    }
                }
            }
        }
        self.push(Kind::Text, start);
    }

    /// The inside of a backtick string, from its start or from the end of an interpolation.
    fn backticks(&mut self, start: usize) {
        loop {
            match self.peek(0) {
                None => {
                    self.push(Kind::Text, start);
                    self.scan.open = Some(Open::Text);
                    return;
                }
                Some('`') if self.peek(1) == Some('`') => self.at += 2,
                Some('`') => {
                    self.at += 1;
                    return self.push(Kind::Text, start);
                }
                Some('$') if self.peek(1) == Some('{') => {
                    self.push(Kind::Text, start);
                    let brace = self.at;
                    self.at += 2;
                    self.scan.brackets.push(self.scan.lexemes.len());
                    return self.push(Kind::Symbol, brace);
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// The number of `#` before the quote of a raw string.
    fn raw_hashes(&self) -> Option<usize> {
        let hashes = (0..).take_while(|&i| self.peek(i) == Some('#')).count();
        (self.peek(hashes) == Some('"')).then_some(hashes)
    }

    fn raw_text(&mut self) {
        let start = self.at;
        let hashes = self.raw_hashes().unwrap_or(1);
        let end = format!("\"{}", "#".repeat(hashes));
        self.at += hashes + 1;
        while self.at < self.chars.len() && !self.starts_with(&end) {
            self.at += 1;
        }
        let closed = self.at < self.chars.len();
        self.at = (self.at + end.len()).min(self.chars.len());
        self.push(Kind::Text, start);
        if !closed {
            self.scan.open = Some(Open::Text);
        }
    }

    fn number(&mut self) {
        let start = self.at;
        self.skip_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            self.skip_while(|c| c.is_ascii_alphanumeric() || c == '_');
        }
        if self.chars[self.at - 1] == 'e' && matches!(self.peek(0), Some('+' | '-')) {
            self.at += 1;
            self.skip_while(|c| c.is_ascii_digit());
        }
        self.push(Kind::Number, start);
    }

    fn symbol(&mut self) {
        let start = self.at;
        let long = SYMBOLS.iter().find(|symbol| self.starts_with(symbol));
        self.at += long.map_or(1, |symbol| symbol.len());
        let index = self.scan.lexemes.len();
        self.push(Kind::Symbol, start);
        let text = self.scan.lexemes[index].text.clone();
        match text.as_str() {
            "(" | "[" | "{" | "#{" | "?[" => self.scan.brackets.push(index),
            ")" | "]" => self.close(&text),
            "}" => {
                let interpolation = self
                    .scan
                    .brackets
                    .last()
                    .is_some_and(|&i| self.scan.lexemes[i].text == "${");
                self.close(&text);
                if interpolation {
                    self.backticks(self.at);
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, bracket: &str) {
        let matching: &[&str] = match bracket {
            ")" => &["("],
            "]" => &["[", "?["],
            _ => &["{", "#{", "${"],
        };
        let open = self
            .scan
            .brackets
            .last()
            .map(|&i| self.scan.lexemes[i].text.as_str());
        if open.is_some_and(|open| matching.contains(&open)) {
            self.scan.brackets.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(code: &str) -> Vec<String> {
        scan(code).lexemes.into_iter().map(|lexeme| lexeme.text).collect()
    }

    #[test]
    fn splits_code() {
        assert_eq!(
            texts("a.b(1..5, 2.5e-3)"),
            ["a", ".", "b", "(", "1", "..", "5", ",", "2.5e-3", ")"]
        );
        assert_eq!(
            texts("ecco::f(#{k: 'x'}) // end"),
            ["ecco", "::", "f", "(", "#{", "k", ":", "'x'", "}", ")"]
        );
        assert_eq!(texts("let s = #\"a\"b\"#;"), ["let", "s", "=", "#\"a\"b\"#", ";"]);
    }

    #[test]
    fn names_have_letters_of_any_alphabet() {
        assert_eq!(texts("größe+名2·x"), ["größe", "+", "名2·x"]);
        assert_eq!(texts("nai\u{308}ve😀"), ["nai\u{308}ve", "😀"]);
    }

    #[test]
    fn sees_code_inside_interpolations() {
        let inside = scan("`one ${ f(x");
        assert_eq!(inside.lexemes.last().map(|l| l.text.as_str()), Some("x"));
        assert_eq!(inside.open, None);
        let whole = scan("`one ${ #{a: 1}.a } two` + y");
        assert!(whole.brackets.is_empty());
        assert_eq!(whole.lexemes.last().map(|l| l.text.as_str()), Some("y"));
    }

    #[test]
    fn knows_what_is_open() {
        let comment = |start, levels| Some(Open::Comment { start, levels });
        assert_eq!(scan("/* a /* b */").open, comment(0, 1));
        assert_eq!(scan("ä; /* /*/ */ /* c").open, comment(3, 2));
        assert_eq!(scan("let a = \"abc").open, Some(Open::Text));
        assert_eq!(scan("\"abc\nx").open, None);
        assert_eq!(scan("`abc\nx").open, Some(Open::Text));
        assert_eq!(scan("f(a, [b").brackets.len(), 2);
    }
}
