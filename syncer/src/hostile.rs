//! What others write is read without a fall, whatever it is: annotations, configuration, messages.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use proptest::prelude::*;

use crate::{
    metadata::{self, tests::meta},
    object_key::ObjectKey,
    properties,
    resource::tests::{names, translation},
    resources::pod::hosts::with_full_name,
    unknown_fields,
    warning::in_tenants_words,
};

/// Annotations in which this syncer reads something.
const ANNOTATIONS: &[&str] = &[
    "nginx.ingress.kubernetes.io/auth-secret",
    "nginx.ingress.kubernetes.io/auth-tls-secret",
    "alb.ingress.kubernetes.io/actions.web",
    "alb.ingress.kubernetes.io/conditions.",
    "vcluster.loft.sh/managed-labels",
    "vcluster.loft.sh/managed-annotations",
    "vcluster.loft.sh/labels",
    "vcluster.loft.sh/disable-subdomain-rewrite",
    "vcluster.loft.sh/force-sync",
    "vcluster-test.dev/resources",
    "vcluster-test.dev/renew-at",
];

/// Something that is nearly YAML for a configuration.
fn yaml() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("sync".to_owned()),
        Just("toHost".to_owned()),
        Just("enabled".to_owned()),
        Just("configMaps".to_owned()),
        Just("leaderElection".to_owned()),
        Just("leaseSeconds".to_owned()),
        Just("true".to_owned()),
        "[ -~]{0,8}",
    ];
    let mark = prop::sample::select(vec![": ", "\n", "\n  ", "{", "}", "[", ", ", "&a ", "*a"]);
    proptest::collection::vec((word, mark), 0..20).prop_map(|parts| {
        let parts = parts.into_iter();
        parts.map(|(word, mark)| word + mark).collect()
    })
}

proptest! {
    #[test]
    fn annotations_never_point_at_another_objects_name(
        name in "[a-z]{1,8}(-x-[a-z]{1,4}){0,2}",
        values in proptest::collection::vec("\\PC{0,12}", 6),
    ) {
        properties::identity(&name, &values.join("\n"));
    }

    #[test]
    fn a_twins_annotations_are_no_twins_on_another_object(other in "[a-z]{1,12}") {
        let twin = metadata::to_host(&meta("default", "web"), &translation()).unwrap();
        let renamed = ConfigMap {
            metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                name: Some(other),
                ..twin.clone()
            },
            ..ConfigMap::default()
        };
        prop_assert_eq!(metadata::identity(&renamed, &names()), None);
        let mut elsewhere = Secret { metadata: twin, ..Secret::default() };
        elsewhere.metadata.namespace = Some("other".to_owned());
        prop_assert_eq!(metadata::identity(&elsewhere, &names()), None);
    }

    #[test]
    fn a_configuration_is_read_or_refused(text in yaml()) {
        properties::configuration(&text);
    }

    #[test]
    fn any_annotations_of_a_tenant_are_translated_or_refused(
        key in prop::sample::select(ANNOTATIONS),
        value in "(\\PC{0,12}|\\{\"forwardConfig\":\\PC{0,12}\\}|[0-9-]{0,20}|[\\[\\]{}\",:]{0,20})",
    ) {
        properties::annotation(key, &value);
    }

    #[test]
    fn refusals_of_any_server_are_read(text in "(\\.?[a-zä\"\\[\\]=]{0,4}( \\.|: field not declared in schema)?){0,8}") {
        for path in unknown_fields::named_in(&text) {
            prop_assert!(!path.is_empty());
        }
    }

    #[test]
    fn no_message_shows_the_hosts_namespace(before in "\\PC{0,40}", after in "\\PC{0,40}") {
        let key = ObjectKey::namespaced("default", "web");
        let message = format!("{before}vcluster-test/web-x-default-x-test{after}");
        let told = in_tenants_words(&message, &key, &names());
        prop_assert!(!told.contains("vcluster-test"), "{}", told);
    }

    #[test]
    fn any_hosts_file_keeps_its_lines(text in "([0-9a-f:.# \t]{0,9}(db-0)?\n){0,6}") {
        let rewritten = with_full_name(&text, "db-0", "db-0.db");
        prop_assert_eq!(rewritten.lines().count(), text.lines().count());
        prop_assert_eq!(with_full_name(&rewritten, "db-0", "db-0.db"), rewritten);
    }
}
