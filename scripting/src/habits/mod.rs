//! What people who come from Python write: taken where it can be, else corrected.
//!
//! - [`named`]: named arguments, which are taken
//! - [`HABITS`]: the table of what is corrected, a row each; what a row finds is in `texts`, `words`, `collections`, `calls`,
//!   `statements` and `blocks`, over [`code`]
//! - [`values`]: corrections where what a value is decides; [`notes`]: what runs, and does something else
//! - [`correct`]: looks at the place of an error, and writes the user's own line anew

mod blocks;
mod calls;
mod code;
mod collections;
pub(crate) mod named;
pub(crate) mod notes;
mod statements;
mod texts;
pub(crate) mod values;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use code::Code;

use crate::assist::complete::NameScope;
use crate::assist::scan::scan;

/// The page about all of this.
pub(crate) const PAGE: &str = include_str!("../../../docs/coming-from-python.md");

/// What shows it.
const ASK: &str = "help(\"python\")";

/// Lines of a corrected piece that are shown at most, and characters that are looked at.
const MOST_LINES: usize = 14;
const LONGEST: usize = 4_000;
/// Corrections of one piece.
const MOST_STEPS: usize = 40;

/// One thing that is written otherwise in Python.
struct Habit {
    /// What is wrong with it, where Rhai's own words would not help.
    message: &'static str,
    /// What to write instead.
    hint: &'static str,
    /// Where it stands, and how it is written here.
    find: fn(&Code) -> Vec<Found>,
}

/// A place where a habit was found.
struct Found {
    /// In code points. Where the error is, an error is this habit's.
    range: Range<usize>,
    /// What to point at.
    at: usize,
    /// What stands there in Rhai; None where nothing could be written that holds for every program.
    text: Option<String>,
    hint: Option<Cow<'static, str>>,
}

impl Found {
    fn new(range: Range<usize>, text: String) -> Self {
        Self {
            at: range.start,
            range,
            text: Some(text),
            hint: None,
        }
    }

    fn only_said(range: Range<usize>) -> Self {
        Self {
            at: range.start,
            range,
            text: None,
            hint: None,
        }
    }

    fn at(mut self, at: usize) -> Self {
        self.at = at;
        self
    }

    fn saying(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// In the order in which a line is written anew: texts first, so that the others see what is code.
#[rustfmt::skip]
const HABITS: &[Habit] = &[
    Habit { message: "`#` begins no comment", hint: "comments begin with `//`", find: texts::comments },
    Habit { message: "a text has no `f` before it", hint: "values stand as ${…} in a text in backticks", find: texts::formatted },
    Habit { message: "a text has no letters before it", hint: "in `#\"…\"#`, `\\` is a character like any other", find: texts::prefixed },
    Habit { message: "`\"\"\"` begins no text", hint: "a text over several lines stands in backticks", find: texts::tripled },
    Habit { message: "`'…'` is one character", hint: "texts stand in \"…\"", find: texts::single },
    Habit { message: "this is no command line", hint: "the kernel has no `%` and no `!` commands", find: statements::magics },
    Habit { message: "there are no Python modules here", hint: "`ecco::` is there without an import, `import \"helpers\" as h` reads helpers.rhai", find: statements::imports },
    Habit { message: "", hint: "there are no Python modules here: the functions of `ecco::`, of values and of Rhai are all there is", find: statements::modules },
    Habit { message: "", hint: "written in lower case; nothing is `()`", find: words::constants },
    Habit { message: "`is` and `not in` are no operators", hint: "they are `==`, `!=` and `!in`", find: words::identity },
    Habit { message: "`not` is no operator", hint: "it is `!`", find: words::negation },
    Habit { message: "`and` and `or` are no operators", hint: "they are `&&` and `||`", find: words::logic },
    Habit { message: "a condition does not stand between two values", hint: "`if` gives a value too: `if c { a } else { b }`", find: words::conditional },
    Habit { message: "an array holds no loop", hint: "arrays have `map` and `filter`", find: collections::comprehension },
    Habit { message: "there is no `lambda`", hint: "a closure is `|x| …`", find: words::lambda },
    Habit { message: "`{` begins a block", hint: "a map begins with `#{`, an array with `[`", find: collections::dict },
    Habit { message: "an index is one number or range", hint: "one index after the other; ranges are `a..b`, of arrays by `extract`", find: collections::slices },
    Habit { message: "`print` takes values only", hint: "it ends its line, and puts spaces between values", find: calls::print_options },
    Habit { message: "`*` and `**` unpack nothing", hint: "", find: calls::stars },
    Habit { message: "a value without a name stands behind named ones", hint: "named arguments come last", find: calls::positional_after_named },
    Habit { message: "", hint: "", find: calls::functions },
    Habit { message: "", hint: "", find: calls::methods },
    Habit { message: "there is no `assert`", hint: "an error is thrown by `throw`", find: statements::assertions },
    Habit { message: "there is no `raise`", hint: "an error is thrown by `throw`", find: statements::raised },
    Habit { message: "there is no `del`", hint: "a value is freed when its name gets another", find: statements::deleted },
    Habit { message: "functions see no outer names", hint: "hand a value over as an argument, and give the new one back; or write a closure, which sees them", find: statements::outer_names },
    Habit { message: "`print` is a function", hint: "its values stand in brackets", find: statements::printed },
    Habit { message: "one name is given a value at a time", hint: "each with a `let` of its own", find: statements::tuples },
    Habit { message: "names have no types", hint: "a new name is made by `let`", find: statements::annotations },
    Habit { message: "there is no `++` and no `--`", hint: "it is `+= 1` and `-= 1`", find: statements::increments },
    Habit { message: "", hint: "a new name is made by `let`", find: statements::new_names },
    Habit { message: "blocks stand in braces", hint: "", find: blocks::heads },
];

/// What is said of an error in place of Rhai's words.
#[derive(Debug, PartialEq)]
pub(crate) struct Correction {
    /// Where the habit stands, in code points.
    pub(crate) at: usize,
    pub(crate) message: Option<&'static str>,
    pub(crate) hint: String,
}

/// An error that may be a habit's.
pub(crate) struct Wrong<'a> {
    /// The cell or script.
    pub(crate) code: &'a str,
    /// Where Rhai saw the error, in code points.
    pub(crate) at: usize,
    /// Whether it is one of syntax: then a habit may have begun before; else it is exactly there.
    pub(crate) is_syntax: bool,
    pub(crate) known: &'a NameScope<'a>,
    /// Where code is wrong to Rhai, in code points; None where it is not.
    pub(crate) fault: &'a dyn Fn(&str) -> Option<usize>,
}

/// The habit that an error comes from, with the lines it stands in written anew: shown where Rhai takes them.
pub(crate) fn correct(wrong: &Wrong) -> Option<Correction> {
    let piece = piece(wrong)?;
    let code = Code::new(
        &wrong
            .code
            .chars()
            .skip(piece.start)
            .take(piece.len())
            .collect::<String>(),
        wrong.known,
    );
    let (habit, found) = habit_at(&code, wrong.at - piece.start, wrong.is_syntax)?;
    let hint = found.hint.as_deref().unwrap_or(habit.hint);
    let hint = match rewritten(wrong, &piece, &code, &found) {
        Some(text) => format!("{hint} (more: {ASK})\n{}", indented(&text)),
        None => format!("{hint} (more: {ASK})"),
    };
    Some(Correction {
        at: piece.start + found.at,
        message: Some(habit.message).filter(|message| !message.is_empty()),
        hint,
    })
}

/// The hint that a `;` is missing, with its place, where one between two lines would help.
pub(crate) fn missing_semicolon(wrong: &Wrong) -> Option<Correction> {
    const BEGIN: [&str; 14] = [
        "let", "const", "fn", "if", "for", "while", "loop", "do", "return", "throw", "import", "switch",
        "try", "export",
    ];
    let lexemes = scan(wrong.code).lexemes;
    let next = lexemes.iter().position(|lexeme| lexeme.start >= wrong.at)?;
    let before = &lexemes[next.checked_sub(1)?];
    let chars: Vec<char> = wrong.code.chars().collect();
    let is_next_line = chars[before.end..lexemes[next].start].contains(&'\n');
    let is_conditional = lexemes[next].text == "if" || lexemes[next].text == "for";
    if !is_next_line && (is_conditional || !BEGIN.contains(&lexemes[next].text.as_str())) {
        return None;
    }
    let (head, tail): (String, String) = (
        chars[..before.end].iter().collect(),
        chars[before.end..].iter().collect(),
    );
    let fault = (wrong.fault)(&format!("{head};{tail}"));
    if fault.is_some_and(|fault| fault <= wrong.at + 1) {
        return None;
    }
    let (above, line) = head.rsplit_once('\n').unwrap_or(("", &head));
    // The line may have habits that only show when it runs.
    let corrected = whole(line, wrong.known);
    let new = format!(
        "{above}{}{corrected};{tail}",
        if above.is_empty() { "" } else { "\n" }
    );
    let line = match (wrong.fault)(&new) {
        Some(_) => line.to_owned(),
        None => corrected,
    };
    Some(Correction {
        at: before.end,
        message: None,
        hint: format!("statements are separated by `;`\n  {};", line.trim()),
    })
}

/// The lines that are looked at: that of the error, all of what stands in brackets or quotes there, and its block.
fn piece(wrong: &Wrong) -> Option<Range<usize>> {
    let chars: Vec<char> = wrong.code.chars().collect();
    let line_end = |at: usize| {
        (at..chars.len())
            .find(|&i| chars[i] == '\n')
            .unwrap_or(chars.len())
    };
    let text = |range: Range<usize>| chars[range].iter().collect::<String>();
    let at = wrong.at.min(chars.len());
    let start = piece_start(&chars, at);
    let mut end = line_end(at);
    while end < chars.len() && end - start < LONGEST {
        let next = end + 1..line_end(end + 1);
        if !goes_on(&text(start..end), &text(next.clone()), wrong.known) {
            break;
        }
        end = next.end;
    }
    while end > start && chars[end - 1].is_whitespace() {
        end -= 1;
    }
    (end - start <= LONGEST && start <= at).then_some(start..end)
}

/// The start of the line at `at`, or of that where the outermost list or call around it begins.
fn piece_start(chars: &[char], at: usize) -> usize {
    let line_start = |at: usize| (0..at).rev().find(|&i| chars[i] == '\n').map_or(0, |i| i + 1);
    let start = line_start(at);
    let before = scan(&chars[..start].iter().collect::<String>());
    let is_list = |&&bracket: &&usize| !matches!(before.lexemes[bracket].text.as_str(), "{" | "${");
    let outer = before.brackets.iter().rev().take_while(is_list).last();
    outer.map_or(start, |&outer| line_start(before.lexemes[outer].start))
}

/// Whether the next line belongs to what stands in brackets, in quotes or in a block of these lines.
fn goes_on(text: &str, next: &str, known: &NameScope) -> bool {
    let plain = without_comments(text, known);
    let code = Code::new(&plain, known);
    let is_quoted = text.matches("\"\"\"").count() % 2 == 1 || text.matches("'''").count() % 2 == 1;
    let is_open = scan(&plain).brackets.iter().any(|&open| !code.is(open, "{"));
    let indent = |line: &str| line.chars().take_while(|c| *c == ' ' || *c == '\t').count();
    let is_deeper = next.trim().is_empty() || indent(next) > indent(text);
    let is_alike = indent(next) == indent(text) && blocks::goes_on(next);
    is_quoted || is_open || (in_block(text, known) && (is_deeper || is_alike))
}

/// Whether a block of Python's goes on after these lines.
fn in_block(text: &str, known: &NameScope) -> bool {
    let first = without_comments(text, known);
    let head = first.lines().next().unwrap_or_default();
    let code = Code::new(head, known);
    blocks::wants_block(&code) || !blocks::heads(&code).is_empty()
}

fn without_comments(text: &str, known: &NameScope) -> String {
    applied(text, known, &[HABITS[0].find])
}

/// The habit an error at `at` comes from: the one that spans it, the shortest of several.
fn habit_at(code: &Code, at: usize, is_syntax: bool) -> Option<(&'static Habit, Found)> {
    let all = HABITS
        .iter()
        .flat_map(|habit| (habit.find)(code).into_iter().map(move |found| (habit, found)));
    let fitting = all.filter(|(_, found)| match is_syntax {
        true => found.range.start <= at + 1 && at <= found.range.end + 1,
        false => found.at == at,
    });
    fitting.min_by_key(|(_, found)| {
        let is_inside = found.range.contains(&at) || !is_syntax;
        (!is_inside, found.range.len())
    })
}

/// The piece with all its habits written anew, or that one alone, where Rhai takes it.
fn rewritten(wrong: &Wrong, piece: &Range<usize>, code: &Code, found: &Found) -> Option<String> {
    let chars: Vec<char> = wrong.code.chars().collect();
    let before: String = chars[..piece.start].iter().collect();
    let after: String = chars[piece.end..].iter().collect();
    let text: String = code.chars.iter().collect();
    let alone = found.text.as_ref().map(|_| replaced(code, found));
    let all = whole(&text, wrong.known);
    [Some(all), alone]
        .into_iter()
        .flatten()
        .map(|new| ended(new, &after))
        .find(|new| {
            let fault = (wrong.fault)(&format!("{before}{new}{after}"));
            let end = piece.start + new.chars().count();
            *new != text && fault.is_none_or(|fault| fault >= end)
        })
}

/// All habits of a piece, then its blocks.
fn whole(text: &str, known: &NameScope) -> String {
    let finds: Vec<fn(&Code) -> Vec<Found>> = HABITS.iter().map(|habit| habit.find).collect();
    let text = applied(text, known, &finds);
    blocks::in_braces(&text, known).unwrap_or(text)
}

/// The text after each kind of correction, inner ones first.
fn applied(text: &str, known: &NameScope, finds: &[fn(&Code) -> Vec<Found>]) -> String {
    let mut text = text.to_owned();
    for find in finds {
        for _ in 0..MOST_STEPS {
            let code = Code::new(&text, known);
            let found = find(&code).into_iter().filter(|found| found.text.is_some());
            let Some(last) = found.max_by_key(|found| found.range.start) else {
                break;
            };
            let new = replaced(&code, &last);
            if new == text {
                break;
            }
            text = new;
        }
    }
    text
}

fn replaced(code: &Code, found: &Found) -> String {
    let text = found.text.as_deref().unwrap_or_default();
    let before = code.chars[..found.range.start].iter();
    let after = code.chars[found.range.end..].iter();
    before
        .copied()
        .chain(text.chars())
        .chain(after.copied())
        .collect()
}

/// With a `;` where another statement follows.
fn ended(text: String, after: &str) -> String {
    let next = after.trim_start().chars().next();
    let follows = next.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '"' | '\'' | '`' | '['));
    let lexemes = scan(&text).lexemes;
    let Some(last) = lexemes
        .last()
        .filter(|last| follows && !matches!(last.text.as_str(), ";" | "}" | "{" | ","))
    else {
        return text;
    };
    let chars: Vec<char> = text.chars().collect();
    let (head, tail): (String, String) = (
        chars[..last.end].iter().collect(),
        chars[last.end..].iter().collect(),
    );
    format!("{head};{tail}")
}

/// For the lines under a hint: by two blanks, whatever its own indent.
fn indented(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let indents = lines.iter().filter(|line| !line.trim().is_empty());
    let own = indents
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut shown: Vec<String> = lines
        .iter()
        .take(MOST_LINES)
        .map(|line| format!("  {}", line.get(own..).unwrap_or_default().trim_end()))
        .collect();
    if lines.len() > MOST_LINES {
        shown.push("  …".to_owned());
    }
    shown.join("\n")
}
