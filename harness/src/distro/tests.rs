//! What holds for every distro in every version, and the descriptions themselves.

use std::{collections::HashSet, sync::LazyLock};

use super::*;
use crate::{
    datastore::{Datastore, DatastoreKind},
    pki::{Pki, ServerNames},
    version::KubernetesVersion,
};

const MINORS: std::ops::RangeInclusive<u32> = 31..=36;

fn names() -> &'static [String] {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        ["kubernetes.default.svc", "10.96.17.1"]
            .map(str::to_owned)
            .into()
    });
    &NAMES
}

fn context(scheduling: Scheduling) -> ControlPlaneContext<'static> {
    ControlPlaneContext {
        names: names(),
        scheduling,
        ..ControlPlaneContext::of(replicas(1))
    }
}

/// The store of a kind; the password of the one outside is `secret`.
fn store(kind: DatastoreKind) -> &'static Datastore {
    static EXTERNAL: LazyLock<Datastore> = LazyLock::new(|| {
        let endpoint = "postgres://me:secret@db.test/web".parse();
        Datastore::External(endpoint.unwrap())
    });
    match kind {
        DatastoreKind::Etcd => &Datastore::Etcd,
        DatastoreKind::Kine => &Datastore::Kine,
        DatastoreKind::External => &EXTERNAL,
    }
}

fn replicas(count: u8) -> Replicas<'static> {
    Replicas {
        set: "web",
        namespace: "vc-web",
        count,
    }
}

/// Three pods.
fn several() -> ControlPlaneContext<'static> {
    ControlPlaneContext {
        replicas: replicas(3),
        ..context(Scheduling::Host)
    }
}

fn with_store(kind: DatastoreKind) -> ControlPlaneContext<'static> {
    ControlPlaneContext {
        store: Some(store(kind)),
        ..context(Scheduling::Host)
    }
}

fn version(minor: u32) -> KubernetesVersion {
    KubernetesVersion {
        major: 1,
        minor,
        patch: 2,
    }
}

/// Every description there is, with a name for messages.
fn descriptions() -> Vec<(String, ControlPlane)> {
    let mut all_of_them = Vec::new();
    for distro in all() {
        for minor in MINORS {
            for scheduling in [Scheduling::Host, Scheduling::Virtual] {
                let name = format!("{} 1.{minor} {scheduling:?}", distro.name());
                let control_plane = distro.control_plane(version(minor), &context(scheduling));
                all_of_them.push((name, control_plane));
            }
            if distro.can_be_several() {
                let control_plane = distro.control_plane(version(minor), &several());
                all_of_them.push((format!("{} 1.{minor} x 3", distro.name()), control_plane));
            }
            for kind in distro.stores() {
                let name = format!("{} 1.{minor} with {kind}", distro.name());
                let control_plane = distro.control_plane(version(minor), &with_store(*kind));
                all_of_them.push((name, control_plane));
            }
        }
    }
    all_of_them
}

#[test]
fn descriptions_are_as_recorded() {
    for distro in all() {
        for minor in MINORS {
            let control_plane = distro.control_plane(version(minor), &context(Scheduling::Host));
            let name = format!("{}-1.{minor}", distro.name());
            insta::assert_yaml_snapshot!(name, control_plane);
        }
        let control_plane = distro.control_plane(version(34), &context(Scheduling::Virtual));
        let name = format!("{}-1.34-with-scheduler", distro.name());
        insta::assert_yaml_snapshot!(name, control_plane);
    }
}

#[test]
fn stores_are_as_recorded() {
    for distro in all() {
        // The first is as in the descriptions above.
        for kind in &distro.stores()[1..] {
            let control_plane = distro.control_plane(version(34), &with_store(*kind));
            let name = format!("{}-{kind:?}", distro.name());
            insta::assert_yaml_snapshot!(name, control_plane);
        }
    }
}

#[test]
fn several_pods_are_as_recorded() {
    let control_plane = K8s.control_plane(version(34), &several());
    insta::assert_yaml_snapshot!("k8s-several", control_plane);
}

#[test]
fn the_first_store_is_the_one_of_who_names_none() {
    for distro in all() {
        for minor in MINORS {
            let unnamed = distro.control_plane(version(minor), &context(Scheduling::Host));
            let first = with_store(distro.stores()[0]);
            assert_eq!(distro.control_plane(version(minor), &first), unnamed);
        }
    }
}

#[test]
fn a_store_means_the_same_in_every_minor() {
    for distro in all() {
        for kind in distro.stores() {
            let changed = |minor| {
                let plain = distro.control_plane(version(minor), &context(Scheduling::Host));
                let changed = distro.control_plane(version(minor), &with_store(*kind));
                new_lines(&plain, &changed)
            };
            for minor in MINORS {
                assert_eq!(changed(minor), changed(34), "{distro:?} {kind} 1.{minor}");
            }
        }
    }
}

/// What the description of the second has that the first has not.
fn new_lines(one: &ControlPlane, other: &ControlPlane) -> Vec<String> {
    let text = |control_plane| serde_yaml_ng::to_string(control_plane).unwrap();
    let (one, other) = (text(one), text(other));
    let old: HashSet<_> = one.lines().collect();
    let new = other.lines().filter(|line| !old.contains(line));
    new.map(str::to_owned).collect()
}

/// Without one `SQLite` fails in the middle of a write, and kine tells its client of a creation that all is well.
#[test]
fn a_database_in_a_file_has_a_place_for_its_temporary_files() {
    let is_file = |endpoint: &String| endpoint.starts_with("sqlite:");
    let mut seen = 0;
    for (name, control_plane) in descriptions() {
        for container in &control_plane.containers {
            if container.privileges.writable_files || !container.environment.values().any(is_file) {
                continue;
            }
            seen += 1;
            let place = container.environment.get("SQLITE_TMPDIR");
            let mut mounts = container.mounts.iter();
            let is_data = |mount: &Mount| mount.volume == Volume::Data;
            let is_there =
                mounts.any(|mount| is_data(mount) && place.is_some_and(|p| p == mount.path));
            assert!(is_there, "{name}: {place:?}");
        }
    }
    assert!(seen > 0);
}

#[test]
fn the_socket_of_a_store_is_in_a_volume_that_its_program_sees() {
    for (name, control_plane) in descriptions() {
        let access = control_plane.store.unwrap();
        if let Some(volume) = access.volume() {
            let mut mounts = control_plane.containers.iter().flat_map(|c| &c.mounts);
            assert!(mounts.any(|mount| mount.volume == volume), "{name}");
        }
    }
}

#[test]
fn a_store_is_reached_where_its_distro_has_it() {
    for (distro, kind, expected) in [
        (
            &K8s as &dyn Distro,
            DatastoreKind::Etcd,
            "http://127.0.0.1:2379",
        ),
        (&K8s, DatastoreKind::Kine, "http://127.0.0.1:2379"),
        (&K3s, DatastoreKind::Etcd, "https://127.0.0.1:2379"),
        (&K3s, DatastoreKind::Kine, "unix:/data/server/kine.sock"),
        (&K0s, DatastoreKind::Etcd, "https://127.0.0.1:2379"),
        (
            &K0s,
            DatastoreKind::Kine,
            "unix:/run/vcluster/kine.sock:2379",
        ),
    ] {
        let access = distro.control_plane(version(34), &with_store(kind)).store;
        assert_eq!(access.unwrap().endpoint(), expected, "{distro:?} {kind}");
    }
}

#[test]
fn a_password_is_in_no_description() {
    for (name, control_plane) in descriptions() {
        let yaml = serde_yaml_ng::to_string(&control_plane).unwrap();
        let shown = format!("{yaml}{control_plane:?}");
        assert!(!shown.contains("secret@"), "{name}");
    }
}

#[test]
fn a_database_outside_is_told_to_those_who_need_it() {
    for distro in all() {
        let cx = with_store(DatastoreKind::External);
        let control_plane = distro.control_plane(version(34), &cx);
        let container = &control_plane.containers[0];
        assert_eq!(container.secret_environment.len(), 1, "{distro:?}");
        let told = control_plane.secrets.values();
        assert!(
            told.into_iter()
                .any(|text| text.expose().contains("postgres://me:secret@db.test/web")),
            "{distro:?}"
        );
    }
}

#[test]
fn a_scheduler_comes_only_when_asked_for() {
    let with = K8s.control_plane(version(34), &context(Scheduling::Virtual));
    let without = K8s.control_plane(version(34), &context(Scheduling::Host));
    let (last, rest) = with.containers.split_last().unwrap();
    assert_eq!(last.name, "kube-scheduler");
    let names = |containers: &[Container]| containers.iter().map(|c| c.name).collect::<Vec<_>>();
    assert_eq!(names(rest), names(&without.containers));
}

#[test]
fn a_distro_in_one_program_leaves_its_scheduler_out_unless_asked_for() {
    for (distro, word) in [
        (&K3s as &dyn Distro, "--disable-scheduler"),
        (&K0s, "kube-scheduler"),
    ] {
        let is_left_out = |scheduling| {
            let control_plane = distro.control_plane(version(34), &context(scheduling));
            let mut words = words(&control_plane);
            words.any(|found| found == word)
        };
        assert!(is_left_out(Scheduling::Host), "{distro:?}");
        assert!(!is_left_out(Scheduling::Virtual), "{distro:?}");
    }
}

#[test]
fn controllers_of_the_host_are_left_out_by_every_distro() {
    for (name, control_plane) in descriptions() {
        let word = "-node-lifecycle-controller";
        assert!(words(&control_plane).any(|found| found == word), "{name}");
    }
}

#[test]
fn who_binds_pods_evicts_them() {
    for distro in all() {
        for scheduling in [Scheduling::Host, Scheduling::Virtual] {
            let control_plane = distro.control_plane(version(34), &context(scheduling));
            let mut words = words(&control_plane);
            let is_left_out = words.any(|found| found == "-taint-eviction-controller");
            assert_eq!(is_left_out, scheduling == Scheduling::Host, "{distro:?}");
        }
    }
}

#[test]
fn a_distro_that_makes_its_own_certificates_is_told_the_names() {
    for distro in [&K3s as &dyn Distro, &K0s] {
        let control_plane = distro.control_plane(version(34), &context(Scheduling::Host));
        for name in names() {
            assert!(
                words(&control_plane).any(|word| word == name),
                "{distro:?}: {name}"
            );
        }
    }
}

#[test]
fn only_a_container_of_root_has_capabilities() {
    for (name, control_plane) in descriptions() {
        for container in &control_plane.containers {
            let Privileges {
                root, capabilities, ..
            } = container.privileges;
            assert!(
                root || capabilities.is_empty(),
                "{name}: {}",
                container.name
            );
        }
    }
}

#[test]
fn names_of_containers_are_distinct_and_leave_room_for_the_syncer() {
    for (name, control_plane) in descriptions() {
        let names: HashSet<_> = control_plane.containers.iter().map(|c| c.name).collect();
        assert_eq!(names.len(), control_plane.containers.len(), "{name}");
        assert!(!names.contains("syncer"), "{name}");
    }
}

#[test]
fn every_certificate_that_is_named_exists() {
    let names = ServerNames {
        cluster: "web",
        namespace: "vc-web",
        domain: "cluster.local",
        service: "10.96.17.1".parse().unwrap(),
        nodes: &[],
    };
    let pki = Pki::generate(names, jiff::Timestamp::now()).unwrap();
    let members = ["web-0.vc-web.svc".to_owned()];
    let pki = pki.with_etcd_members(&members).unwrap();
    let files: HashSet<_> = pki.files().map(|(file, _)| file).collect();
    check_files("/pki/", |_, file| files.contains(file));
}

#[test]
fn every_configuration_that_is_named_exists() {
    check_files("/config/", |control_plane, file| {
        control_plane.files.contains_key(file)
    });
}

#[test]
fn every_variable_that_is_named_has_a_value() {
    for (name, control_plane) in descriptions() {
        for container in &control_plane.containers {
            for file in container.file_environment.values() {
                assert!(control_plane.files.contains_key(file), "{name}: {file}");
            }
            for secret in container.secret_environment.values() {
                assert!(
                    control_plane.secrets.contains_key(secret),
                    "{name}: {secret}"
                );
            }
            let words = container.command.iter();
            for variable in words.flat_map(|word| referenced(word)) {
                let is_known = container.environment.contains_key(variable)
                    || container.file_environment.contains_key(variable)
                    || container.pod_name == Some(variable);
                assert!(is_known, "{name}: {variable}");
            }
        }
    }
}

/// The variables that the host puts into a word of a command line.
fn referenced(word: &str) -> impl Iterator<Item = &str> {
    let parts = word.split("$(").skip(1);
    parts.filter_map(|part| part.split_once(')').map(|(name, _)| name))
}

/// Of a container that runs only the image can be exchanged, and what it reads when it starts again.
#[test]
fn versions_differ_in_nothing_but_what_is_read_at_a_start() {
    for distro in all() {
        for scheduling in [Scheduling::Host, Scheduling::Virtual] {
            let containers = |minor| {
                let control_plane = distro.control_plane(version(minor), &context(scheduling));
                control_plane.containers
            };
            for minor in MINORS {
                assert_eq!(containers(minor), containers(34), "{distro:?} 1.{minor}");
            }
        }
    }
}

#[test]
fn the_api_server_uses_the_relay_and_the_slice() {
    for (name, control_plane) in descriptions() {
        for needle in ["/config/egress.yaml", "10.96.17.0/24"] {
            assert!(words(&control_plane).any(|word| word == needle), "{name}");
        }
    }
}

/// Whatever a container is told, on its command line or in a file of the distro.
fn words(control_plane: &ControlPlane) -> impl Iterator<Item = &str> {
    let lines = control_plane
        .containers
        .iter()
        .flat_map(|container| &container.command);
    lines
        .chain(control_plane.files.values())
        .map(String::as_str)
        .chain(control_plane.secrets.values().map(Secret::expose))
        .flat_map(split)
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "=,\"';".contains(c))
}

/// A script names files of a kind by a variable.
fn is_pattern(file: &str) -> bool {
    file.contains('$')
}

#[track_caller]
fn check_files(directory: &str, exists: impl Fn(&ControlPlane, &str) -> bool) {
    for (name, control_plane) in descriptions() {
        for word in words(&control_plane) {
            if let Some(file) = word.strip_prefix(directory)
                && !is_pattern(file)
            {
                assert!(exists(&control_plane, file), "{name}: {word}");
            }
        }
        for container in &control_plane.containers {
            let mut words = container.command.iter().flat_map(|text| split(text));
            if let Some(word) = words.find(|word| word.starts_with(directory)) {
                let is_mounted = container
                    .mounts
                    .iter()
                    .any(|mount| directory.starts_with(mount.path));
                assert!(is_mounted, "{name}: {} does not see {word}", container.name);
            }
        }
    }
}
