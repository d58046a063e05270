//! What must be done so that a store becomes what it was. Pure; the comparison of the result with the
//! saved state is the same function, which then has nothing to do.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    object::Object,
    rule::{Product, Rule, rank, rule},
    state::State,
    store::{Entry, Reading, Write},
};

/// The moment at which a reset began. What came later may be the controllers' answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beginning(i64);

/// What must be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order in which they should be made.
    pub(super) writes: Vec<Write>,
    /// What controllers must still make.
    pub(super) missing: Vec<String>,
}

/// Objects that are made of the same other object; they stand for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Group {
    /// The key, for one that is made of the object of its own name.
    place: String,
    owner: Option<(String, String)>,
}

impl Beginning {
    pub(super) fn of(reading: &Reading) -> Self {
        Self(reading.revision)
    }

    pub(super) fn is_before(self, revision: i64) -> bool {
        revision > self.0
    }
}

impl Plan {
    /// Is the store what it was?
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.missing.is_empty()
    }

    /// The keys that differ.
    pub(super) fn differences(&self) -> Vec<String> {
        let written = self.writes.iter().map(|write| &write.key);
        let keys: BTreeSet<_> = written.chain(&self.missing).cloned().collect();
        keys.into_iter().collect()
    }
}

/// Decides what must be done so that `now` becomes `target`.
pub(super) fn plan(target: &State, now: &Reading, beginning: Beginning) -> Plan {
    let mut plan = Plan::default();
    let keys: BTreeSet<_> = target.entries.keys().chain(now.entries.keys()).collect();
    for key in keys {
        let (wanted, is) = (target.entries.get(key), now.entries.get(key));
        let wanted = match (rule(key), wanted, is) {
            (Rule::Aside | Rule::Made(_), _, _) | (Rule::Kept, Some(_), Some(_)) => continue,
            (Rule::Settled, Some(wanted), Some(is)) if is_settled(wanted, is, beginning) => {
                continue;
            }
            (Rule::Transient, _, _) => None,
            _ => wanted.map(|wanted| &wanted.value),
        };
        if wanted != is.map(|is| &is.value) {
            plan.writes.push(Write {
                key: key.clone(),
                seen: is.map_or(0, |is| is.modified),
                value: wanted.cloned(),
            });
        }
    }
    products(target, now, beginning, &mut plan);
    plan.writes.sort_by_key(turn);
    plan
}

/// When a write is made; equals are made together.
///
/// Nothing is put back while somebody who is about to go could still use it. Accounts are: nobody has a
/// token of their new selves, and the pods that are made in the place of others need one.
pub(super) fn turn(write: &Write) -> (bool, usize) {
    let is_later = write.value.is_some() && rule(&write.key) != Rule::Renewed;
    (is_later, rank(&write.key))
}

/// When the last account was renewed. Pods from before may hold tokens that are worth nothing.
fn renewal(target: &State, now: &Reading) -> i64 {
    let accounts = target
        .entries
        .keys()
        .filter(|key| rule(key) == Rule::Renewed);
    let modified = accounts.filter_map(|key| Some(now.entries.get(key)?.modified));
    modified.max().unwrap_or_default()
}

/// Was the value put back, and did its controller only say something about it since?
fn is_settled(was: &Entry, is: &Entry, beginning: Beginning) -> bool {
    beginning.is_before(is.modified) && is_same(was, is)
}

/// Is it the same object, and the same is asked for?
fn is_same(was: &Entry, is: &Entry) -> bool {
    was.value == is.value
        || match (Object::read(&was.value), Object::read(&is.value)) {
            (Some(was), Some(is)) => was.uid == is.uid && was.essence == is.essence,
            _ => false,
        }
}

/// Adds to the plan what must be done about the objects that are made of others: those that are as
/// they were stay, those that came since in the place of one that was there before stay as well, and
/// all others go. A pod must also have come after the accounts, as it got its token when it came: its
/// programs may keep it for a minute, whatever is in its file.
fn products(target: &State, now: &Reading, beginning: Beginning, plan: &mut Plan) {
    let uids: HashSet<String> = target
        .entries
        .values()
        .filter_map(|entry| Some(Object::read(&entry.value)?.uid))
        .collect();
    let mut places: BTreeMap<Group, usize> = BTreeMap::new();
    for (key, entry) in &target.entries {
        if let Rule::Made(product) = rule(key)
            && let Some(object) = Object::read(&entry.value)
            && is_made_again(product, &object)
        {
            *places.entry(group(key, &object)).or_default() += 1;
        }
    }
    let renewal = renewal(target, now);
    let mut candidates = HashMap::new();
    for (key, is) in &now.entries {
        let Rule::Made(product) = rule(key) else {
            continue;
        };
        let object = Object::read(&is.value);
        let stays = target.entries.get(key).is_some_and(|was| is_same(was, is));
        match object {
            Some(object) if stays => {
                take_place(&mut places, &group(key, &object));
            }
            Some(object)
                if beginning.is_before(is.created)
                    && (product != Product::Pod || is.created > renewal) =>
            {
                candidates.insert(key, (product, object));
            }
            _ => plan.writes.push(deletion(key, is)),
        }
    }
    for (key, is) in &now.entries {
        let Some((product, object)) = candidates.get(key) else {
            continue;
        };
        let is_ours = object
            .owner
            .as_ref()
            .is_none_or(|owner| uids.contains(&owner.uid));
        let is_wanted =
            *product == Product::Node || (is_ours && take_place(&mut places, &group(key, object)));
        if !is_wanted {
            plan.writes.push(deletion(key, is));
        }
    }
    let empty = places.into_iter().filter(|(_, left)| *left > 0);
    plan.missing.extend(empty.map(|(group, _)| group.place));
}

/// Will somebody make another one when it is gone? A job has its pods once, and a node is shown
/// while somebody is on it.
fn is_made_again(product: Product, object: &Object) -> bool {
    match product {
        Product::Pod => object
            .owner
            .as_ref()
            .is_none_or(|owner| owner.kind != "Job"),
        Product::Endpoints => true,
        Product::Node => false,
    }
}

fn group(key: &str, object: &Object) -> Group {
    match &object.owner {
        // Its own name is by chance.
        Some(owner) => Group {
            place: key
                .rsplit_once('/')
                .map_or(key, |(place, _)| place)
                .to_owned(),
            owner: Some((owner.kind.clone(), owner.name.clone())),
        },
        None => Group {
            place: key.to_owned(),
            owner: None,
        },
    }
}

/// Takes one of the places of a group, if there is one left.
fn take_place(places: &mut BTreeMap<Group, usize>, group: &Group) -> bool {
    match places.get_mut(group) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

fn deletion(key: &str, is: &Entry) -> Write {
    Write {
        key: key.to_owned(),
        seen: is.modified,
        value: None,
    }
}
