struct Guestbook;

fn main() {
    vcluster_harness::testing::slot::<Guestbook>();
}
