//! Which nodes the tenant sees, and how much of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{choice::Switch, error::Error};

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
        matches_any(&self.show_labels, key)
    }

    /// Does the tenant see taints of this key?
    pub fn shows_taint(&self, key: &str) -> bool {
        matches_any(&self.show_taints, key)
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
        for (key, patterns) in [
            ("showLabels", &self.show_labels),
            ("showTaints", &self.show_taints),
        ] {
            if let Some(pattern) = patterns.iter().find(|pattern| !is_pattern(pattern)) {
                return Err(Error::Pattern {
                    key,
                    pattern: pattern.clone(),
                });
            }
        }
        Ok(())
    }
}

fn is_pattern(text: &str) -> bool {
    let key = text.strip_suffix('*').unwrap_or(text);
    !text.is_empty() && !key.contains('*')
}

fn matches_any(patterns: &[String], key: &str) -> bool {
    patterns.iter().any(|pattern| {
        let beginning = pattern.strip_suffix('*');
        beginning.map_or(pattern == key, |beginning| key.starts_with(beginning))
    })
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
        let nodes = read(&format!("{{showLabels: ['{pattern}'], showTaints: []}}")).unwrap();
        assert_eq!(nodes.shows_label(key), expected);
        assert!(!nodes.shows_taint(key));
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
