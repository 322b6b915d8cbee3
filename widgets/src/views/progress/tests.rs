use super::*;

fn download(done: u64, total: Option<u64>) -> Progress {
    Progress {
        label: "downloading <model>".into(),
        done,
        total,
        unit: "bytes".into(),
        left: None,
    }
}

#[test]
fn a_download_in_a_console() {
    let text = download(164_000_000, Some(328_000_000)).text();
    assert_eq!(
        text,
        "downloading <model>  ████████████░░░░░░░░░░░░  50%  164 MB of 328 MB"
    );
    assert_eq!(
        download(328_000_000, Some(328_000_000)).text(),
        "✓ downloading <model>  328 MB"
    );
    assert_eq!(download(12_300, None).text(), "downloading <model>  12.3 kB");
}

#[test]
fn a_bar_in_a_page() {
    let html = download(99, Some(100)).html().unwrap();
    assert!(
        html.contains("aria-valuenow=\"99\"") && html.contains("width:99%") && html.contains("&lt;model")
    );
    let unknown = download(99, None).html().unwrap();
    assert!(unknown.contains("progressbar") && !unknown.contains("aria-valuenow"));
}

#[test]
fn it_ends_without_a_bar() {
    for total in [0, 50] {
        assert!(!download(50, Some(total)).html().unwrap().contains("progressbar"));
    }
}

#[test]
fn other_units_are_counted() {
    let progress = Progress {
        label: "tracing".into(),
        done: 1200,
        total: Some(5000),
        unit: "steps".into(),
        left: None,
    };
    assert!(
        progress.text().ends_with("24%  1,200 of 5,000 steps"),
        "{}",
        progress.text()
    );
}

#[test]
fn the_rest_is_told_as_roughly_as_it_is_known() {
    let rest = |seconds: f64| {
        let progress = Progress {
            left: Some(Duration::from_secs_f64(seconds)),
            ..download(1, Some(100))
        };
        let text = progress.text();
        assert!(progress.html().unwrap().contains(" left"), "{text}");
        text.rsplit_once(" · about ").unwrap().1.to_owned()
    };
    let told = [0.2, 7.1, 12.0, 54.0, 56.0, 290.0, 3200.0, 7000.0, 400_000.0].map(rest);
    let expected = [
        "1 s", "8 s", "15 s", "55 s", "1 min", "5 min", "53 min", "2 h", "5 days",
    ];
    assert_eq!(told, expected.map(|time| format!("{time} left")));
    let done = Progress {
        left: Some(Duration::ZERO),
        ..download(100, Some(100))
    };
    assert!(!done.text().contains("left"));
}
