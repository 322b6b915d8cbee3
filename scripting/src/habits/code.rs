//! A piece of code as the rows of the table look at it: its lexemes, and what belongs together.

use std::ops::Range;

use crate::assist::complete::NameScope;
use crate::assist::scan::{Kind, Lexeme, scan};
use crate::assist::types::type_of;

/// Words that end no operand.
const NO_OPERANDS: [&str; 22] = [
    "and", "or", "not", "is", "in", "if", "else", "elif", "for", "while", "lambda", "return", "assert",
    "raise", "throw", "let", "const", "del", "print", "import", "from", "yield",
];

/// A piece of code under correction.
pub(super) struct Code<'a> {
    pub(super) chars: Vec<char>,
    pub(super) lexemes: Vec<Lexeme>,
    pub(super) known: &'a NameScope<'a>,
}

impl<'a> Code<'a> {
    pub(super) fn new(text: &str, known: &'a NameScope<'a>) -> Self {
        Self {
            chars: text.chars().collect(),
            lexemes: scan(text).lexemes,
            known,
        }
    }

    /// Whether lexeme `at` is this word or symbol.
    pub(super) fn is(&self, at: usize, text: &str) -> bool {
        let found = self.lexemes.get(at);
        found.is_some_and(|found| found.text == text && matches!(found.kind, Kind::Word | Kind::Symbol))
    }

    pub(super) fn is_one_of(&self, at: usize, texts: &[&str]) -> bool {
        texts.iter().any(|text| self.is(at, text))
    }

    pub(super) fn is_word(&self, at: usize) -> bool {
        self.lexemes.get(at).is_some_and(Lexeme::is_word)
    }

    pub(super) fn words(&self, text: &'static str) -> impl Iterator<Item = usize> + '_ {
        (0..self.lexemes.len())
            .filter(move |&at| self.is_word(at) && self.is(at, text) && !self.is_member(at))
    }

    /// Whether a dot stands before.
    pub(super) fn is_member(&self, at: usize) -> bool {
        at > 0 && self.is_one_of(at - 1, &[".", "?.", "::"])
    }

    pub(super) fn is_open(&self, at: usize) -> bool {
        self.is_one_of(at, &["(", "[", "{", "#{", "${", "?["])
    }

    pub(super) fn is_close(&self, at: usize) -> bool {
        self.is_one_of(at, &[")", "]", "}"])
    }

    /// The lexeme that closes the bracket at `open`.
    pub(super) fn close_of(&self, open: usize) -> Option<usize> {
        let mut depth = 0;
        (open..self.lexemes.len()).find(|&at| {
            depth += i32::from(self.is_open(at)) - i32::from(self.is_close(at));
            depth == 0
        })
    }

    /// The lexeme that opens the bracket that is closed at `close`.
    pub(super) fn open_of(&self, close: usize) -> Option<usize> {
        let mut depth = 0;
        (0..=close).rev().find(|&at| {
            depth += i32::from(self.is_close(at)) - i32::from(self.is_open(at));
            depth == 0
        })
    }

    /// Whether a line ends between the lexeme before and this one.
    pub(super) fn begins_line(&self, at: usize) -> bool {
        let from = at.checked_sub(1).map_or(0, |before| self.lexemes[before].end);
        let to = self
            .lexemes
            .get(at)
            .map_or(self.chars.len(), |lexeme| lexeme.start);
        at == 0 || self.chars[from..to].contains(&'\n')
    }

    /// Whether an operand may end with the lexeme.
    pub(super) fn ends_operand(&self, at: usize) -> bool {
        self.lexemes.get(at).is_some_and(|lexeme| match lexeme.kind {
            Kind::Word => !NO_OPERANDS.contains(&lexeme.text.as_str()),
            Kind::Number | Kind::Text => true,
            Kind::Symbol => matches!(lexeme.text.as_str(), ")" | "]" | "}"),
        })
    }

    /// Where the chain of names, calls and indices begins that ends with lexeme `last`.
    pub(super) fn chain_start(&self, last: usize) -> usize {
        let mut at = last;
        loop {
            if self.is_close(at) {
                let Some(open) = self.open_of(at) else { return at };
                let is_postfix = self.is_one_of(open, &["(", "["])
                    && open > 0
                    && self.ends_operand(open - 1)
                    && self.lexemes[open - 1].end == self.lexemes[open].start;
                if is_postfix {
                    at = open - 1;
                    continue;
                }
                at = open;
            }
            match self.is_member(at) && at >= 2 {
                true => at -= 2,
                false => return at,
            }
        }
    }

    /// The end (exclusive) of the chain that begins with lexeme `first`; `first` where none does.
    pub(super) fn chain_end(&self, first: usize) -> usize {
        let opens = self.is_open(first);
        if !opens && !self.ends_operand(first) {
            return first;
        }
        let mut at = match opens {
            true => self.close_of(first).map_or(self.lexemes.len(), |close| close + 1),
            false => first + 1,
        };
        loop {
            if self.is_one_of(at, &[".", "?.", "::"]) {
                at = (at + 2).min(self.lexemes.len());
            } else if self.is_one_of(at, &["(", "["]) && self.lexemes[at - 1].end == self.lexemes[at].start {
                at = self.close_of(at).map_or(self.lexemes.len(), |close| close + 1);
            } else {
                return at;
            }
        }
    }

    /// The end (exclusive) of the expression from `first`: a comma, the end of its line, of its bracket, or a stop.
    pub(super) fn expression_end(&self, first: usize, stops: &[&str]) -> usize {
        let mut at = first;
        while at < self.lexemes.len() {
            let is_end = self.is_close(at) || self.is_one_of(at, &[",", ";"]) || self.is_one_of(at, stops);
            if is_end || (at > first && self.begins_line(at)) {
                return at;
            }
            at = match self.is_open(at) {
                true => self.close_of(at).map_or(self.lexemes.len(), |close| close + 1),
                false => at + 1,
            };
        }
        at
    }

    /// Where the expression begins that ends before lexeme `end`.
    pub(super) fn expression_start(&self, end: usize) -> usize {
        const BEFORE: [&str; 16] = [
            ",", ";", "=", "+=", "-=", ":", "|", "return", "(", "[", "{", "#{", "${", "=>", "in", "print",
        ];
        let mut at = end;
        while at > 0 {
            let before = at - 1;
            if self.is_one_of(before, &BEFORE) {
                return at;
            }
            at = match self.is_close(before) {
                true => self.open_of(before).unwrap_or(before),
                false => before,
            };
            if self.begins_line(at) {
                return at;
            }
        }
        at
    }

    /// The lexemes that begin a statement.
    pub(super) fn statements(&self) -> Vec<usize> {
        let mut brackets: Vec<usize> = Vec::new();
        let mut found = Vec::new();
        for at in 0..self.lexemes.len() {
            let in_block = brackets.last().is_none_or(|&open| self.is(open, "{"));
            let follows = at > 0 && self.is_one_of(at - 1, &[";", "{", "}"]);
            if in_block && (self.begins_line(at) || follows) {
                found.push(at);
            }
            if self.is_open(at) {
                brackets.push(at);
            } else if self.is_close(at) {
                brackets.pop();
            }
        }
        found
    }

    /// The end (exclusive) of the statement that begins at `first`: its line's, or `;`.
    pub(super) fn statement_end(&self, first: usize) -> usize {
        let mut at = self.expression_end(first, &[]);
        while self.is(at, ",") {
            at = self.expression_end(at + 1, &[]);
        }
        at
    }

    /// The text of lexemes `from..to`.
    pub(super) fn text(&self, from: usize, to: usize) -> String {
        match from < to {
            true => self.chars[self.span(from, to)].iter().collect(),
            false => String::new(),
        }
    }

    /// Where lexemes `from..to` stand, in code points.
    pub(super) fn span(&self, from: usize, to: usize) -> Range<usize> {
        let last = to.max(from + 1) - 1;
        self.lexemes[from].start..self.lexemes[last.min(self.lexemes.len() - 1)].end
    }

    /// The text of `from..to`, in brackets where a dot after it would not take all of it.
    pub(super) fn operand(&self, from: usize, to: usize) -> String {
        let text = self.text(from, to);
        let is_chain = self.chain_end(from) == to;
        if is_chain { text } else { format!("({text})") }
    }

    /// Lexemes `from..to`, split at commas.
    pub(super) fn items(&self, from: usize, to: usize) -> Vec<Range<usize>> {
        let mut items = Vec::new();
        let (mut start, mut at) = (from, from);
        while at < to {
            if self.is(at, ",") {
                items.push(start..at);
                start = at + 1;
            }
            at = match self.is_open(at) {
                true => self.close_of(at).unwrap_or(at) + 1,
                false => at + 1,
            };
        }
        if start < to {
            items.push(start..to);
        }
        items
    }

    /// The arguments of the call whose name is lexeme `name`, and its closing bracket.
    pub(super) fn arguments(&self, name: usize) -> Option<(Vec<Range<usize>>, usize)> {
        if !self.is(name + 1, "(") {
            return None;
        }
        let close = self.close_of(name + 1)?;
        Some((self.items(name + 2, close), close))
    }

    /// The type of the value that lexemes `..to` end with, where names and signatures tell.
    pub(super) fn type_before(&self, to: usize) -> Option<String> {
        type_of(self.known, &self.lexemes[..to])
    }

    pub(super) fn is_variable(&self, name: &str) -> bool {
        self.known.variables.iter().any(|(known, _)| known == name)
    }

    pub(super) fn is_function(&self, name: &str) -> bool {
        self.known.functions.iter().any(|(known, _)| known == name)
    }
}
