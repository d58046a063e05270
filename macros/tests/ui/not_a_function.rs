use vcluster_macros::vcluster_test;

#[vcluster_test]
struct Guestbook;

#[vcluster_test]
mod tests {}

fn main() {
    // The item is still there.
    let _ = Guestbook;
}
