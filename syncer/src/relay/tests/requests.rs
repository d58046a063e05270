//! Requests to a kubelet, and what becomes of them.

use http::Method;
use proptest::prelude::*;
use rstest::rstest;

use crate::relay::{
    Refusal,
    host_path::host_path,
    kubelet_request::{KubeletRequest, PodRequest},
    properties,
};

fn parse(target: &str) -> Result<KubeletRequest, Refusal> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    KubeletRequest::parse(&Method::GET, path, query)
}

/// The path and query on the host after the pod's.
fn on_host(target: &str) -> String {
    let Ok(KubeletRequest::Pod(PodRequest { action, .. })) = parse(target) else {
        panic!("{target} is not about a pod: {:?}", parse(target));
    };
    let path = host_path("vc-test", "twin", &action);
    let rest = path.strip_prefix("/api/v1/namespaces/vc-test/pods/twin/");
    rest.unwrap().to_owned()
}

#[rstest]
#[case::plain("", "")]
#[case::follow("follow=true", "&follow=true")]
#[case::anything_is_yes(
    "follow=1&previous=&timestamps=yes",
    "&follow=true&previous=true&timestamps=true"
)]
#[case::but_these("follow=false&previous=0", "")]
#[case::numbers(
    "sinceSeconds=5&tailLines=10&limitBytes=1024",
    "&sinceSeconds=5&tailLines=10&limitBytes=1024"
)]
#[case::old_tail("tail=7&tailLines=10", "&tailLines=7")]
#[case::old_tail_of_all("tail=all", "")]
#[case::since(
    "sinceTime=2026-01-02T03%3A04%3A05Z",
    "&sinceTime=2026-01-02T03%3A04%3A05Z"
)]
#[case::all_streams("stream=All", "")]
#[case::one_stream("stream=Stderr", "&stream=Stderr")]
#[case::unknown_keys_stay_behind("container=other&pretty=true&fieldManager=x", "")]
fn log_options_are_written_anew(#[case] query: &str, #[case] expected: &str) {
    let asked = format!("/containerLogs/default/web/main?{query}");
    assert_eq!(on_host(&asked), format!("log?container=main{expected}"));
}

#[rstest]
#[case::number("tailLines=many")]
#[case::number_out_of_range("tailLines=9223372036854775808")]
#[case::time("sinceTime=yesterday")]
#[case::stream("stream=Both")]
#[case::bytes("sinceTime=%FF")]
fn log_options_that_are_none_are_refused(#[case] query: &str) {
    let asked = format!("/containerLogs/default/web/main?{query}");
    assert_eq!(parse(&asked).unwrap_err().status(), 400);
}

#[rstest]
#[case::no_command("/exec/default/web/main?output=1")]
#[case::no_streams("/exec/default/web/main?command=ls")]
#[case::yes_is_one_and_nothing_else("/exec/default/web/main?command=ls&output=true")]
#[case::no_streams_to_attach_to("/attach/default/web/main?tty=1")]
#[case::port_zero("/portForward/default/web?port=0")]
#[case::port_too_large("/portForward/default/web?port=65536")]
#[case::no_port("/portForward/default/web?port=")]
#[case::capital_namespace("/exec/Default/web/main?command=ls&output=1")]
#[case::odd_uid("/exec/default/web/..%2f/main?command=ls&output=1")]
#[case::long_name(
    "/portForward/default/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)]
fn streams_that_make_no_sense_are_refused(#[case] asked: &str) {
    assert_eq!(parse(asked).unwrap_err().status(), 400, "{asked}");
}

#[rstest]
#[case::nothing("")]
#[case::root("/")]
#[case::no_slash("healthz")]
#[case::deeper("/healthz/ping")]
#[case::trailing_slash("/pods/")]
#[case::too_short("/exec/default/web")]
#[case::too_long("/exec/default/web/uid/main/more")]
#[case::other_case("/containerlogs/default/web/main")]
fn unknown_paths_are_not_found(#[case] asked: &str) {
    assert_eq!(parse(asked).unwrap_err().status(), 404, "{asked}");
}

#[test]
fn a_terminal_has_no_standard_error_of_its_own() {
    let host = on_host("/exec/default/web/main?command=sh&input=1&output=1&error=1&tty=1");
    assert!(host.contains("stderr=false&tty=true"), "{host}");
}

#[test]
fn pods_with_dots_in_their_names_are_found() {
    assert!(parse("/portForward/default/web.example.com").is_ok());
    assert!(parse("/portForward/default/web..com").is_err());
}

/// Pieces that someone who wants out of the namespace would try.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/".to_owned()),
        Just("..".to_owned()),
        Just("%2F".to_owned()),
        Just("%2e%2e".to_owned()),
        Just("%00".to_owned()),
        Just("%0d%0a".to_owned()),
        Just("?".to_owned()),
        Just("#".to_owned()),
        Just("&".to_owned()),
        Just("=".to_owned()),
        Just(";".to_owned()),
        Just("/exec/default/web/main".to_owned()),
        Just("/containerLogs/default/web/main".to_owned()),
        Just("/portForward/default/web".to_owned()),
        Just("command=".to_owned()),
        Just("output=1".to_owned()),
        Just("port=".to_owned()),
        "[a-z0-9%.+-]{0,8}",
        ".{0,4}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_request_panics_or_leaves_its_pod(asked in hostile()) {
        properties::request(&asked);
    }

    #[test]
    fn commands_of_any_bytes_arrive(command in prop::collection::vec(any::<u8>(), 0..40)) {
        let encoded: String = form_urlencoded::byte_serialize(&command).collect();
        let host = on_host(&format!("/exec/default/web/main?output=1&command={encoded}"));
        prop_assert!(host.ends_with(&format!("&command={encoded}")), "{}", host);
    }
}
