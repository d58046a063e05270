//! How patches change an object.

use serde_json::{Map, Value};

/// A merge patch (RFC 7396).
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    let target = as_map(target);
    for (key, change) in patch {
        if change.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// A strategic merge patch: items of lists are found by name or type.
pub(super) fn strategic(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    let target = as_map(target);
    for (key, change) in patch {
        match change {
            Value::Null => {
                target.remove(key);
            }
            Value::Array(items) => match items.first().and_then(merge_key) {
                Some(by) => {
                    let list = target
                        .entry(key.clone())
                        .or_insert_with(|| Value::Array(Vec::new()));
                    strategic_list(list, items, by);
                }
                None => {
                    target.insert(key.clone(), change.clone());
                }
            },
            _ => strategic(target.entry(key.clone()).or_insert(Value::Null), change),
        }
    }
}

fn merge_key(item: &Value) -> Option<&'static str> {
    ["name", "type"]
        .into_iter()
        .find(|key| item.get(key).is_some())
}

fn strategic_list(list: &mut Value, items: &[Value], by: &str) {
    let Value::Array(list) = list else { return };
    for item in items {
        let at = list.iter().position(|other| other.get(by) == item.get(by));
        match (at, item.get("$patch").and_then(Value::as_str)) {
            (Some(at), Some("delete")) => {
                list.remove(at);
            }
            (Some(at), _) => strategic(&mut list[at], item),
            (None, Some("delete")) => {}
            (None, _) => list.push(item.clone()),
        }
    }
}

/// Server-side apply: `applied` goes in, and what the same manager applied `before` and does not
/// any more goes out. Lists are taken whole.
pub(super) fn apply(target: &mut Value, applied: &Value, before: Option<&Value>) {
    if let Some(before) = before {
        drop_missing(target, before, applied);
    }
    overlay(target, applied);
}

fn drop_missing(target: &mut Value, before: &Value, applied: &Value) {
    let (Value::Object(target), Value::Object(before)) = (target, before) else {
        return;
    };
    for (key, before) in before {
        match (applied.get(key), target.get_mut(key)) {
            (None, Some(_)) => {
                target.remove(key);
            }
            (Some(applied), Some(target)) => drop_missing(target, before, applied),
            (_, None) => {}
        }
    }
}

fn overlay(target: &mut Value, applied: &Value) {
    let Value::Object(applied) = applied else {
        *target = applied.clone();
        return;
    };
    let target = as_map(target);
    for (key, value) in applied {
        overlay(target.entry(key.clone()).or_insert(Value::Null), value);
    }
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().unwrap()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_longer_applied_goes_and_the_rest_stays() {
        let mut target = json!({"data": {"mine": "1", "theirs": "2"}});
        apply(
            &mut target,
            &json!({"data": {"new": "3"}}),
            Some(&json!({"data": {"mine": "1"}})),
        );
        assert_eq!(target, json!({"data": {"theirs": "2", "new": "3"}}));
    }

    #[test]
    fn items_are_found_by_name() {
        let mut target =
            json!({"spec": {"containers": [{"name": "a", "image": "1", "x": 1}, {"name": "b"}]}});
        let patch = json!({"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}]}});
        strategic(&mut target, &patch);
        assert_eq!(
            target,
            json!({"spec": {"containers": [{"name": "a", "image": "2", "x": 1}]}})
        );
    }
}
