use super::*;

fn line(number: u32, code: &str) -> Line {
    Line {
        number,
        code: code.to_owned(),
        result: None,
    }
}

fn ask(store: &mut Store, request: Value) -> Value {
    store.query(&serde_json::from_value(request).unwrap()).into()
}

fn everything(store: &mut Store) -> Value {
    ask(store, json!({"hist_access_type": "search", "pattern": "*"}))
}

/// A session of four cells; the last one has a value.
fn fill(store: &mut Store) {
    let mut lines = [
        line(1, "let a = 1"),
        line(2, "a + 1"),
        line(3, "print(a)"),
        line(4, "a + 1"),
    ];
    lines[3].result = Some("2".to_owned());
    store.record(&lines);
}

#[test]
fn tail_and_search() {
    let mut store = Store::open(None);
    fill(&mut store);
    let tail = ask(&mut store, json!({"hist_access_type": "tail", "n": 2}));
    assert_eq!(tail, json!([[1, 3, "print(a)"], [1, 4, "a + 1"]]));
    let search = json!({"hist_access_type": "search", "pattern": "a*", "unique": true, "output": true});
    assert_eq!(ask(&mut store, search), json!([[1, 4, ["a + 1", "2"]]]));
    let newest = json!({"hist_access_type": "search", "pattern": "*a*", "n": 2});
    assert_eq!(
        ask(&mut store, newest),
        json!([[1, 3, "print(a)"], [1, 4, "a + 1"]])
    );
    let mut count = |pattern: &str| {
        let request = json!({"hist_access_type": "search", "pattern": pattern});
        ask(&mut store, request).as_array().unwrap().len()
    };
    // Sets of characters; case counts; text without wildcards is a cell as a whole.
    assert_eq!(
        (count("[lp]*"), count("LET*"), count("a + 1"), count("a")),
        (2, 0, 2, 0)
    );
    assert_eq!((count("a ? 1"), count("[^a]*"), count("")), (2, 2, 0));
}

#[test]
fn ranges_count_from_either_end() {
    let mut store = Store::open(None);
    fill(&mut store);
    let mut numbers = |start: Value, stop: Value| -> Vec<i64> {
        let range = json!({"hist_access_type": "range", "session": 0, "start": start, "stop": stop});
        let found = ask(&mut store, range);
        found
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line[1].as_i64().unwrap())
            .collect()
    };
    assert_eq!(numbers(json!(2), json!(4)), [2, 3]);
    assert_eq!(numbers(json!(null), json!(null)), [1, 2, 3, 4]);
    assert_eq!(numbers(json!(0), json!(0)), [1, 2, 3, 4]);
    assert_eq!(numbers(json!(-2), json!(null)), [3, 4]);
    assert_eq!(numbers(json!(1), json!(-3)), [1]);
    assert_eq!(numbers(json!(i64::MIN), json!(i64::MAX)), [1, 2, 3, 4]);
}

#[test]
fn sessions_follow_each_other_in_one_file_and_live_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/history.sqlite");
    let open = || Store::open(Some(path.clone()));
    let mut first = open();
    first.record(&[line(1, "from the first")]);
    let mut second = open();
    second.record(&[line(1, "from the second")]);
    first.record(&[line(2, "and again")]);
    let all = json!([
        [1, 1, "from the first"],
        [1, 2, "and again"],
        [2, 1, "from the second"]
    ]);
    assert_eq!(everything(&mut first), all);
    assert_eq!(everything(&mut second), all);
    let mut range = |session: i64| {
        let found = ask(
            &mut second,
            json!({"hist_access_type": "range", "session": session}),
        );
        found.as_array().unwrap().len()
    };
    assert_eq!(
        (
            range(0),
            range(-1),
            range(1),
            range(2),
            range(-2),
            range(i64::MIN)
        ),
        (1, 2, 2, 1, 0, 0)
    );
}

#[test]
fn the_file_is_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ecco/history.sqlite");
    fill(&mut Store::open(Some(path.clone())));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn where_the_file_cannot_be_used_memory_is() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.sqlite");
    std::fs::write(
        &damaged,
        "no database at all, but long enough for one's header".repeat(99),
    )
    .unwrap();
    let other = folder.path().join("other.sqlite");
    let tables = "CREATE TABLE history (a)";
    Connection::open(&other).unwrap().execute(tables, []).unwrap();
    let below_a_file = damaged.join("history.sqlite");
    let a_folder = folder.path().to_owned();
    for path in [damaged, other, below_a_file, a_folder] {
        let mut store = Store::open(Some(path));
        fill(&mut store);
        assert_eq!(everything(&mut store).as_array().unwrap().len(), 4);
    }
}

#[test]
fn a_file_that_another_program_holds_or_that_breaks_later_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    let mut store = Store::open(Some(path.clone()));
    fill(&mut store);
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = std::time::Instant::now();
    store.record(&[line(5, "held up")]);
    assert!(start.elapsed() < 3 * BUSY, "{:?}", start.elapsed());
    store.record(&[line(6, "and on")]);
    assert_eq!(
        everything(&mut store),
        json!([[1, 5, "held up"], [1, 6, "and on"]])
    );
}

#[test]
fn the_oldest_are_forgotten_and_the_file_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    let mut store = Store::open(Some(path.clone()));
    let code = "x".repeat(CODE_LIMIT / 2);
    for number in 1..=100 {
        store.record(&[line(number, &format!("{number} {code}"))]);
    }
    store.record(&[line(101, &code.repeat(3)), line(102, "  \n")]);
    assert!(path.metadata().unwrap().len() < 2 * SIZE_LIMIT as u64);
    let kept = everything(&mut store);
    let numbers: Vec<_> = kept
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line[1].as_i64().unwrap())
        .collect();
    assert!((5..40).contains(&numbers.len()), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&100));
}

#[test]
fn a_pattern_cannot_keep_the_history_busy() {
    let mut store = Store::open(None);
    store.record(&[line(1, &"a".repeat(20_000))]);
    let start = std::time::Instant::now();
    let pattern = "*a".repeat(100) + "*b";
    let request = json!({"hist_access_type": "search", "pattern": pattern});
    assert_eq!(ask(&mut store, request), json!([]));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn ipython_reads_the_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    fill(&mut Store::open(Some(path.clone())));
    let connection = Connection::open(&path).unwrap();
    let (start, commands): (String, i64) = connection
        .query_row(
            "SELECT start, num_cmds FROM sessions WHERE session = 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    // What Python's timestamps look like: 2026-01-31 12:30:00.123
    assert_eq!((start.len(), &start[4..5], &start[10..11]), (23, "-", " "));
    assert_eq!(commands, 4);
}

#[test]
fn kernels_that_write_at_the_same_time_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    const CELLS: u32 = 25;
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut store = Store::open(Some(path));
                (1..=CELLS).for_each(|number| store.record(&[line(number, "x")]));
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let all = everything(&mut Store::open(Some(path)));
    assert_eq!(all.as_array().unwrap().len(), 4 * CELLS as usize);
}
