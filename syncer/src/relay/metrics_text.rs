//! Metrics of a node in Prometheus' text format, line by line: what belongs to other tenants is
//! left out, and what belongs to this one gets the tenant's names.

use std::borrow::Cow;

use super::directory::Directory;

/// Label values that say whose a series is.
const POD: &str = "pod";
const POD_UID: &str = "pod_uid";
const NAMESPACE: &str = "namespace";

/// What the tenant may see of `line`; none if nothing.
pub(super) fn tenants_line<'a>(line: &'a str, directory: &Directory) -> Option<Cow<'a, str>> {
    if line.is_empty() || line.starts_with('#') {
        return Some(line.into());
    }
    // A series without labels is about the node or its kubelet.
    let Some((name, rest)) = line.split_once('{') else {
        return Some(line.into());
    };
    // What cannot be read cannot be judged.
    let (labels, value) = labels(rest)?;
    let of = |key: &str| {
        labels
            .iter()
            .find(|(other, _)| *other == key)
            .map(|(_, v)| *v)
    };
    let Some(pod) = of(POD).filter(|pod| !pod.is_empty()) else {
        return is_about_the_node(&labels).then(|| line.into());
    };
    let pod = directory.host_pod(of(NAMESPACE)?, pod)?;
    let labels: Vec<String> = labels
        .iter()
        .map(|&(key, value)| {
            let value = match key {
                POD => &pod.key.name,
                NAMESPACE => pod.key.namespace.as_deref().unwrap_or_default(),
                POD_UID => &pod.uid,
                _ => value,
            };
            format!("{key}=\"{value}\"")
        })
        .collect();
    Some(format!("{name}{{{}}}{value}", labels.join(",")).into())
}

/// Claims and processes are somebody's, and the relay cannot tell whose.
fn is_about_the_node(labels: &[(&str, &str)]) -> bool {
    labels.iter().all(|&(key, value)| match key {
        NAMESPACE | "persistentvolumeclaim" | POD_UID | "container_id" | "image" => {
            value.is_empty()
        }
        "id" => matches!(value, "" | "/"),
        _ => true,
    })
}

/// The labels as they stand, escapes and all, and what follows the closing brace.
fn labels(mut text: &str) -> Option<(Vec<(&str, &str)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([' ', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (key, rest) = text.split_once("=\"")?;
        let mut is_escaped = false;
        let end = rest.find(|c| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        })?;
        labels.push((key.trim(), &rest[..end]));
        text = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::relay::tests::{directory, pod};

    #[rstest]
    #[case::comment("# HELP up pod=\"db\"")]
    #[case::without_labels("process_start_time_seconds 1.5e9")]
    #[case::of_the_kubelet(r#"rest_client_requests_total{code="200",host="[::1]:6443"} 7"#)]
    #[case::of_the_machine(r#"container_cpu_usage_seconds_total{id="/",pod="",namespace=""} 7 99"#)]
    fn what_is_about_the_node_stays(#[case] line: &str) {
        let directory = directory();
        assert_eq!(tenants_line(line, &directory).as_deref(), Some(line));
    }

    #[rstest]
    #[case::of_a_container(
        r#"x{container="main",namespace="vc-test",pod="web-x-default-x-test"} 7 99"#,
        r#"x{container="main",namespace="default",pod="web"} 7 99"#
    )]
    #[case::with_escapes(
        r#"x{name="a\"}b\\",pod="web-x-default-x-test",namespace="vc-test",} 7"#,
        r#"x{name="a\"}b\\",pod="web",namespace="default"} 7"#
    )]
    #[case::of_a_probe(
        r#"x{pod_uid="host-uid",pod="web-x-default-x-test",namespace="vc-test"} 1"#,
        r#"x{pod_uid="uid-of-web",pod="web",namespace="default"} 1"#
    )]
    fn what_is_the_tenants_gets_its_names(#[case] line: &str, #[case] expected: &str) {
        let mut directory = directory();
        directory.put_pod(&pod("web", "10.244.0.5"));
        assert_eq!(tenants_line(line, &directory).as_deref(), Some(expected));
    }

    #[rstest]
    #[case::foreign_pod(r#"x{namespace="vc-test",pod="db-x-default-x-other"} 1"#)]
    #[case::pod_of_that_name_elsewhere(
        r#"x{namespace="kube-system",pod="web-x-default-x-test"} 1"#
    )]
    #[case::pod_without_a_namespace(r#"x{pod="web-x-default-x-test"} 1"#)]
    #[case::claim(r#"x{namespace="vc-other",persistentvolumeclaim="data"} 1"#)]
    #[case::process_group(r#"x{id="/kubepods/burstable/pod1234",pod=""} 1"#)]
    #[case::namespace_alone(r#"x{namespace="vc-other"} 1"#)]
    #[case::unreadable(r#"x{namespace="vc-test",pod="web"#)]
    fn what_is_somebody_elses_goes(#[case] line: &str) {
        let mut directory = directory();
        directory.put_pod(&pod("web", "10.244.0.5"));
        assert_eq!(tenants_line(line, &directory), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".{0,60}", labels in r#"[{}a-z="\\, ]{0,40}"#) {
            tenants_line(&line, &directory());
            tenants_line(&format!("x{{{labels}"), &directory());
        }
    }
}
