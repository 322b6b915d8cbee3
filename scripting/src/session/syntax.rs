//! Code that Rhai takes for whole and is not.
//!
//! To Rhai a block comment ends with the code, so that a forgotten `*/` leaves out everything behind it without a word.

use rhai::{AST, ASTNode, Engine, Expr, Position};

use crate::assist::scan::{Open, scan};
use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::session::State;

/// Compiles a cell or a script.
///
/// # Errors
/// What Rhai says; a comment that is not closed, at its beginning.
pub(super) fn compile(engine: &Engine, code: &str) -> RhaiResult<AST> {
    let compiled = engine.compile(code);
    check(engine, code)?;
    Ok(compiled?)
}

/// Refuses code that ends inside of a block comment.
pub(super) fn check(engine: &Engine, code: &str) -> RhaiResult<()> {
    let scan = scan(code);
    let Some(Open::Comment { start, levels }) = scan.open else {
        return Ok(());
    };
    let close = |&at: &usize| match scan.lexemes[at].text.as_str() {
        "${" => "}`",
        "(" => ")",
        "[" | "?[" => "]",
        _ => "}",
    };
    let brackets: String = scan.brackets.iter().rev().map(close).collect();
    // Our scanner is no parser: where closing the comment, and the brackets before it, makes the code wrong, there is none. The space keeps `/**/`, the
    // beginning of another kind of comment to Rhai, from coming of `/*`.
    if engine
        .compile(format!("{code} {}{brackets}", "*/".repeat(levels)))
        .is_err()
    {
        return Ok(());
    }
    let error = ScriptError::new(ErrorKind::Syntax, "the comment that begins here is not closed");
    let hint = match levels {
        1 => "write `*/` where it ends".to_owned(),
        n => format!("comments nest, and {n} are open here: each ends with its own `*/`"),
    };
    Err(error.with_hint(hint).raise_at(position(code, start)))
}

/// Notes whether a script puts values into strings: any cell may call its functions from now on.
pub(super) fn note_interpolation(script: &AST, state: &State) {
    script.walk(&mut |path: &[ASTNode]| {
        if matches!(path.last(), Some(ASTNode::Expr(Expr::InterpolatedString(..)))) {
            state.interpolates.set(true);
        }
        !state.interpolates.get()
    });
}

/// Line and column of a code point, both from 1.
fn position(code: &str, at: usize) -> Position {
    let before: Vec<char> = code.chars().take(at).collect();
    let line = before.iter().filter(|&&c| c == '\n').count() + 1;
    let column = before.iter().rev().take_while(|&&c| c != '\n').count() + 1;
    match (u16::try_from(line), u16::try_from(column)) {
        (Ok(line), Ok(column)) => Position::new(line, column),
        _ => Position::NONE,
    }
}
