//! Jinja's `urlize`: what looks like an address becomes a link, by its rules to the letter.

use std::sync::LazyLock;

use minijinja::Error;
use regex::Regex;

use super::arguments::Arguments;
use super::bounds::{bounded, invalid};
use super::markup::escaped;
use super::python::text;

/// What Python's patterns call a space.
const SPACE: &str = r"[\s\x1c-\x1f]";

/// The patterns of Jinja 3.1, `urlize` and its filter.
struct Patterns {
    space: Regex,
    head: Regex,
    tail: Regex,
    web: Regex,
    mail: Regex,
    scheme: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let pattern = |source: &str| Regex::new(&source.replace(r"\s", SPACE)).expect("a pattern of ours");
    Patterns {
        space: pattern(r"\s+"),
        head: pattern("^(?:[(<]|&lt;)+"),
        tail: pattern(r"(?:[)>.,\n]|&gt;)+$"),
        web: pattern(
            r"(?xi) ^ (?:
                (?: https?:// | www\. ) (?: (?: [\w%-]+\. )+ )? (?: [a-z]{2,63} | xn--[\w%]{2,59} )
              | (?: [\w%-]{2,63}\. )+ (?: com|net|int|edu|gov|org|info|mil )
              | https?:// (?: \d{1,3} (?: \.\d{1,3} ){3} | \[ (?: [\da-f]{0,4}: ){2} (?: [\da-f]{0,4}:? ){1,6} \] )
            ) (?: :\d{1,5} )? (?: [/?\#] [^\s]* )? $",
        ),
        mail: pattern(r"^[^\s]+@\w[\w.-]*\.\w+$"),
        scheme: pattern(r"^[\w.+-]{2,}:(?:/){0,2}$"),
    }
});

/// An escaped text with its addresses as links.
pub(super) fn linked(escaped_text: &str, given: &Arguments) -> Result<String, Error> {
    let schemes: Vec<String> = match given.value("extra_schemes") {
        None => Vec::new(),
        Some(schemes) => schemes.try_iter()?.map(|scheme| text(&scheme)).collect(),
    };
    if let Some(scheme) = schemes.iter().find(|scheme| !PATTERNS.scheme.is_match(scheme)) {
        return Err(invalid(format!("urlize: {scheme:?} is no scheme of addresses")));
    }
    let most = given
        .value("trim_url_limit")
        .map(|_| given.integer("trim_url_limit", 0));
    let most = most.transpose()?;
    let attribute = |name: &str, value: &str| match value {
        "" => String::new(),
        value => format!(" {name}=\"{}\"", escaped(value)),
    };
    let relation = given.text("rel", "");
    let mut relation: Vec<&str> = relation.split_whitespace().chain(["noopener"]).collect();
    if given.is_true("nofollow", false) {
        relation.push("nofollow");
    }
    relation.sort_unstable();
    relation.dedup();
    let attributes = attribute("rel", &relation.join(" ")) + &attribute("target", &given.text("target", ""));
    let word = |word: &str| {
        Link {
            attributes: &attributes,
            most,
            schemes: &schemes,
        }
        .of(word)
    };
    let (mut written, mut done) = (String::new(), 0);
    for space in PATTERNS.space.find_iter(escaped_text) {
        written += &word(&escaped_text[done..space.start()]);
        written += space.as_str();
        done = space.end();
        bounded(written.len())?;
    }
    written += &word(&escaped_text[done..]);
    bounded(written.len())?;
    Ok(written)
}

struct Link<'a> {
    attributes: &'a str,
    most: Option<i64>,
    schemes: &'a [String],
}

impl Link<'_> {
    /// One word: what opens before it and closes behind it stays outside of the link, but for brackets that it has itself.
    fn of(&self, word: &str) -> String {
        let head = PATTERNS.head.find(word).map_or("", |head| head.as_str());
        let middle = &word[head.len()..];
        let tail = PATTERNS.tail.find(middle).map_or("", |tail| tail.as_str());
        let mut middle = middle[..middle.len() - tail.len()].to_owned();
        let mut tail = tail;
        for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
            let n_open = middle.matches(open).count();
            if n_open <= middle.matches(close).count() {
                continue;
            }
            for _ in 0..n_open.min(tail.matches(close).count()) {
                let end = tail.find(close).map_or(0, |at| at + close.len());
                middle += &tail[..end];
                tail = &tail[end..];
            }
        }
        format!("{head}{}{tail}", self.middle(middle))
    }

    fn middle(&self, middle: String) -> String {
        let Self {
            attributes, schemes, ..
        } = self;
        if PATTERNS.web.is_match(&middle) {
            let is_whole = middle.starts_with("https://") || middle.starts_with("http://");
            let scheme = if is_whole { "" } else { "https://" };
            return format!(
                "<a href=\"{scheme}{middle}\"{attributes}>{}</a>",
                self.trimmed(&middle)
            );
        }
        if let Some(mail) = middle
            .strip_prefix("mailto:")
            .filter(|mail| PATTERNS.mail.is_match(mail))
        {
            return format!("<a href=\"{middle}\">{mail}</a>");
        }
        let is_other = middle.starts_with("www.") || middle.starts_with('@') || middle.contains(':');
        if !is_other && PATTERNS.mail.is_match(&middle) {
            return format!("<a href=\"mailto:{middle}\">{middle}</a>");
        }
        // Once it is a link it begins with no scheme.
        let has = |scheme: &&String| middle != **scheme && middle.starts_with(scheme.as_str());
        match schemes.iter().find(has) {
            Some(_) => format!("<a href=\"{middle}\"{attributes}>{middle}</a>"),
            None => middle,
        }
    }

    /// Python's `url[:most] + "..."` where it is longer; a negative number counts from the end.
    fn trimmed(&self, url: &str) -> String {
        let n = url.chars().count() as i64;
        match self.most {
            Some(most) if n > most => {
                let kept = if most < 0 { n + most } else { most }.max(0);
                let kept: String = url.chars().take(kept as usize).collect();
                kept + "..."
            }
            _ => url.to_owned(),
        }
    }
}
