//! Filters of Jinja for what goes into HTML and addresses. No chat needs them, but templates may have them.

use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error};

use super::arguments::Arguments;
use super::bounds::invalid;
use super::links::linked;
use super::python::text;

pub(super) fn add(environment: &mut Environment) {
    for name in ["escape", "e"] {
        environment.add_filter(name, |value: Value| Value::from_safe_string(escaped_once(&value)));
    }
    environment.add_filter("forceescape", |value: Value| {
        Value::from_safe_string(escaped(&text(&value)))
    });
    environment.add_filter("striptags", |value: Value| without_tags(&text(&value)));
    environment.add_filter("urlencode", address);
    environment.add_filter("urlize", |value: Value, given: Rest<ValueOrKwargs>| {
        let parameters = &["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"];
        linked(
            &escaped_once(&value),
            &Arguments::bind("urlize", parameters, given)?,
        )
    });
    environment.add_filter("xmlattr", |value: Value, given: Rest<ValueOrKwargs>| {
        let given = Arguments::bind("xmlattr", &["autospace"], given)?;
        attributes(&value, given.is_true("autospace", true))
    });
    environment.add_filter("filesizeformat", |value: Value, given: Rest<ValueOrKwargs>| {
        let given = Arguments::bind("filesizeformat", &["binary"], given)?;
        let bytes = f64::try_from(value).map_err(|_| invalid("filesizeformat: not a number".to_owned()))?;
        Ok::<_, Error>(size(bytes, given.is_true("binary", false)))
    });
}

pub(super) fn escaped(value: &str) -> String {
    value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;")
}

/// What is escaped already, or said to be safe, stays as it is.
fn escaped_once(value: &Value) -> String {
    match value.is_safe() {
        true => text(value),
        false => escaped(&text(value)),
    }
}

/// Without comments and tags, every space one.
fn without_tags(value: &str) -> String {
    let without = |value: &str, open: &str, close: &str| {
        let (mut kept, mut rest) = (String::new(), value);
        while let Some(start) = rest.find(open) {
            let Some(end) = rest[start..].find(close) else {
                break;
            };
            kept.push_str(&rest[..start]);
            rest = &rest[start + end + close.len()..];
        }
        kept + rest
    };
    let kept = without(&without(value, "<!--", "-->"), "<", ">");
    let words: Vec<&str> = kept.split_whitespace().collect();
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#39;", "'"),
        ("&#34;", "\""),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ];
    let plain = |text: String, (entity, char): (&str, &str)| text.replace(entity, char);
    entities.into_iter().fold(words.join(" "), plain)
}

/// A text as a part of an address; a map, or a list of pairs, as a query.
fn address(value: Value) -> Result<String, Error> {
    let pairs: Vec<(Value, Value)> = match value.kind() {
        ValueKind::Map => {
            let keys = value.try_iter()?;
            keys.map(|key| Ok((key.clone(), value.get_item(&key)?)))
                .collect::<Result<_, Error>>()?
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?;
            items
                .map(|pair| Ok((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?)))
                .collect::<Result<_, Error>>()?
        }
        _ => return Ok(percent(&text(&value), "/", "%20")),
    };
    let part = |value: &Value| percent(&text(value), "", "+");
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{}={}", part(key), part(value)))
        .collect();
    Ok(pairs.join("&"))
}

fn percent(value: &str, safe: &str, space: &str) -> String {
    let is_safe =
        |byte: u8| byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || safe.as_bytes().contains(&byte);
    let written = |byte: u8| match byte {
        b' ' => space.to_owned(),
        byte if is_safe(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(written).collect()
}

/// `key="value"` of each that is there.
fn attributes(value: &Value, space_before: bool) -> Result<String, Error> {
    let mut written = Vec::new();
    for key in value.try_iter()? {
        let item = value.get_item(&key)?;
        let name = text(&key);
        if name.contains([' ', '/', '>', '=', '\t', '\n', '\r', '\u{c}']) {
            return Err(invalid(format!("xmlattr: {name:?} is no name of an attribute")));
        }
        if !item.is_none() && !item.is_undefined() {
            written.push(format!("{}=\"{}\"", escaped(&name), escaped(&text(&item))));
        }
    }
    let space = if space_before && !written.is_empty() {
        " "
    } else {
        ""
    };
    Ok(format!("{space}{}", written.join(" ")))
}

fn size(bytes: f64, binary: bool) -> String {
    let (base, units): (f64, _) = match binary {
        true => (1024.0, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]),
        false => (1000.0, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]),
    };
    match bytes {
        1.0 => return "1 Byte".to_owned(),
        bytes if bytes < base => return format!("{} Bytes", bytes as i64),
        _ => {}
    }
    let fits = |power: i32| bytes < base.powi(power + 2);
    let power = (0..units.len() as i32 - 1)
        .find(|&power| fits(power))
        .unwrap_or(units.len() as i32 - 1);
    format!("{:.1} {}", bytes / base.powi(power + 1), units[power as usize])
}
