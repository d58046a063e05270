//! Listens to the container that speaks to a database outside. Such a container tries for minutes what
//! cannot succeed, and meanwhile others end for want of a store and would get the blame.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};
use serde_json::Value;
use tokio::time::Instant;

use super::ContainerFailure;
use crate::{cluster::error::Cause, distro::OutsideDatabase};

const PAUSE: Duration = Duration::from_millis(500);
/// How long a container that just started may complain: a database may be starting, too.
const PATIENCE: Duration = Duration::from_secs(4);
const LINES: i64 = 40;
/// What kine says once it serves.
const SERVES: &str = "Kine available at";

/// What a log tells of a database.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Trouble(String),
    Well,
}

/// Ends when the database cannot be used, with the last complaint, and never when it can.
pub(super) async fn trouble(pods: Api<Pod>, pod: String, database: OutsideDatabase) -> Cause {
    let params = LogParams {
        container: Some(database.container.to_owned()),
        tail_lines: Some(LINES),
        ..LogParams::default()
    };
    let mut started = None;
    loop {
        // There is no log until the container runs.
        if let Ok(log) = pods.logs(&pod, &params).await {
            let started = *started.get_or_insert_with(Instant::now);
            match read(&log) {
                Told::Well => return std::future::pending().await,
                Told::Trouble(message) if started.elapsed() >= PATIENCE => {
                    return database.refuses(message);
                }
                // A container that was started again has forgotten its complaint.
                Told::Trouble(_) | Told::Nothing => {}
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A container that ended is the database's fault, when it says so.
pub(super) fn cause(database: Option<&OutsideDatabase>, failure: ContainerFailure) -> Cause {
    let database = database.filter(|database| database.container == failure.container);
    match (database, read(&failure.log)) {
        (Some(database), Told::Trouble(message)) => database.clone().refuses(message),
        _ => failure.into(),
    }
}

impl OutsideDatabase {
    fn refuses(self, message: String) -> Cause {
        Cause::Database {
            address: self.address,
            container: self.container,
            message,
        }
    }
}

/// The last complaint, unless all is well by now.
fn read(log: &str) -> Told {
    if log.contains(SERVES) {
        return Told::Well;
    }
    let last = log.lines().rev().find_map(complaint);
    last.map_or(Told::Nothing, Told::Trouble)
}

/// The message of a line that complains: in kine's JSON, or in the words that k3s and k0s write it in.
fn complaint(line: &str) -> Option<String> {
    const BAD: [&str; 4] = ["warning", "error", "fatal", "panic"];
    if let Ok(line) = serde_json::from_str::<Value>(line) {
        let is_bad = BAD.contains(&line["severity"].as_str()?);
        return is_bad.then(|| line["message"].as_str().unwrap_or_default().to_owned());
    }
    let (_, rest) = line.split_once("level=")?;
    let (level, rest) = rest.split_once(' ')?;
    let (_, message) = rest.split_once("msg=")?;
    // Quoted text ends where the fields after it begin.
    let message = match message.strip_prefix('"') {
        Some(quoted) => quoted.rsplit_once('"').map_or(quoted, |(text, _)| text),
        None => message,
    };
    BAD.contains(&level).then(|| message.replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::{Client, client::Body};
    use rstest::rstest;

    use super::*;

    const WARNING: &str = r#"{"message":"failed to ensure existence of database postgres","severity":"warning","time":"t"}"#;
    const ERROR: &str = r#"{"message":"Failed to ping database connection: refused","severity":"error","time":"t"}"#;
    const INFO: &str =
        r#"{"message":"Configuring database table schema","severity":"info","time":"t"}"#;
    const SERVING: &str =
        r#"{"message":"Kine available at http://127.0.0.1:2379","severity":"info","time":"t"}"#;
    const K3S: &str = r#"time="2026-01-01T00:00:00Z" level=error msg="Failed to ping database connection: user \"me\"""#;
    const K3S_INFO: &str = r#"time="2026-01-01T00:00:00Z" level=info msg="Starting k3s v1.34.2""#;

    #[rstest]
    #[case::no_log(&[], None)]
    #[case::no_complaint(&[INFO], None)]
    #[case::text(&["what is this"], None)]
    #[case::warned(&[WARNING, INFO], Some("failed to ensure existence of database postgres"))]
    #[case::the_last(&[WARNING, ERROR], Some("Failed to ping database connection: refused"))]
    #[case::of_k3s(&[K3S_INFO, K3S], Some("Failed to ping database connection: user \"me\""))]
    fn the_last_complaint_is_told(#[case] lines: &[&str], #[case] expected: Option<&str>) {
        let expected = expected.map_or(Told::Nothing, |text| Told::Trouble(text.to_owned()));
        assert_eq!(read(&lines.join("\n")), expected);
    }

    #[test]
    fn a_store_that_serves_is_well_whatever_was_before() {
        assert_eq!(read(&[WARNING, ERROR, SERVING].join("\n")), Told::Well);
    }

    /// A container that is started after two seconds, and a while later has this in its log.
    fn pods(said_after: Duration, said: &'static str) -> Api<Pod> {
        let begun = Instant::now();
        let service = tower::service_fn(move |_: Request<Body>| async move {
            let (status, text) = match begun.elapsed().checked_sub(STARTED_AFTER) {
                None => (400, ""),
                Some(running) if running < said_after => (200, ""),
                Some(_) => (200, said),
            };
            let answer = Response::builder().status(status);
            answer.body(Body::from(text.as_bytes().to_vec()))
        });
        Api::default_namespaced(Client::new(service, "default"))
    }

    const STARTED_AFTER: Duration = Duration::from_secs(2);

    fn database() -> OutsideDatabase {
        OutsideDatabase {
            container: "kine",
            address: "postgres://db.test".to_owned(),
        }
    }

    #[rstest]
    #[case::refused(0, 6)]
    #[case::starting(2, 6)]
    #[case::never_answered(6, 8)]
    #[tokio::test(start_paused = true)]
    async fn trouble_is_told_when_a_database_has_had_its_time(
        #[case] said_after: u64,
        #[case] told_after: u64,
    ) {
        let begun = Instant::now();
        let pods = pods(Duration::from_secs(said_after), ERROR);
        let cause = trouble(pods, "web-0".to_owned(), database()).await;
        let told = "the database postgres://db.test cannot be used; container kine said: Failed to ping database \
                    connection: refused";
        assert_eq!(cause.to_string(), told);
        assert_eq!(begun.elapsed().as_secs(), told_after);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_ready_late_is_no_trouble() {
        let pods = pods(Duration::from_secs(30), SERVING);
        let trouble = trouble(pods, "web-0".to_owned(), database());
        let ended = tokio::time::timeout(Duration::from_hours(1), trouble).await;
        assert!(ended.is_err(), "{ended:?}");
    }
}
