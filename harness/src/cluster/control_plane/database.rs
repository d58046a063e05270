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
/// So much of a log's beginning is read. Its end is no help: API servers talk, and what kine said once would be gone.
const BEGINNING: i64 = 65536;
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
        limit_bytes: Some(BEGINNING),
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
    let lines: Vec<_> = log.lines().collect();
    let complaints = lines.iter().enumerate().rev();
    let mut complaints = complaints.filter_map(|(index, line)| Some((index, complaint(line)?)));
    let Some((index, message)) = complaints.next() else {
        return Told::Nothing;
    };
    // Which of several addresses did not answer stands in lines of their own.
    let more = lines[index + 1..].iter();
    let more = more.map(|line| passed_on(line).unwrap_or_else(|| (*line).to_owned()));
    let more: Vec<_> = more.take_while(|line| line.starts_with('\t')).collect();
    let words: Vec<_> = std::iter::once(&message)
        .chain(&more)
        .flat_map(|line| line.split_whitespace())
        .collect();
    Told::Trouble(words.join(" "))
}

/// The message of a line that complains of the store.
fn complaint(line: &str) -> Option<String> {
    const OF_STORE: [&str; 3] = ["database", "kine", "storage"];
    match passed_on(line) {
        Some(line) => bad(&line),
        // k3s and k0s complain of much else.
        None if line.starts_with("time=") => {
            bad(line).filter(|message| OF_STORE.iter().any(|word| message.contains(word)))
        }
        None => bad(line),
    }
}

/// What kine said in a line that k0s passes on as news of its own.
fn passed_on(line: &str) -> Option<String> {
    let is_passed_on = line.ends_with(" stream=stderr") || line.ends_with(" stream=stdout");
    let (_, message) = fields(line).filter(|_| is_passed_on)?;
    Some(message)
}

/// The message of a line whose level is bad: in kine's JSON, as k3s writes it, or in kine's words for people.
fn bad(line: &str) -> Option<String> {
    const LEVELS: [&str; 4] = ["warning", "error", "fatal", "panic"];
    if let Ok(line) = serde_json::from_str::<Value>(line) {
        let is_bad = LEVELS.contains(&line["severity"].as_str()?);
        return is_bad.then(|| line["message"].as_str().unwrap_or_default().to_owned());
    }
    let (level, message) = fields(line).or_else(|| for_people(line))?;
    let level = level.to_lowercase();
    let is_bad = LEVELS.iter().any(|bad| bad.starts_with(&level));
    is_bad.then_some(message)
}

/// Level and message of `time="…" level=error msg="…" more=…`.
fn fields(line: &str) -> Option<(&str, String)> {
    let (_, rest) = line.split_once("level=")?;
    let (level, rest) = rest.split_once(' ')?;
    let (_, message) = rest.split_once("msg=")?;
    let message = match message.strip_prefix('"') {
        Some(rest) => unquoted(rest),
        None => message.to_owned(),
    };
    Some((level, message))
}

/// The same of `ERRO[…] …`, where the level is coloured.
fn for_people(line: &str) -> Option<(&str, String)> {
    let (level, message) = line.split_once("] ")?;
    let level = level.strip_prefix("\x1b[")?.split_once('m')?.1;
    Some((level.get(..4)?, message.to_owned()))
}

/// What stands before the closing quote, behind which there are other fields.
fn unquoted(text: &str) -> String {
    let mut signs = text.chars();
    let next = || match signs.next()? {
        '"' => None,
        '\\' => match signs.next()? {
            't' => Some('\t'),
            'n' => Some('\n'),
            'x' => {
                let mut digit = || signs.next()?.to_digit(16);
                char::from_u32(digit()? * 16 + digit()?)
            }
            sign => Some(sign),
        },
        sign => Some(sign),
    };
    std::iter::from_fn(next).collect()
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
    /// Kine for people, whose kine k0s has.
    const PLAIN: [&str; 3] = [
        "\x1b[31mERRO\x1b[0m[2026-01-01T00:00:00.1Z] Failed to ping database connection: failed to connect to `me`:",
        "\t10.0.0.1:1 (db.test): dial error: refused",
        "\x1b[34mINFO\x1b[0m[2026-01-01T00:00:01.1Z] Connecting again",
    ];
    const K0S_QUOTES_IT: [&str; 3] = [
        r#"time="2026-01-01 00:00:00" level=info msg="\x1b[31mERRO\x1b[0m[2026-01-01T00:00:00.1Z] Failed to ping database connection: failed to connect to `me`:" component=kine stream=stderr"#,
        r#"time="2026-01-01 00:00:00" level=info msg="\t10.0.0.1:1 (db.test): dial error: refused" component=kine stream=stderr"#,
        r#"time="2026-01-01 00:00:00" level=info msg="Starting to supervise" component=kine"#,
    ];
    const PLAINLY: &str = "Failed to ping database connection: failed to connect to `me`: 10.0.0.1:1 (db.test): dial error: refused";
    /// So said the kine of older ones.
    const K0S: &str = r#"time="2026-01-01 00:00:00" level=info msg="time=\"2026-01-01T00:00:00Z\" level=error msg=\"Failed to ping database connection: user \\\"me\\\"\"" component=kine stream=stderr"#;
    const K3S_WARNING: &str =
        r#"time="2026-01-01T00:00:00Z" level=warning msg="A flag will be removed""#;
    const K3S_INFO: &str = r#"time="2026-01-01T00:00:00Z" level=info msg="Starting k3s v1.34.2""#;

    #[rstest]
    #[case::no_log(&[], None)]
    #[case::no_complaint(&[INFO], None)]
    #[case::text(&["what is this"], None)]
    #[case::warned(&[WARNING, INFO], Some("failed to ensure existence of database postgres"))]
    #[case::the_last(&[WARNING, ERROR], Some("Failed to ping database connection: refused"))]
    #[case::of_something_else(&[K3S_WARNING], None)]
    #[case::of_k3s(&[K3S_INFO, K3S, K3S_WARNING], Some("Failed to ping database connection: user \"me\""))]
    #[case::for_people(&PLAIN, Some(PLAINLY))]
    #[case::quoted_by_k0s(&K0S_QUOTES_IT, Some(PLAINLY))]
    #[case::quoted_by_an_older_k0s(&[K0S], Some("Failed to ping database connection: user \"me\""))]
    #[case::news_of_k0s(&K0S_QUOTES_IT[2..], None)]
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
        let service = tower::service_fn(move |request: Request<Body>| async move {
            let (status, text) = match begun.elapsed().checked_sub(STARTED_AFTER) {
                None => (400, ""),
                Some(running) if running < said_after => (200, ""),
                Some(_) => (200, shown(&request, said)),
            };
            let answer = Response::builder().status(status);
            answer.body(Body::from(text.as_bytes().to_vec()))
        });
        Api::default_namespaced(Client::new(service, "default"))
    }

    /// As much of a log as is asked for, from one end of it or from the other.
    fn shown<'a>(request: &Request<Body>, log: &'a str) -> &'a str {
        let query = request.uri().query().unwrap_or_default();
        let asked = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(key, _)| *key == name)?;
            value.parse::<usize>().ok()
        };
        let from_the_end = |lines: usize| log.rmatch_indices('\n').nth(lines);
        let start = asked("tailLines").and_then(from_the_end);
        let end = asked("limitBytes").unwrap_or(log.len());
        &log[start.map_or(0, |(index, _)| index)..end.min(log.len())]
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

    #[tokio::test(start_paused = true)]
    async fn trouble_of_a_database_that_served_is_not_of_a_start() {
        let drowned = format!("{SERVING}\n{}", format!("{ERROR}\n").repeat(1000));
        let pods = pods(Duration::ZERO, drowned.leak());
        let trouble = trouble(pods, "web-0".to_owned(), database());
        let ended = tokio::time::timeout(Duration::from_hours(1), trouble).await;
        assert!(ended.is_err(), "{ended:?}");
    }
}
