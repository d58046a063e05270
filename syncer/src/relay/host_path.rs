//! Where the host's API serves what a kubelet was asked for.

use super::{
    kubelet_request::{Action, Streams},
    query::append,
};

/// The path and query on the host for `action` on the host pod `pod` in `namespace`.
pub(super) fn host_path(namespace: &str, pod: &str, action: &Action) -> String {
    let mut target = format!("/api/v1/namespaces/{namespace}/pods/{pod}/");
    match action {
        Action::Logs { container, options } => {
            target.push_str("log");
            append(&mut target, "container", container.as_bytes());
            for (key, value) in options {
                append(&mut target, key, value.as_bytes());
            }
        }
        Action::Exec {
            container,
            streams,
            command,
        } => {
            target.push_str("exec");
            append(&mut target, "container", container.as_bytes());
            append_streams(&mut target, *streams);
            for argument in command {
                append(&mut target, "command", argument);
            }
        }
        Action::Attach { container, streams } => {
            target.push_str("attach");
            append(&mut target, "container", container.as_bytes());
            append_streams(&mut target, *streams);
        }
        Action::PortForward { ports } => {
            target.push_str("portforward");
            for port in ports {
                append(&mut target, "ports", port.to_string().as_bytes());
            }
        }
    }
    target
}

fn append_streams(target: &mut String, streams: Streams) {
    // All four are said, because what is left out has a default that differs by subresource.
    for (key, is_set) in [
        ("stdin", streams.input),
        ("stdout", streams.output),
        ("stderr", streams.error),
        ("tty", streams.tty),
    ] {
        append(target, key, if is_set { b"true" } else { b"false" });
    }
}
