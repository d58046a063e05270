//! What must hold of every value that a store may have, whoever wrote it.

use super::object::{Identity, Object, is_lasting_token, with_uid};

/// A stored value is read or not, in the same way by all who read it, and one that was moved to another uid
/// and back is what it was.
///
/// # Panics
/// If not.
pub fn value(value: &[u8]) {
    let identity = Identity::read(value);
    // Whatever it says, it is read without a fall.
    let _is_lasting = is_lasting_token(value);
    let Some(object) = Object::read(value) else {
        return;
    };
    let identity = identity.expect("what is an object is somebody");
    assert_eq!(identity.uid, object.uid);
    if let Some(owner) = &object.owner {
        assert!(identity.owners.contains(&owner.uid), "{object:?}");
    }
    assert_eq!(Object::read(value).as_ref(), Some(&object));
    let other = "\u{1}".repeat(object.uid.len());
    if !object.uid.is_empty()
        && !value
            .windows(other.len())
            .any(|part| part == other.as_bytes())
    {
        let moved = with_uid(value, &object.uid, &other);
        assert_eq!(with_uid(&moved, &other, &object.uid), value);
    }
}
