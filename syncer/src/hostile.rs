//! What others write is read without a fall, whatever it is: annotations, configuration, messages.

use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Secret},
    networking::v1::Ingress,
};
use kube::ResourceExt;
use proptest::prelude::*;

use crate::{
    config::{Sync, SyncConfig},
    metadata::{self, tests::meta},
    object_key::ObjectKey,
    resource::{
        ResourceSyncer,
        tests::{names, translation},
    },
    resources::{
        ingress::Ingresses,
        pod::{Pods, hosts::with_full_name},
    },
    unknown_fields,
    warning::in_tenants_words,
};

/// Any of the keys that say what a host object stands for.
const KEYS: &[&str] = &[
    "vcluster.loft.sh/object-name",
    "vcluster.loft.sh/object-namespace",
    "vcluster.loft.sh/object-uid",
    "vcluster.loft.sh/object-kind",
    "vcluster.loft.sh/object-host-name",
];

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
        values in proptest::collection::vec("\\PC{0,12}", KEYS.len()),
    ) {
        let mut host = ConfigMap { metadata: meta("vcluster-test", &name), ..ConfigMap::default() };
        for (key, value) in KEYS.iter().zip(values) {
            host.annotations_mut().insert((*key).to_owned(), value);
        }
        if let Some(identity) = metadata::identity(&host, &names()) {
            prop_assert_eq!(names().host_key(&identity.key), ObjectKey::of(&host));
        }
    }

    #[test]
    fn a_twins_annotations_are_no_twins_on_another_object(other in "[a-z]{1,12}") {
        let twin = metadata::to_host(&meta("default", "web"), &names()).unwrap();
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
        let _read = SyncConfig::from_yaml(&text);
        if let Err(error) = Sync::from_yaml(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_annotations_of_a_tenant_are_translated_or_refused(
        key in prop::sample::select(ANNOTATIONS),
        value in "(\\PC{0,12}|\\{\"forwardConfig\":\\PC{0,12}\\}|[0-9-]{0,20}|[\\[\\]{}\",:]{0,20})",
    ) {
        let mut metadata = meta("default", "web");
        metadata.annotations = Some([(key.to_owned(), value)].into());
        let pod = Pod { metadata: metadata.clone(), ..Pod::default() };
        prop_assert!(Pods::to_host(&pod, &translation()).is_ok());
        let references = Pods::references(&pod);
        let ingress = Ingress { metadata, ..Ingress::default() };
        prop_assert!(Ingresses::to_host(&ingress, &translation()).is_ok());
        for reference in Ingresses::references(&ingress).iter().chain(&references) {
            prop_assert!(!reference.key.name.is_empty());
        }
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
