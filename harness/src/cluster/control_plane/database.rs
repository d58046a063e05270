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
/// How long a container may complain. A database that is just starting is given this time.
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
    let mut since = None;
    loop {
        // Until the container runs there is no log.
        let log = pods.logs(&pod, &params).await.unwrap_or_default();
        match read(&log) {
            Told::Well => return std::future::pending().await,
            // A container that was started again has forgotten its complaint.
            Told::Nothing => {}
            Told::Trouble(message) => {
                let since = *since.get_or_insert_with(Instant::now);
                if since.elapsed() >= PATIENCE {
                    return database.refuses(message);
                }
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
}
