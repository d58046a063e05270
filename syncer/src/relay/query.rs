//! Query strings with values of any bytes, as commands may have.

use percent_encoding::percent_decode;

/// The pairs of a query string, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(Vec<u8>, Vec<u8>)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        };
        Self(pairs.map(pair).collect())
    }

    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(other, _)| other == key.as_bytes())
            .map(|(_, value)| value.as_slice())
    }

    pub(super) fn first(&self, key: &str) -> Option<&[u8]> {
        let mut values = self.0.iter().filter(|(other, _)| other == key.as_bytes());
        values.next().map(|(_, value)| value.as_slice())
    }
}

/// Appends `key=value` to the path and query `target`.
pub(super) fn append(target: &mut String, key: &str, value: &[u8]) {
    target.push(if target.contains('?') { '&' } else { '?' });
    target.extend(form_urlencoded::byte_serialize(key.as_bytes()));
    target.push('=');
    target.extend(form_urlencoded::byte_serialize(value));
}

fn decode(text: &str) -> Vec<u8> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).collect()
}
