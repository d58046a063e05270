//! Which nodes the tenant sees, and how much of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{choice::Switch, error::Error, pattern};

/// Which nodes the tenant sees, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Nodes {
    /// Nodes are as they are on the host. Otherwise those that carry the tenant's pods are made up
    /// from what these pods say, and the syncer has no right to read nodes.
    pub enabled: bool,
    /// Which nodes; those that carry the tenant's pods unless it says otherwise.
    pub selector: NodeSelector,
    /// The keys of the labels that are shown; a `*` at the end stands for anything. Those that every
    /// node has (`kubernetes.io/hostname`, `/os` and `/arch`) always are.
    pub show_labels: Vec<String>,
    /// The keys of the taints that are shown, as with labels.
    pub show_taints: Vec<String>,
    /// Nodes give their metrics and the summary of what pods use, of this cluster's pods alone. For
    /// that the syncer needs the right to `nodes/proxy` of the host, which is a great one.
    pub metrics: Switch,
}

/// Nodes that the tenant sees whether it uses them or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeSelector {
    /// All of them.
    pub all: bool,
    /// Those with these labels. The tenant's pods then run on no others.
    pub labels: BTreeMap<String, String>,
}

/// Which nodes a tenant sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Made-up ones, where its pods are.
    MadeUp,
    /// The host's, where its pods are.
    Used,
    /// The host's with these labels.
    Labelled(&'a BTreeMap<String, String>),
    /// All of the host's.
    All,
}

const EVERYTHING: &str = "*";

impl Default for Nodes {
    fn default() -> Self {
        Self {
            enabled: true,
            selector: NodeSelector::default(),
            show_labels: vec![EVERYTHING.to_owned()],
            show_taints: vec![EVERYTHING.to_owned()],
            metrics: Switch::OFF,
        }
    }
}

impl Nodes {
    /// Which nodes the tenant sees.
    pub fn shown(&self) -> Shown<'_> {
        if !self.enabled {
            Shown::MadeUp
        } else if self.selector.all {
            Shown::All
        } else if self.selector.labels.is_empty() {
            Shown::Used
        } else {
            Shown::Labelled(&self.selector.labels)
        }
    }

    /// Does the tenant see labels of this key?
    pub fn shows_label(&self, key: &str) -> bool {
        pattern::matches_any(&self.show_labels, key)
    }

    /// Does the tenant see taints of this key?
    pub fn shows_taint(&self, key: &str) -> bool {
        pattern::matches_any(&self.show_taints, key)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let usual = Self::default();
        if self.selector.all && !self.selector.labels.is_empty() {
            return Err(Error::NodesTwice);
        }
        for (key, is_usual) in [
            ("selector", self.selector == usual.selector),
            ("showLabels", self.show_labels == usual.show_labels),
            ("showTaints", self.show_taints == usual.show_taints),
            ("metrics", self.metrics == usual.metrics),
        ] {
            if !self.enabled && !is_usual {
                return Err(Error::NodesUnread { key });
            }
        }
        pattern::check("nodes.showLabels", &self.show_labels)?;
        pattern::check("nodes.showTaints", &self.show_taints)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::Sync;

    fn read(nodes: &str) -> Result<Nodes, Error> {
        let sync = Sync::from_yaml(&format!("sync: {{fromHost: {{nodes: {nodes}}}}}"))?;
        Ok(sync.from_host.nodes)
    }

    #[rstest]
    #[case::usually("{}", "Used")]
    #[case::made_up("{enabled: false}", "MadeUp")]
    #[case::all("{selector: {all: true}}", "All")]
    #[case::labelled("{selector: {labels: {disk: fast}}}", r#"Labelled({"disk": "fast"})"#)]
    fn one_choice_of_four(#[case] nodes: &str, #[case] expected: &str) {
        assert_eq!(format!("{:?}", read(nodes).unwrap().shown()), expected);
    }

    #[test]
    fn labels_and_taints_are_shown_by_patterns() {
        let nodes = read("{showLabels: ['example.com/*'], showTaints: []}").unwrap();
        assert!(nodes.shows_label("example.com/disk"));
        assert!(!nodes.shows_label("disk"));
        assert!(!nodes.shows_taint("example.com/disk"));
    }

    #[rstest]
    #[case::two_choices(
        "{selector: {all: true, labels: {a: b}}}",
        "`nodes.selector` takes `all` or `labels`, not both"
    )]
    #[case::of_nodes_that_are_not_read(
        "{enabled: false, selector: {all: true}}",
        "`nodes.selector` is about the host's nodes: leave `nodes.enabled` on"
    )]
    #[case::metrics_of_made_up_nodes(
        "{enabled: false, metrics: {enabled: true}}",
        "`nodes.metrics` is about the host's nodes: leave `nodes.enabled` on"
    )]
    #[case::an_asterisk_in_the_middle(
        "{showTaints: ['a*b']}",
        "`a*b` in `nodes.showTaints` is no pattern: write a key, or its beginning and a `*`"
    )]
    fn what_does_not_go_together_is_refused(#[case] nodes: &str, #[case] expected: &str) {
        assert_eq!(read(nodes).unwrap_err().to_string(), expected);
    }
}
