//! What was learned of assets and holds for as long as they are what they are. Whoever forgets it learns it again.

use super::{Assets, StoreError, store::Key};

impl Assets {
    /// What was remembered under this name for these inputs.
    pub(crate) async fn recall(&self, name: &str, inputs: &[&[u8]]) -> Option<Vec<u8>> {
        let found = self.store.find(&Key::new(name, inputs)).await;
        let path = match found {
            Ok(found) => found?,
            Err(error) => return warn(name, &error),
        };
        match tokio::fs::read(path).await {
            Ok(content) => Some(content),
            Err(error) => warn(name, &error),
        }
    }

    /// Remembers it, unless somebody else has.
    pub(crate) async fn remember(&self, name: &str, inputs: &[&[u8]], content: &[u8]) {
        let key = Key::new(name, inputs);
        let write = |path: std::path::PathBuf| async move {
            let written = tokio::fs::write(&path, content).await;
            written.map_err(StoreError::io("write", &path))
        };
        if let Err(error) = self.store.get_or_make(&key, write).await {
            let _: Option<()> = warn(name, &error);
        }
    }
}

fn warn<T>(name: &str, error: &(dyn std::error::Error + 'static)) -> Option<T> {
    tracing::warn!(name, error, "what was learned is not remembered");
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{progress::Progress, settings::Settings};

    #[tokio::test]
    async fn what_was_learned_holds_for_the_same_inputs_alone() {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().to_str().unwrap();
        let settings = Settings::from_environment(&[("VCLUSTER_TEST_CACHE", path)]).unwrap();
        let assets = Assets::new(&settings, Progress::silent());
        assert_eq!(assets.recall("thing", &[b"1"]).await, None);
        assets.remember("thing", &[b"1"], b"first").await;
        assets.remember("thing", &[b"1"], b"second").await;
        let found = assets.recall("thing", &[b"1"]).await;
        assert_eq!(found.as_deref(), Some(b"first".as_slice()));
        assert_eq!(assets.recall("thing", &[b"2"]).await, None);
    }
}
