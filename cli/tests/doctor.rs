//! `ecco-kernel doctor` where all is well, and where something is missing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ecco-kernel");

/// A home with a Jupyter of a few lines, that looks in two folders, and a kernelspec in the second.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let folders = json!({"data": [home.path("first"), home.path("env/share/jupyter")]});
        home.script("bin/jupyter", &format!("echo '{folders}'"));
        let packages = "lib/python3.12/site-packages";
        std::fs::create_dir_all(home.path(packages).join("jupyterlab-4.6.6.dist-info")).unwrap();
        let installed = home.run(
            PROGRAM,
            &["install", "--prefix", home.path("env").to_str().unwrap()],
        );
        assert!(installed.status.success());
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, name: &str, lines: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn kernelspec(&self, data: &str, name: &str, text: &str) -> PathBuf {
        let folder = self.path(data).join("kernels").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("kernel.json"), text).unwrap();
        folder
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.run_with(program, arguments, &[])
    }

    fn run_with(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("HOME", self.0.path())
            .env("HF_HOME", self.path("hf"))
            .env("HF_HUB_OFFLINE", "1")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The report, and the status.
    fn report(&self, program: &str, variables: &[(&str, &str)]) -> (Value, Option<i32>) {
        let output = self.run_with(program, &["doctor", "--json"], variables);
        let report = serde_json::from_slice(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        (
            report.unwrap_or_else(|error| panic!("{error}: {stderr}")),
            output.status.code(),
        )
    }

    /// The only problem, and the command for it.
    fn problem(&self, variables: &[(&str, &str)]) -> (String, String) {
        let (report, status) = self.report(PROGRAM, variables);
        assert_eq!(
            (report["problems"].as_array().unwrap().len(), status),
            (1, Some(1)),
            "{report:#}"
        );
        let text = |name: &str| report["problems"][0][name].as_str().unwrap().to_owned();
        (text("what"), text("mend"))
    }
}

#[test]
fn in_a_good_environment_nothing_is_wrong() {
    let home = Home::new();
    let (report, status) = home.report(PROGRAM, &[]);
    assert_eq!((&report["problems"], status), (&json!([]), Some(0)), "{report:#}");
    assert_eq!(report["notes"], json!([]));
    assert!(report["libtorch"]["version"].as_str().unwrap().starts_with("2."));
    let products = &report["libtorch"]["products"];
    assert!(
        ["own", "libtorch", "own and libtorch"].contains(&products["few_rows"].as_str().unwrap()),
        "{products}"
    );
    let devices = report["devices"].as_array().unwrap();
    let host = devices.last().unwrap();
    assert_eq!(host["device"], "cpu");
    assert!(host["free_bytes"].as_u64().unwrap() <= host["total_bytes"].as_u64().unwrap());
    assert_eq!(report["jupyter"]["packages"], json!({"jupyterlab": "4.6.6"}));
    assert_eq!(
        report["kernelspecs"],
        json!([{
            "name": "ecco", "folder": home.path("env/share/jupyter/kernels/ecco"), "program": PROGRAM,
            "exists": true, "wins": true,
        }])
    );
    assert_eq!(report["hub"]["cache"], json!(home.path("hf/hub")));
    assert_eq!(report["hub"]["variables"]["HF_HUB_OFFLINE"], "1");
    // The same for people: one column of names, one of what there is.
    let output = home.run(PROGRAM, &["doctor"]);
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(
        page.ends_with("\n\nNothing is wrong.\n") && page.contains("starts this program\n"),
        "{page}"
    );
    let column = |name: &str| {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("  {name} ")))
            .unwrap();
        let text = line[2 + name.len()..].trim_start();
        line.len() - text.len()
    };
    for name in ["folder", "cpu", "free", "jupyterlab", "ecco", "endpoint"] {
        assert_eq!(column(name), column("version"), "{name}\n{page}");
    }
}

#[test]
fn limits_of_memory_are_told_with_who_sets_them() {
    let home = Home::new();
    let limited = format!("ulimit -v 9000000; exec '{PROGRAM}' doctor --json");
    let output = home.run("/bin/sh", &["-c", &limited]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let limits = report["memory"]["limits"].as_array().unwrap();
    assert!(
        limits.contains(&json!({"set_by": "ulimit -v", "bytes": 9_000_000_u64 * 1024})),
        "{report:#}"
    );
}

/// A libtorch that only says its version: what it has is not called before that is read.
fn stub(home: &Home, version: &str) {
    let torch = home.path("lib/python3.12/site-packages/torch");
    std::fs::create_dir_all(torch.join("lib")).unwrap();
    std::fs::write(torch.join("version.py"), format!("__version__ = '{version}'\n")).unwrap();
    let source = home.path("stub.c");
    std::fs::write(&source, "void *_ZN2at13globalContextEv(void) { return 0; }\n").unwrap();
    let library = torch.join("lib/libtorch_cpu.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(library)
        .arg(source)
        .status();
    assert!(built.unwrap().success());
}

#[test]
fn a_libtorch_of_another_version_is_refused_with_a_sentence() {
    let home = Home::new();
    stub(&home, "2.9.1+cpu");
    let program = home.path("bin/ecco-kernel");
    std::fs::copy(PROGRAM, &program).unwrap();
    let program = program.to_str().unwrap();
    let (report, status) = home.report(program, &[]);
    assert_eq!(
        (&report["libtorch"]["version"], status),
        (&json!("2.9.1+cpu"), Some(1))
    );
    let problem = &report["problems"][0];
    let what = problem["what"].as_str().unwrap();
    assert!(
        what.ends_with("is 2.9.1+cpu, and this program works with 2.10 and 2.11"),
        "{what}"
    );
    assert_eq!(problem["mend"], "pip install torch==2.11.0");
}

/// The program, looking for libtorch where it is not.
fn without_libtorch(home: &Home) -> PathBuf {
    let mut code = std::fs::read(PROGRAM).unwrap();
    let (there, nowhere) = (b"/torch/lib", b"/not/there");
    let mut at = 0;
    while let Some(found) = code[at..].windows(there.len()).position(|bytes| bytes == there) {
        at += found;
        code[at..at + there.len()].copy_from_slice(nowhere);
    }
    assert!(at > 0, "the program does not say where libtorch is");
    let program = home.path("bin/ecco-kernel");
    std::fs::write(&program, code).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    program
}

#[test]
fn without_libtorch_it_says_how_to_get_it() {
    let home = Home::new();
    let program = without_libtorch(&home);
    let (report, status) = home.report(program.to_str().unwrap(), &[]);
    assert_eq!((&report["libtorch"]["found"], status), (&json!(false), Some(1)));
    let problem = &report["problems"][0];
    assert_eq!(problem["about"], "libtorch");
    assert!(
        problem["what"].as_str().unwrap().contains("libtorch_cpu.so"),
        "{problem}"
    );
    assert!(
        problem["mend"]
            .as_str()
            .unwrap()
            .contains("pip install torch==2.11.0"),
        "{problem}"
    );
    // And the kernelspec is of the program that was installed, not of this one.
    let note = &report["notes"][0]["what"];
    assert!(note.as_str().unwrap().contains("another program"), "{note}");
}

#[test]
fn a_kernelspec_is_judged_by_what_it_starts() {
    let home = Home::new();
    let gone = home.kernelspec(
        "first",
        "Ecco",
        r#"{"argv": ["{resource_dir}/gone/ecco-kernel", "run"]}"#,
    );
    let (what, mend) = home.problem(&[]);
    assert!(
        what.contains(gone.to_str().unwrap()) && what.contains("gone/ecco-kernel, which is not there"),
        "{what}"
    );
    assert!(
        mend.starts_with(PROGRAM) && mend.contains("install --user"),
        "{mend}"
    );
    // The good one behind it is seen, and that it does not count.
    let (report, _) = home.report(PROGRAM, &[]);
    let wins: Vec<&Value> = report["kernelspecs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|spec| &spec["wins"])
        .collect();
    assert_eq!(wins, [true, false]);
    std::fs::write(gone.join("kernel.json"), "{").unwrap();
    assert!(home.problem(&[]).0.contains("names a program"));
    std::fs::remove_dir_all(&gone).unwrap();
    // One of another name that starts a program that is gone.
    home.kernelspec("env/share/jupyter", "old", r#"{"argv": ["/gone/ecco-kernel"]}"#);
    let (what, mend) = home.problem(&[]);
    assert!(what.contains("/gone/ecco-kernel"), "{what}");
    let env = home.path("env");
    assert_eq!(
        mend,
        format!("{PROGRAM} install --prefix {} --name old", env.display())
    );
    // What it says mends it.
    let arguments: Vec<&str> = mend.split(' ').skip(1).collect();
    assert!(home.run(PROGRAM, &arguments).status.success());
    assert_eq!(home.report(PROGRAM, &[]).1, Some(0));
    std::fs::remove_dir_all(home.path("env/share/jupyter/kernels")).unwrap();
    assert!(home.problem(&[]).1.ends_with("install --user"));
}

#[test]
fn a_jupyter_that_is_not_there_or_does_not_speak_is_told() {
    let home = Home::new();
    let data = home.path("env/share/jupyter");
    let folders = [("JUPYTER_PATH", data.to_str().unwrap())];
    home.script("bin/jupyter", "exit 3");
    let (what, mend) = home.problem(&folders);
    assert!(
        what.contains("ends with exit status: 3") && mend.contains("jupyter-core"),
        "{what}: {mend}"
    );
    home.script("bin/jupyter", "echo nothing");
    assert!(home.problem(&folders).0.contains("something else"));
    std::fs::remove_file(home.path("bin/jupyter")).unwrap();
    assert!(!Path::new("/usr/bin/jupyter").exists() && !Path::new("/bin/jupyter").exists());
    let (what, mend) = home.problem(&folders);
    assert!(
        what.contains("PATH") && mend == "pip install jupyterlab",
        "{what}: {mend}"
    );
}

#[test]
fn a_hub_that_does_not_answer_is_not_waited_for() {
    let home = Home::new();
    // Takes connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let offline = Instant::now();
    assert_eq!(home.report(PROGRAM, &[]).1, Some(0));
    let offline = offline.elapsed();
    let start = Instant::now();
    let (what, mend) = home.problem(&[("HF_HUB_OFFLINE", ""), ("HF_ENDPOINT", &silent)]);
    let waited = start.elapsed().saturating_sub(offline);
    assert!(
        what.contains(&silent) && mend.starts_with("export HF_HUB_OFFLINE=1"),
        "{what}: {mend}"
    );
    assert!(waited <= Duration::from_millis(2_000), "{waited:?}");
    let (what, _) = home.problem(&[("HF_HUB_OFFLINE", ""), ("HF_ENDPOINT", "ftp://hub")]);
    assert!(what.contains("is not the address of a hub"), "{what}");
    // A file where a folder should be: nobody can write below it, root included.
    std::fs::write(home.path("file"), "").unwrap();
    let (what, mend) = home.problem(&[("HF_HOME", home.path("file").to_str().unwrap())]);
    assert!(
        what.contains("file/hub") && mend.contains("HF_HOME"),
        "{what}: {mend}"
    );
}
