//! The wire format of answers.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::codes;

pub(crate) struct Answer {
    /// `None` for a body that a fault dictates.
    pub(crate) code: Option<i32>,
    pub(crate) body: Bytes,
}

/// The envelope of the whole family, fields in the order of the published samples.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    action_status: &'static str,
    error_info: &'static str,
    error_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_tags: Option<Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error_list: &'a [ListedError<'a>],
}

/// A user whom an otherwise successful call did not do.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListedError<'a> {
    #[serde(rename = "To_Account")]
    id: &'a str,
    error_code: i32,
    error_info: &'static str,
}

impl<'a> ListedError<'a> {
    pub(crate) fn new(id: &'a str, error_code: i32) -> ListedError<'a> {
        ListedError {
            id,
            error_code,
            error_info: codes::text(error_code),
        }
    }
}

impl Answer {
    pub(crate) fn refusal(code: i32) -> Answer {
        Answer::from_envelope(&Envelope {
            action_status: "FAIL",
            error_info: codes::text(code),
            error_code: code,
            user_tags: None,
            error_list: &[],
        })
    }

    pub(crate) fn success(user_tags: Option<Value>, error_list: &[ListedError<'_>]) -> Answer {
        Answer::from_envelope(&Envelope {
            action_status: "OK",
            error_info: "",
            error_code: 0,
            user_tags,
            error_list,
        })
    }

    fn from_envelope(envelope: &Envelope<'_>) -> Answer {
        let body = serde_json::to_vec(envelope).expect("strings and numbers always serialize");
        Answer {
            code: Some(envelope.error_code),
            body: body.into(),
        }
    }

    pub(crate) fn dictated(body: &str) -> Answer {
        Answer {
            code: None,
            body: body.to_owned().into(),
        }
    }
}
