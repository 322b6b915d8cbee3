//! Tells Jupyter that this kernel is there.
//!
//! `kernelspec/kernel.json` is the one template. As it stands it suits a wheel, which cannot know where it
//! will be installed: Jupyter puts the folder of the kernelspec, `<prefix>/share/jupyter/kernels/ecco`, in
//! place of `{resource_dir}`, and the binary lies in `<prefix>/bin`, four folders up; neither `PATH` nor
//! an activated environment matters. [`install`] writes the absolute path of the running executable
//! instead, which clients understand that know no `{resource_dir}`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const TEMPLATE: &str = include_str!("../../kernelspec/kernel.json");
const LOGOS: [(&str, &[u8]); 3] = [
    (
        "logo-32x32.png",
        include_bytes!("../../kernelspec/logo-32x32.png"),
    ),
    (
        "logo-64x64.png",
        include_bytes!("../../kernelspec/logo-64x64.png"),
    ),
    ("logo-svg.svg", include_bytes!("../../kernelspec/logo-svg.svg")),
];

/// What JupyterLab and Notebook 7 load, so that views can ask the kernel and cells have colours: it lies beside the kernels.
const EXTENSION: [(&str, &[u8]); 5] = [
    ("package.json", include_bytes!("../../labextension/package.json")),
    (
        "static/live.js",
        include_bytes!("../../labextension/static/live.js"),
    ),
    (
        "static/rhai.js",
        include_bytes!("../../labextension/static/rhai.js"),
    ),
    (
        "static/selection.js",
        include_bytes!("../../labextension/static/selection.js"),
    ),
    (
        "static/talk.js",
        include_bytes!("../../labextension/static/talk.js"),
    ),
];

/// Where that lies in a data folder of Jupyter's.
pub(crate) const EXTENSION_FOLDER: &str = "labextensions/ecco-kernel-live";

/// Where a kernelspec can go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// For this user, in every environment.
    User,
    /// In the environment that is active, or that the executable is installed in.
    SysPrefix,
    Prefix(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{name:?} cannot be a kernel's name: use letters, digits, '.', '_' and '-'")]
    Name { name: String },

    #[error(
        "no environment found to install into: activate one, have python3 on PATH, or name a folder with \
         --prefix"
    )]
    NoPrefix,

    #[error("no home folder found: set JUPYTER_DATA_DIR, or name a folder with --prefix")]
    NoHome,

    #[error("{} is not a folder", path.display())]
    NotAFolder { path: PathBuf },

    #[error("could not find the path of this executable")]
    Executable { source: std::io::Error },

    #[error("the path of this executable is not valid UTF-8, which kernel.json must be: {}", path.display())]
    NotUnicode { path: PathBuf },

    #[error("the kernelspec template is damaged")]
    Template { source: serde_json::Error },

    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// Writes the kernelspec, and the extension of JupyterLab; returns the kernelspec's folder. One of the same name that is
/// there is replaced.
pub(crate) fn install(place: &Place, name: &str, display_name: &str) -> Result<PathBuf, Error> {
    let executable = std::env::current_exe().map_err(|source| Error::Executable { source })?;
    let data = data_folder(place, &executable)?;
    let folder = data.join("kernels").join(checked(name)?);
    let spec = format!("{:#}\n", spec(&executable, display_name)?);
    let files = LOGOS.into_iter().chain([("kernel.json", spec.as_bytes())]);
    write_all(&folder, files)?;
    write_all(&data.join(EXTENSION_FOLDER), EXTENSION)?;
    Ok(folder)
}

fn write_all<'a>(folder: &Path, files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<(), Error> {
    let of = |path: PathBuf| move |source| Error::Write { path, source };
    for (file, bytes) in files {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(of(parent.to_owned()))?;
        }
        std::fs::write(&path, bytes).map_err(of(path))?;
    }
    Ok(())
}

/// The template with what is known here: where the executable is, and what it should be called.
fn spec(executable: &Path, display_name: &str) -> Result<Value, Error> {
    let mut spec: Value = serde_json::from_str(TEMPLATE).map_err(|source| Error::Template { source })?;
    let executable = executable.to_str().ok_or_else(|| Error::NotUnicode {
        path: executable.to_owned(),
    })?;
    spec["argv"][0] = json!(executable);
    spec["display_name"] = json!(display_name);
    Ok(spec)
}

/// Jupyter finds kernels by folder name, in lower case.
fn checked(name: &str) -> Result<String, Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(Error::Name {
            name: name.to_owned(),
        });
    }
    Ok(name.to_lowercase())
}

/// Jupyter's, in which kernels and extensions have their folders.
fn data_folder(place: &Place, executable: &Path) -> Result<PathBuf, Error> {
    Ok(match place {
        Place::User => user_data_folder()?,
        Place::SysPrefix => sys_prefix(executable)?.join("share/jupyter"),
        Place::Prefix(prefix) => made_folder(prefix)?.join("share/jupyter"),
    })
}

/// The folders in which a Jupyter that cannot be asked would look, as `jupyter_core.paths.jupyter_path`.
pub(crate) fn data_folders() -> Vec<PathBuf> {
    let named = std::env::var_os("JUPYTER_PATH").unwrap_or_default();
    let named = std::env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty());
    let user = user_data_folder().ok();
    let environment = std::env::current_exe().ok().and_then(|own| sys_prefix(&own).ok());
    let environment = environment.map(|prefix| prefix.join("share/jupyter"));
    let system = ["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from);
    named.chain(user).chain(environment).chain(system).collect()
}

/// A prefix may be new, as packagers' are; it may not be a file.
fn made_folder(prefix: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(prefix)
        .ok()
        .filter(|path| path.is_dir() || !path.exists())
        .ok_or_else(|| Error::NotAFolder {
            path: prefix.to_owned(),
        })
}

/// As `jupyter_core.paths.jupyter_data_dir`.
fn user_data_folder() -> Result<PathBuf, Error> {
    if let Some(folder) = variable("JUPYTER_DATA_DIR") {
        return Ok(folder);
    }
    let home = std::env::home_dir()
        .filter(|home| !home.as_os_str().is_empty())
        .ok_or(Error::NoHome);
    if cfg!(target_os = "macos") {
        return Ok(home?.join("Library/Jupyter"));
    }
    let data = variable("XDG_DATA_HOME").map_or_else(|| Ok(home?.join(".local/share")), Ok)?;
    Ok(data.join("jupyter"))
}

/// The active environment; else the one the executable is installed in; else that of the python on PATH.
fn sys_prefix(executable: &Path) -> Result<PathBuf, Error> {
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().find_map(variable);
    active
        .or_else(|| installed_prefix(executable))
        .or_else(|| python_prefix("python3"))
        .or_else(|| python_prefix("python"))
        .filter(|prefix| prefix.is_dir())
        .ok_or(Error::NoPrefix)
}

/// `<prefix>` for `<prefix>/bin/ecco-kernel`, if that is an environment.
fn installed_prefix(executable: &Path) -> Option<PathBuf> {
    let prefix = executable
        .parent()
        .filter(|folder| folder.ends_with("bin"))?
        .parent()?;
    let marks = ["pyvenv.cfg", "conda-meta", "bin/python", "bin/python3"];
    marks
        .iter()
        .any(|mark| prefix.join(mark).exists())
        .then(|| prefix.to_owned())
}

fn python_prefix(python: &str) -> Option<PathBuf> {
    let output = Command::new(python)
        .args(["-c", "import sys; print(sys.prefix)"])
        .output()
        .ok()?;
    let prefix = String::from_utf8(output.stdout)
        .ok()
        .filter(|_| output.status.success())?;
    Some(prefix.trim().into())
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spec_names_the_executable_and_keeps_the_rest_of_the_template() {
        let spec = spec(Path::new("/opt/env/bin/ecco-kernel"), "Ecco (CPU)").unwrap();
        let argv = json!(["/opt/env/bin/ecco-kernel", "run", "-f", "{connection_file}"]);
        assert_eq!(spec["argv"], argv);
        assert_eq!(spec["display_name"], "Ecco (CPU)");
        assert_eq!(spec["interrupt_mode"], "message");
        assert_eq!(spec["env"]["OMP_WAIT_POLICY"], "PASSIVE");
    }

    #[test]
    fn names_become_folders_and_nothing_else() {
        assert_eq!(checked("Ecco-1.0_gpu").unwrap(), "ecco-1.0_gpu");
        for name in ["", "..", "a/b", "ecco kernel", ".hidden", "é"] {
            assert!(checked(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_executable_in_an_environment_finds_it() {
        let environment = tempfile::tempdir().unwrap();
        let executable = environment.path().join("bin/ecco-kernel");
        assert_eq!(installed_prefix(&executable), None);
        std::fs::write(environment.path().join("pyvenv.cfg"), "").unwrap();
        assert_eq!(installed_prefix(&executable), Some(environment.path().to_owned()));
        assert_eq!(
            installed_prefix(&environment.path().join("target/release/ecco-kernel")),
            None
        );
    }

    #[test]
    fn a_prefix_may_be_new_but_not_a_file() {
        let parent = tempfile::tempdir().unwrap();
        let new = parent.path().join("staging/usr");
        let folder = install(&Place::Prefix(new.clone()), "ecco", "Ecco").unwrap();
        assert_eq!(folder, new.join("share/jupyter/kernels/ecco"));
        let extension = new.join("share/jupyter/labextensions/ecco-kernel-live");
        assert!(extension.join("package.json").is_file() && extension.join("static/live.js").is_file());
        let file = folder.join("kernel.json");
        let error = install(&Place::Prefix(file.clone()), "ecco", "Ecco")
            .unwrap_err()
            .to_string();
        assert_eq!(error, format!("{} is not a folder", file.display()));
    }
}
