use vcluster_macros::vcluster_test;

#[vcluster_test]
async fn of_a_type<T>() {}

#[vcluster_test]
async fn of_a_lifetime<'a>() {}

#[vcluster_test]
async fn with_a_condition()
where
    String: Clone,
{
}

fn main() {}
