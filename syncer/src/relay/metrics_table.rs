//! The metrics of pods and nodes as `kubectl get` shows them: a table, made by whoever knows the objects.

use http::{HeaderMap, header::ACCEPT};
use serde_json::{Map, Value, json};

use crate::quantity::{Amount, Notation};

/// The version of tables, and of the metadata in their rows.
const VERSION: &str = "meta.k8s.io/v1";

/// How much of an object goes with its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Included {
    /// All of it.
    Object,
    /// Who it is.
    Metadata,
    /// Nothing.
    Nothing,
}

impl Included {
    /// What the parameter `includeObject` means.
    pub(super) fn parse(text: Option<&[u8]>) -> Self {
        match text {
            Some(b"Object") => Self::Object,
            Some(b"None") => Self::Nothing,
            _ => Self::Metadata,
        }
    }
}

/// Is a table asked for, before anything else that could be given?
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut known = texts.flat_map(|text| text.split(',')).filter_map(|clause| {
        let mut parts = clause.split(';').map(str::trim);
        let type_ = parts.next()?;
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let says = |key: &str| {
            let mut pairs = parameters.iter();
            pairs.find_map(|(name, value)| (*name == key).then_some(*value))
        };
        match (type_, says("as"), says("v"), says("g")) {
            ("application/json", Some("Table"), Some("v1"), Some("meta.k8s.io")) => Some(true),
            ("application/json" | "application/*" | "*/*", None, _, _) => Some(false),
            _ => None,
        }
    });
    known.next().unwrap_or(false)
}

/// One object or a list of them as a table.
pub(super) fn table(value: &Value, included: Included) -> Value {
    let items = value["items"].as_array();
    let items = items.map_or(std::slice::from_ref(value), Vec::as_slice);
    let rows: Vec<_> = items.iter().map(|item| row(item, included)).collect();
    let column = |name: &str, format: &str| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
    let columns = [
        column("Name", "name"),
        column("cpu", "quantity"),
        column("memory", "quantity"),
        column("Window", "duration"),
    ];
    json!({
        "kind": "Table", "apiVersion": VERSION, "metadata": {},
        "columnDefinitions": columns, "rows": rows,
    })
}

fn row(item: &Value, included: Included) -> Value {
    let cells = json!([
        item["metadata"]["name"],
        used(item, "cpu", Notation::Decimal),
        used(item, "memory", Notation::Binary),
        item["window"],
    ]);
    let mut row = Map::from_iter([("cells".to_owned(), cells)]);
    let object = match included {
        Included::Object => item.clone(),
        Included::Metadata => json!({
            "kind": "PartialObjectMetadata", "apiVersion": VERSION, "metadata": item["metadata"],
        }),
        Included::Nothing => return row.into(),
    };
    row.insert("object".to_owned(), object);
    row.into()
}

/// What a node uses, or all containers of a pod do.
fn used(item: &Value, what: &str, notation: Notation) -> String {
    let containers = item["containers"].as_array();
    let usages = match containers {
        Some(containers) => containers.iter().collect(),
        None => vec![item],
    };
    let amounts = usages
        .iter()
        .filter_map(|it| Amount::parse(it["usage"][what].as_str()?));
    let sum = amounts.fold(Amount::whole(0), Amount::plus);
    sum.write(notation)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

    #[rstest]
    #[case::as_kubectl_asks(&format!("{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"), true)]
    #[case::with_spaces("application/json; as=Table; v=v1; g=meta.k8s.io", true)]
    #[case::after_what_is_not_known(&format!("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,{TABLE}"), true)]
    #[case::after_the_object_itself(&format!("application/json,{TABLE}"), false)]
    #[case::an_older_one(
        "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        false
    )]
    #[case::something_else("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", false)]
    #[case::anything("*/*", false)]
    fn who_wants_a_table_says_so_first(#[case] accept: &str, #[case] expected: bool) {
        let accept = HeaderValue::from_str(accept).unwrap();
        assert_eq!(
            is_asked(&HeaderMap::from_iter([(ACCEPT, accept)])),
            expected
        );
    }

    #[test]
    fn a_pod_is_the_sum_of_its_containers() {
        let container = |cpu: &str| json!({"usage": {"cpu": cpu, "memory": "2Ki"}});
        let metadata = json!({"name": "web", "namespace": "team"});
        let pod = json!({
            "metadata": metadata, "window": "10s",
            "containers": [container("1500000n"), container("500000n")],
        });
        let found = table(&json!({"items": [pod]}), Included::Metadata);
        assert_eq!(found["kind"], "Table");
        let row = &found["rows"][0];
        assert_eq!(row["cells"], json!(["web", "2m", "4Ki", "10s"]));
        assert_eq!(row["object"]["metadata"], metadata);
        assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    }

    #[test]
    fn a_node_is_a_table_of_one_row() {
        let node = json!({
            "metadata": {"name": "worker"}, "window": "10s",
            "usage": {"cpu": "1500000n", "memory": "2048Ki"},
        });
        let found = table(&node, Included::Nothing);
        let row = json!({"cells": ["worker", "1500u", "2Mi", "10s"]});
        assert_eq!(found["rows"], json!([row]));
        let found = table(&node, Included::Object);
        assert_eq!(found["rows"][0]["object"], node);
    }
}
