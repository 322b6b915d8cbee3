//! Showing values, and asking the user.

use ecco_interpreter::MimeBundle;
use rhai::plugin::*;

use crate::assist::catalog::Catalog;
use crate::assist::{about, docs};
use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::habits::PAGE;
use crate::names::type_for_people;
use crate::result::rich::Rich;
use crate::result::show;
use crate::session::state::state_of;

#[export_module]
pub mod functions {
    use super::*;

    /// Shows a value as an output of its own, as a cell's last value is shown.
    #[rhai_fn(name = "display", return_raw, volatile)]
    pub fn display(ctx: NativeCallContext, value: Dynamic) -> RhaiResult<()> {
        let bundle = show::live_bundle(&value, &state_of(&ctx)).map_err(|error| error.raise(&ctx))?;
        if let Some(bundle) = bundle {
            state_of(&ctx).output().display(bundle, None);
        }
        Ok(())
    }

    /// Shows a value under an id: called again with the same id in the same cell, it replaces what was
    /// shown. In a later cell the first call shows a new output there; replacing that one replaces what
    /// earlier cells show under the id too.
    ///
    /// Example:
    /// ```rhai
    /// for step in 0..10 { display(`step ${step}`, "step"); }
    /// ```
    #[rhai_fn(name = "display", return_raw, volatile)]
    pub fn display_as(ctx: NativeCallContext, value: Dynamic, id: &str) -> RhaiResult<()> {
        super::at_most(&ctx, LONGEST_NAME, "an id", id)?;
        let bundle = show::live_bundle(&value, &state_of(&ctx)).map_err(|error| error.raise(&ctx))?;
        let bundle = bundle.unwrap_or_else(|| MimeBundle::from_text("()"));
        state_of(&ctx).show(bundle, id);
        Ok(())
    }

    /// A value that is shown as HTML.
    #[rhai_fn(return_raw)]
    pub fn html(ctx: NativeCallContext, source: &str) -> RhaiResult<Rich> {
        super::at_most(&ctx, LARGEST_SHOWN, "a display", source)?;
        Ok(Rich::of("text/html", source, source))
    }

    /// A value that is shown as formatted Markdown.
    #[rhai_fn(return_raw)]
    pub fn markdown(ctx: NativeCallContext, source: &str) -> RhaiResult<Rich> {
        super::at_most(&ctx, LARGEST_SHOWN, "a display", source)?;
        Ok(Rich::of("text/markdown", source, source))
    }

    /// A value that is shown as an SVG picture.
    #[rhai_fn(return_raw)]
    pub fn svg(ctx: NativeCallContext, source: &str) -> RhaiResult<Rich> {
        super::at_most(&ctx, LARGEST_SHOWN, "a display", source)?;
        Ok(Rich::of("image/svg+xml", source, "<svg picture>"))
    }

    /// Removes what the cell has shown so far.
    #[rhai_fn(volatile)]
    pub fn clear_output(ctx: NativeCallContext) {
        super::clear(&ctx, false);
    }

    /// Removes what the cell has shown so far, once the next output arrives: nothing flickers.
    #[rhai_fn(name = "clear_output", volatile)]
    pub fn clear_output_when(ctx: NativeCallContext, wait: bool) {
        super::clear(&ctx, wait);
    }

    /// Writes a value as a line to the cell's error stream.
    #[rhai_fn(volatile)]
    pub fn eprint(ctx: NativeCallContext, value: Dynamic) {
        state_of(&ctx)
            .output()
            .stderr(&format!("{}\n", show::printed(&value)));
    }

    /// Asks the user for a line of text.
    #[rhai_fn(return_raw, volatile)]
    pub fn input(ctx: NativeCallContext, prompt: &str) -> RhaiResult<String> {
        ask(&ctx, prompt, false)
    }

    /// Asks the user for a line of text without a prompt.
    #[rhai_fn(name = "input", return_raw, volatile)]
    pub fn input_plain(ctx: NativeCallContext) -> RhaiResult<String> {
        ask(&ctx, "", false)
    }

    /// Asks the user for a line of text that is not shown while typed.
    #[rhai_fn(return_raw, volatile)]
    pub fn password(ctx: NativeCallContext, prompt: &str) -> RhaiResult<String> {
        ask(&ctx, prompt, true)
    }

    /// Shows how to use this kernel, in the front end's pager.
    #[rhai_fn(name = "help", volatile)]
    pub fn help_overview(ctx: NativeCallContext) {
        let page = Rich::of("text/markdown", super::OVERVIEW, super::OVERVIEW);
        state_of(&ctx).output().page(page.bundle);
    }

    /// Shows the documentation of a primitive or a function, named as a string
    /// (`help("ecco::from_pretrained")`, `help("generate")`), or what a value is and can do (`help(lm)`), in
    /// the front end's pager. As a cell of its own, `ecco::from_pretrained?` and `lm?` do the same; `??` shows
    /// the code of a cell's function too.
    #[rhai_fn(return_raw, volatile)]
    pub fn help(ctx: NativeCallContext, what: Dynamic) -> RhaiResult<()> {
        if let Ok(name) = what.as_immutable_string_ref() {
            super::at_most(&ctx, LONGEST_NAME, "a name", &name)?;
        }
        let page = super::documentation(&ctx, &what).map_err(|error| error.raise(&ctx))?;
        state_of(&ctx).output().page(page);
        Ok(())
    }
}

fn clear(context: &NativeCallContext, wait: bool) {
    let state = state_of(context);
    state.just_shown.take();
    state.output().clear(wait);
}

/// Bytes of a display: front ends get no more, and it is copied some times on its way.
const LARGEST_SHOWN: usize = 64 << 20;
/// Bytes of a prompt, and of a name: an id, what help is asked about.
const LONGEST_PROMPT: usize = 64 << 10;
const LONGEST_NAME: usize = 4 << 10;

/// Refuses a text that is too long for what it is, before it is copied into anything.
fn at_most(context: &NativeCallContext, most: usize, what: &str, text: &str) -> RhaiResult<()> {
    if text.len() <= most {
        return Ok(());
    }
    let message = format!("{what} of {} bytes is too long: at most {most}", text.len());
    Err(ScriptError::new(ErrorKind::Value, message).raise(context))
}

fn ask(context: &NativeCallContext, prompt: &str, password: bool) -> RhaiResult<String> {
    at_most(context, LONGEST_PROMPT, "a prompt", prompt)?;
    let state = state_of(context);
    let answer = state.output().input(prompt, password);
    state.check_interrupt().map_err(|error| error.raise(context))?;
    answer.map_err(|reason| ScriptError::new(ErrorKind::Input, reason).raise(context))
}

fn documentation(context: &NativeCallContext, what: &Dynamic) -> Result<MimeBundle, ScriptError> {
    let state = state_of(context);
    let catalog = Catalog::of(context.engine(), &state.vocabulary());
    let Ok(name) = what.as_immutable_string_ref().map(|name| name.to_string()) else {
        let of = type_for_people(context.engine().map_type_name(what.type_name()));
        return Ok(about::value(None, &of, what, &catalog));
    };
    if name.eq_ignore_ascii_case("python") {
        return Ok(MimeBundle::from_text(PAGE).with("text/markdown", PAGE));
    }
    let sources = state.sources.borrow();
    let definitions = sources.definitions(&name);
    if !definitions.is_empty() {
        return Ok(about::functions(&definitions, 0));
    }
    let entries = catalog.find(&name);
    if !entries.is_empty() {
        return Ok(docs::bundle(&entries, &[]));
    }
    let error = ScriptError::new(ErrorKind::Name, format!("there is no documentation of `{name}`"));
    let names: Vec<String> = catalog.entries().map(|entry| entry.full_name()).collect();
    let plain = catalog.function_names().chain(sources.function_names());
    Err(error.with_nearest(&name, names.iter().map(String::as_str).chain(plain)))
}

const OVERVIEW: &str = "\
Cells are [Rhai](https://rhai.rs/book/) scripts that load, run and explain language models.

    let lm = ecco::from_pretrained(\"demo\");
    let output = lm.generate(\"The countries are:\\n1.\", #{generate: 20});
    output.saliency()

- `help(\"ecco::from_pretrained\")` or `ecco::from_pretrained?` shows a primitive, `help(lm)` or `lm?` what a
  value is and can do, `name??` the code of a function from a cell.
- The last value of a cell is shown; a `;` at the end hides it.
- Functions (`fn`) see no outer variables; closures (`|x| x + y`) do.
- `help(\"python\")` says what is written otherwise than in Python.
- `1/2` is 0, `1/2.0` is 0.5; a string in backticks may span lines.
";
