use vcluster_macros::vcluster_test;

#[vcluster_test(store = "kine3")]
async fn nearly() {}

#[vcluster_test(store = "postgres://me:secret@db.test/web")]
async fn written_out() {}

fn main() {}
