//! Patterns of keys of labels, annotations and taints: a key, or its beginning and a `*`.

use super::error::Error;

/// Refuses what is no pattern; `key` is where in the configuration they stand.
pub(super) fn check(key: &'static str, patterns: &[String]) -> Result<(), Error> {
    match patterns.iter().find(|pattern| !is_pattern(pattern)) {
        Some(pattern) => Err(Error::Pattern {
            key,
            pattern: pattern.clone(),
        }),
        None => Ok(()),
    }
}

/// Does one of the patterns stand for `key`?
pub(super) fn matches_any(patterns: &[impl AsRef<str>], key: &str) -> bool {
    patterns.iter().any(|pattern| {
        let pattern = pattern.as_ref();
        let beginning = pattern.strip_suffix('*');
        beginning.map_or(pattern == key, |beginning| key.starts_with(beginning))
    })
}

fn is_pattern(text: &str) -> bool {
    let key = text.strip_suffix('*').unwrap_or(text);
    !text.is_empty() && !key.contains('*')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::everything("*", "disk", true)]
    #[case::itself("disk", "disk", true)]
    #[case::not_its_beginning("disk", "disk.example.com/kind", false)]
    #[case::a_beginning("example.com/*", "example.com/disk", true)]
    #[case::another_beginning("example.com/*", "example.org/disk", false)]
    fn a_pattern_is_a_key_or_its_beginning(
        #[case] pattern: &str,
        #[case] key: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(matches_any(&[pattern], key), expected);
        assert!(check("showLabels", &[pattern.to_owned()]).is_ok());
    }

    #[rstest]
    #[case::nothing("")]
    #[case::an_asterisk_in_the_middle("a*b")]
    #[case::two_asterisks("a**")]
    fn everything_else_is_refused(#[case] pattern: &str) {
        let error = check("nodes.showTaints", &[pattern.to_owned()]).unwrap_err();
        let expected = format!(
            "`{pattern}` in `nodes.showTaints` is no pattern: write a key, or its beginning and a `*`"
        );
        assert_eq!(error.to_string(), expected);
    }
}
