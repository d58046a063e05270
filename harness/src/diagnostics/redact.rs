//! Takes out of objects and logs what must not be in a file that people attach to an issue.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// Replaces a value, keeping what helps: how long it was.
fn hidden(length: usize) -> String {
    format!("<redacted, {length} bytes>")
}

/// Removes the values of secrets, credentials in any text, and what is only noise.
pub(super) fn object(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            // A copy of the whole object, secret values included.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if object["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            let values = object.get_mut(field).and_then(Value::as_object_mut);
            for value in values.into_iter().flat_map(|values| values.values_mut()) {
                *value = hidden(secret_length(value, field)).into();
            }
        }
    }
    walk(object);
}

fn secret_length(value: &Value, field: &str) -> usize {
    let text = value.as_str().unwrap_or_default();
    match field {
        "data" => STANDARD
            .decode(text)
            .map_or(text.len(), |bytes| bytes.len()),
        _ => text.len(),
    }
}

fn walk(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(clean) = redacted(text) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(walk),
        Value::Object(fields) => {
            hide_variable(fields);
            fields.values_mut().for_each(walk);
        }
        _ => {}
    }
}

/// `{name: DB_PASSWORD, value: …}` in a container's environment.
fn hide_variable(fields: &mut serde_json::Map<String, Value>) {
    let name = fields.get("name").and_then(Value::as_str);
    if !name.is_some_and(is_credential) {
        return;
    }
    if let Some(Value::String(value)) = fields.get_mut("value") {
        *value = hidden(value.len());
    }
}

fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    [
        "PASSWORD",
        "PASSWD",
        "SECRET",
        "TOKEN",
        "API_KEY",
        "PRIVATE_KEY",
        "CREDENTIAL",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// The same text without private keys and tokens.
pub(super) fn text(text: &str) -> String {
    redacted(text).unwrap_or_else(|| text.to_owned())
}

/// `None` when there is nothing to take out, which is nearly always.
fn redacted(text: &str) -> Option<String> {
    let without_keys = without_private_keys(text);
    let rest = without_keys.as_deref().unwrap_or(text);
    let without_logins = without_passwords(rest).or(without_keys);
    let rest = without_logins.as_deref().unwrap_or(text);
    without_tokens(rest).or(without_logins)
}

/// Passwords in addresses: `postgres://USER:PASSWORD@HOST`.
fn without_passwords(text: &str) -> Option<String> {
    let mut clean = String::new();
    let mut copied = 0;
    for (scheme, _) in text.match_indices("://") {
        let start = scheme + "://".len();
        let address = text[start..].split(|c: char| c.is_whitespace() || "\"'`<>".contains(c));
        let address = address.into_iter().next().unwrap_or_default();
        let Some((login, _)) = address.rsplit_once('@') else {
            continue;
        };
        if let Some((user, password)) = login.split_once(':')
            // Else it is an image by its digest, in a registry with a port.
            && !login.contains('/')
            && start >= copied
        {
            let from = start + user.len() + 1;
            clean.push_str(&text[copied..from]);
            clean.push_str(&hidden(password.len()));
            copied = from + password.len();
        }
    }
    (copied > 0).then(|| clean + &text[copied..])
}

fn without_private_keys(text: &str) -> Option<String> {
    const BEGIN: &str = "-----BEGIN ";
    if !text.contains("PRIVATE KEY-----") {
        return None;
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(start);
        clean.push_str(before);
        let end = block.find("-----END ").and_then(|end| {
            let tail = end + "-----END ".len();
            block[tail..].find("-----").map(|dashes| tail + dashes + 5)
        });
        let end = end.unwrap_or(block.len());
        if block[..end].contains("PRIVATE KEY-----") {
            clean.push_str(&hidden(end));
        } else {
            clean.push_str(&block[..end]);
        }
        rest = &block[end..];
    }
    clean.push_str(rest);
    Some(clean)
}

/// Words that are credentials by their shape: JSON web tokens, private keys in base64, and what follows
/// a word that announces one.
fn without_tokens(text: &str) -> Option<String> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "-_.+/".contains(char);
    let mut clean = String::new();
    let (mut copied, mut start) = (0, None);
    for (index, char) in text.char_indices().chain([(text.len(), ' ')]) {
        if is_part(char) {
            start.get_or_insert(index);
            continue;
        }
        let Some(from) = start.take() else { continue };
        let word = &text[from..index];
        if is_token(word) || is_announced(&text[..from], word) {
            clean.push_str(&text[copied..from]);
            clean.push_str(&hidden(word.len()));
            copied = index;
        }
    }
    (copied > 0).then(|| clean + &text[copied..])
}

fn is_token(word: &str) -> bool {
    is_web_token(word) || is_encoded_private_key(word)
}

fn is_web_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.len() > 40 && word.matches('.').count() == 2
}

fn is_encoded_private_key(word: &str) -> bool {
    const ENCODED_BEGIN: &str = "LS0tLS1CRUdJTi";
    let head = word
        .get(..48)
        .filter(|head| head.starts_with(ENCODED_BEGIN));
    head.and_then(|head| STANDARD.decode(head).ok())
        .is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains("PRIVATE KEY"))
}

/// After `Bearer `, or after `token:`, `password=` and the like, with or without quotes.
fn is_announced(before: &str, word: &str) -> bool {
    const NAMES: [&str; 5] = [
        "token",
        "password",
        "client-key-data",
        "client_secret",
        "secret_key",
    ];
    if word.len() < 8 {
        return false;
    }
    let line = before.rsplit('\n').next().unwrap_or_default();
    let line = line.trim_end_matches([' ', '"', '\'']).to_ascii_lowercase();
    let named = line
        .strip_suffix([':', '='])
        .map(|name| name.trim_end_matches([' ', '"', '\'']));
    line.ends_with("bearer")
        || named.is_some_and(|name| NAMES.iter().any(|suffix| name.ends_with(suffix)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn clean(mut value: Value) -> Value {
        object(&mut value);
        value
    }

    #[test]
    fn of_a_secret_only_names_and_lengths_stay() {
        let secret = json!({
            "kind": "Secret",
            "metadata": {"name": "s", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"a\":\"aHVzaA==\"}}"}},
            "data": {"a": "aHVzaA=="},
            "stringData": {"b": "hush"},
        });
        let expected = json!({
            "kind": "Secret",
            "metadata": {"name": "s", "annotations": {}},
            "data": {"a": "<redacted, 4 bytes>"},
            "stringData": {"b": "<redacted, 4 bytes>"},
        });
        assert_eq!(clean(secret), expected);
    }

    #[test]
    fn variables_that_sound_secret_are_hidden_and_others_stay() {
        let pod = json!({"kind": "Pod", "spec": {"containers": [{"env": [
            {"name": "DB_PASSWORD", "value": "hunter2"},
            {"name": "COLOR", "value": "red"},
            {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "t"}}}]}]}});
        let expected = json!({"kind": "Pod", "spec": {"containers": [{"env": [
            {"name": "DB_PASSWORD", "value": "<redacted, 7 bytes>"},
            {"name": "COLOR", "value": "red"},
            {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "t"}}}]}]}});
        assert_eq!(clean(pod), expected);
    }

    #[test]
    fn a_kubeconfig_in_a_config_map_loses_its_keys() {
        let key = STANDARD
            .encode("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n");
        let kubeconfig =
            format!("users:\n- user:\n    client-key-data: {key}\n    token: abcdefgh1234\n");
        let map = clean(json!({"kind": "ConfigMap", "data": {"config": kubeconfig}}));
        let text = map["data"]["config"].as_str().unwrap();
        assert_eq!(
            text,
            format!(
                "users:\n- user:\n    client-key-data: <redacted, {} bytes>\n    token: <redacted, 12 bytes>\n",
                key.len()
            )
        );
    }

    #[rstest]
    #[case::a_bearer(
        "Authorization: Bearer abcdefghijk",
        "Authorization: Bearer <redacted, 11 bytes>"
    )]
    #[case::a_private_key(
        "a\n-----BEGIN PRIVATE KEY-----\nxyz\n-----END PRIVATE KEY-----\nb",
        "a\n<redacted, 57 bytes>\nb"
    )]
    #[case::a_web_token(
        "t=eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl;",
        "t=<redacted, 73 bytes>;"
    )]
    #[case::an_address(
        "dial postgres://me:hush@db.test/a, mysql://b:c@tcp(db.test)/a",
        "dial postgres://me:<redacted, 4 bytes>@db.test/a, mysql://b:<redacted, 1 bytes>@tcp(db.test)/a"
    )]
    #[case::a_quoted_token("{\"token\":\"abcdefghijk\"}", "{\"token\":\"<redacted, 11 bytes>\"}")]
    fn a_line_loses_its_credentials(#[case] line: &str, #[case] expected: &str) {
        assert_eq!(text(line), expected);
    }

    #[rstest]
    #[case::a_certificate("-----BEGIN CERTIFICATE-----\nxyz\n-----END CERTIFICATE-----\n")]
    #[case::an_address("http://127.0.0.1:2379 and docker://registry.test:5000/web@sha256:ee6521f2")]
    #[case::prose("the token was refused: unauthorized")]
    #[case::an_image(
        "image: registry.k8s.io/pause:3.10@sha256:ee6521f290b2168b6e0935a181d4cff9be1ac3f505666ef0e3c98fae8199917a"
    )]
    fn what_helps_stays(#[case] line: &str) {
        assert_eq!(text(line), line);
    }
}
