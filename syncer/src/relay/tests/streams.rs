//! What passes through the relay arrives as it was sent.

use std::{sync::Mutex, time::Duration};

use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, split},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    fake_host::{HostBody, empty},
    rig::Rig,
};

const EXEC: &str = "/exec/default/web/main?command=cat&input=1&output=1&error=1";
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// Accepts a stream and does `then` with it.
fn accept<T, F>(mut request: Request<Incoming>, then: T) -> Response<HostBody>
where
    T: FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move { then(TokioIo::new(upgrade.await.unwrap())).await });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("Connection", "Upgrade")
        .header("Upgrade", "SPDY/3.1")
        .header("X-Stream-Protocol-Version", "v4.channel.k8s.io")
        .body(empty())
        .unwrap()
}

fn echo(request: Request<Incoming>) -> Response<HostBody> {
    accept(request, |stream| async {
        let (mut read, mut write) = split(stream);
        copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    })
}

#[rstest]
#[case::exec(
    "/exec/default/web/main?command=sh&command=-c&command=echo+%22a%26b%22%3B%0Atrue&command=%FF&input=1&output=1&error=1&tty=1",
    "/api/v1/namespaces/vc-test/pods/web-x-default-x-test/exec?container=main&stdin=true&stdout=true&stderr=false&tty=true&command=sh&command=-c&command=echo+%22a%26b%22%3B%0Atrue&command=%FF"
)]
#[case::exec_with_uid(
    "/exec/default/web/uid-of-web/main?command=ls&output=1&error=1",
    "/api/v1/namespaces/vc-test/pods/web-x-default-x-test/exec?container=main&stdin=false&stdout=true&stderr=true&tty=false&command=ls"
)]
#[case::attach(
    "/attach/default/web/main?output=1&error=1",
    "/api/v1/namespaces/vc-test/pods/web-x-default-x-test/attach?container=main&stdin=false&stdout=true&stderr=true&tty=false"
)]
#[case::attach_with_uid(
    "/attach/default/web/uid-of-web/main?input=1&output=1&tty=1",
    "/api/v1/namespaces/vc-test/pods/web-x-default-x-test/attach?container=main&stdin=true&stdout=true&stderr=false&tty=true"
)]
#[case::port_forward(
    "/portForward/default/web",
    "/api/v1/namespaces/vc-test/pods/web-x-default-x-test/portforward"
)]
#[case::port_forward_with_uid_and_ports(
    "/portForward/default/web/uid-of-web?port=8080%2C9090",
    "/api/v1/namespaces/vc-test/pods/web-x-default-x-test/portforward?ports=8080&ports=9090"
)]
#[tokio::test]
async fn streams_reach_the_twin(#[case] asked: &str, #[case] expected: &str) {
    let rig = Rig::with_pod(echo).await;
    let mut stream = rig.upgrade(asked).await;
    stream.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello");

    let seen = rig.host.seen();
    assert_eq!(seen[0].target, expected);
    assert_eq!(seen[0].method, "POST");
    assert_eq!(seen[0].headers["upgrade"], "SPDY/3.1");
    assert_eq!(
        seen[0].headers["x-stream-protocol-version"],
        "v4.channel.k8s.io"
    );
    rig.stop().await;
}

#[tokio::test]
async fn no_identity_of_the_virtual_side_reaches_the_host() {
    let rig = Rig::with_pod(echo).await;
    let request = Request::get(EXEC)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .header(
            "Sec-WebSocket-Protocol",
            "base64url.bearer.authorization.k8s.io.c2VjcmV0, v4.channel.k8s.io",
        )
        .header("Authorization", "Bearer secret")
        .header("Impersonate-User", "system:admin")
        .header("X-Remote-User", "system:admin")
        .header("Cookie", "secret")
        .body(Body::empty())
        .unwrap();
    let response = rig.kubelet().await.send(request).await.unwrap();
    assert_eq!(response.status(), 101);

    let seen = rig.host.seen().remove(0).headers;
    assert_eq!(seen["sec-websocket-protocol"], "v4.channel.k8s.io");
    assert_eq!(seen["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
    for name in [
        "authorization",
        "impersonate-user",
        "x-remote-user",
        "cookie",
    ] {
        assert!(!seen.contains_key(name), "{name}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn large_streams_pass_in_both_directions_at_once() {
    const SIZE: usize = 16 << 20;
    let rig = Rig::with_pod(echo).await;
    let stream = rig.upgrade(EXEC).await;
    let (mut read, mut write) = split(stream);
    let sending = async {
        let chunk: Vec<u8> = (0..=u8::MAX).cycle().take(64 << 10).collect();
        for _ in 0..SIZE / chunk.len() {
            write.write_all(&chunk).await.unwrap();
        }
        write.flush().await.unwrap();
    };
    let receiving = async {
        let mut expected = (0..=u8::MAX).cycle();
        let (mut total, mut buffer) = (0, vec![0; 64 << 10]);
        while total < SIZE {
            let count = read.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "ended after {total} bytes");
            assert!(
                buffer[..count]
                    .iter()
                    .all(|byte| Some(*byte) == expected.next())
            );
            total += count;
        }
    };
    let both = async { tokio::join!(sending, receiving) };
    timeout(LIMIT, both).await.expect("a stream got stuck");
    rig.stop().await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_sender_back() {
    let (progress, mut seen) = mpsc::unbounded_channel();
    let rig = Rig::with_pod(move |request| {
        let progress = progress.clone();
        accept(request, |mut stream| async move {
            let chunk = vec![7; 64 << 10];
            while stream.write_all(&chunk).await.is_ok() {
                if progress.send(chunk.len()).is_err() {
                    return;
                }
            }
        })
    })
    .await;
    let stream = rig.upgrade(EXEC).await;
    let mut sent = 0;
    // Buffers of kernels and TLS fill up, and then nothing moves any more.
    while let Ok(Some(count)) = timeout(Duration::from_millis(500), seen.recv()).await {
        sent += count;
    }
    assert!(sent < 64 << 20, "{sent} bytes are kept somewhere");
    drop(stream);
    rig.stop().await;
}

#[tokio::test]
async fn the_end_of_one_direction_leaves_the_other_open() {
    let rig = Rig::with_pod(|request| {
        accept(request, |mut stream| async move {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            all.reverse();
            stream.write_all(&all).await.unwrap();
            stream.shutdown().await.unwrap();
        })
    })
    .await;
    let mut stream = rig.upgrade(EXEC).await;
    stream.write_all(b"abc").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    timeout(LIMIT, read).await.expect("no end").unwrap();
    assert_eq!(answer, b"cba");
    rig.stop().await;
}

#[tokio::test]
async fn when_the_api_server_goes_the_host_learns() {
    let (gone, learned) = oneshot::channel();
    let gone = Mutex::new(Some(gone));
    let rig = Rig::with_pod(move |request| {
        let gone = gone.lock().unwrap().take().unwrap();
        accept(request, |mut stream| async move {
            let mut rest = Vec::new();
            // An abort may arrive as an error or as an end.
            drop(stream.read_to_end(&mut rest).await);
            gone.send(()).unwrap();
        })
    })
    .await;
    drop(rig.upgrade(EXEC).await);
    timeout(LIMIT, learned).await.expect("still open").unwrap();
    rig.stop().await;
}

#[tokio::test]
async fn when_the_host_goes_the_api_server_learns() {
    let rig = Rig::with_pod(|request| accept(request, |stream| async { drop(stream) })).await;
    let mut stream = rig.upgrade(EXEC).await;
    let mut rest = Vec::new();
    let end = timeout(LIMIT, stream.read_to_end(&mut rest)).await;
    assert_eq!(end.expect("still open").unwrap_or(0), 0);
    rig.stop().await;
}

/// A log that is written while it is read.
fn growing_log() -> (
    mpsc::UnboundedSender<&'static str>,
    impl Fn(Request<Incoming>) -> Response<HostBody> + Send + Sync,
) {
    let (lines, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Mutex::new(Some(receiver));
    let answer = move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        let frames = futures::stream::unfold(receiver, |mut receiver| async {
            let line = receiver.recv().await?;
            let frame = Frame::data(Bytes::from_static(line.as_bytes()));
            Some((Ok(frame), receiver))
        });
        let frames = StreamBody::new(frames);
        Response::new(HostBody::new(frames))
    };
    (lines, answer)
}

#[tokio::test]
async fn followed_logs_arrive_line_by_line() {
    let (lines, answer) = growing_log();
    let rig = Rig::with_pod(answer).await;
    let path = "/containerLogs/default/web/main?follow=true&tailLines=5&stream=All&timestamps=true";
    let request = Request::get(path).body(Body::empty()).unwrap();
    let mut kubelet = rig.kubelet().await;
    let answer = kubelet.send(request).await.unwrap();
    let mut log = answer.into_body().into_data_stream();
    for line in ["one\n", "two\n"] {
        lines.send(line).unwrap();
        let arrived = timeout(LIMIT, log.next()).await.expect("kept back");
        assert_eq!(arrived.unwrap().unwrap(), line);
    }
    assert_eq!(
        rig.host.seen()[0].target,
        "/api/v1/namespaces/vc-test/pods/web-x-default-x-test/log?container=main&follow=true&timestamps=true&tailLines=5",
    );
    // Who reads no more is known at the far end, where it would be followed for ever.
    drop((log, kubelet));
    timeout(LIMIT, lines.closed())
        .await
        .expect("still followed");
    rig.stop().await;
}
