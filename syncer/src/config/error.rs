//! What is wrong with a configuration.

use std::{io, path::PathBuf};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not readable.
    #[error("could not read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key that nobody knows.
    #[error("unknown key `{key}` in the configuration; did you mean `{nearest}`?")]
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that reads most alike.
        nearest: String,
        /// Where it stands.
        source: serde_yaml_ng::Error,
    },
    /// A kind that is to go both ways.
    #[error("`{kind}` cannot go to the host and come from it as well: switch one of them off")]
    BothWays {
        /// The kind, as the configuration calls it.
        kind: &'static str,
    },
    /// Volumes that nobody could claim.
    #[error(
        "`persistentVolumes` go to the host only with `persistentVolumeClaims`: switch those on"
    )]
    VolumesWithoutClaims,
    /// A lease that ends before it can be renewed.
    #[error("a lease of {seconds} s is too short: `leaseSeconds` must be {shortest} at least")]
    ShortLease {
        /// How long it is.
        seconds: u16,
        /// How long it must be.
        shortest: u16,
    },
    /// Nodes that are chosen in two ways.
    #[error("`nodes.selector` takes `all` or `labels`, not both")]
    NodesTwice,
    /// A wish about nodes that are not read.
    #[error("`nodes.{key}` is about the host's nodes: leave `nodes.enabled` on")]
    NodesUnread {
        /// What is wished.
        key: &'static str,
    },
    /// A scheduler that would have to guess.
    #[error("`virtualScheduler` must see the host's nodes: leave `fromHost.nodes.enabled` on")]
    SchedulerWithoutNodes,
    /// A metrics server with nobody to ask.
    #[error("`fromHost.metricsServer` asks the host's nodes: leave `fromHost.nodes.enabled` on")]
    MetricsWithoutNodes,
    /// Schedulers of the host for pods that are bound before they get there.
    #[error(
        "`toHost.pods.schedulerNames` are the host's, and with `virtualScheduler` its schedulers bind \
         no pods: leave one of them out"
    )]
    SchedulersTwice,
    /// A pattern of keys that is none.
    #[error("`{pattern}` in `{key}` is no pattern: write a key, or its beginning and a `*`")]
    Pattern {
        /// Where it stands.
        key: &'static str,
        /// The pattern.
        pattern: String,
    },
    /// A toleration that is none.
    #[error(
        "`{text}` in `enforceTolerations` is no toleration: write `*`, `key`, `key=value`, \
         `key:effect` or `key=value:effect`, where the effect is NoSchedule, PreferNoSchedule or NoExecute"
    )]
    Toleration {
        /// What stands there.
        text: String,
    },
    /// Not a configuration.
    #[error("the configuration is not valid")]
    Parse(#[from] serde_yaml_ng::Error),
}

/// Names the known key that an unknown one most likely stands for.
pub(super) fn explain(source: serde_yaml_ng::Error) -> Error {
    // serde knows the list of valid keys but gives it in words only.
    let text = source.to_string();
    let Some((_, rest)) = text.split_once("unknown field `") else {
        return Error::Parse(source);
    };
    let mut quoted = rest.split('`').step_by(2).map(str::to_owned);
    let Some(key) = quoted.next() else {
        return Error::Parse(source);
    };
    let known = rest.split('`').skip(2).step_by(2);
    let nearest = known.max_by(|a, b| {
        let similarity =
            |known: &str| strsim::jaro_winkler(&key.to_lowercase(), &known.to_lowercase());
        similarity(a).total_cmp(&similarity(b))
    });
    match nearest {
        Some(nearest) => Error::UnknownKey {
            nearest: nearest.to_owned(),
            key,
            source,
        },
        None => Error::Parse(source),
    }
}
