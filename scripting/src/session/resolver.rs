//! `import "name" as alias` reads scripts of the notebook's folder and nothing else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rhai::{Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use crate::assist::source::Source;
use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::session::state::State;

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
        let file = self.locate(path)?;
        let unreadable = |error: std::io::Error| import_error(format!("cannot read \"{path}\": {error}"));
        let about = std::fs::metadata(&file).map_err(unreadable)?;
        if !about.is_file() || about.len() > LARGEST {
            let message = format!("\"{path}\" is not a script of at most {LARGEST} bytes");
            return Err(import_error(message));
        }
        let code = std::fs::read_to_string(&file).map_err(unreadable)?;
        Ok((file, code))
    }

    /// Where the script really is; refused when that is outside of the folder.
    fn locate(&self, path: &str) -> Result<PathBuf, ScriptError> {
        let outside = || {
            import_error(format!("\"{path}\" is outside of the notebook's folder"))
                .with_hint("imports name scripts in the notebook's folder or below: import \"helpers\" as h")
        };
        let wanted = Path::new(path);
        let is_below = wanted
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !is_below {
            return Err(outside());
        }
        let has_extension = wanted.extension().is_some_and(|extension| extension == "rhai");
        let wanted = if has_extension {
            path.to_owned()
        } else {
            format!("{path}.rhai")
        };
        let folder = self.folder.canonicalize().map_err(|error| {
            let folder = self.folder.display();
            import_error(format!("the notebook's folder {folder} cannot be read: {error}"))
        })?;
        let file = folder.join(&wanted).canonicalize().map_err(|error| {
            import_error(format!("cannot import \"{path}\": {wanted}: {error}"))
                .with_hint("scripts are looked for in the notebook's folder")
        })?;
        if file.starts_with(&folder) {
            Ok(file)
        } else {
            Err(outside())
        }
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
        let mut ast = engine
            .compile(source.script())
            .map_err(|error| in_module(error.into()))?;
        ast.set_source(path);
        let module = Module::eval_ast_as_new(Scope::new(), &ast, engine).map_err(in_module)?;
        Ok(module.into())
    }
}

fn import_error(message: String) -> ScriptError {
    ScriptError::new(ErrorKind::Import, message)
}
