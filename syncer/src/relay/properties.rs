//! What must hold of everything that the virtual API server, or a tenant through it, asks the relay.

use http::Method;

use super::{
    host_path::host_path,
    kubelet_request::{KubeletRequest, PodRequest},
    target::Target,
};
use crate::naming::NameTranslator;

/// As a fuzzer gives it.
///
/// # Panics
/// As [`request`].
pub fn request_text(data: &[u8]) {
    request(&String::from_utf8_lossy(data));
}

/// As a fuzzer gives it.
///
/// # Panics
/// As [`target`].
pub fn target_text(data: &[u8]) {
    target(&String::from_utf8_lossy(data));
}

/// A request to a kubelet, path and query, is read or refused. What is read names a pod that has a twin's
/// name, and never leaves it.
///
/// # Panics
/// If it does.
pub fn request(asked: &str) {
    let (path, query) = match asked.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (asked, None),
    };
    for method in [Method::GET, Method::POST] {
        let Ok(KubeletRequest::Pod(PodRequest { pod, action, .. })) =
            KubeletRequest::parse(&method, path, query)
        else {
            continue;
        };
        let twin = NameTranslator::new("test", "vc-test").host_key(&pod).name;
        let is_of_names =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        assert!(twin.bytes().all(is_of_names), "{asked} became {twin}");
        assert!(twin.len() <= 253, "{asked} became {twin}");
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
