//! Endpoints as text. What is read here is stricter than what kine and its drivers read, since they show
//! the whole of what they do not understand.

use std::net::{IpAddr, Ipv6Addr};

use secrecy::SecretString;

use super::{Database, Endpoint};

/// kine's own form of a `MySQL` address.
const TCP: &str = "tcp(";

/// Reads an endpoint; else says why it is none.
pub(super) fn read(text: &str) -> Result<Endpoint, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no `://`")?;
    let database = match scheme {
        "postgres" | "postgresql" => Database::Postgres,
        "mysql" => Database::MySql,
        "mariadb" => return Err("kine knows MariaDB as `mysql`"),
        _ => return Err("only `postgres` and `mysql` are known"),
    };
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it has a blank in it");
    }
    match rest.rsplit_once(TCP) {
        Some((login, rest)) if database == Database::MySql => own_form(login, rest),
        _ => url_form(database, rest),
    }
}

/// What stands behind `mysql://` in kine's form, where nothing is encoded.
fn own_form(login: &str, rest: &str) -> Result<Endpoint, &'static str> {
    let login = match login {
        "" => None,
        login => Some(
            login
                .strip_suffix('@')
                .ok_or("it has no `@` before `tcp(`")?,
        ),
    };
    let (host, rest) = rest.split_once(')').ok_or("`tcp(` is not closed")?;
    let (name, options) = split_at_options(rest);
    let (user, password) = login.map_or((None, None), split_login);
    finish(Database::MySql, (user, password), host, name, options)
}

fn url_form(database: Database, rest: &str) -> Result<Endpoint, &'static str> {
    let (rest, options) = split_at_options(rest);
    let (authority, name) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (login, host) = match authority.rsplit_once('@') {
        Some((login, host)) => (Some(login), host),
        None => (None, authority),
    };
    let (user, password) = login.map_or((None, None), split_login);
    let login = (decoded(user)?, decoded(password)?);
    finish(database, login, host, name, options)
}

fn finish(
    database: Database,
    (user, password): (Option<String>, Option<String>),
    host: &str,
    name: &str,
    options: Option<&str>,
) -> Result<Endpoint, &'static str> {
    if user.as_ref().is_some_and(|user| user.contains(':')) {
        return Err("a user cannot have a colon in its name");
    }
    check_host(host)?;
    let name = match name {
        "" | "/" => None,
        path => Some(
            path.strip_prefix('/')
                .ok_or("it has something behind its host")?,
        ),
    };
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_some_and(|name| name.len() > 63 || !name.chars().all(is_letter)) {
        return Err("a database is named by up to 63 letters, digits, `_` and `-`");
    }
    if options.is_some_and(|options| decoded(Some(options.to_owned())).is_err()) {
        return Err("its options are not percent-encoded");
    }
    Ok(Endpoint {
        database,
        user: user.filter(|user| !user.is_empty()),
        password: password.map(SecretString::from),
        host: host.to_owned(),
        name: name.map(str::to_owned),
        options: options.map(SecretString::from),
    })
}

/// As kine takes it. A `MySQL` login is not encoded there.
pub(super) fn write(endpoint: &Endpoint) -> String {
    let code: fn(&str) -> String = match endpoint.database {
        Database::Postgres => encoded,
        Database::MySql => str::to_owned,
    };
    let mut login = endpoint.user.as_deref().map(code).unwrap_or_default();
    if let Some(password) = endpoint.exposed_password() {
        login = format!("{login}:{}", code(password));
    }
    if !login.is_empty() {
        login.push('@');
    }
    let host = &endpoint.host;
    let address = match endpoint.database {
        Database::Postgres => host.clone(),
        Database::MySql if has_port(host) => format!("{TCP}{host})"),
        Database::MySql => format!("{TCP}{host}:3306)"),
    };
    let scheme = endpoint.database.scheme();
    let name = endpoint.name.as_deref().unwrap_or_default();
    let options = endpoint.exposed_options();
    let options = options.map(|options| format!("?{options}"));
    format!(
        "{scheme}://{login}{address}/{name}{}",
        options.unwrap_or_default()
    )
}

/// What may be shown of any text: nothing that could be a password.
pub(super) fn shown(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return "…".to_owned();
    };
    let (rest, options) = split_at_options(rest);
    // Behind an `@` that only seems to be the last one there may be a password, with a `?` in it.
    let is_clear = !options.is_some_and(|options| options.contains('@'));
    match rest.rsplit_once('@').filter(|_| is_clear) {
        Some((login, address)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:…@{address}")
        }
        // A login may stand where the host belongs.
        None => format!("{scheme}://…"),
    }
}

fn split_at_options(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((rest, options)) => (rest, Some(options)),
        None => (text, None),
    }
}

fn split_login(login: &str) -> (Option<String>, Option<String>) {
    match login.split_once(':') {
        Some((user, password)) => (Some(user.to_owned()), Some(password.to_owned())),
        None => (Some(login.to_owned()), None),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if has_port(host) => (name, Some(port)),
        _ => (host, None),
    };
    let in_brackets = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .and_then(|name| name.parse::<Ipv6Addr>().ok());
    let address = in_brackets.map(IpAddr::V6).or_else(|| name.parse().ok());
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() {
        return Err("it has no host");
    }
    if address.is_none() && !name.chars().all(is_letter) {
        return Err("its host is neither a name nor an address");
    }
    let is_nowhere = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    if name.eq_ignore_ascii_case("localhost") || address.is_some_and(is_nowhere) {
        return Err(
            "there its host would be the control plane's own pod; name one that the host's pods reach",
        );
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        _ => Err("its port is no number between 1 and 65535"),
    }
}

fn has_port(host: &str) -> bool {
    !host.ends_with(']') && host.contains(':')
}

fn decoded(text: Option<String>) -> Result<Option<String>, &'static str> {
    const REASON: &str = "its login is not percent-encoded";
    let Some(text) = text else { return Ok(None) };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(REASON);
                };
                bytes.extend(u8::try_from(high * 16 + low));
            }
            b'/' | b'#' | b'@' | b'[' | b']' => return Err(REASON),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map(Some).map_err(|_| REASON)
}

fn encoded(text: &str) -> String {
    let code = |byte: u8| match char::from(byte) {
        plain if plain.is_ascii_alphanumeric() || "-._~".contains(plain) => plain.to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(code).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::all(
        "postgres://me:pass@db.test:5432/web?sslmode=require",
        "postgres://me:pass@db.test:5432/web?sslmode=require"
    )]
    #[case::host_alone("postgresql://db.test", "postgres://db.test/")]
    #[case::special(
        "postgres://me:p%40ss%2Fw%3A@[fd00::1]:5432",
        "postgres://me:p%40ss%2Fw%3A@[fd00::1]:5432/"
    )]
    #[case::mysql(
        "mysql://me:p%40ss@db.test/web",
        "mysql://me:p@ss@tcp(db.test:3306)/web"
    )]
    #[case::mysql_port("mysql://db.test:3307", "mysql://tcp(db.test:3307)/")]
    #[case::own_form(
        "mysql://me:p@s/s@tcp(db.test:3306)/web?tls=true",
        "mysql://me:p@s/s@tcp(db.test:3306)/web?tls=true"
    )]
    #[case::no_login("mysql://tcp(db.test)", "mysql://tcp(db.test:3306)/")]
    fn an_endpoint_is_written_for_kine(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(write(&read(text).unwrap()), expected);
    }

    #[rstest]
    #[case::no_scheme("me:secret@db.test", "it has no `://`")]
    #[case::other_scheme("http://me:secret@db.test", "only `postgres` and `mysql` are known")]
    #[case::mariadb("mariadb://me:secret@db.test", "kine knows MariaDB as `mysql`")]
    #[case::no_host("postgres://me:secret@", "it has no host")]
    #[case::no_host_but_a_name("postgres://me:secret@/web", "it has no host")]
    #[case::login_for_host("postgres://me:secret", "its port is no number between 1 and 65535")]
    #[case::port(
        "postgres://me:secret@db.test:0",
        "its port is no number between 1 and 65535"
    )]
    #[case::two_hosts(
        "postgres://me:secret@a,b",
        "its host is neither a name nor an address"
    )]
    #[case::itself_by_name("postgres://me:secret@localhost/web", "there its host would be")]
    #[case::itself("mysql://me:secret@tcp(127.0.0.2:3306)/web", "there its host would be")]
    #[case::itself_of_six("postgres://me:secret@[::1]:5432/web", "there its host would be")]
    #[case::everywhere("postgres://me:secret@0.0.0.0/web", "there its host would be")]
    #[case::blank("postgres://me:secret @db.test", "it has a blank in it")]
    #[case::not_encoded("postgres://me:secret%zz@db.test", "its login is not percent-encoded")]
    #[case::at_sign("postgres://me:secret@x@db.test", "its login is not percent-encoded")]
    #[case::path("postgres://me:secret@db.test/a/b", "a database is named by")]
    #[case::options(
        "postgres://me:secret@db.test/a?x=#secret",
        "its options are not percent-encoded"
    )]
    #[case::open("mysql://me:secret@tcp(db.test", "`tcp(` is not closed")]
    #[case::a_name_and_a_password_that_are_not_encoded(
        "postgres://me@server:secret?@db.test",
        "its port is no number between 1 and 65535"
    )]
    #[case::tail(
        "mysql://me:secret@tcp(db.test)web",
        "it has something behind its host"
    )]
    fn other_text_is_refused_without_its_password(#[case] text: &str, #[case] reason: &str) {
        let error = text.parse::<Endpoint>().unwrap_err();
        assert!(error.reason.starts_with(reason), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }

    /// A part of an endpoint: usual letters, and all that means something in one of the two forms.
    fn part() -> impl Strategy<Value = String> {
        "([a-z0-9]|[-._~:/?#@%()\\[\\]=&]|tcp\\(|%40|é){0,6}"
    }

    proptest! {
        /// kine reads what is written as it is meant: the same is read from it again.
        #[test]
        fn what_is_written_reads_back(
            scheme in "(postgres|postgresql|mysql)",
            (user, password, host, name) in (part(), part(), part(), part()),
        ) {
            for text in [
                format!("{scheme}://{user}:{password}@{host}/{name}"),
                format!("{scheme}://{user}@tcp({host})/{name}"),
                format!("{scheme}://{user}:{password}@tcp(db.test)/{name}"),
                format!("{scheme}://{user}:{password}@db.test/web?{name}"),
            ] {
                if let Ok(endpoint) = read(&text) {
                    let again = write(&endpoint);
                    let read = read(&again).map(|endpoint| write(&endpoint));
                    prop_assert_eq!(read, Ok(again), "{}", text);
                }
            }
        }

        #[test]
        fn no_text_shows_its_password(
            scheme in "(postgres|mysql|http)",
            (user, before, after, rest) in (part(), part(), part(), part()),
        ) {
            for text in [
                format!("{scheme}://{user}:{before}hunter2{after}@{rest}"),
                format!("{scheme}://{user}:{before}hunter2{after}@tcp({rest})"),
                format!("{scheme}://{user}:x@db.test/{rest}?password={before}hunter2{after}"),
            ] {
                let shown = match text.parse::<Endpoint>() {
                    Ok(endpoint) => format!("{endpoint} {endpoint:?}"),
                    Err(error) => format!("{error} {error:?}"),
                };
                prop_assert!(!shown.contains("hunter2"), "{} in {}", shown, text);
            }
        }
    }

    #[test]
    fn a_database_is_called_after_its_cluster_unless_it_is_named() {
        let own = |text: &str| read(text).unwrap().of_cluster("vc-7f3a").to_string();
        assert_eq!(own("postgres://db.test"), "postgres://db.test/vc_7f3a");
        assert_eq!(own("mysql://db.test/web"), "mysql://db.test/web");
    }
}
