//! Answers that are not from the API: the useful parts of their head. Their text is never kept.

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};

use super::{Fault, MAX_ANSWER};

/// The head of an answer whose HTTP status is not 200.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    /// How long to make no call, from `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The host that a redirect leads to. The rest of its URL may repeat ours, and with it the UserSig.
    pub redirect_host: Option<String>,
}

impl HttpAnswer {
    pub(super) fn of(response: &Response) -> HttpAnswer {
        let headers = response.headers();
        HttpAnswer {
            status: response.status().as_u16(),
            retry_after: retry_after(headers),
            redirect_host: text(headers, LOCATION)
                .and_then(|to| response.url().join(to).ok())
                .and_then(|to| to.host_str().map(str::to_owned)),
        }
    }
}

/// Seconds, or a date by the sender's clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = date(headers).unwrap_or_else(Timestamp::now);
    let wait = parse_date(value)?.duration_since(now);
    // What is over already asks for no wait.
    Some(wait.try_into().unwrap_or_default())
}

/// The time of the answer, by the sender's clock.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    parse_date(text(headers, DATE)?)
}

fn parse_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The body of an answer with status 200.
pub(super) async fn read(mut response: Response) -> Result<Vec<u8>, Fault> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Fault::of(&error))? {
        if answer.len() + chunk.len() > MAX_ANSWER {
            return Err(Fault::TooLarge);
        }
        answer.extend_from_slice(&chunk);
    }
    // We ask for none, but a gateway may compress all the same.
    match text(response.headers(), CONTENT_ENCODING) {
        Some(coding) if coding.to_ascii_lowercase().ends_with("gzip") => decompress(&answer),
        _ => Ok(answer),
    }
}

fn decompress(answer: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut plain = Vec::new();
    let decoder = GzDecoder::new(answer);
    match decoder.take(MAX_ANSWER as u64 + 1).read_to_end(&mut plain) {
        Ok(length) if length > MAX_ANSWER => Err(Fault::TooLarge),
        Ok(_) => Ok(plain),
        Err(_) => Err(Fault::NotJson),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(retry_after_value: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after_value.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        retry_after(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn both_forms_of_retry_after_are_read_and_a_date_by_the_clock_of_the_answer() {
        let now = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(asked("120", None), Some(120));
        assert_eq!(asked(" 0 ", None), Some(0));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:30 GMT", now), Some(30));
        assert_eq!(asked("Wed, 21 Oct 2015 07:27:30 GMT", now), Some(0));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:30 GMT", None), Some(0));
        for nonsense in ["", "-1", "1.5", "soon", "99999999999999999999"] {
            assert_eq!(asked(nonsense, now), None, "{nonsense}");
        }
    }
}
