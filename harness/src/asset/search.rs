//! The search for an asset through all sources, remembered for the error.

use super::Error;

/// Which sources were asked, and why they did not help.
#[derive(Debug)]
pub(super) struct Search {
    asset: String,
    tried: Vec<String>,
}

impl Search {
    /// A search for this asset.
    pub(super) fn new(asset: String) -> Self {
        Self {
            asset,
            tried: Vec::new(),
        }
    }

    /// A source does not have it.
    pub(super) fn no(&mut self, source: &str, why: impl AsRef<str>) {
        tracing::debug!(asset = self.asset, source, why = why.as_ref(), "not here");
        self.tried.push(format!("{source}: {}", why.as_ref()));
    }

    /// No source has it.
    pub(super) fn failed(self, source: Option<Error>) -> Error {
        Error::Unavailable {
            asset: self.asset,
            tried: self.tried,
            source: source.map(Box::new),
        }
    }
}
