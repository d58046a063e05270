//! TLS needs a provider of cryptography, chosen once per process.

use rustls::crypto::{CryptoProvider, ring};

/// Installs `ring` when the process has chosen no provider yet.
///
/// Without one, the first TLS connection panics. A provider that the test's own crate installed is kept.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // Losing the race means that another thread installed one, which is as good.
        drop(ring::default_provider().install_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_is_the_same_as_once() {
        install_provider();
        install_provider();
        assert!(CryptoProvider::get_default().is_some());
    }
}
