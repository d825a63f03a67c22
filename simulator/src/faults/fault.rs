//! The faults themselves, and their text form.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// What goes wrong with one call.
///
/// In text form, for flags and JSON: `91000`, `body=..`, `status=502`, `hang`, `reset`,
/// `lost-answer`, `truncated`, `slow-drip=50ms`, `delay=2s`, `broken-json`, `retry-after=30`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Fault {
    /// A gateway's HTML page with this HTTP status. Nothing was checked, charged to the quota or
    /// done.
    ErrorStatus(u16),
    /// The answer of something in front of the API. Nothing was checked, charged to the quota or done.
    Page(Page),
    /// No answer, ever. Nothing was checked, charged to the quota or done.
    Hang,
    /// The connection is reset without a byte of an answer. Nothing was checked, charged to the
    /// quota or done.
    Reset,
    /// This `ErrorCode`, with `ActionStatus` FAIL, once the gateway's checks are passed. Nothing
    /// was done.
    Answer(i32),
    /// This body instead of the true one, once the gateway's checks are passed. Nothing was done.
    Body(String),
    /// All was done, but the connection is reset instead of the answer.
    LostAnswer,
    /// All was done, but the connection ends in the middle of the answer's body.
    Truncated,
    /// All was done; the answer's body comes byte by byte, this long apart.
    SlowDrip(Duration),
    /// All was done; the answer comes this much later.
    Delay(Duration),
    /// All was done; the answer is no JSON.
    BrokenJson,
}

/// An HTTP answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Where a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before the API sees the call.
    Front,
    /// At the service behind the gateway, and on the way back.
    Service,
}

impl Fault {
    pub(crate) fn stage(&self) -> Stage {
        match self {
            Fault::ErrorStatus(_) | Fault::Page(_) | Fault::Hang | Fault::Reset => Stage::Front,
            _ => Stage::Service,
        }
    }

    /// Its name in the journal.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Fault::ErrorStatus(_) => "status",
            Fault::Page(_) => "page",
            Fault::Hang => "hang",
            Fault::Reset => "reset",
            Fault::Answer(_) => "answer",
            Fault::Body(_) => "body",
            Fault::LostAnswer => "lost-answer",
            Fault::Truncated => "truncated",
            Fault::SlowDrip(_) => "slow-drip",
            Fault::Delay(_) => "delay",
            Fault::BrokenJson => "broken-json",
        }
    }
}

impl fmt::Debug for Fault {
    /// Its name only: a dictated body may name users.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why a text is no fault or no rule. The text itself may hold a user ID and is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFault {
    #[error("unknown fault; see the documentation of `Fault` for their names")]
    UnknownFault,
    #[error("the fault's value is missing or wrong")]
    Value,
    #[error("unknown condition; there are p=0.05, next=3, for=30s and user=ID")]
    Condition,
}

impl FromStr for Fault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Fault, InvalidFault> {
        if let Ok(code) = text.parse() {
            return Ok(Fault::Answer(code));
        }
        let (name, value) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        let fault = match (name, value) {
            ("hang", None) => Fault::Hang,
            ("reset", None) => Fault::Reset,
            ("lost-answer", None) => Fault::LostAnswer,
            ("truncated", None) => Fault::Truncated,
            ("broken-json", None) => Fault::BrokenJson,
            ("body", Some(body)) => Fault::Body(body.to_owned()),
            ("slow-drip", Some(gap)) => Fault::SlowDrip(duration(gap)?),
            ("delay", Some(delay)) => Fault::Delay(duration(delay)?),
            ("retry-after", Some(seconds)) => Fault::Page(Page {
                status: 429,
                headers: vec![("retry-after", seconds.to_owned())],
                body: Vec::new(),
            }),
            ("status", Some(status)) => Fault::ErrorStatus(
                status
                    .parse()
                    .ok()
                    .filter(|status| (200..=599).contains(status))
                    .ok_or(InvalidFault::Value)?,
            ),
            _ => return Err(InvalidFault::UnknownFault),
        };
        Ok(fault)
    }
}

impl TryFrom<String> for Fault {
    type Error = InvalidFault;

    fn try_from(text: String) -> Result<Fault, InvalidFault> {
        text.parse()
    }
}

/// A duration with its unit: `20ms`, `1.5s`, `5m`.
///
/// # Errors
/// When the unit is missing or the duration is negative.
pub fn duration(text: &str) -> Result<Duration, InvalidFault> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|signed| signed.try_into().ok())
        .ok_or(InvalidFault::Value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_form_is_read() {
        let cases = [
            ("91000", Fault::Answer(91000)),
            ("body={}", Fault::Body("{}".to_owned())),
            ("status=502", Fault::ErrorStatus(502)),
            ("hang", Fault::Hang),
            ("reset", Fault::Reset),
            ("lost-answer", Fault::LostAnswer),
            ("truncated", Fault::Truncated),
            ("slow-drip=50ms", Fault::SlowDrip(Duration::from_millis(50))),
            ("delay=2s", Fault::Delay(Duration::from_secs(2))),
            ("broken-json", Fault::BrokenJson),
        ];
        for (text, fault) in cases {
            assert_eq!(text.parse(), Ok(fault));
        }
        for text in ["", "hang=1", "delay", "delay=2", "status=99", "nonsense"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
