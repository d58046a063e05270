//! What was deleted, and what would be.

use std::io;

use serde::Serialize;
use vcluster_harness::prune::Item;

use crate::output::{Report, Styled};

/// `delete`.
#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    pub(crate) deleted: Vec<String>,
    /// Is nothing left, rather than only marked for deletion?
    pub(crate) gone: bool,
}

/// `prune`.
#[derive(Debug, Serialize)]
pub(crate) struct Pruned {
    pub(crate) dry_run: bool,
    pub(crate) clusters: Vec<Leftover>,
    /// Hosts, containers, networks, images and files.
    pub(crate) others: Vec<Item>,
}

/// A cluster whose owner is gone or whose time is up.
#[derive(Debug, Serialize)]
pub(crate) struct Leftover {
    pub(crate) namespace: String,
    pub(crate) test: Option<String>,
    /// Why it may go.
    pub(crate) because: String,
}

impl Report for Deleted {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        let state = if self.gone {
            "is gone"
        } else {
            "is being deleted"
        };
        for name in &self.deleted {
            out.line(&format!("virtual cluster {name} {state}"))?;
        }
        Ok(())
    }
}

impl Report for Pruned {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        let verb = if self.dry_run {
            "would delete"
        } else {
            "deleted"
        };
        for cluster in &self.clusters {
            let test = cluster
                .test
                .as_deref()
                .map(|test| format!(" of {test}"))
                .unwrap_or_default();
            out.line(&format!(
                "{verb} {}{test}: {}",
                cluster.namespace, cluster.because
            ))?;
        }
        for item in &self.others {
            let kind = item.kind.name();
            out.line(&format!("{verb} {kind} {}: {}", item.name, item.because))?;
        }
        if self.clusters.is_empty() && self.others.is_empty() {
            out.line("nothing to prune")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vcluster_harness::prune::Kind;

    use super::*;
    use crate::output::tests::both;

    #[test]
    fn deleted_is_told_from_gone() {
        let deleted = |gone| Deleted {
            deleted: vec!["web".to_owned()],
            gone,
        };
        insta::assert_snapshot!(both(&deleted(false)) + &both(&deleted(true)));
    }

    #[test]
    fn each_pruned_cluster_has_a_reason() {
        insta::assert_snapshot!(both(&Pruned {
            dry_run: true,
            clusters: vec![Leftover {
                namespace: "vc-7f3a21c4".to_owned(),
                test: Some("e2e::pods::a_pod_runs".to_owned()),
                because: "its owner is gone".to_owned(),
            }],
            others: vec![Item::told(
                Kind::Image,
                "localhost/vcluster-test/node:v1.34.2-0123456789ab",
                "not used for 15 days",
            )],
        }));
    }
}
