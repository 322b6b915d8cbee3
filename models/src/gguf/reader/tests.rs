use super::*;
use crate::gguf::{documents, fixture, weights};

/// A file that is written field by field.
#[derive(Clone, Default)]
struct Written(Vec<u8>);

impl Written {
    fn new(version: u32, n_tensors: u64, n_values: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(version).u64(n_tensors).u64(n_values)
    }

    fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        self = self.u64(text.len() as u64);
        self.0.extend(text.as_bytes());
        self
    }

    /// A tensor of single floats in one row.
    fn tensor(self, name: &str, sizes: &[u64], block: u32, offset: u64) -> Self {
        let head = self.text(name).u32(sizes.len() as u32);
        let head = sizes.iter().fold(head, |head, size| head.u64(*size));
        head.u32(block).u64(offset)
    }

    /// Up to a boundary, and so many bytes of data.
    fn data(mut self, n: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32) + n, 1);
        self
    }

    fn error(&self) -> String {
        Gguf::parse("a.gguf", &self.0).expect_err("damaged").to_string()
    }
}

#[test]
fn values_of_every_type() {
    let mut written = Written::new(3, 1, 15);
    let numbers: [(u32, &[u8]); 11] = [
        (0, &[200]),
        (1, &[200]),
        (2, &[1, 2]),
        (3, &[0xFF, 0xFF]),
        (4, &[1, 0, 0, 0]),
        (5, &[0xFE, 0xFF, 0xFF, 0xFF]),
        (6, &1.5f32.to_le_bytes()),
        (7, &[1]),
        (10, &u64::MAX.to_le_bytes()),
        (11, &i64::MIN.to_le_bytes()),
        (12, &0.1f64.to_le_bytes()),
    ];
    for (kind, bytes) in &numbers {
        written = written.text(&format!("of {kind}")).u32(*kind);
        written.0.extend(*bytes);
    }
    written = written.text("name").u32(TEXT).text("Größe");
    written = written
        .text("texts")
        .u32(LIST)
        .u32(TEXT)
        .u64(2)
        .text("a")
        .text("");
    written = written.text("list").u32(LIST).u32(5).u64(2).u32(7).u32(u32::MAX);
    written = written.text("none").u32(LIST).u32(6).u64(0);
    let bytes = written.tensor("t", &[4, 2], 0, 0).data(32).0;
    let gguf = Gguf::parse("a.gguf", &bytes).expect("whole");
    let whole = |kind: u32| gguf.get(&format!("of {kind}")).cloned();
    assert_eq!(whole(0), Some(Value::Whole(200)));
    assert_eq!(whole(1), Some(Value::Whole(-56)));
    assert_eq!(whole(2), Some(Value::Whole(513)));
    assert_eq!(whole(3), Some(Value::Whole(-1)));
    assert_eq!(whole(5), Some(Value::Whole(-2)));
    assert_eq!(whole(6), Some(Value::Real(1.5)));
    assert_eq!(whole(10), Some(Value::Whole(u64::MAX.into())));
    assert_eq!(whole(11), Some(Value::Whole(i64::MIN.into())));
    assert_eq!(whole(12), Some(Value::Real(0.1)));
    assert_eq!(gguf.flag("of 7"), Some(true));
    assert_eq!(gguf.text("name"), Some("Größe"));
    assert_eq!(gguf.texts("texts"), Some(["a", ""].as_slice()));
    assert_eq!(gguf.numbers("list"), [7.0, -1.0]);
    assert_eq!(gguf.numbers("none"), [0.0; 0]);
    assert_eq!(gguf.tensor("t").expect("there").shape, [2, 4]);
}

#[test]
fn what_is_wrong_is_told_with_its_value() {
    let one = || Written::new(3, 1, 0);
    let cases = [
        (
            Written(b"PK".to_vec()),
            "ends at byte 2 within the first four bytes",
        ),
        (Written(b"PK\x03\x04....".to_vec()), "it does not begin with GGUF"),
        (
            Written::new(1, 0, 0),
            "version 1 of the format; 2 and 3 are read here",
        ),
        (Written::new(3u32.swap_bytes(), 0, 0), "big-endian"),
        (
            Written::new(3, u64::MAX, 0),
            "18446744073709551615 tensors, more than it has room for",
        ),
        (Written::new(3, 0, 9), "9 values, more than it has room for"),
        (
            Written::new(3, 0, 1).u64(u64::MAX).u64(0),
            "18446744073709551615 bytes in a key, more",
        ),
        (
            Written::new(3, 0, 1).text("k").u32(99),
            "k is of the unknown type 99",
        ),
        (
            Written::new(3, 0, 1).text("k").u32(LIST).u32(LIST).u64(1),
            "k is a list of lists",
        ),
        (
            Written::new(3, 0, 1).text("k").u32(LIST).u32(6).u64(1 << 61),
            "numbers in k, more than it has room",
        ),
        (
            Written::new(3, 0, 1).text("k").u32(LIST).u32(TEXT).u64(1 << 60),
            "texts in k, more than it has room",
        ),
        (
            Written::new(3, 0, 2)
                .text("k")
                .u32(4)
                .u32(1)
                .text("k")
                .u32(4)
                .u32(1),
            "says k twice",
        ),
        (
            Written::new(3, 0, 1).text("general.alignment").u32(4).u32(3),
            "general.alignment is 3: expected a power of two",
        ),
        (
            one().tensor("t", &[1; 5], 0, 0),
            "t has 5 axes; no tensor has more than 4",
        ),
        (
            one().tensor("t", &[4, 0], 0, 0),
            "t has the shape [4, 0]: it holds nothing",
        ),
        (
            one().tensor("t", &[1 << 40, 1 << 40], 0, 0),
            "larger than the file",
        ),
        (
            one().tensor("t", &[31], 2, 0),
            "t has rows of 31 numbers, no multiple of 32, which is a block of Q4_0",
        ),
        (
            one().tensor("t", &[4], 0, 8).data(32),
            "t is at 8, no multiple of 32",
        ),
        (
            one().tensor("t", &[4], 0, 32).data(32),
            "t has 16 bytes at 32, beyond the file's end",
        ),
        (
            one().tensor("t", &[4], 0, u64::MAX - 31).data(32),
            "beyond the file's end",
        ),
        (
            one().tensor("t", &[256], 16, 0).data(256),
            "t is stored as IQ2_XXS; read here are F32",
        ),
        (
            Written::new(3, 2, 0)
                .tensor("t", &[4], 0, 0)
                .tensor("t", &[4], 0, 0)
                .data(32),
            "has the tensor t twice",
        ),
    ];
    for (written, expected) in cases {
        let error = written.error();
        assert!(
            error.starts_with("a.gguf: ") && error.contains(expected),
            "{error}, expected {expected}"
        );
    }
}

#[test]
fn every_beginning_of_a_file_is_an_error() {
    let whole = fixture("llama.gguf");
    assert!(Gguf::parse("llama.gguf", &whole).is_ok());
    for length in (0..whole.len()).step_by(37) {
        let error = Gguf::parse("llama.gguf", &whole[..length]).expect_err("not whole");
        assert!(error.to_string().starts_with("llama.gguf: "), "{error}");
    }
}

/// Nothing that a header says may end the process, nor take more than it has.
#[test]
fn altered_headers_are_read_or_refused() {
    let whole = fixture("llama.gguf");
    let n_altered: usize = std::env::var("ECCO_FUZZ")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20_000);
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut bytes = whole.clone();
    let mut n_read = 0;
    for round in 0..n_altered {
        let altered: Vec<usize> = (0..1 + random(3)).map(|_| random(13_000)).collect();
        for &at in &altered {
            bytes[at] = match random(3) {
                0 => 0xFF,
                1 => 0,
                _ => random(256) as u8,
            };
        }
        // The documents take longer to make than the container to read.
        let read = match round % 50 {
            0 => documents(&[("a.gguf", &bytes)]).is_ok() && weights(&[("a.gguf", &bytes)]).is_ok(),
            _ => Gguf::parse("a.gguf", &bytes).is_ok(),
        };
        n_read += usize::from(read);
        for at in altered {
            bytes[at] = whole[at];
        }
    }
    assert!(
        n_read > 0 && n_read < n_altered,
        "{n_read} of {n_altered} were read"
    );
}
