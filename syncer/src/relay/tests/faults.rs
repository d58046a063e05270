//! What the relay says and does when something goes wrong.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    time::Duration,
};

use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::{api_server, fake_host::full, pod, rig::Rig};

use crate::relay::{RelayOptions, listener::Socket};

const LOGS: &str = "/containerLogs/default/web/main";

fn status(code: u16, message: &str) -> String {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code,
    });
    status.to_string()
}

#[rstest]
#[case::not_ready(
    400,
    r#"container "main" in pod "web-x-default-x-test" is waiting to start"#,
    400,
    r#"container "main" in pod "web" is waiting to start"#
)]
#[case::gone(
    404,
    r#"pods "web-x-default-x-test" not found in vc-test"#,
    404,
    r#"pods "web" not found in default"#
)]
#[case::busy(429, "slow down", 429, "slow down")]
#[case::broken(500, "oops", 500, "oops")]
// What the relay may do on the host is nothing that a tenant should read about.
#[case::no_right(
    403,
    "vc-test:syncer cannot get pods/log",
    502,
    "the host refused the relay"
)]
#[case::unknown(401, "Unauthorized", 502, "the host refused the relay")]
#[tokio::test]
async fn the_hosts_words_come_in_the_tenants_names(
    #[case] code: u16,
    #[case] said: &'static str,
    #[case] expected_code: u16,
    #[case] expected: &str,
) {
    let rig = Rig::with_pod(move |_| full(code, status(code, said))).await;
    assert_eq!(rig.get(LOGS).await, (expected_code, expected.to_owned()));
    rig.stop().await;
}

#[tokio::test]
async fn words_that_are_no_status_pass_too() {
    let rig = Rig::with_pod(|_| full(400, "pod web-x-default-x-test says no")).await;
    assert_eq!(rig.get(LOGS).await, (400, "pod web says no".to_owned()));
    rig.stop().await;
}

#[tokio::test]
async fn an_unreachable_host_is_a_bad_gateway() {
    let rig = Rig::with_pod(|_| full(200, "")).await;
    rig.host.stop();
    let (code, words) = rig.get(LOGS).await;
    assert_eq!((code, words.as_str()), (502, "could not reach the host"));
    rig.stop().await;
}

#[tokio::test]
async fn a_stream_that_the_host_does_not_open_is_an_error() {
    let rig = Rig::with_pod(|_| full(200, "no stream")).await;
    let (code, _) = rig.get("/exec/default/web/main?command=ls&output=1").await;
    assert_eq!(code, 502);
    rig.stop().await;
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_bad_gateway() {
    let adjust = |options: &mut RelayOptions| options.limits.connect = Duration::from_millis(100);
    let rig = Rig::start_with(|_| full(200, ""), adjust).await;
    // An address of this machine that is not loopback would do, but not every machine has one;
    // this one is set aside for documentation and never answers.
    rig.directory
        .update(|directory| directory.put_pod(&pod("web", "192.0.2.1")));
    let refused = api_server::connect(&rig.socket, "192.0.2.1:80").await;
    let words = refused.unwrap_err();
    let is_gateway_error = words.starts_with("HTTP/1.1 502 ") || words.starts_with("HTTP/1.1 504 ");
    assert!(
        is_gateway_error && words.contains("could not connect to 192.0.2.1:80"),
        "{words}"
    );
    rig.stop().await;
}

#[tokio::test]
async fn news_that_arrive_in_time_count() {
    let adjust = |options: &mut RelayOptions| {
        options.limits.news = Duration::from_secs(20);
    };
    let rig = Rig::start_with(|_| full(200, "a log"), adjust).await;
    let asking = rig.get(LOGS);
    let telling = async {
        tokio::task::yield_now().await;
        rig.directory
            .update(|directory| directory.put_pod(&pod("web", "10.244.0.5")));
    };
    let (answer, ()) = tokio::join!(asking, telling);
    assert_eq!(answer, (200, "a log".to_owned()));
    rig.stop().await;
}

#[tokio::test]
async fn too_many_connections_are_told_so() {
    let adjust = |options: &mut RelayOptions| options.limits.connections = 1;
    let rig = Rig::start_with(|_| full(200, ""), adjust).await;
    rig.directory
        .update(|directory| directory.put_pod(&pod("web", "10.244.0.5")));
    let first = rig.tunnel().await;
    let second = api_server::connect(&rig.socket, "172.18.0.3:10250").await;
    assert_eq!(
        second.unwrap_err(),
        "HTTP/1.1 503 too many connections at once"
    );

    drop(first);
    let freed = async {
        while api_server::connect(&rig.socket, "172.18.0.3:10250")
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), freed)
        .await
        .expect("the place is not given back");
    rig.stop().await;
}

#[rstest]
#[case::another_method("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 ")]
#[case::no_port("CONNECT 10.244.0.5 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ")]
#[case::no_http("\x16\x03\x01", "HTTP/1.1 400 ")]
#[case::long_head("CONNECT a:1 HTTP/1.1\r\nX: {}\r\n\r\n", "HTTP/1.1 431 ")]
#[tokio::test]
async fn nonsense_is_answered_and_closed(#[case] sent: &str, #[case] expected: &str) {
    let rig = Rig::start(|_| full(200, "")).await;
    let mut stream = UnixStream::connect(&rig.socket).await.unwrap();
    let sent = sent.replace("{}", &"x".repeat(20_000));
    // The relay may close before all of it is written.
    drop(stream.write_all(sent.as_bytes()).await);
    let mut answer = vec![0; expected.len()];
    timeout(Duration::from_secs(20), stream.read_exact(&mut answer))
        .await
        .expect("no answer")
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), expected);
    rig.stop().await;
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_goes_with_the_relay() {
    let rig = Rig::start(|_| full(200, "")).await;
    let socket = rig.socket.clone();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(socket.as_path()), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    rig.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    let socket = Socket::bind(&left).unwrap();
    assert!(fs::metadata(&left).unwrap().file_type().is_socket());
    UnixStream::connect(&left).await.unwrap();
    socket.close().unwrap();

    let file = folder.path().join("file.sock");
    fs::write(&file, "somebody's").unwrap();
    assert!(Socket::bind(&file).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");
}
