//! A kubeconfig: YAML for people and clients alike, JSON for those who ask.

use std::io;

use kube::config::Kubeconfig;
use serde::Serialize;

use crate::output::{Report, Styled};

/// `kubeconfig`. No `Debug`: it holds a key.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct KubeconfigReport(pub(crate) Kubeconfig);

impl Report for KubeconfigReport {
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
        let yaml = serde_yaml_ng::to_string(&self.0).map_err(io::Error::other)?;
        out.line(yaml.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::both;

    #[test]
    fn both_forms_are_what_kubectl_reads() {
        let kubeconfig = Kubeconfig {
            api_version: Some("v1".to_owned()),
            kind: Some("Config".to_owned()),
            current_context: Some("web".to_owned()),
            ..Kubeconfig::default()
        };
        insta::assert_snapshot!(both(&KubeconfigReport(kubeconfig)));
    }
}
