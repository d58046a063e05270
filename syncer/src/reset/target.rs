//! What a store shall become: the saved state, in which nothing that has died has its old uid. A uid is
//! never used again, and the garbage collector, which remembers the dead, would take their successors'
//! belongings away.

use std::collections::{HashMap, HashSet};

use super::{
    object::{self, Identity, Object},
    plan::Beginning,
    rule::{Rule, rule},
    state::State,
    store::{Entry, Reading},
};

/// The goal of one reset.
#[derive(Debug, Clone)]
pub(super) struct Target {
    state: State,
    /// The uids that were in the store when it was last read, or before all.
    living: HashSet<String>,
}

impl Target {
    /// The service accounts get another uid, which ends their tokens. `new_uid` gives uids that nobody had before.
    pub(super) fn new(saved: &State, mut new_uid: impl FnMut() -> String) -> Self {
        let mut target = Self {
            state: saved.clone(),
            living: HashSet::new(),
        };
        let ours = target.uids();
        let accounts = ours.iter().filter(|(key, _)| rule(key) == Rule::Renewed);
        let renamed = accounts.map(|(_, uid)| (uid.clone(), new_uid())).collect();
        target.rename(&renamed);
        target.living = ours.into_values().collect();
        target
    }

    /// Gives another uid to whatever was there and is not any more: the one of its successor, if its
    /// owner has made one since the beginning, else one that nobody had.
    pub(super) fn follow(
        &mut self,
        now: &Reading,
        beginning: Beginning,
        mut new_uid: impl FnMut() -> String,
    ) {
        let mut names = HashMap::new();
        let mut living = HashSet::new();
        for (key, uid) in self.uids() {
            let is = now.entries.get(&key);
            let found = is.and_then(|is| Some(Identity::read(&is.value)?.uid));
            if found.as_ref() == Some(&uid) {
                living.insert(uid);
            } else if let Some(found) = found
                && self.is_successor(&key, is, beginning)
            {
                living.insert(found.clone());
                names.insert(uid, found);
            } else if self.living.contains(&uid) {
                names.insert(uid, new_uid());
            }
        }
        self.rename(&names);
        self.living = living;
    }

    fn is_successor(&self, key: &str, is: Option<&Entry>, beginning: Beginning) -> bool {
        let owner = |entry: &Entry| Object::read(&entry.value)?.owner;
        let wanted = self.state.entries.get(key).and_then(owner);
        let came = is.filter(|is| beginning.is_before(is.created));
        wanted.is_some_and(|wanted| came.and_then(owner) == Some(wanted))
    }

    /// The state, as it shall be.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The uids of all that is put back, by key.
    fn uids(&self) -> HashMap<String, String> {
        let lasting = self.state.entries.iter().filter(|(key, _)| {
            // What is made again gets another uid from whoever makes it.
            !matches!(rule(key), Rule::Made(_) | Rule::Kept)
        });
        lasting
            .filter_map(|(key, entry)| Some((key.clone(), Identity::read(&entry.value)?.uid)))
            .collect()
    }

    /// Changes uids wherever they stand, also in the references of what somebody owns.
    fn rename(&mut self, names: &HashMap<String, String>) {
        if names.is_empty() {
            return;
        }
        for entry in self.state.entries.values_mut() {
            let Some(Identity { uid, owners }) = Identity::read(&entry.value) else {
                continue;
            };
            for old in owners.iter().chain([&uid]) {
                if let Some(new) = names.get(old) {
                    entry.value = object::with_uid(&entry.value, old, new);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::object::{
            Owner,
            tests::{Draft, uid},
        },
        *,
    };

    const OWNER: &str = "/registry/deployments/a/web";
    const OWNED: &str = "/registry/replicasets/a/web-1";
    const ACCOUNT: &str = "/registry/serviceaccounts/a/default";

    fn saved() -> State {
        let owner = Owner {
            kind: "Deployment".to_owned(),
            name: "web".to_owned(),
            uid: uid(1),
        };
        let draft = |number, owner| Draft {
            uid: uid(number),
            owner,
            ..Draft::default()
        };
        let drafts = [
            (OWNER, draft(1, None)),
            (OWNED, draft(2, Some(owner))),
            (ACCOUNT, draft(3, None)),
        ];
        let entries = drafts.map(|(key, draft)| {
            let entry = Entry {
                value: draft.value(),
                created: 1,
                modified: 1,
            };
            (key.to_owned(), entry)
        });
        State {
            entries: entries.into(),
        }
    }

    fn reading(state: &State) -> Reading {
        Reading {
            revision: 9,
            entries: state.entries.clone(),
        }
    }

    fn follow(target: &mut Target, now: &Reading, number: u64) {
        target.follow(now, Beginning::of(&reading(&saved())), counting(number));
    }

    fn read(target: &Target, key: &str) -> Object {
        Object::read(&target.state().entries[key].value).unwrap()
    }

    fn counting(mut number: u64) -> impl FnMut() -> String {
        move || {
            number += 1;
            uid(number)
        }
    }

    #[test]
    fn what_lives_keeps_its_uid_and_accounts_do_not() {
        let mut target = Target::new(&saved(), counting(100));
        follow(&mut target, &reading(&saved()), 200);
        assert_eq!(read(&target, OWNER).uid, uid(1));
        assert_eq!(read(&target, OWNED).uid, uid(2));
        assert_eq!(read(&target, ACCOUNT).uid, uid(101));
    }

    #[test]
    fn the_dead_get_another_uid_and_who_is_theirs_knows_it() {
        let mut target = Target::new(&saved(), counting(100));
        let mut now = reading(&saved());
        now.entries.remove(OWNER);
        follow(&mut target, &now, 200);
        assert_eq!(read(&target, OWNER).uid, uid(201));
        let owned = read(&target, OWNED);
        assert_eq!(owned.uid, uid(2));
        assert_eq!(owned.owner.unwrap().uid, uid(201));
    }

    #[test]
    fn who_was_put_back_and_died_again_gets_yet_another_one() {
        let mut target = Target::new(&saved(), counting(100));
        let mut without = reading(&saved());
        without.entries.remove(OWNER);
        follow(&mut target, &without, 200);
        // Not written yet: it keeps the one that it got.
        follow(&mut target, &without, 300);
        assert_eq!(read(&target, OWNER).uid, uid(201));
        let mut put_back = reading(target.state());
        follow(&mut target, &put_back, 300);
        assert_eq!(read(&target, OWNER).uid, uid(201));
        put_back.entries.remove(OWNER);
        follow(&mut target, &put_back, 400);
        assert_eq!(read(&target, OWNER).uid, uid(401));
    }

    #[test]
    fn what_its_owner_made_again_is_taken_as_it_is() {
        let mut target = Target::new(&saved(), counting(100));
        let mut now = reading(&saved());
        let made = now.entries.get_mut(OWNED).unwrap();
        made.value = object::with_uid(&made.value, &uid(2), &uid(50));
        follow(&mut target, &now, 200);
        assert_eq!(read(&target, OWNED).uid, uid(201), "it was there before");
        now.entries.get_mut(OWNED).unwrap().created = 10;
        follow(&mut target, &now, 300);
        assert_eq!(read(&target, OWNED).uid, uid(50));
    }
}
