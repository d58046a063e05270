//! Fields that a server of another version does not know. Server-side apply names them in its
//! refusal and in no other way.

use serde_json::Value;

/// What the refusal says after each path.
const MARK: &str = ": field not declared in schema";

/// The paths that a refusal names: field names, without the keys of list items.
pub(crate) fn named_in(message: &str) -> Vec<Vec<String>> {
    message
        .match_indices(MARK)
        .filter_map(|(end, _)| {
            let before = &message[..end];
            // A path starts with a dot after white space; keys of list items may contain both.
            let start = before.rfind(" .").map(|at| at + 1)?;
            Some(path(&before[start..]))
        })
        .filter(|path| !path.is_empty())
        .collect()
}

/// `.spec.containers[name="web"].image` → `spec`, `containers`, `image`.
fn path(text: &str) -> Vec<String> {
    let mut path = Vec::new();
    let mut name = String::new();
    let mut is_key = false;
    let mut is_quoted = false;
    for char in text.chars() {
        match char {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '[' => is_key = true,
            ']' => is_key = false,
            _ if is_key => {}
            '.' => path.extend(Some(std::mem::take(&mut name)).filter(|name| !name.is_empty())),
            char => name.push(char),
        }
    }
    path.extend(Some(name).filter(|name| !name.is_empty()));
    path
}

/// Removes the field at `path` from `value`, in every item of the lists on the way. Was there one?
pub(crate) fn remove(value: &mut Value, path: &[String]) -> bool {
    match (value, path) {
        (Value::Array(items), _) => {
            let mut removed = false;
            for item in items {
                removed |= remove(item, path);
            }
            removed
        }
        (Value::Object(map), [last]) => map.remove(last).is_some(),
        (Value::Object(map), [first, rest @ ..]) => {
            map.get_mut(first).is_some_and(|value| remove(value, rest))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::one(
        "failed to create typed patch object (/p2; /v1, Kind=Pod): .spec.nosuch: field not declared in schema",
        &["spec.nosuch"]
    )]
    #[case::several(
        "failed to create typed patch object (a/b; /v1, Kind=Pod): errors:\n  .spec.a: field not declared in schema\n  .spec.containers[name=\"x.y\"].b: field not declared in schema",
        &["spec.a", "spec.containers.b"]
    )]
    #[case::something_else("the object has been modified", &[])]
    fn refusals_name_paths(#[case] message: &str, #[case] expected: &[&str]) {
        let paths: Vec<_> = named_in(message)
            .iter()
            .map(|path| path.join("."))
            .collect();
        assert_eq!(paths, expected);
    }

    #[test]
    fn keys_of_list_items_are_no_part_of_the_path() {
        assert_eq!(
            path(".spec.containers[name=\"a.b\"].image"),
            ["spec", "containers", "image"]
        );
    }

    #[test]
    fn a_field_goes_from_every_item() {
        let mut value = json!({"spec": {"containers": [{"a": 1, "b": 2}, {"a": 3}]}});
        let path = ["spec", "containers", "a"].map(str::to_owned);
        assert!(remove(&mut value, &path));
        assert_eq!(value, json!({"spec": {"containers": [{"b": 2}, {}]}}));
        assert!(!remove(&mut value, &path));
    }
}
