//! The toy language: one statement a line.
//!
//! | statement | effect |
//! |---|---|
//! | `print x`, `warn x` | to stdout, stderr |
//! | `flood n` | prints n numbered lines |
//! | `both n` | prints n lines, by turns to stdout and stderr |
//! | `long n` | prints one line of n times "é" |
//! | `picture n`, `result n`, `raise n` | a display, a value, an error of n bytes |
//! | `later x` | says x when the next cell begins, to the output of this one |
//! | `spin` | runs until it is interrupted |
//! | `nap ms` | after so long without work the variable is "rested" |
//! | `sleep ms` | does not look at interrupts |
//! | `show x`, `show id x`, `update id x` | display_data, update_display_data |
//! | `clear` | clear_output |
//! | `widget x` | opens the model of a widget with module x; its id is the cell's value |
//! | `input prompt`, `password prompt` | prints what the user answers |
//! | `set x`, `get` | a variable that lives between cells |
//! | `value x` | the cell's value |
//! | `fail x`, `panic x` | ends the cell |
//!
//! To a question `{"do": statement}` it answers `{"said": value}`.

use std::rc::Rc;
use std::time::{Duration, Instant};

use ecco_interpreter::MimeBundle;
use ecco_interpreter::{
    Cell, CellError, Completeness, CompletionItem, Completions, Interpreter, Interrupt, Output,
};
use serde_json::{Value, json};

pub(crate) struct Toy {
    interrupt: Interrupt,
    variable: String,
    /// An output that is kept longer than its cell runs, and what to say on it.
    stale: Option<(Rc<dyn Output>, String)>,
    nap: Option<Instant>,
}

impl Toy {
    pub(crate) fn new(interrupt: Interrupt) -> Self {
        Self {
            interrupt,
            variable: String::new(),
            stale: None,
            nap: None,
        }
    }

    fn statement(
        &mut self,
        line: &str,
        cell: &Cell,
        output: &Rc<dyn Output>,
    ) -> Result<Option<String>, CellError> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (id, content) = rest.split_once(' ').unwrap_or(("", rest));
        match word {
            "" => {}
            "print" => output.stdout(&format!("{rest}\n")),
            "warn" => output.stderr(&format!("{rest}\n")),
            "flood" => return self.flood(number(rest)?, &**output),
            "paint" => return self.paint(number(rest)?, &**output),
            "both" => (0..number(rest)?).for_each(|line| match line % 2 {
                0 => output.stdout(&format!("line {line}\n")),
                _ => output.stderr(&format!("line {line}\n")),
            }),
            "long" => output.stdout(&"é".repeat(number(rest)? as usize)),
            "picture" => output.display(MimeBundle::from_text("x".repeat(number(rest)? as usize)), None),
            "result" => return Ok(Some("x".repeat(number(rest)? as usize))),
            "raise" => return Err(error("ToyError", "x".repeat(number(rest)? as usize))),
            "later" => self.stale = Some((output.clone(), rest.to_owned())),
            "spin" => return self.spin(),
            "nap" => self.nap = Some(Instant::now() + Duration::from_millis(number(rest)?)),
            "sleep" => std::thread::sleep(Duration::from_millis(number(rest)?)),
            "show" => output.display(
                MimeBundle::from_text(content),
                Some(id).filter(|id| !id.is_empty()),
            ),
            "update" => output.update(MimeBundle::from_text(content), id),
            "clear" => output.clear(true),
            "widget" => return Ok(output.open_widget(rest, json!({"session": "s"}))),
            "input" | "password" => {
                let answer = output
                    .input(rest, word == "password")
                    .map_err(|why| error("InputError", why))?;
                output.stdout(&format!("got {answer:?}\n"));
            }
            "set" => self.variable = rest.to_owned(),
            "get" => return Ok(Some(self.variable.clone())),
            "number" => return Ok(Some(cell.execution_count.to_string())),
            "value" => return Ok(Some(rest.to_owned())),
            "fail" => return Err(error("ToyError", rest.to_owned())),
            "panic" => panic!("{rest}"),
            _ => return Err(error("SyntaxError", format!("{word:?} is not a statement"))),
        }
        Ok(None)
    }

    fn flood(&self, lines: u64, output: &dyn Output) -> Result<Option<String>, CellError> {
        for line in 0..lines {
            output.stdout(&format!("line {line}\n"));
            if self.interrupt.is_requested() {
                return Err(interrupted());
            }
        }
        Ok(None)
    }

    /// Shows numbers in two displays in turn, and prints some.
    fn paint(&self, times: u64, output: &dyn Output) -> Result<Option<String>, CellError> {
        for time in 0..times {
            output.update(
                MimeBundle::from_text(time.to_string()),
                ["even", "odd"][time as usize % 2],
            );
            if time % 1000 == 0 {
                output.stdout(&format!("{time}\n"));
            }
            if self.interrupt.is_requested() {
                return Err(interrupted());
            }
        }
        Ok(None)
    }

    fn spin(&self) -> Result<Option<String>, CellError> {
        while !self.interrupt.is_requested() {
            std::thread::sleep(Duration::from_micros(200));
        }
        Err(interrupted())
    }
}

fn number(text: &str) -> Result<u64, CellError> {
    text.parse()
        .map_err(|_| error("TypeError", format!("{text:?} is not a number")))
}

fn interrupted() -> CellError {
    error("KeyboardInterrupt", "interrupted".to_owned())
}

fn error(name: &str, value: String) -> CellError {
    CellError {
        name: name.to_owned(),
        traceback: vec![format!("{name}: {value}")],
        value,
    }
}

impl Interpreter for Toy {
    fn execute(&mut self, cell: &Cell, output: Rc<dyn Output>) -> Result<Option<MimeBundle>, CellError> {
        if let Some((stale, text)) = self.stale.take() {
            stale.stdout(&text);
            stale.display(MimeBundle::from_text(text.as_str()), None);
            stale.clear(false);
            assert!(stale.input("who?", false).is_err());
            stale.page(MimeBundle::from_text(text));
        }
        let mut value = None;
        for line in cell.code.lines() {
            value = self.statement(line, cell, &output)?;
        }
        Ok(value.map(MimeBundle::from_text))
    }

    fn evaluate(&mut self, expression: &str) -> Result<MimeBundle, CellError> {
        match expression {
            "get" => Ok(MimeBundle::from_text(self.variable.as_str())),
            other => Err(error("SyntaxError", format!("{other:?} is not an expression"))),
        }
    }

    fn complete(&mut self, code: &str, cursor: usize) -> Completions {
        let typed: String = code.chars().take(cursor).collect();
        let word = typed.rsplit(['\n', ' ']).next().unwrap_or_default();
        assert!(word != "crash", "completion panics on request");
        let matches = ["panic", "password", "print"]
            .into_iter()
            .filter(|name| name.starts_with(word))
            .map(|name| CompletionItem {
                text: name.to_owned(),
                kind: "keyword",
                signature: Some(format!("{name} x")),
            })
            .collect();
        Completions {
            range: cursor - word.chars().count()..cursor,
            matches,
        }
    }

    fn inspect(&mut self, code: &str, _cursor: usize, detail: u8) -> Option<MimeBundle> {
        (code == "print").then(|| MimeBundle::from_text(format!("print x: writes x (detail {detail})")))
    }

    fn ask(&mut self, question: &Value) -> Result<Value, CellError> {
        let code = question["do"].as_str().unwrap_or_default().to_owned();
        let cell = Cell {
            code,
            execution_count: 0,
            silent: false,
            allow_stdin: false,
        };
        let output: Rc<dyn Output> = Rc::new(Nowhere);
        let value = self.statement(&cell.code, &cell, &output)?;
        Ok(json!({"said": value}))
    }

    fn rest(&mut self) -> Option<Duration> {
        let left = self.nap?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.nap = None;
            self.variable = "rested".to_owned();
            return None;
        }
        Some(left)
    }

    fn is_complete(&mut self, code: &str) -> Completeness {
        match code.strip_suffix('\\') {
            Some(_) => Completeness::Incomplete {
                indent: "  ".to_owned(),
            },
            None if code.contains('?') => Completeness::Invalid,
            None => Completeness::Complete,
        }
    }
}

/// What a question prints is nobody's.
struct Nowhere;

impl Output for Nowhere {
    fn stdout(&self, _: &str) {}
    fn stderr(&self, _: &str) {}
    fn display(&self, _: MimeBundle, _: Option<&str>) {}
    fn update(&self, _: MimeBundle, _: &str) {}
    fn page(&self, _: MimeBundle) {}
    fn clear(&self, _: bool) {}
    fn input(&self, _: &str, _: bool) -> Result<String, String> {
        Err("no input".to_owned())
    }
}
