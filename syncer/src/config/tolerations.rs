//! Tolerations in one word each.

use k8s_openapi::api::core::v1::Toleration;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Reads `*`, `key`, `key=value`, `key:effect` or `key=value:effect`.
pub(super) fn parse(text: &str) -> Option<Toleration> {
    if text == "*" {
        return Some(Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        });
    }
    let (rest, effect) = match text.split_once(':') {
        Some((rest, effect)) => (rest, Some(effect)),
        None => (text, None),
    };
    let (key, value) = match rest.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (rest, None),
    };
    let is_known = effect.is_none_or(|effect| EFFECTS.contains(&effect));
    let operator = if value.is_some() { "Equal" } else { "Exists" };
    (is_known && is_key(key)).then(|| Toleration {
        key: Some(key.to_owned()),
        operator: Some(operator.to_owned()),
        value: value.map(str::to_owned),
        effect: effect.map(str::to_owned),
        ..Toleration::default()
    })
}

fn is_key(text: &str) -> bool {
    let is_usual = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    !text.is_empty() && text.bytes().all(is_usual)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::everything("*", json!({"operator": "Exists"}))]
    #[case::a_key("gpu", json!({"key": "gpu", "operator": "Exists"}))]
    #[case::a_value("team=red", json!({"key": "team", "operator": "Equal", "value": "red"}))]
    #[case::an_effect(
        "gpu:NoExecute",
        json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"})
    )]
    #[case::all_of_it(
        "example.com/team=red:NoSchedule",
        json!({"key": "example.com/team", "operator": "Equal", "value": "red", "effect": "NoSchedule"})
    )]
    #[case::an_empty_value("team=", json!({"key": "team", "operator": "Equal", "value": ""}))]
    fn words_are_read(#[case] text: &str, #[case] expected: Value) {
        let found = parse(text).unwrap();
        assert_eq!(serde_json::to_value(found).unwrap(), expected);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_key("=red")]
    #[case::an_unknown_effect("gpu:Never")]
    #[case::a_space("gpu, team")]
    fn everything_else_is_refused(#[case] text: &str) {
        assert_eq!(parse(text), None);
    }
}
