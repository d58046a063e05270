//! What the value of an argument may be. Each reader gives the value or a message with the valid ones.

use std::time::Duration;

/// The distros that there are; which of them a harness can start is its own business.
pub(crate) const DISTROS: &[&str] = &["k8s", "k3s", "k0s"];

/// The stores that need no endpoint.
const STORES: &[&str] = &["etcd", "kine"];

const KEEP: &[(&str, &str)] = &[
    ("never", "Never"),
    ("failed", "OnFailure"),
    ("always", "Always"),
];

const FLAVORS: &[(&str, &str)] = &[
    ("multi_thread", "MultiThread"),
    ("current_thread", "CurrentThread"),
];

pub(crate) fn distro(text: &str) -> Result<String, String> {
    if DISTROS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(unknown("distro", text, DISTROS.iter().copied()))
}

/// Whether the variable is set is known only where the test runs.
pub(crate) fn store(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err(
            "an endpoint holds a password: put it into an environment variable and write `env:NAME`"
                .to_owned(),
        );
    }
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match text.strip_prefix("env:") {
        Some(name) if !name.is_empty() && name.bytes().all(is_letter) => Ok(text.to_owned()),
        None if STORES.contains(&text) => Ok(text.to_owned()),
        Some(_) | None => {
            let known = STORES.iter().copied().chain(["env:NAME"]);
            Err(unknown("store", text, known))
        }
    }
}

/// Only the syntax: which versions there are is data of the harness.
pub(crate) fn version(text: &str) -> Result<String, String> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = text == "latest" || text == "oldest";
    let is_back = text.strip_prefix("latest-").is_some_and(is_number);
    let numbers = text.strip_prefix('v').unwrap_or(text).split('.');
    let is_exact = matches!(numbers.clone().count(), 2 | 3) && numbers.clone().all(is_number);
    if is_word || is_back || is_exact {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is not a Kubernetes version; write `1.34`, `1.34.2`, `latest`, `latest-1` or `oldest`"
    ))
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("a timeout must be longer than zero".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err(format!(
            "`{text}` is not a duration; write `90s`, `5m` or `1h 30m`"
        )),
    }
}

/// The variant of `settings::Keep`.
pub(crate) fn keep(text: &str) -> Result<&'static str, String> {
    variant(text, KEEP)
        .ok_or_else(|| unknown("keep policy", text, KEEP.iter().map(|(name, _)| *name)))
}

/// A file, named from the directory of the manifest.
pub(crate) fn path(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('/') {
        return Err("expected a path from the directory of `Cargo.toml`".to_owned());
    }
    Ok(text.to_owned())
}

/// The variant of `testing::Flavor`.
pub(crate) fn flavor(text: &str) -> Result<&'static str, String> {
    variant(text, FLAVORS).ok_or_else(|| {
        unknown(
            "runtime flavor",
            text,
            FLAVORS.iter().map(|(name, _)| *name),
        )
    })
}

fn variant(text: &str, table: &[(&str, &'static str)]) -> Option<&'static str> {
    table
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, variant)| *variant)
}

/// The one message for a word that is none of the known ones.
pub(crate) fn unknown<'a>(
    what: &str,
    text: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let hint = nearest(text, known.clone())
        .map(|name| format!(", did you mean `{name}`?"))
        .unwrap_or_default();
    let known = known.map(|name| format!("`{name}`")).collect::<Vec<_>>();
    format!(
        "unknown {what} `{text}`{hint} (known: {})",
        known.join(", ")
    )
}

/// The first of those that are most alike, if they are alike at all.
fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    known
        .map(|name| (strsim::jaro_winkler(&text, name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::minor("1.34", true)]
    #[case::exact("1.34.2", true)]
    #[case::with_a_v("v1.34.2", true)]
    #[case::latest("latest", true)]
    #[case::one_back("latest-1", true)]
    #[case::oldest("oldest", true)]
    #[case::nothing("", false)]
    #[case::a_word("newest", false)]
    #[case::one_number("1", false)]
    #[case::four_numbers("1.2.3.4", false)]
    #[case::a_sign("1.+34", false)]
    #[case::a_gap("1..2", false)]
    #[case::no_number_back("latest-", false)]
    fn a_version_is_judged_by_its_syntax(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(version(text).is_ok(), valid, "{text}");
    }

    #[rstest]
    #[case::etcd("etcd", true)]
    #[case::kine("kine", true)]
    #[case::variable("env:DATABASE_URL", true)]
    #[case::no_variable("env:", false)]
    #[case::two_words("env:DATABASE URL", false)]
    #[case::endpoint("postgres://db.test", false)]
    #[case::other("sqlite", false)]
    fn a_store_is_judged_by_its_syntax(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(store(text).is_ok(), valid, "{text}");
    }

    #[rstest]
    #[case::seconds("90s", Duration::from_secs(90))]
    #[case::two_units("1m 30s", Duration::from_secs(90))]
    #[case::milliseconds("250ms", Duration::from_millis(250))]
    fn a_duration_is_read(#[case] text: &str, #[case] expected: Duration) {
        assert_eq!(duration(text), Ok(expected));
    }

    #[rstest]
    #[case::a_number("300")]
    #[case::a_word("soon")]
    #[case::nothing("")]
    #[case::no_time("0s")]
    fn what_is_no_duration_is_refused(#[case] text: &str) {
        assert!(duration(text).is_err());
    }

    #[rstest]
    #[case::swapped(
        "verison",
        "unknown word `verison`, did you mean `version`? (known: `version`, `distro`)"
    )]
    #[case::far("colour", "unknown word `colour` (known: `version`, `distro`)")]
    fn only_the_near_is_suggested(#[case] text: &str, #[case] expected: &str) {
        let known = ["version", "distro"].into_iter();
        assert_eq!(unknown("word", text, known), expected);
    }

    #[test]
    fn the_first_of_equals_is_suggested() {
        assert_eq!(nearest("k9s", DISTROS.iter().copied()), Some("k8s"));
    }
}
