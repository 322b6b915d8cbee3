use super::*;

fn download(done: u64, total: Option<u64>) -> Progress {
    Progress {
        label: "downloading <model>".into(),
        done,
        total,
        unit: "bytes".into(),
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
    };
    assert!(
        progress.text().ends_with("24%  1,200 of 5,000 steps"),
        "{}",
        progress.text()
    );
}
