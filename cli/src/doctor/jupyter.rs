//! Jupyter, and what it knows of this kernel.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Findings, Section, line};
use crate::kernelspec;

/// What `jupyter --paths` may take: it imports little.
const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST_SPEC: u64 = 1 << 20;
/// Packages that are asked about, as their folders are called.
const PACKAGES: [&str; 4] = ["jupyterlab", "notebook", "jupyter_server", "jupyter_client"];
const NAME: &str = "ecco";

/// What was found.
#[derive(Default)]
pub(super) struct Jupyter {
    program: Option<PathBuf>,
    /// Why it does not tell its folders.
    fault: Option<String>,
    packages: Vec<(&'static str, String)>,
    /// Its data folders, the ones before the others.
    folders: Vec<PathBuf>,
}

/// A kernelspec of this kernel.
struct Spec {
    name: String,
    folder: PathBuf,
    /// What it starts; `None` where kernel.json does not say.
    program: Option<PathBuf>,
    exists: bool,
    /// The first of its name.
    wins: bool,
}

/// Asks the Jupyter that a shell would start, else the one beside this program.
pub(super) fn look() -> Jupyter {
    let program = on_path("jupyter").or_else(|| {
        let own = std::env::current_exe().ok()?;
        Some(own.with_file_name("jupyter")).filter(|path| is_program(path))
    });
    let told = program.as_deref().map(data_folders);
    let (folders, fault) = match told {
        Some(Ok(folders)) => (folders, None),
        Some(Err(fault)) => (kernelspec::data_folders(), Some(fault)),
        None => (kernelspec::data_folders(), None),
    };
    Jupyter {
        packages: program.as_deref().map(packages).unwrap_or_default(),
        program,
        fault,
        folders,
    }
}

pub(super) fn sections(jupyter: &Jupyter, own: &Path, findings: &mut Findings) -> [Section; 2] {
    let specs = specs(&jupyter.folders);
    let live = jupyter.folders.iter().find(|folder| {
        folder
            .join(kernelspec::EXTENSION_FOLDER)
            .join("package.json")
            .is_file()
    });
    judge(jupyter, &specs, live.is_some(), own, findings);
    let shown =
        |path: Option<&PathBuf>| path.map_or("not found".to_owned(), |path| path.display().to_string());
    let mut lines = vec![line("program", shown(jupyter.program.as_ref()))];
    lines.extend(
        jupyter
            .packages
            .iter()
            .map(|(name, version)| line(*name, version.clone())),
    );
    lines.push(line(
        "extension",
        live.map_or("not found".to_owned(), |folder| {
            format!("in {}", folder.display())
        }),
    ));
    lines.extend(jupyter.folders.iter().enumerate().map(|(index, folder)| {
        line(
            if index == 0 { "looks in" } else { "" },
            folder.display().to_string(),
        )
    }));
    let packages: std::collections::BTreeMap<_, _> = jupyter.packages.iter().cloned().collect();
    let about_jupyter = Section {
        title: "jupyter",
        lines,
        data: json!({
            "program": jupyter.program, "packages": packages, "data_folders": jupyter.folders, "extension": live,
        }),
    };
    let about_specs = Section {
        title: "kernelspecs",
        lines: match specs.is_empty() {
            true => vec![line(NAME, "none")],
            false => specs
                .iter()
                .map(|spec| line(spec.name.clone(), spec.told(own)))
                .collect(),
        },
        data: specs.iter().map(Spec::data).collect(),
    };
    [about_jupyter, about_specs]
}

/// What is wrong of it.
fn judge(jupyter: &Jupyter, specs: &[Spec], is_live: bool, own: &Path, findings: &mut Findings) {
    let own_name = own.display();
    match (&jupyter.program, &jupyter.fault) {
        (None, _) => findings.problem(
            "jupyter",
            "it is neither on the PATH nor beside this program",
            "pip install jupyterlab",
        ),
        (Some(program), Some(fault)) => findings.problem(
            "jupyter",
            format!("{} --paths {fault}", program.display()),
            "pip install --force-reinstall jupyter-core",
        ),
        (Some(_), None) => {}
    }
    for spec in specs.iter().filter(|spec| spec.wins) {
        let what = match &spec.program {
            None => format!(
                "{} has no kernel.json that names a program",
                spec.folder.display()
            ),
            Some(program) if !spec.exists => {
                format!(
                    "{} names {}, which is not there",
                    spec.folder.display(),
                    program.display()
                )
            }
            Some(program) => {
                if spec.name == NAME && !is_same(program, own) {
                    findings.note(
                        "kernelspecs",
                        format!(
                            "Jupyter starts another program than this one: {}",
                            program.display()
                        ),
                        format!("{own_name} install {}", spec.place()),
                    );
                }
                continue;
            }
        };
        findings.problem(
            "kernelspecs",
            what,
            format!("{own_name} install {}", spec.place()),
        );
    }
    let install = format!("{own_name} install --user");
    if !specs.iter().any(|spec| spec.wins) {
        findings.problem("kernelspecs", "Jupyter does not know this kernel", install);
    } else if !is_live && !jupyter.packages.is_empty() {
        let what = "the extension is missing by which views ask the kernel, and cells have colours";
        findings.note("jupyter", what, install);
    }
}

impl Spec {
    /// The options of `install` that put a good one in its place.
    fn place(&self) -> String {
        let name = match self.name.as_str() {
            NAME => String::new(),
            name => format!(" --name {name}"),
        };
        let data = self.folder.parent().and_then(Path::parent);
        match data
            .filter(|data| data.ends_with("share/jupyter"))
            .and_then(|data| data.ancestors().nth(2))
        {
            Some(prefix) => format!("--prefix {}{name}", prefix.display()),
            None => format!("--user{name}   # and rm -r {}", self.folder.display()),
        }
    }

    fn told(&self, own: &Path) -> String {
        let what = match &self.program {
            None => "starts nothing: kernel.json cannot be read".to_owned(),
            Some(program) if !self.exists => format!("starts {}, which is not there", program.display()),
            Some(program) if is_same(program, own) => "starts this program".to_owned(),
            Some(program) => format!("starts {}", program.display()),
        };
        let rank = if self.wins {
            ""
        } else {
            " (hidden by one before it)"
        };
        format!("{} {what}{rank}", self.folder.display())
    }

    fn data(&self) -> Value {
        json!({
            "name": self.name, "folder": self.folder, "program": self.program, "exists": self.exists, "wins": self.wins,
        })
    }
}

/// The kernelspecs that are called as this kernel's are, or start a program of its name, in Jupyter's order.
fn specs(folders: &[PathBuf]) -> Vec<Spec> {
    let mut specs: Vec<Spec> = Vec::new();
    for kernels in folders.iter().map(|folder| folder.join("kernels")) {
        let entries = std::fs::read_dir(kernels).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        found.sort();
        for folder in found.iter().filter(|folder| folder.join("kernel.json").exists()) {
            let name = folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .to_lowercase();
            let program = program_of(folder);
            let is_ours = |program: &PathBuf| program.file_name().is_some_and(|name| name == "ecco-kernel");
            if name == NAME || program.as_ref().is_some_and(is_ours) {
                specs.push(Spec {
                    wins: !specs.iter().any(|spec| spec.name == name),
                    exists: program.as_deref().is_some_and(is_program),
                    folder: folder.clone(),
                    program,
                    name,
                });
            }
        }
    }
    specs
}

/// The program that a kernelspec starts, as a path where it is found.
fn program_of(folder: &Path) -> Option<PathBuf> {
    let file = folder.join("kernel.json");
    let about = file.metadata().ok()?;
    if !about.is_file() || about.len() > LARGEST_SPEC {
        return None;
    }
    let spec: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let program = spec["argv"][0]
        .as_str()?
        .replace("{resource_dir}", folder.to_str()?);
    let path = match program.contains('/') {
        true => PathBuf::from(program),
        false => on_path(&program).unwrap_or_else(|| program.into()),
    };
    Some(path.canonicalize().unwrap_or(path))
}

fn is_same(program: &Path, own: &Path) -> bool {
    own.canonicalize().is_ok_and(|own| own == program)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// What Jupyter itself says, or why it says nothing.
fn data_folders(jupyter: &Path) -> Result<Vec<PathBuf>, String> {
    let output = output_within(Command::new(jupyter).args(["--paths", "--json"]), PATIENCE)?;
    let told: Option<Value> = serde_json::from_slice(&output).ok();
    let folders = told.as_ref().and_then(|told| told["data"].as_array());
    let folders = folders.ok_or("says something else than its folders")?;
    Ok(folders
        .iter()
        .filter_map(Value::as_str)
        .map(PathBuf::from)
        .collect())
}

/// What a program prints that ends well and in time.
fn output_within(command: &mut Command, patience: Duration) -> Result<Vec<u8>, String> {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(|error| format!("does not start: {error}"))?;
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => {
                let output = child.wait_with_output().map_err(|error| error.to_string())?;
                return Ok(output.stdout);
            }
            Ok(Some(status)) => return Err(format!("ends with {status}")),
            Ok(None) if start.elapsed() > patience => {
                // It is ours, and may be waited for then.
                let _ = child.kill().and_then(|()| child.wait());
                return Err(format!("says nothing for {} s", patience.as_secs()));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The versions that folders of the environment's packages tell; importing them takes seconds.
fn packages(jupyter: &Path) -> Vec<(&'static str, String)> {
    let real = jupyter.canonicalize().unwrap_or_else(|_| jupyter.to_owned());
    let Some(prefix) = real.parent().and_then(Path::parent) else {
        return Vec::new();
    };
    let names: Vec<String> = ["lib", "lib64"]
        .into_iter()
        .flat_map(|lib| {
            names_in(&prefix.join(lib))
                .into_iter()
                .map(move |python| format!("{lib}/{python}"))
        })
        .filter(|python| python.contains("python3"))
        .flat_map(|python| ["site-packages", "dist-packages"].map(|name| prefix.join(&python).join(name)))
        .flat_map(|packages| names_in(&packages))
        .collect();
    let version = |package: &str| {
        let mut versions = names.iter().filter_map(|name| {
            name.strip_prefix(package)?
                .strip_prefix('-')?
                .strip_suffix(".dist-info")
        });
        versions.next().map(str::to_owned)
    };
    PACKAGES
        .into_iter()
        .filter_map(|package| Some((package, version(package)?)))
        .collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
