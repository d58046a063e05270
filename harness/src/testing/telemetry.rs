//! Tracing for tests: once per process, into the captured output, unless the test brings its own.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::log;

/// What is said when nothing else is asked for: a cluster's life, and what others find odd.
const USUAL: &str = "warn,vcluster_harness=info";

/// Sets the subscriber of this process. A global one: what worker threads say counts, too.
pub(super) fn start(filter: Option<&str>) {
    let filter = log::filter(filter, USUAL);
    let is_colored = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(is_colored)
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_test_writer()
        .finish();
    // Somebody else's subscriber stays.
    drop(tracing::subscriber::set_global_default(subscriber));
}
