//! The name of a cached file: what it is, and a digest of all that went into it.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Two keys are the same exactly when name and inputs are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    name: String,
    digest: String,
}

/// Hexadecimal digits of a digest that go into names of files and tags.
const SHORT: usize = 12;

impl Key {
    /// A key for `name`, made of these inputs in this order.
    pub(crate) fn new<T: AsRef<[u8]>>(
        name: impl Into<String>,
        inputs: impl IntoIterator<Item = T>,
    ) -> Self {
        let name = name.into();
        let mut hasher = Sha256::new();
        for input in inputs {
            let input = input.as_ref();
            // The length keeps `ab`, `c` and `a`, `bc` apart.
            hasher.update((input.len() as u64).to_le_bytes());
            hasher.update(input);
        }
        Self {
            name,
            digest: hex::encode(hasher.finalize()),
        }
    }

    /// The whole digest of the inputs.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Enough of the digest to tell files apart.
    pub(crate) fn short(&self) -> &str {
        &self.digest[..SHORT]
    }

    /// Is this the name of the same thing made of other inputs?
    pub(crate) fn replaces(&self, file: &str) -> bool {
        file != self.to_string()
            && file.rsplit_once('-').is_some_and(|(name, digest)| {
                name == self.name && digest.len() == SHORT && !digest.contains('.')
            })
    }

    /// What it is, without the digest.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The file name.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_do_not_run_into_each_other() {
        assert_ne!(Key::new("x", ["ab", "c"]), Key::new("x", ["a", "bc"]));
    }

    #[test]
    fn only_another_of_the_same_name_is_replaced() {
        let key = Key::new("syncer-v0.1.0", ["new"]);
        let old = Key::new("syncer-v0.1.0", ["old"]).to_string();
        assert!(key.replaces(&old));
        assert!(!key.replaces(&key.to_string()));
        assert!(!key.replaces(&format!("{old}.json")));
        assert!(!key.replaces(&format!("image-{old}")));
    }

    #[test]
    fn a_file_name_says_what_it_is() {
        let name = Key::new("etcd-v3.6.5", ["x"]).to_string();
        assert!(name.starts_with("etcd-v3.6.5-"), "{name}");
        assert_eq!(name.len(), "etcd-v3.6.5-".len() + SHORT);
    }
}
