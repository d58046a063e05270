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
    let old = flags.as_deref().map_or_else(Vec::new, node_ips);
    let new = [node.address].into_iter().chain(node.second_address);
    let changed: Vec<_> = old
        .into_iter()
        .zip(new)
        .filter(|(old, new)| old != new)
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    tracing::info!(node = %node.name, ?changed, "the node has got another address");
    let script = script(&changed);
    let command = Command::new(["sh", "-ec", &script]);
    node.run(command).await.map(drop)
}

/// One address, or one of each family.
fn node_ips(flags: &str) -> Vec<IpAddr> {
    let rest = flags.split_once("--node-ip=").map_or("", |(_, rest)| rest);
    let end = rest.find([' ', '"', '\n']).unwrap_or(rest.len());
    let addresses = rest[..end].split(',');
    addresses
        .filter_map(|address| address.parse().ok())
        .collect()
}

/// What talks to the API server from beside it takes 127.0.0.1, which its certificate names; the new
/// address it does not. The kubelet's arguments come last, since they tell whether this has to be done.
fn script(changed: &[(IpAddr, IpAddr)]) -> String {
    let mut lines: Vec<_> = changed
        .iter()
        .flat_map(|(old, new)| exchange(*old, *new))
        .collect();
    lines.push("systemctl restart kubelet".to_owned());
    lines.join("\n")
}

fn exchange(old: IpAddr, new: IpAddr) -> [String; 3] {
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
    ]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::first(
        r#"KUBELET_KUBEADM_ARGS="--node-ip=172.18.0.4 --node-labels=""#,
        &["172.18.0.4"]
    )]
    #[case::of_two_families(
        r#"KUBELET_KUBEADM_ARGS="--node-ip=172.18.0.4,fc00::4 --node-labels=""#,
        &["172.18.0.4", "fc00::4"]
    )]
    #[case::last(
        r#"KUBELET_KUBEADM_ARGS="--v=1 --node-ip=172.18.0.4""#,
        &["172.18.0.4"]
    )]
    #[case::none(r#"KUBELET_KUBEADM_ARGS="--v=1""#, &[])]
    fn the_addresses_of_the_files_are_read(#[case] flags: &str, #[case] expected: &[&str]) {
        let expected: Vec<IpAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(node_ips(flags), expected);
    }

    #[test]
    fn no_longer_address_is_taken_for_the_old_one() {
        insta::assert_snapshot!(script(&[([172, 18, 0, 4].into(), [172, 18, 0, 3].into())]));
    }
}
