//! The program as Jupyter and people start it.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ecco-kernel");

fn ecco_kernel(arguments: &[&str], variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX", "JUPYTER_DATA_DIR", "XDG_DATA_HOME"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

fn spec(folder: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("kernel.json")).unwrap()).unwrap()
}

#[test]
fn install_goes_where_it_is_told_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let prefix = root.to_str().unwrap();
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a Path)], PathBuf);
    let cases: [Case; 5] = [
        (
            &["--prefix", prefix],
            &[],
            root.join("share/jupyter/kernels/ecco"),
        ),
        (
            &["--sys-prefix"],
            &[("VIRTUAL_ENV", root)],
            root.join("share/jupyter/kernels/ecco"),
        ),
        (
            &["--user"],
            &[("JUPYTER_DATA_DIR", root)],
            root.join("kernels/ecco"),
        ),
        (
            &["--name", "Other"],
            &[("XDG_DATA_HOME", root)],
            root.join("jupyter/kernels/other"),
        ),
        (
            &["--user", "--name", "home"],
            &[("HOME", root)],
            root.join(".local/share/jupyter/kernels/home"),
        ),
    ];
    for (arguments, variables, expected) in cases {
        let output = ecco_kernel(&[&["install"], arguments].concat(), variables);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}");
        assert_eq!(
            text.trim(),
            format!("Ecco is installed in {}", expected.display())
        );
        assert_eq!(
            spec(&expected)["argv"],
            json!([PROGRAM, "run", "-f", "{connection_file}"])
        );
        assert!(expected.join("logo-svg.svg").is_file() && expected.join("logo-64x64.png").is_file());
    }
}

#[test]
fn mistakes_on_the_command_line_are_one_clear_line() {
    let cases: [(&[&str], &str); 3] = [
        (&["install", "--prefix", "/dev/null"], "/dev/null is not a folder"),
        (&["install", "--name", "a/b"], "\"a/b\" cannot be a kernel's name"),
        (
            &["run", "-f", "/no/such.json"],
            "could not read the connection file /no/such.json: No such file",
        ),
    ];
    for (arguments, expected) in cases {
        let output = ecco_kernel(arguments, &[]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text.starts_with("ecco-kernel: ") && text.contains(expected),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let both = ecco_kernel(&["install", "--user", "--sys-prefix"], &[]);
    assert!(
        String::from_utf8(both.stderr)
            .unwrap()
            .contains("cannot be used with")
    );
}

#[test]
fn sigterm_ends_a_kernel_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let mut kernel = start(folder.path());
    signal(&kernel, "TERM");
    assert!(kernel.wait().unwrap().success());
    assert!(!socket(folder.path()).exists());
}

#[test]
fn sigint_does_not_end_a_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let mut kernel = start(folder.path());
    signal(&kernel, "INT");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(kernel.try_wait().unwrap(), None);
    signal(&kernel, "TERM");
    assert!(kernel.wait().unwrap().success());
}

#[test]
fn a_kernel_ends_when_the_client_that_started_it_dies() {
    let folder = tempfile::tempdir().unwrap();
    let file = connection_file(folder.path());
    let data = folder.path().display();
    let script = format!(
        "ECCO_DATA_DIR='{data}' JPY_PARENT_PID=$$ '{PROGRAM}' run -f '{}' & wait",
        file.display()
    );
    let mut client = Command::new("sh")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| socket(folder.path()).exists());
    client.kill().unwrap();
    client.wait().unwrap();
    // The kernel removes its sockets as the last thing it does.
    wait_until(|| !socket(folder.path()).exists());
}

#[test]
fn socket_files_of_a_killed_kernel_are_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let mut killed = start(folder.path());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(socket(folder.path()).exists());
    let mut kernel = start(folder.path());
    // The file is there from the start; somebody listens to it only now.
    wait_until(|| UnixStream::connect(socket(folder.path())).is_ok());
    signal(&kernel, "TERM");
    assert!(kernel.wait().unwrap().success());
}

#[test]
fn a_connection_file_that_everybody_may_write_is_refused_unless_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let file = connection_file(folder.path());
    set_mode(&file, 0o606);
    let run = ["run", "-f", file.to_str().unwrap()];
    let refused = ecco_kernel(&run, &[]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text.contains("chmod 600") && text.contains("JUPYTER_ALLOW_INSECURE_WRITES"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
    let mut kernel = Command::new(PROGRAM)
        .args(run)
        .env("JUPYTER_ALLOW_INSECURE_WRITES", "true")
        .env("ECCO_DATA_DIR", folder.path())
        .spawn()
        .unwrap();
    wait_until(|| UnixStream::connect(socket(folder.path())).is_ok());
    signal(&kernel, "TERM");
    assert!(kernel.wait().unwrap().success());
}

#[test]
fn what_is_careless_about_a_connection_file_is_said_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let file = connection_file(folder.path());
    let warnings = |listens: &dyn Fn() -> bool| {
        let mut kernel = Command::new(PROGRAM)
            .args(["run", "-f"])
            .arg(&file)
            .env("ECCO_DATA_DIR", folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until(listens);
        signal(&kernel, "TERM");
        assert!(kernel.wait().unwrap().success());
        std::io::read_to_string(kernel.stderr.take().unwrap()).unwrap()
    };
    let listens = || UnixStream::connect(socket(folder.path())).is_ok();
    assert_eq!(warnings(&listens), "");
    set_mode(&file, 0o644);
    let readable = warnings(&listens);
    assert!(
        readable.contains("others may read the connection file"),
        "{readable}"
    );
    set_mode(&file, 0o600);
    let ports: Vec<u16> = (0..5)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect::<Vec<_>>()
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect();
    let open = json!({
        "transport": "tcp", "ip": "0.0.0.0", "key": "", "shell_port": ports[0], "iopub_port": ports[1],
        "stdin_port": ports[2], "control_port": ports[3], "hb_port": ports[4],
    });
    std::fs::write(&file, open.to_string()).unwrap();
    // The one that is bound last.
    let keyless = warnings(&|| TcpStream::connect(("127.0.0.1", ports[1])).is_ok());
    assert!(
        keyless.contains("everybody who can reach 0.0.0.0 may run code here"),
        "{keyless}"
    );
}

/// Starts a kernel and waits until it listens.
fn start(folder: &Path) -> Child {
    let file = connection_file(folder);
    let kernel = Command::new(PROGRAM)
        .args(["run", "-f"])
        .arg(file)
        .env("ECCO_DATA_DIR", folder)
        .spawn()
        .unwrap();
    wait_until(|| UnixStream::connect(socket(folder)).is_ok());
    kernel
}

fn connection_file(folder: &Path) -> PathBuf {
    let file = folder.join("connection.json");
    let connection = json!({
        "transport": "ipc", "ip": folder.join("kernel"), "key": "k", "signature_scheme": "hmac-sha256",
        "shell_port": 1, "iopub_port": 5, "stdin_port": 2, "control_port": 3, "hb_port": 4,
    });
    std::fs::write(&file, connection.to_string()).unwrap();
    set_mode(&file, 0o600);
    file
}

fn set_mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
}

/// The socket that is bound last.
fn socket(folder: &Path) -> PathBuf {
    folder.join("kernel-5")
}

fn signal(kernel: &Child, name: &str) {
    let pid = kernel.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(15));
        std::thread::sleep(Duration::from_millis(10));
    }
}
