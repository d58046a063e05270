//! What the pods of a control plane have when there are several: a volume each, different nodes, and the
//! host's watch on who may be asked.

use k8s_openapi::{
    api::core::v1::{
        Affinity, HTTPGetAction, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodAffinityTerm,
        PodAntiAffinity, Probe, VolumeResourceRequirements, WeightedPodAffinityTerm,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use crate::{
    cluster::names::{CONTROL_PLANE, Names},
    distro::{ControlPlane, Volume},
};

/// Of the volume of one of several pods. etcd stops at 2 GB.
const DATA: &str = "2Gi";

/// Whether clients may be sent to this pod. On a busy machine an answer takes its time; a server that is gone
/// refuses at once.
pub(super) fn probe(control_plane: &ControlPlane) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(control_plane.ready_path.to_owned()),
            port: IntOrString::Int(control_plane.api_port.into()),
            scheme: Some("HTTPS".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(1),
        timeout_seconds: Some(5),
        failure_threshold: Some(3),
        ..Probe::default()
    }
}

/// The data of one pod of several, which must outlive it: a member without its data is no member.
pub(super) fn claim(names: &Names) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(Volume::Data.name().to_owned()),
            labels: Some(names.labels()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(DATA.to_owned()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// Different nodes where there are any: with one node they are all lost at once.
pub(super) fn affinity(names: &Names) -> Affinity {
    let selector = [(CONTROL_PLANE.to_owned(), names.cluster().to_owned())];
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                WeightedPodAffinityTerm {
                    weight: 100,
                    pod_affinity_term: PodAffinityTerm {
                        topology_key: "kubernetes.io/hostname".to_owned(),
                        label_selector: Some(LabelSelector {
                            match_labels: Some(selector.into()),
                            ..LabelSelector::default()
                        }),
                        ..PodAffinityTerm::default()
                    },
                },
            ]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}
