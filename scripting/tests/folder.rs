//! A session whose folder is deleted, and is there again. Alone in its process, whose current folder it moves.

#[allow(dead_code)]
mod common;

use common::{Notebook, on_session_thread};

fn register(_: &mut ecco_scripting::Registry) {}

#[test]
fn a_folder_that_is_deleted_ends_nothing() {
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("notebook");
    std::fs::create_dir(&folder).expect("a folder");
    std::env::set_current_dir(&folder).expect("it is there");
    let again = folder.clone();
    on_session_thread(move || {
        let mut notebook = Notebook::in_folder(&folder);
        assert_eq!(notebook.text("1 + 1"), "2");
        std::fs::remove_dir(&folder).expect("it is empty");
        assert!(std::env::current_dir().is_err());
        // Libraries that a cell loads ask for the current folder.
        assert_eq!(notebook.text("1 + 1"), "2");
        assert_eq!(
            std::env::current_dir().expect("somewhere"),
            std::path::Path::new("/")
        );
        let error = notebook.error("import \"helpers\" as h;");
        assert!(error.value.contains("No such file"), "{}", error.value);
        let error = notebook.error("import \"../helpers\" as h;");
        assert!(
            error.value.contains("outside of the notebook's folder"),
            "{}",
            error.value
        );
        std::fs::create_dir(&folder).expect("again");
        std::fs::write(folder.join("helpers.rhai"), "fn two() { 2 }").expect("a script");
        assert_eq!(notebook.text("import \"helpers\" as h; h::two()"), "2");
    });
    assert_eq!(
        std::env::current_dir()
            .expect("there")
            .canonicalize()
            .expect("real"),
        again.canonicalize().expect("real")
    );
    std::env::set_current_dir("/").expect("the root");
}
