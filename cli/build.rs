//! Tells the binary where libtorch is: in the environment that it is installed in, `<env>/bin/ecco-kernel`
//! beside `<env>/lib/python3.x/site-packages/torch/lib`, and, for binaries that run from the target folder,
//! in the environment that it was built with.

use std::path::{Path, PathBuf};
use std::process::Command;

const PYTHON_MINORS: std::ops::RangeInclusive<u32> = 10..=14;
const PACKAGES: [&str; 2] = ["site-packages", "dist-packages"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for variable in ["LIBTORCH", "LIBTORCH_LIB", "LIBTORCH_USE_PYTORCH", "VIRTUAL_ENV"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    for packages in PACKAGES {
        for minor in PYTHON_MINORS {
            link_arg(
                "bins",
                &format!("$ORIGIN/../lib/python3.{minor}/{packages}/torch/lib"),
            );
        }
    }
    // A folder that is gone after the build, as the isolated environments of pip are, could be made again
    // by somebody else.
    if let Some(lib) = torch_lib().filter(|lib| !lib.starts_with(std::env::temp_dir())) {
        for target in ["bins", "tests"] {
            link_arg(target, &lib.display().to_string());
        }
    }
}

fn link_arg(target: &str, rpath: &str) {
    println!("cargo:rustc-link-arg-{target}=-Wl,-rpath,{rpath}");
}

/// Where torch-sys takes libtorch from.
fn torch_lib() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let named = variable("LIBTORCH_LIB").or(variable("LIBTORCH"));
    let root = named.or_else(|| ["python3", "python"].into_iter().find_map(torch_of))?;
    Some(root.join("lib")).filter(|lib| Path::is_dir(lib))
}

fn torch_of(python: &str) -> Option<PathBuf> {
    const FIND: &str =
        "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])";
    let output = Command::new(python).args(["-c", FIND]).output().ok()?;
    let root = String::from_utf8(output.stdout)
        .ok()
        .filter(|_| output.status.success())?;
    Some(root.trim().into())
}
