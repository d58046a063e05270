//! What must hold of everything that the virtual API server, or a tenant through it, asks the relay.

use http::Method;

use super::{
    host_path::host_path,
    kubelet_request::{KubeletRequest, PodRequest},
    target::Target,
};

/// A request to a kubelet, path and query, is read or refused, and never leaves its pod.
///
/// # Panics
/// If it does.
pub fn request(asked: &str) {
    let (path, query) = match asked.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (asked, None),
    };
    for method in [Method::GET, Method::POST] {
        let Ok(KubeletRequest::Pod(PodRequest { action, .. })) =
            KubeletRequest::parse(&method, path, query)
        else {
            continue;
        };
        let host = host_path("vc-test", "twin", &action);
        let (path, query) = host.split_once('?').unwrap_or((&host, ""));
        let subresource = path.strip_prefix("/api/v1/namespaces/vc-test/pods/twin/");
        let is_known = matches!(subresource, Some("log" | "exec" | "attach" | "portforward"));
        assert!(is_known, "{asked} became {host}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*+%&=".contains(&byte);
        assert!(query.bytes().all(is_plain), "{asked} became {host}");
    }
}

/// Where a tunnel is to lead is read or refused, and what is read is written so that it reads back.
///
/// # Panics
/// If not.
pub fn target(authority: &str) {
    if let Ok(target) = Target::parse(authority) {
        assert_eq!(
            Target::parse(&target.to_string()),
            Ok(target),
            "{authority}"
        );
    }
}
