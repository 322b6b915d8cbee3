//! `import "name" as alias` reads scripts of the notebook's folder and nothing else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rhai::{Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use crate::assist::source::Source;
use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::result::folder::{Folder, Refusal, check_length};
use crate::session::state::State;
use crate::session::syntax::{compile, note_interpolation};

/// Largest script that is imported.
const LARGEST: u64 = 4 << 20;

/// Modules that the running cell imported, by path.
pub(super) type Imports = Rc<RefCell<HashMap<String, Shared<Module>>>>;

/// Resolves imports inside one folder, links included.
pub(super) struct FolderResolver {
    pub folder: PathBuf,
    pub state: Rc<State>,
    pub imported: Imports,
    pub loading: RefCell<Vec<PathBuf>>,
}

impl ModuleResolver for FolderResolver {
    fn resolve(
        &self,
        engine: &Engine,
        _source: Option<&str>,
        path: &str,
        position: Position,
    ) -> RhaiResult<Shared<Module>> {
        check_length(path).map_err(|error| error.raise_at(position))?;
        if let Some(module) = self.imported.borrow().get(path) {
            return Ok(Shared::clone(module));
        }
        let (file, code) = self.read(path).map_err(|error| error.raise_at(position))?;
        if self.loading.borrow().contains(&file) {
            let message = format!("\"{path}\" imports itself");
            return Err(ScriptError::new(ErrorKind::Import, message).raise_at(position));
        }
        self.loading.borrow_mut().push(file);
        let module = self.load(engine, path, code, position);
        self.loading.borrow_mut().pop();
        let module = module?;
        self.imported
            .borrow_mut()
            .insert(path.to_owned(), Shared::clone(&module));
        Ok(module)
    }
}

impl FolderResolver {
    /// The script's real path and text.
    fn read(&self, path: &str) -> Result<(PathBuf, String), ScriptError> {
        let has_extension = Path::new(path).extension().is_some_and(|end| end == "rhai");
        let wanted = match has_extension || path.is_empty() {
            true => path.to_owned(),
            false => format!("{path}.rhai"),
        };
        let place = Folder::existing_in(&self.folder, Path::new(&wanted));
        let place = place.map_err(|refusal| refused(refusal, path))?;
        let unreadable = |error: std::io::Error| import_error(format!("cannot read \"{path}\": {error}"));
        let mut code = Vec::new();
        let file = place.read().map_err(unreadable)?;
        file.take(LARGEST + 1)
            .read_to_end(&mut code)
            .map_err(unreadable)?;
        if code.len() as u64 > LARGEST {
            let message = format!("\"{path}\" is not a script of at most {LARGEST} bytes");
            return Err(import_error(message));
        }
        let code = String::from_utf8(code)
            .map_err(|_| import_error(format!("cannot read \"{path}\": it is no text in UTF-8")))?;
        Ok((place.path, code))
    }

    fn load(
        &self,
        engine: &Engine,
        path: &str,
        code: String,
        position: Position,
    ) -> RhaiResult<Shared<Module>> {
        let in_module = |error| Box::new(EvalAltResult::ErrorInModule(path.to_owned(), error, position));
        let source = Rc::new(Source::new(engine, path, code));
        self.state.sources.borrow_mut().add_file(path, Rc::clone(&source));
        let mut ast = compile(engine, source.script()).map_err(in_module)?;
        ast.set_source(path);
        note_interpolation(&ast, &self.state);
        let module = Module::eval_ast_as_new(Scope::new(), &ast, engine).map_err(in_module)?;
        Ok(module.into())
    }
}

fn refused(refusal: Refusal, path: &str) -> ScriptError {
    match refusal {
        Refusal::Outside => import_error(format!("\"{path}\" is outside of the notebook's folder"))
            .with_hint("imports name scripts in the notebook's folder or below: import \"helpers\" as h"),
        Refusal::Unreadable(place, error) => {
            import_error(format!("cannot import \"{path}\": {}: {error}", place.display()))
                .with_hint("scripts are looked for in the notebook's folder")
        }
    }
}

fn import_error(message: String) -> ScriptError {
    ScriptError::new(ErrorKind::Import, message)
}
