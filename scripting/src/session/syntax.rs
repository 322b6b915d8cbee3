//! Code that Rhai takes for whole and is not.
//!
//! To Rhai a block comment ends with the code, so that a forgotten `*/` leaves out everything behind it without a word.

use rhai::{AST, ASTNode, Engine, Expr, Position};

use crate::assist::scan::{Open, scan};
use crate::errors::{ErrorKind, RhaiResult, ScriptError};

/// Compiles a cell or a script.
///
/// # Errors
/// What Rhai says; a comment that is not closed, at its beginning.
pub(super) fn compile(engine: &Engine, code: &str) -> RhaiResult<AST> {
    let compiled = engine.compile(code)?;
    check(engine, code)?;
    Ok(compiled)
}

/// Refuses code that ends inside of a block comment.
pub(super) fn check(engine: &Engine, code: &str) -> RhaiResult<()> {
    let Some(Open::Comment { start, levels }) = scan(code).open else {
        return Ok(());
    };
    // Our scanner is no parser: where closing the comment makes the code wrong, there is none. The space keeps `/**/`, the
    // beginning of another kind of comment to Rhai, from coming of `/*`.
    if engine.compile(format!("{code} {}", "*/".repeat(levels))).is_err() {
        return Ok(());
    }
    let error = ScriptError::new(ErrorKind::Syntax, "the comment that begins here is not closed");
    let hint = match levels {
        1 => "write `*/` where it ends".to_owned(),
        n => format!("comments nest, and {n} are open here: each ends with its own `*/`"),
    };
    Err(error.with_hint(hint).raise_at(position(code, start)))
}

/// Line and column of a code point, both from 1.
/// Whether values are put into strings anywhere in a script.
pub(super) fn interpolates(script: &AST) -> bool {
    let mut found = false;
    script.walk(&mut |path: &[ASTNode]| {
        found |= matches!(path.last(), Some(ASTNode::Expr(Expr::InterpolatedString(..))));
        !found
    });
    found
}

fn position(code: &str, at: usize) -> Position {
    let before: Vec<char> = code.chars().take(at).collect();
    let line = before.iter().filter(|&&c| c == '\n').count() + 1;
    let column = before.iter().rev().take_while(|&&c| c != '\n').count() + 1;
    match (u16::try_from(line), u16::try_from(column)) {
        (Ok(line), Ok(column)) => Position::new(line, column),
        _ => Position::NONE,
    }
}
