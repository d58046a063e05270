//! The host's clock. An expiry is written and read by it, so that it does not matter whose clock is wrong.

use jiff::Timestamp;

/// What time it is for the host: its `Date` header, else our own clock.
pub async fn host_now(host: &kube::Client) -> Timestamp {
    let request = http::Request::get("/version").body(kube::client::Body::empty());
    let Ok(request) = request else {
        return Timestamp::now();
    };
    match host.send(request).await {
        Ok(response) => date(response.headers()).unwrap_or_else(Timestamp::now),
        Err(error) => {
            tracing::debug!(%error, "the host's clock cannot be read");
            Timestamp::now()
        }
    }
}

fn date(headers: &http::HeaderMap) -> Option<Timestamp> {
    let text = headers.get(http::header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read() {
        let mut headers = http::HeaderMap::new();
        headers.insert(
            http::header::DATE,
            "Fri, 02 Jan 2026 03:04:05 GMT".parse().unwrap(),
        );
        assert_eq!(date(&headers), "2026-01-02T03:04:05Z".parse().ok());
    }

    #[test]
    fn an_answer_without_a_date_gives_none() {
        assert_eq!(date(&http::HeaderMap::new()), None);
    }
}
