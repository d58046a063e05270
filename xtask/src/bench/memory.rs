//! Resident memory of each process of a virtual cluster, read from `/proc` of the node it runs on.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use bollard::{
    Docker,
    exec::{CreateExecOptions, StartExecResults},
};
use futures::StreamExt as _;

/// What is run on a node: for each process its name, its resident memory and its control groups.
const SCRIPT: &str = r#"
for process in /proc/[0-9]*; do
    name=$(cat "$process/comm" 2>/dev/null) || continue
    rss=$(grep VmRSS: "$process/status" 2>/dev/null) || continue
    echo "process $name"
    echo "rss $rss"
    cat "$process/cgroup" 2>/dev/null
done
"#;

/// Resident KiB by program, of all processes of the pod with this uid on this node.
pub(crate) async fn read(
    docker: &Docker,
    node: &str,
    uid: &str,
) -> anyhow::Result<BTreeMap<String, u32>> {
    let options = CreateExecOptions {
        cmd: Some(vec!["sh", "-c", SCRIPT]),
        attach_stdout: Some(true),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(node, options).await?;
    let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec.id, None).await?
    else {
        bail!("the engine gives no output of a command on node {node}");
    };
    let mut listing = String::new();
    while let Some(part) = output.next().await {
        let part = part.with_context(|| format!("could not read processes of node {node}"))?;
        listing.push_str(&String::from_utf8_lossy(&part.into_bytes()));
    }
    let memory = of_pod(&listing, uid);
    if memory.is_empty() {
        bail!("node {node} has no process of pod {uid}");
    }
    Ok(memory)
}

fn of_pod(listing: &str, uid: &str) -> BTreeMap<String, u32> {
    // The systemd driver writes dashes of a uid as underscores.
    let uids = [uid.to_owned(), uid.replace('-', "_")];
    let mut memory = BTreeMap::new();
    for process in listing.split("process ").skip(1) {
        let mut lines = process.lines();
        let name = lines.next().unwrap_or_default();
        let resident = lines.next().and_then(kibibytes);
        let is_of_pod = lines.any(|group| uids.iter().any(|uid| group.contains(uid)));
        if let (true, Some(resident)) = (is_of_pod, resident) {
            *memory.entry(program(name)).or_insert(0) += resident;
        }
    }
    memory
}

/// The kernel keeps 15 characters of a name.
fn program(name: &str) -> String {
    match name {
        "vcluster-syncer" => "syncer",
        "kube-controller" => "kube-controller-manager",
        name => name,
    }
    .to_owned()
}

/// `rss VmRSS:    1234 kB`
fn kibibytes(line: &str) -> Option<u32> {
    line.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
process systemd
rss VmRSS:\t   12000 kB
5:memory:/init.scope
process kube-apiserver
rss VmRSS:\t  260000 kB
5:memory:/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod0a1b_2c.slice/cri-x.scope
process vcluster-syncer
rss VmRSS:\t    7000 kB
0::/kubelet/kubepods/pod0a1b-2c/x
process kube-apiserver
rss VmRSS:\t  250000 kB
5:memory:/kubelet.slice/kubelet-kubepods-podffff.slice/cri-y.scope
";

    #[test]
    fn only_processes_of_the_pod_count() {
        let memory = of_pod(LISTING, "0a1b-2c");
        let expected = BTreeMap::from([
            ("kube-apiserver".to_owned(), 260_000),
            ("syncer".to_owned(), 7_000),
        ]);
        assert_eq!(memory, expected);
    }
}
