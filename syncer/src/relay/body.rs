//! The bodies of the relay's answers.

use std::error::Error;

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, BodyStream, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};

/// What the relay answers with: words of its own or a stream of somebody else's.
pub(super) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Longer lines than this are not metrics.
const LINE_LIMIT: usize = 64 * 1024;

/// Nothing.
pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Some words.
pub(super) fn text(words: impl Into<Bytes>) -> Body {
    Full::new(words.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What another server sends, as it comes.
pub(super) fn passed(body: kube::client::Body) -> Body {
    body.map_err(Into::into).boxed_unsync()
}

/// What another server sends, each line as `change` has it, or not at all. Of a line that never
/// ends, nothing passes.
pub(super) fn lines<F>(body: kube::client::Body, change: F) -> Body
where
    F: FnMut(&str) -> Option<String> + Send + 'static,
{
    let start = Some((BodyStream::new(body), Vec::new(), change));
    let frames = stream::unfold(start, async |state| {
        let (mut body, mut rest, mut change) = state?;
        loop {
            match body.next().await {
                Some(Err(error)) => return Some((Err(error.into()), None)),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    rest.extend_from_slice(&data);
                    let Some(end) = rest.iter().rposition(|&byte| byte == b'\n') else {
                        if rest.len() > LINE_LIMIT {
                            return Some((Err("a line without an end".into()), None));
                        }
                        continue;
                    };
                    let whole: Vec<u8> = rest.drain(..=end).collect();
                    let changed = each_line(&whole, &mut change);
                    // An empty chunk would end the answer.
                    if !changed.is_empty() {
                        let frame = Frame::data(Bytes::from(changed));
                        return Some((Ok(frame), Some((body, rest, change))));
                    }
                }
                None => {
                    let last = each_line(&rest, &mut change);
                    let frame = (!last.is_empty()).then(|| Frame::data(Bytes::from(last)));
                    return frame.map(|frame| (Ok(frame), None));
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn each_line(text: &[u8], change: &mut impl FnMut(&str) -> Option<String>) -> Vec<u8> {
    let mut changed = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let line = str::from_utf8(line).ok();
        if let Some(line) = line.and_then(|line| change(line.trim_end_matches('\n'))) {
            changed.extend_from_slice(line.as_bytes());
            changed.push(b'\n');
        }
    }
    changed
}
