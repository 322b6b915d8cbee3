//! Errors as people meet them: what kind, what to do, which word of the call it is about.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error;

/// An error that a cell may end with. `Display` says what was wrong, with which value.
pub trait Diagnostic: Error + Any {
    fn kind(&self) -> Kind {
        Kind::Value
    }

    /// What to do about it, where there is something. In words of no language: how a script says it is
    /// the language's to know.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The option or argument it is about, to point at.
    fn at(&self) -> Option<&str> {
        None
    }
}

/// What cannot fail stands where something may.
impl Diagnostic for Infallible {}

/// The kinds of error a cell can end with, in the words notebook users know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Syntax,
    Name,
    Type,
    Value,
    Option,
    Attribute,
    Index,
    Arithmetic,
    Import,
    File,
    Os,
    Memory,
    Recursion,
    Input,
    Interrupt,
    Runtime,
    Internal,
}

impl Kind {
    /// Jupyter's `ename`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "SyntaxError",
            Self::Name => "NameError",
            Self::Type => "TypeError",
            Self::Value => "ValueError",
            Self::Option => "OptionError",
            Self::Attribute => "AttributeError",
            Self::Index => "IndexError",
            Self::Arithmetic => "ArithmeticError",
            Self::Import => "ImportError",
            Self::File => "FileNotFoundError",
            Self::Os => "OSError",
            Self::Memory => "MemoryError",
            Self::Recursion => "RecursionError",
            Self::Input => "InputError",
            Self::Interrupt => "KeyboardInterrupt",
            Self::Runtime => "RuntimeError",
            Self::Internal => "InternalError",
        }
    }
}
