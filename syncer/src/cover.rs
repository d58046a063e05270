//! Comparing what is wanted with what is there, and the difference of two JSON values. The server
//! adds defaults to what it is given, so equality is too much to ask.

use serde_json::{Map, Value};

/// Has `actual` everything that `wanted` asks for? Objects may have more; lists may not, since
/// there is no telling what belongs to whom.
pub(crate) fn covers(actual: &Value, wanted: &Value) -> bool {
    match (actual, wanted) {
        (Value::Object(actual), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            match actual.get(key) {
                Some(actual) => covers(actual, wanted),
                // The server drops what is empty.
                None => is_empty(wanted),
            }
        }),
        (Value::Array(actual), Value::Array(wanted)) => {
            actual.len() == wanted.len()
                && actual
                    .iter()
                    .zip(wanted)
                    .all(|(actual, wanted)| covers(actual, wanted))
        }
        (actual, wanted) => actual == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The merge patch (RFC 7396) that turns `from` into `to`; none when they are alike.
pub(crate) fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for (key, to) in to {
        match from.get(key) {
            Some(from) => {
                if let Some(change) = merge_patch(from, to) {
                    patch.insert(key.clone(), change);
                }
            }
            None => {
                patch.insert(key.clone(), to.clone());
            }
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::the_same(json!({"a": 1}), json!({"a": 1}), true)]
    #[case::more_is_there(json!({"a": 1, "b": 2}), json!({"a": 1}), true)]
    #[case::something_is_missing(json!({"a": 1}), json!({"a": 1, "b": 2}), false)]
    #[case::another_value(json!({"a": 1}), json!({"a": 2}), false)]
    #[case::more_within(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1}}), true)]
    #[case::defaults_in_a_list(json!([{"a": 1, "b": 2}]), json!([{"a": 1}]), true)]
    #[case::a_longer_list(json!([1, 2]), json!([1]), false)]
    #[case::empty_is_as_good_as_missing(json!({}), json!({"a": {}, "b": [], "c": {"d": {}}}), true)]
    fn covering(#[case] actual: Value, #[case] wanted: Value, #[case] expected: bool) {
        assert_eq!(covers(&actual, &wanted), expected);
    }

    #[rstest]
    #[case::nothing(json!({"a": 1}), json!({"a": 1}), None)]
    #[case::changed(json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}), Some(json!({"b": 3})))]
    #[case::taken_away(json!({"a": 1, "b": 2}), json!({"a": 1}), Some(json!({"b": null})))]
    #[case::within(json!({"a": {"b": 1}}), json!({"a": {"b": 1, "c": 2}}), Some(json!({"a": {"c": 2}})))]
    #[case::lists_go_whole(json!({"a": [1, 2]}), json!({"a": [1]}), Some(json!({"a": [1]})))]
    fn differences(#[case] from: Value, #[case] to: Value, #[case] expected: Option<Value>) {
        assert_eq!(merge_patch(&from, &to), expected);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i8>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn apply(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch.clone();
        };
        let mut target = target.as_object().cloned().unwrap_or_default();
        for (key, change) in patch {
            if change.is_null() {
                target.remove(key);
            } else {
                let old = target.remove(key).unwrap_or(Value::Null);
                target.insert(key.clone(), apply(&old, change));
            }
        }
        Value::Object(target)
    }

    proptest! {
        #[test]
        fn everything_covers_itself(value in value()) {
            prop_assert!(covers(&value, &value));
        }

        #[test]
        fn a_patch_leads_from_one_to_the_other(from in value(), to in value()) {
            let reached = match merge_patch(&from, &to) {
                Some(patch) => apply(&from, &patch),
                None => from,
            };
            prop_assert_eq!(reached, to);
        }
    }
}
