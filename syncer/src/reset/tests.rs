//! Resets of stores in memory: any mess is put right, and controllers that answer do no harm.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use proptest::prelude::*;
use rstest::rstest;

use super::{
    Error,
    object::{
        Object, Owner,
        tests::{Draft, uid},
    },
    plan::{Beginning, plan},
    rounds::{self, Outcome, PutBack},
    rule::{Rule, rule},
    session::Session,
    state::State,
    step::Step,
    store::{Entry, Reading, Store, Write, Written},
    target::Target,
};

const LIMIT: Duration = Duration::from_secs(5);

/// A store that keeps the rules of a real one, and somebody who answers to what is written.
struct Memory {
    reading: Mutex<Reading>,
    /// How many writes it takes before it fails.
    left: Option<std::cell::Cell<usize>>,
    answer: Box<dyn Fn(&mut Reading)>,
}

impl Memory {
    fn new(reading: Reading) -> Self {
        Self {
            reading: Mutex::new(reading),
            left: None,
            answer: Box::new(|_| {}),
        }
    }

    /// `answer` is called after every write.
    fn answering(reading: Reading, answer: impl Fn(&mut Reading) + 'static) -> Self {
        Self {
            answer: Box::new(answer),
            ..Self::new(reading)
        }
    }

    fn reading(&self) -> Reading {
        self.reading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Store for Memory {
    async fn size(&self) -> Result<u64, Error> {
        let entries = self.reading().entries;
        Ok(entries.values().map(|it| it.value.len() as u64).sum())
    }

    async fn read(&self) -> Result<Reading, Error> {
        Ok(self.reading())
    }

    async fn write(&self, write: &Write) -> Result<Written, Error> {
        if let Some(left) = &self.left {
            let before = left.get().checked_sub(1);
            left.set(before.ok_or(Error::Silent { limit: LIMIT })?);
        }
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = reading
            .entries
            .get(&write.key)
            .map_or(0, |entry| entry.modified);
        if seen != write.seen {
            return Ok(Written::Missed(seen));
        }
        match &write.value {
            Some(value) => put(&mut reading, &write.key, value.clone()),
            None => delete(&mut reading, &write.key),
        }
        (self.answer)(&mut reading);
        Ok(Written::Done)
    }
}

fn put(reading: &mut Reading, key: &str, value: Vec<u8>) {
    reading.revision += 1;
    let created = reading
        .entries
        .get(key)
        .map_or(reading.revision, |entry| entry.created);
    let entry = Entry {
        value,
        created,
        modified: reading.revision,
    };
    reading.entries.insert(key.to_owned(), entry);
}

fn delete(reading: &mut Reading, key: &str) {
    reading.revision += 1;
    reading.entries.remove(key);
}

fn key(rest: &str) -> String {
    format!("/registry/{rest}")
}

fn store(objects: &[(&str, Draft)]) -> Reading {
    let mut reading = Reading::default();
    for (name, draft) in objects {
        put(&mut reading, &key(name), draft.value());
    }
    reading
}

fn name_of(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}

fn read(value: &[u8]) -> Object {
    Object::read(value).expect("drafts are of Kubernetes' own form")
}

fn object(number: u64) -> Draft {
    Draft {
        uid: uid(number),
        spec: "as it was".to_owned(),
        ..Draft::default()
    }
}

fn owned(number: u64, kind: &str, name: &str, owner: u64) -> Draft {
    Draft {
        owner: Some(Owner {
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid(owner),
        }),
        ..object(number)
    }
}

/// A deployment that runs, in a namespace with an account.
fn world() -> Reading {
    store(&[
        ("namespaces/dns", object(1)),
        ("serviceaccounts/dns/default", object(2)),
        ("deployments/dns/dns", object(3)),
        ("replicasets/dns/dns-1", owned(4, "Deployment", "dns", 3)),
        ("pods/dns/dns-1-a", owned(5, "ReplicaSet", "dns-1", 4)),
        ("services/specs/dns/dns", object(6)),
        ("services/endpoints/dns/dns", object(7)),
        ("endpointslices/dns/dns-x", owned(8, "Service", "dns", 6)),
        ("minions/one", object(9)),
        ("leases/dns/lock", object(10)),
        ("configmaps/dns/dns", object(11)),
    ])
}

fn state(reading: &Reading) -> State {
    State::of(reading.clone())
}

/// Both steps; what the first did, and what the second left.
async fn reset(memory: &Memory, saved: &State) -> Result<Outcome, Error> {
    let mut back = PutBack::new(memory, saved);
    let Outcome { report, .. } = back.step(Step::Reset, LIMIT).await?;
    let Outcome { state, .. } = back.step(Step::Tidy, LIMIT).await?;
    Ok(Outcome { state, report })
}

fn account(reading: &Reading) -> String {
    let value = &reading.entries[&key("serviceaccounts/dns/default")].value;
    read(value).uid
}

#[tokio::test(start_paused = true)]
async fn a_store_that_nobody_touched_has_only_its_accounts_renewed() {
    let memory = Memory::new(world());
    let outcome = reset(&memory, &state(&world())).await.unwrap();
    assert_eq!((outcome.report.written, outcome.report.deleted), (1, 0));
    let mut after = memory.reading();
    assert_ne!(account(&after), uid(2));
    let account = key("serviceaccounts/dns/default");
    after.entries.remove(&account);
    let mut before = world();
    before.entries.remove(&account);
    assert_eq!(after.entries, before.entries);
}

#[tokio::test(start_paused = true)]
async fn tidying_takes_away_what_came_after_the_reset_and_nothing_else() {
    let memory = Memory::new(world());
    let saved = state(&world());
    let mut back = PutBack::new(&memory, &saved);
    back.step(Step::Reset, LIMIT).await.unwrap();
    let renewed = account(&memory.reading());
    let late = key("events/dns/late");
    put(
        &mut memory.reading.lock().unwrap(),
        &late,
        object(99).value(),
    );
    let tidied = back.step(Step::Tidy, LIMIT).await.unwrap().report;
    assert_eq!((tidied.written, tidied.deleted, tidied.readings), (0, 1, 3));
    let after = memory.reading();
    assert!(!after.entries.contains_key(&late));
    assert_eq!(account(&after), renewed);
}

/// A pod that was made again is bound to a node only then.
#[tokio::test(start_paused = true)]
async fn what_was_made_again_and_changed_since_stays() {
    let mut reading = world();
    delete(&mut reading, &key("pods/dns/dns-1-a"));
    let memory = Memory::answering(reading, controllers);
    let saved = state(&world());
    let mut back = PutBack::new(&memory, &saved);
    back.step(Step::Reset, LIMIT).await.unwrap();
    let pod = || {
        let entries = memory.reading().entries;
        let mut pods = entries
            .into_iter()
            .filter(|(key, _)| key.starts_with("/registry/pods/"));
        pods.next().expect("its controller made one")
    };
    let (name, made) = pod();
    let bound = Draft {
        uid: read(&made.value).uid,
        owner: read(&made.value).owner,
        spec: "on a node".to_owned(),
        ..Draft::default()
    };
    put(&mut memory.reading.lock().unwrap(), &name, bound.value());
    let tidied = back.step(Step::Tidy, LIMIT).await.unwrap().report;
    assert_eq!((tidied.written, tidied.deleted), (0, 0));
    assert_eq!(pod().0, name);
}

#[tokio::test(start_paused = true)]
async fn the_next_reset_starts_from_what_this_one_renewed() {
    let memory = Memory::new(world());
    let first = reset(&memory, &state(&world())).await.unwrap();
    let between = account(&memory.reading());
    reset(&memory, &first.state).await.unwrap();
    let after = account(&memory.reading());
    assert!(after != between && after != uid(2));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_stays_puts_back_again_from_what_it_renewed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state");
    state(&world()).write(&file).unwrap();
    let memory = Memory::new(world());
    let mut session = Session::new(&memory, file.clone(), None, LIMIT);
    let mut accounts = vec![uid(2)];
    for number in 90..93 {
        let mess = object(number).value();
        put(
            &mut memory.reading.lock().unwrap(),
            &key("configmaps/dns/mess"),
            mess,
        );
        let report = session.take(Step::Reset).await.unwrap();
        assert_eq!((report.written, report.deleted), (1, 1));
        let report = session.take(Step::Tidy).await.unwrap();
        assert_eq!((report.written, report.deleted), (0, 0));
        let account = account(&memory.reading());
        assert!(!accounts.contains(&account), "an old token is good again");
        accounts.push(account);
        assert_eq!(State::read(&file).unwrap(), state(&memory.reading()));
    }
}

/// Controllers that keep one pod of the replica set and one slice of the service, whatever happens.
fn controllers(reading: &mut Reading) {
    let products = [
        ("replicasets/dns/dns-1", "ReplicaSet", "pods/dns/dns-1-"),
        (
            "services/specs/dns/dns",
            "Service",
            "endpointslices/dns/dns-",
        ),
    ];
    for (owner, kind, prefix) in products {
        let Some(found) = reading.entries.get(&key(owner)) else {
            continue;
        };
        let uid = read(&found.value).uid;
        let is_made = reading.entries.iter().any(|(name, entry)| {
            let object = Object::read(&entry.value);
            name.starts_with(&key(prefix))
                && object.is_some_and(|object| object.owner.is_some_and(|owner| owner.uid == uid))
        });
        if !is_made {
            let name = format!("{prefix}{}", reading.revision);
            let owner = Owner {
                kind: kind.to_owned(),
                name: name_of(owner).to_owned(),
                uid,
            };
            // It gets a token when it is made.
            let made = Draft {
                owner: Some(owner),
                spec: account(reading),
                ..object(1000)
            };
            put(reading, &key(&name), made.value());
        }
    }
}

/// What a tenant may do to the store, and what is then there in its place.
#[rstest]
#[case::a_namespace("namespaces/mine")]
#[case::a_webhook("validatingwebhookconfigurations/mine")]
#[case::a_definition("apiextensions.k8s.io/customresourcedefinitions/as.example.org")]
#[case::an_instance("example.org/as/dns/mine")]
#[case::rights("clusterrolebindings/mine")]
#[case::a_lease("leases/dns/mine")]
#[case::a_token("secrets/dns/mine")]
#[case::an_account("serviceaccounts/dns/mine")]
#[case::an_address("ipaddresses/10.0.0.9")]
#[case::a_node("minions/two")]
#[case::an_event("events/dns/mine")]
#[case::a_pod("pods/dns/mine")]
#[case::a_rollout("replicasets/dns/mine")]
#[case::endpoints("services/endpoints/dns/mine")]
#[tokio::test(start_paused = true)]
async fn what_was_made_goes(#[case] name: &str) {
    let mut reading = world();
    put(&mut reading, &key(name), object(99).value());
    let memory = Memory::new(reading);
    reset(&memory, &state(&world())).await.unwrap();
    assert!(!memory.reading().entries.contains_key(&key(name)));
}

#[rstest]
#[case::a_namespace("namespaces/dns")]
#[case::an_account("serviceaccounts/dns/default")]
#[case::a_workload("deployments/dns/dns")]
#[case::a_rollout("replicasets/dns/dns-1")]
#[case::a_service("services/specs/dns/dns")]
#[case::settings("configmaps/dns/dns")]
#[tokio::test(start_paused = true)]
async fn what_was_deleted_or_changed_comes_back(#[case] name: &str) {
    for value in [None, Some(object(99).value())] {
        let mut reading = world();
        match value {
            Some(value) => put(&mut reading, &key(name), value),
            None => delete(&mut reading, &key(name)),
        }
        let memory = Memory::answering(reading, controllers);
        reset(&memory, &state(&world())).await.unwrap();
        let (before, after) = (world(), memory.reading());
        let read = |reading: &Reading| read(&reading.entries[&key(name)].value);
        assert_eq!(read(&before).essence.spec(), read(&after).essence.spec());
        assert_ne!(read(&before).uid, read(&after).uid, "a uid is used once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_is_put_back_once_and_then_left_to_its_controller() {
    let with_status = |status: &str| Draft {
        status: status.to_owned(),
        ..object(3)
    };
    let mut reading = world();
    let deployment = key("deployments/dns/dns");
    put(&mut reading, &deployment, with_status("forged").value());
    let truth = with_status("true").value();
    let answer = {
        let (deployment, truth) = (deployment.clone(), truth.clone());
        move |reading: &mut Reading| {
            if reading.entries[&deployment].value != truth {
                put(reading, &deployment, truth.clone());
            }
        }
    };
    let memory = Memory::answering(reading, answer);
    reset(&memory, &state(&world())).await.unwrap();
    assert_eq!(memory.reading().entries[&deployment].value, truth);
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_made_again_by_its_controller_and_then_belongs_to_the_state() {
    let mut reading = world();
    delete(&mut reading, &key("pods/dns/dns-1-a"));
    // Made while the tenant was there, so it may be anything.
    put(
        &mut reading,
        &key("pods/dns/dns-1-b"),
        owned(99, "ReplicaSet", "dns-1", 4).value(),
    );
    let memory = Memory::answering(reading, controllers);
    let outcome = reset(&memory, &state(&world())).await.unwrap();
    let entries = memory.reading().entries;
    assert!(!entries.contains_key(&key("pods/dns/dns-1-b")));
    let pods = |entries: &BTreeMap<String, Entry>| -> Vec<String> {
        let is_pod = |key: &&String| key.starts_with("/registry/pods/");
        entries.keys().filter(is_pod).cloned().collect()
    };
    assert_eq!(pods(&entries).len(), 1);
    assert_eq!(pods(&outcome.state.entries), pods(&entries));
    let again = reset(&memory, &outcome.state).await.unwrap();
    assert_eq!(again.report.deleted, 0, "it is not taken for the tenant's");
}

/// Whose token a pod gets that is made while the cluster is reset.
#[rstest]
#[case::made_when_the_tenants_goes("pods/dns/dns-1-b")]
#[case::made_before_the_accounts_are_renewed("clusterrolebindings/mine")]
#[tokio::test(start_paused = true)]
async fn no_pod_stays_that_was_made_for_an_account_of_before(#[case] mine: &str) {
    let mut reading = world();
    delete(&mut reading, &key("pods/dns/dns-1-a"));
    put(
        &mut reading,
        &key(mine),
        owned(99, "ReplicaSet", "dns-1", 4).value(),
    );
    let memory = Memory::answering(reading, controllers);
    reset(&memory, &state(&world())).await.unwrap();
    let reading = memory.reading();
    let is_pod = |key: &&String| key.starts_with("/registry/pods/");
    let pod = reading.entries.keys().find(is_pod).unwrap();
    let essence = read(&reading.entries[pod].value).essence;
    assert!(
        essence
            .spec()
            .concat()
            .ends_with(account(&reading).as_bytes()),
        "{essence:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_pod_too_many_goes() {
    let mut reading = world();
    put(&mut reading, &key("configmaps/mine/a"), object(99).value());
    let extra = key("pods/dns/dns-1-z");
    let answer = {
        let extra = extra.clone();
        let once = std::cell::Cell::new(true);
        move |reading: &mut Reading| {
            if once.take() {
                let pod = owned(98, "ReplicaSet", "dns-1", 4).value();
                put(reading, &extra, pod);
            }
        }
    };
    let memory = Memory::answering(reading, answer);
    reset(&memory, &state(&world())).await.unwrap();
    let entries = memory.reading().entries;
    assert!(!entries.contains_key(&extra));
    assert!(entries.contains_key(&key("pods/dns/dns-1-a")));
}

#[tokio::test(start_paused = true)]
async fn who_is_quicker_is_overruled() {
    let deployment = key("deployments/dns/dns");
    let mut reading = world();
    let scaled = |status: u64| Draft {
        spec: "scaled".to_owned(),
        status: status.to_string(),
        ..object(3)
    };
    put(&mut reading, &deployment, scaled(0).value());
    put(
        &mut reading,
        &key("configmaps/dns/mine"),
        object(99).value(),
    );
    // Every write makes its controller say something new about it, for as long as it is scaled.
    let answer = {
        let deployment = deployment.clone();
        move |reading: &mut Reading| {
            let is_scaled = Object::read(&reading.entries[&deployment].value)
                .is_some_and(|object| object.essence.spec()[0] == b"scaled");
            if is_scaled {
                let status = reading.revision.unsigned_abs();
                put(reading, &deployment, scaled(status).value());
            }
        }
    };
    let memory = Memory::answering(reading, answer);
    let outcome = reset(&memory, &state(&world())).await.unwrap();
    assert_eq!(outcome.report.readings, 2, "one round, and a comparison");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_makes_again_is_reported() {
    let mut reading = world();
    delete(&mut reading, &key("services/endpoints/dns/dns"));
    let memory = Memory::new(reading);
    let error = reset(&memory, &state(&world())).await.unwrap_err();
    let Error::Differs { keys, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(keys, [key("services/endpoints/dns/dns")]);
}

#[tokio::test(start_paused = true)]
async fn who_makes_it_again_and_again_is_reported() {
    let mut reading = world();
    let web = key("configmaps/dns/web");
    put(&mut reading, &web, object(99).value());
    let answer = {
        let web = web.clone();
        move |reading: &mut Reading| put(reading, &web, object(99).value())
    };
    let memory = Memory::answering(reading, answer);
    let saved = state(&world());
    let error = reset(&memory, &saved).await.unwrap_err();
    assert!(matches!(error, Error::Differs { keys, .. } if keys == [web]));
}

/// The process may end, or the store fail, after any number of writes.
#[tokio::test(start_paused = true)]
async fn a_reset_that_was_interrupted_is_begun_again() {
    let mess = || {
        let mut reading = world();
        for name in ["services/specs/dns/dns", "configmaps/dns/dns"] {
            delete(&mut reading, &key(name));
        }
        for name in ["namespaces/mine", "pods/dns/mine", "secrets/dns/mine"] {
            put(&mut reading, &key(name), object(99).value());
        }
        put(
            &mut reading,
            &key("deployments/dns/dns"),
            object(98).value(),
        );
        reading
    };
    let saved = state(&world());
    let whole = Memory::answering(mess(), controllers);
    let outcome = reset(&whole, &saved).await.unwrap();
    let writes = outcome.report.written + outcome.report.deleted;
    assert!(writes > 6, "{:?}", outcome.report);
    for number in 0..writes {
        let memory = Memory {
            left: Some(number.into()),
            ..Memory::answering(mess(), controllers)
        };
        let interrupted = reset(&memory, &saved).await.unwrap_err();
        assert!(matches!(interrupted, Error::Silent { .. }));
        let memory = Memory {
            left: None,
            ..memory
        };
        reset(&memory, &saved).await.unwrap();
        let (now, expected) = (memory.reading(), whole.reading());
        let names = |reading: &Reading| reading.entries.keys().cloned().collect::<Vec<_>>();
        // Controllers choose the names of two.
        let fixed = |reading: &Reading| {
            let is_fixed = |key: &String| !matches!(rule(key), Rule::Made(_));
            names(reading)
                .into_iter()
                .filter(is_fixed)
                .collect::<Vec<_>>()
        };
        assert_eq!(fixed(&now), fixed(&expected), "after {number} writes");
        assert_eq!(
            names(&now).len(),
            names(&expected).len(),
            "after {number} writes"
        );
    }
}

#[rstest]
#[case::as_large_as_it_may_be(0, true)]
#[case::larger(1, false)]
#[tokio::test]
async fn a_store_that_has_grown_beyond_its_limit_is_not_put_back(
    #[case] more: u64,
    #[case] is_fine: bool,
) {
    let memory = Memory::new(world());
    let largest = memory.size().await.unwrap() - more;
    let checked = rounds::check_size(&memory, largest, LIMIT).await;
    assert_eq!(checked.is_ok(), is_fine, "{checked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_state_is_saved_once_nothing_changes() {
    let memory = Memory::new(world());
    let saved = rounds::save(&memory, LIMIT).await.unwrap();
    assert_eq!(saved, state(&world()));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_would_not_come_back_is_refused() {
    let mut reading = world();
    let token = Draft {
        status: "kubernetes.io/service-account-token".to_owned(),
        ..object(12)
    };
    put(&mut reading, &key("secrets/dns/token"), token.value());
    let error = rounds::save(&Memory::new(reading), LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::LastingToken { keys } if keys == [key("secrets/dns/token")]));
}

/// Of every rule some.
const RESOURCES: &[&str] = &[
    "namespaces",
    "serviceaccounts",
    "deployments",
    "replicasets",
    "configmaps",
    "secrets",
    "leases",
    "events",
    "masterleases",
    "minions",
    "pods",
    "services/specs",
    "services/endpoints",
    "endpointslices",
    "example.org/as",
    "apiextensions.k8s.io/customresourcedefinitions",
];

/// Keys of every rule, in a few places, so that a mess meets what is there.
fn any_key() -> impl Strategy<Value = String> {
    (proptest::sample::select(RESOURCES), 0..3_u8, 0..3_u8)
        .prop_map(|(resource, namespace, name)| key(&format!("{resource}/{namespace}/{name}")))
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let kubernetes = (20..40_u64, any::<bool>(), "[a-c]", "[a-c]", 0..3_u64).prop_map(
        |(number, is_deleting, spec, status, owner)| {
            let draft = match owner {
                0 => object(number),
                owner => owned(number, "ReplicaSet", "any", owner + 20),
            };
            Draft {
                is_deleting,
                spec,
                status,
                ..draft
            }
            .value()
        },
    );
    prop_oneof![
        4 => kubernetes,
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

fn any_store() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    proptest::collection::vec((any_key(), any_value()), 0..24)
}

proptest! {
    /// Whatever was there and whatever became of it: after the plan was carried out once, only what
    /// others must make is left to do, and nothing is there that was not.
    #[test]
    fn any_mess_is_put_right_in_one_round(
        world in any_store(),
        mess in any_store(),
        gone in proptest::collection::vec(any_key(), 0..12),
    ) {
        let mut reading = Reading::default();
        for (key, value) in world {
            put(&mut reading, &key, value);
        }
        let saved = State::of(reading.clone());
        for key in &gone {
            delete(&mut reading, key);
        }
        for (key, value) in mess {
            put(&mut reading, &key, value);
        }
        let beginning = Beginning::of(&reading);
        let mut number = 1000;
        let mut new_uid = || {
            number += 1;
            uid(number)
        };
        let mut target = Target::new(&saved, &mut new_uid);
        target.follow(&reading, beginning, &mut new_uid);
        for write in plan(target.state(), &reading, beginning).writes {
            match write.value {
                Some(value) => put(&mut reading, &write.key, value),
                None => delete(&mut reading, &write.key),
            }
        }
        target.follow(&reading, beginning, &mut new_uid);
        let second = plan(target.state(), &reading, beginning);
        prop_assert_eq!(second.writes, []);

        for (key, entry) in &reading.entries {
            if rule(key) == Rule::Aside {
                continue;
            }
            let was = saved.entries.get(key);
            prop_assert!(was.is_some(), "{} is the tenant's", key);
            if rule(key) == Rule::Exact {
                let wanted = &target.state().entries[key].value;
                prop_assert_eq!(wanted, &entry.value);
                let essence = |value: &[u8]| Object::read(value).map(|object| object.essence);
                if essence(&was.unwrap().value).is_none() {
                    prop_assert_eq!(&was.unwrap().value, wanted);
                }
            }
        }
        for (key, was) in &saved.entries {
            if !matches!(rule(key), Rule::Made(_)) {
                let is = reading.entries.get(key);
                prop_assert!(is.is_some(), "{} was lost", key);
                let uid = |entry: &Entry| Object::read(&entry.value).map(|object| object.uid);
                if rule(key) == Rule::Renewed && uid(was).is_some() {
                    prop_assert_ne!(uid(was), uid(is.unwrap()));
                }
            }
        }
    }
}
