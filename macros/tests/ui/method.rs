use vcluster_macros::vcluster_test;

struct Guestbook;

impl Guestbook {
    #[vcluster_test]
    async fn test(&self) {}
}

fn main() {}
