//! The address of a node that was started again: the engine may have given its own to somebody else
//! meanwhile, and kubeadm wrote it into files. Official node images see to that themselves; this does
//! where the image does not.

use std::net::IpAddr;

use super::super::{
    Error, files,
    node::{Command, Node},
};

/// Arguments of the kubelet: the address that the node's files are for.
const FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";

/// Makes the files of `node`, which runs, say the address that it has now.
pub(super) async fn renew(node: &Node) -> Result<(), Error> {
    let flags = files::read(&node.engine, &node.name, FLAGS).await?;
    let Some(old) = flags.as_deref().and_then(node_ip) else {
        return Ok(());
    };
    if old == node.address {
        return Ok(());
    }
    tracing::info!(node = %node.name, %old, new = %node.address, "the node has got another address");
    let script = script(old, node.address);
    let command = Command::new(["sh", "-ec", &script]);
    node.run(command).await.map(drop)
}

fn node_ip(flags: &str) -> Option<IpAddr> {
    let (_, rest) = flags.split_once("--node-ip=")?;
    let end = rest.find([' ', '"', ',', '\n']).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// What talks to the API server from beside it takes 127.0.0.1, which its certificate names; the new
/// address it does not. The kubelet's arguments come last, since they tell whether this has to be done.
fn script(old: IpAddr, new: IpAddr) -> String {
    let old = old.to_string().replace('.', r"\.");
    [
        format!(
            "find /etc/kubernetes -maxdepth 1 -name '*.conf' \
             -exec sed -i 's#https://{old}:#https://127.0.0.1:#' {{}} +"
        ),
        format!(
            "find /etc/kubernetes -path '*/manifests/*.yaml' \
             -exec sed -i 's#\\b{old}\\b#{new}#g' {{}} +"
        ),
        format!("sed -i 's#\\b{old}\\b#{new}#g' {FLAGS}"),
        "systemctl restart kubelet".to_owned(),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::first(
        r#"KUBELET_KUBEADM_ARGS="--node-ip=172.18.0.4 --node-labels=""#,
        Some("172.18.0.4")
    )]
    #[case::last(
        r#"KUBELET_KUBEADM_ARGS="--v=1 --node-ip=172.18.0.4""#,
        Some("172.18.0.4")
    )]
    #[case::none(r#"KUBELET_KUBEADM_ARGS="--v=1""#, None)]
    fn the_address_of_the_files_is_read(#[case] flags: &str, #[case] expected: Option<&str>) {
        let expected = expected.map(|address| address.parse().unwrap());
        assert_eq!(node_ip(flags), expected);
    }

    #[test]
    fn no_longer_address_is_taken_for_the_old_one() {
        insta::assert_snapshot!(script([172, 18, 0, 4].into(), [172, 18, 0, 3].into()));
    }
}
