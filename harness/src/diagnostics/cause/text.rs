//! Causes that show only in a text: an error, a message, the end of a log.

use super::Cause;

pub(super) const DISK: &str = "free disk space: `cargo vcluster prune`, `docker system df`";
pub(super) const DOCTOR: &str = "`cargo vcluster doctor` looks over the host and the engine";

/// Words, what they mean, and what to do. The first that fits wins.
const MEANINGS: [(&[&str], &str, &str); 14] = [
    (
        &[
            "no space left on device",
            "low on resource: ephemeral-storage",
            "disk quota exceeded",
        ],
        "a disk is full",
        DISK,
    ),
    (
        &["too many open files", "inotify"],
        "a limit of open files or inotify watches is reached",
        "raise it: `sysctl -w fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=1048576`",
    ),
    (
        &["docker.sock", "docker daemon", "podman.sock"],
        "the container engine does not answer",
        "start it (`systemctl start docker`) or name another with DOCKER_HOST; `cargo vcluster doctor` says more",
    ),
    (
        &["provided ip is already allocated"],
        "an address of the service range is taken",
        "a service that names a fixed ClusterIP collides with another one on the host",
    ),
    (
        &[
            "provided port is already allocated",
            "port is already allocated",
            "address already in use",
        ],
        "a port is taken",
        "find who listens with `ss -ltnp` and end it, or ask for another port",
    ),
    (
        &["denied the request"],
        "an admission webhook refused the object",
        "its message says why; it is a webhook that the test itself installed",
    ),
    (
        &["failed calling webhook"],
        "an admission webhook does not answer",
        "wait until the webhook itself answers before creating objects; see its pod's log in the bundle",
    ),
    (
        &["exceeded quota"],
        "a resource quota is used up",
        "raise the quota, or ask for less",
    ),
    (
        &[
            "manifest unknown",
            "pull access denied",
            "errimageneverpull",
            "is not present with pull policy",
        ],
        "an image is missing",
        "load it from the Docker engine before the pod is made: `cluster.load_image(\"NAME\").await?` in the test",
    ),
    (
        &[
            "certificate signed by unknown authority",
            "unknownissuer",
            "certificate has expired",
            "not yet valid",
        ],
        "a certificate is not trusted",
        "compare the clocks of this machine and of the host; else delete the cluster and make it anew",
    ),
    (
        &["is forbidden: user", "is forbidden:"],
        "a right is missing",
        "give the service account that the message names a role with that verb",
    ),
    (
        &[
            "no such host",
            "server misbehaving",
            "name or service not known",
        ],
        "a name is not resolved",
        "see the log of CoreDNS in the bundle",
    ),
    (
        &["cgroup"],
        "the cgroups of this machine are not as the host needs them",
        DOCTOR,
    ),
    (
        &["connection refused", "connect error"],
        "nothing listens where a connection was made to",
        DOCTOR,
    ),
];

/// What an error's text says by itself, for failures that leave no objects behind.
pub fn causes_of_error(error: &str) -> Option<Cause> {
    let (words, meaning, advice) = find(error)?;
    let is_telling = |line: &&str| words.iter().any(|words| contains(line, words));
    let line = error.lines().rev().find(is_telling).unwrap_or(error);
    let line = line.trim().trim_start_matches("because: ");
    Some(Cause::new(format!("{meaning}: {line}")).advice(advice))
}

/// What to do about a text.
pub(super) fn advice(text: &str) -> Option<&'static str> {
    find(text).map(|(_, _, advice)| advice)
}

fn find(text: &str) -> Option<(&'static [&'static str], &'static str, &'static str)> {
    MEANINGS
        .iter()
        .find(|(words, ..)| words.iter().any(|words| contains(text, words)))
        .copied()
}

fn contains(text: &str, words: &str) -> bool {
    text.to_lowercase().contains(words)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::engine(
        "could not list containers\nbecause: client error (Connect): /var/run/docker.sock: No such file",
        "the container engine does not answer: client error (Connect): /var/run/docker.sock: No such file"
    )]
    #[case::disk(
        "write /x: no space left on device",
        "a disk is full: write /x: no space left on device"
    )]
    #[case::port(
        "Bind for 127.0.0.1:6443 failed: port is already allocated",
        "a port is taken: Bind for 127.0.0.1:6443 failed: port is already allocated"
    )]
    #[case::quota(
        "pods \"web\" is forbidden: exceeded quota: q, requested: pods=1",
        "a resource quota is used up: pods \"web\" is forbidden: exceeded quota: q, requested: pods=1"
    )]
    #[case::webhook(
        "failed calling webhook \"v.example.com\": connection refused",
        "an admission webhook does not answer: failed calling webhook \"v.example.com\": connection refused"
    )]
    #[case::denied(
        "admission webhook \"v\" denied the request: no",
        "an admission webhook refused the object: admission webhook \"v\" denied the request: no"
    )]
    fn an_error_is_understood(#[case] error: &str, #[case] expected: &str) {
        let cause = causes_of_error(error).unwrap();
        assert_eq!(cause.line, expected);
        assert!(cause.advice.is_some());
    }

    #[test]
    fn an_assertion_of_the_test_has_no_such_cause() {
        assert_eq!(
            causes_of_error("assertion `left == right` failed\n  left: 1"),
            None
        );
    }
}
