struct Guestbook;

fn main() {
    vcluster_harness::testing::needs::<Guestbook>();
}
