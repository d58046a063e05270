//! Which headers cross, each way. A list of what may pass, so that no header that carries an
//! identity, known or yet to be invented, ever does.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The opening of a stream.
static UPGRADE: [HeaderName; 7] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    HeaderName::from_static("x-stream-protocol-version"),
];

/// Browsers put a bearer token in the list of websocket protocols.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The headers of a request for the host.
pub(super) fn to_host(headers: &HeaderMap) -> HeaderMap {
    let mut passed = only(headers, &UPGRADE);
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let offers = value.to_str().unwrap_or_default().split(',').map(str::trim);
        let harmless: Vec<&str> = offers
            .filter(|offer| !offer.is_empty() && !offer.starts_with(TOKEN_PROTOCOL))
            .collect();
        if let Ok(value) = HeaderValue::from_str(&harmless.join(", "))
            && !value.is_empty()
        {
            passed.append(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
    passed
}

/// The headers of the host's answer for the virtual API server, if it opens a stream.
pub(super) fn of_upgrade(headers: &HeaderMap) -> HeaderMap {
    let mut passed = only(headers, &UPGRADE);
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        passed.append(header::SEC_WEBSOCKET_PROTOCOL, value.clone());
    }
    passed
}

/// The headers of the host's answer for the virtual API server, if it has a body.
pub(super) fn of_body(headers: &HeaderMap) -> HeaderMap {
    only(headers, &[header::CONTENT_TYPE])
}

fn only(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut passed = HeaderMap::new();
    for name in names {
        for value in headers.get_all(name) {
            passed.append(name, value.clone());
        }
    }
    passed
}
