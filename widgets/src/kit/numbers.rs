//! Numbers for people.

/// A share in a token box: `14%`, `9.1%`, `0%`. The script's `share` writes the same.
pub(crate) fn share(value: f64) -> String {
    let percent = value * 100.0;
    if !percent.is_finite() {
        "–".to_owned()
    } else if percent.abs() >= 9.95 {
        minus(&format!("{percent:.0}%"))
    } else if percent.abs() < 0.05 {
        "0%".to_owned()
    } else {
        minus(&format!("{percent:.1}%"))
    }
}

/// A number as people write it: with a minus, and no hyphen, before it. The script's `minus` does the same.
pub(crate) fn minus(number: &str) -> String {
    match number.strip_prefix('-') {
        Some(size) => format!("−{size}"),
        None => number.to_owned(),
    }
}

/// The same with two digits however small: `0.024%`. The script's `fineShare` writes the same.
pub(crate) fn fine_share(value: f64) -> String {
    let percent = value * 100.0;
    if percent >= 0.05 || percent <= 0.0 || !percent.is_finite() {
        return share(value);
    }
    format!("{}%", signed(percent).trim_start_matches('+'))
}

/// A contribution with its sign and two digits: `+0.21`, `−1.4`, `+120`, `0`. The script's `signed` writes the same.
pub(crate) fn signed(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    // Rounding may add a digit before the point, so the exponent is that of the rounded number.
    let scientific = format!("{size:.1e}");
    let exponent = scientific
        .split_once('e')
        .and_then(|(_, e)| e.parse::<i32>().ok());
    let exponent = exponent.unwrap_or_default();
    let digits = match size {
        0.0 => return "0".to_owned(),
        _ if !(-4..6).contains(&exponent) => scientific,
        _ => format!("{size:.0$}", (1 - exponent).max(0) as usize),
    };
    format!("{}{digits}", if value < 0.0 { '−' } else { '+' })
}

/// A rank, from 1 on; 0 says that there is none, since the numbers that would be ranked are none.
pub(crate) fn rank(rank: u64) -> String {
    match rank {
        0 => "–".to_owned(),
        rank => count(rank),
    }
}

/// How much of a track a probability fills, as CSS has it; nothing where it is no number.
pub(crate) fn width(probability: f64) -> String {
    let part = if probability.is_finite() {
        probability.clamp(0.0, 1.0)
    } else {
        0.0
    };
    format!("width:{:.1}%", part * 100.0)
}

/// A fraction of something, which may be below 0 and above 1: `0.84`, `−0.13`. The script's `exact` is finer.
pub(crate) fn fraction(value: f64) -> String {
    match value.is_finite() {
        true if value.abs() < 0.005 => "0.00".to_owned(),
        true => minus(&format!("{value:.2}")),
        false => "–".to_owned(),
    }
}

/// The same in a table whose largest is `peak`: a cell of less than 1 % of it is empty, so that the others are seen.
pub(crate) fn in_table(value: f64, peak: f64) -> String {
    match value.is_finite() && value.abs() < peak * 0.01 {
        true => String::new(),
        false => fraction(value),
    }
}

/// A divergence, which is not negative: `1.5`, `0.03`, `4.2e-4`. The script's `nats` writes the same.
pub(crate) fn nats(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value > 0.0 && value < 0.005 {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes in decimal units: `0 B`, `12.3 kB`, `328 MB`, `1.54 GB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 {
        0
    } else {
        1 + usize::from(value < 9.995)
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `81912576` as `81,912,576`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// About four significant digits, in scientific form only where the plain one is unreadable. The script's `short` writes the same.
pub(crate) fn short(value: f64) -> String {
    minus(&code(value))
}

/// The same as scripts have numbers: what is copied from a tensor can be pasted.
pub(crate) fn code(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || value == 0.0 {
        return format!("{value}");
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The script's functions are held to the same table by a browser test.
    #[test]
    fn numbers_are_those_of_the_table() {
        let table: Value = serde_json::from_str(include_str!("../../tests/numbers.json")).unwrap();
        type Format = fn(f64) -> String;
        let formats: [(&str, Format); 5] = [
            ("share", share),
            ("fineShare", fine_share),
            ("signed", signed),
            ("nats", nats),
            ("short", short),
        ];
        assert_eq!(table.as_object().unwrap().len(), formats.len());
        for (name, format) in formats {
            for case in table[name].as_array().unwrap() {
                let value = case[0].as_f64().unwrap_or(f64::NAN);
                assert_eq!(format(value), case[1].as_str().unwrap(), "{name} of {value}");
            }
        }
    }

    #[test]
    fn shares() {
        let shares = [1.0, 0.1423, 0.0995, 0.0949, 0.0004, 0.0, f64::NAN, -0.25];
        assert_eq!(
            shares.map(share),
            ["100%", "14%", "10%", "9.5%", "0%", "0%", "–", "−25%"]
        );
    }

    #[test]
    fn fine_shares() {
        assert_eq!(
            [0.25, 0.0, 2.4e-4, 1.23e-9].map(fine_share),
            ["25%", "0%", "0.024%", "1.2e-7%"]
        );
    }

    #[test]
    fn signed_numbers() {
        let values = [0.213, -1.44, 9.96, 123.4, 0.0, -0.00012, 3.21e-7, 2e7, f64::NAN];
        assert_eq!(
            values.map(signed),
            [
                "+0.21",
                "−1.4",
                "+10",
                "+123",
                "0",
                "−0.00012",
                "+3.2e-7",
                "+2.0e7",
                "–"
            ]
        );
    }

    #[test]
    fn fractions_and_nats() {
        let values = [0.8449, -0.126, -0.001, f64::NAN];
        assert_eq!(values.map(fraction), ["0.84", "−0.13", "0.00", "–"]);
        assert_eq!(
            [0.5, -0.004, 0.004, f64::NAN].map(|value| in_table(value, 0.5)),
            ["0.50", "", "", "–"]
        );
        let values = [0.0, 0.004_2, 0.03, 1.5, 12.0, f64::INFINITY];
        assert_eq!(values.map(nats), ["0", "4.2e-3", "0.03", "1.5", "12", "–"]);
    }

    #[test]
    fn sizes() {
        let sizes = [
            0,
            999,
            1_000,
            12_345,
            327_657_928,
            999_999_999,
            1_543_000_000,
            u64::MAX,
        ];
        let written = [
            "0 B",
            "999 B",
            "1.00 kB",
            "12.3 kB",
            "328 MB",
            "1.00 GB",
            "1.54 GB",
            "18446744 TB",
        ];
        assert_eq!(sizes.map(bytes), written);
        assert_eq!(
            [0, 999, 1000, 81_912_576].map(count),
            ["0", "999", "1,000", "81,912,576"]
        );
    }

    #[test]
    fn short_numbers() {
        let values = [0.0, 1.5, -0.170_04, 123_456.0, 1.0e-7, 0.001_234_56, f64::NAN];
        assert_eq!(
            values.map(short),
            ["0", "1.5", "−0.17", "123456", "1.000e-7", "0.001235", "NaN"]
        );
    }
}
