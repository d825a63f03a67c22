//! The wire format of requests and answers.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::{Fault, Reply};
use crate::event::UserId;

const REMOVE_ALL_TAGS: &str = "im_remove_all_tags";
const GET_TAG: &str = "im_get_tag";

pub(super) fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!(
        "{}/{}",
        base.path().trim_end_matches('/'),
        path.trim_start_matches('/')
    ));
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The path of `im_get_tag`: next to `im_remove_all_tags` where that is called; its official path where a sibling
/// service is called, which lacks this command.
pub(super) fn probe_path(path: &str) -> String {
    match path.strip_suffix(REMOVE_ALL_TAGS) {
        Some(service) => format!("{service}{GET_TAG}"),
        None => format!("/v4/all_member_push/{GET_TAG}"),
    }
}

/// `random` should differ from call to call.
pub(super) fn query(sdk_app_id: u32, identifier: &str, user_sig: &str, random: u32) -> String {
    format!(
        "sdkappid={sdk_app_id}&identifier={}&usersig={}&random={random}&contenttype=json",
        percent_encode(identifier),
        percent_encode(user_sig)
    )
}

/// Form encoding, except for the space: not every server reads `+` as a space.
fn percent_encode(text: &str) -> String {
    byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[expect(clippy::expect_used, reason = "our own strings, not what arrives")]
pub(super) fn request<'a>(accounts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Request<'a> {
        #[serde(rename = "To_Account")]
        to_account: Vec<&'a str>,
    }

    serde_json::to_vec(&Request {
        to_account: accounts.collect(),
    })
    .expect("a list of strings is always JSON")
}

/// The fields that matter. `ErrorInfo` is free text, may be absent, and may quote an ID: it is not read.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "ActionStatus")]
    action_status: ActionStatus,
    #[serde(rename = "ErrorCode")]
    error_code: i64,
    /// Documented only for sibling commands: code 0, although not everything was done.
    #[serde(rename = "ErrorList")]
    error_list: Option<Vec<Object<Failure>>>,
}

#[derive(Deserialize)]
enum ActionStatus {
    #[serde(rename = "OK")]
    Ok,
    #[serde(rename = "FAIL")]
    Fail,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "To_Account")]
    account: Account,
    #[serde(rename = "ErrorCode")]
    code: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Account {
    Text(String),
    Unsigned(u64),
    Signed(i64),
}

/// A JSON object with the fields of `T`. A derived deserializer alone would also accept an array of their values.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(Object)
    }
}

impl Account {
    fn into_text(self) -> String {
        match self {
            Account::Text(text) => text,
            Account::Unsigned(number) => number.to_string(),
            Account::Signed(number) => number.to_string(),
        }
    }
}

/// Parses the answer to a request for `users`. Nothing counts as done unless the whole answer, including the list
/// of failures, is understood.
pub(super) fn reply(answer: &[u8], users: &[UserId]) -> Reply {
    // What is passed over in the JSON is not looked at, and broken UTF-8 there may have been a field.
    let Ok(answer) = str::from_utf8(answer) else {
        return Reply::Fault(Fault::NotJson);
    };
    let Ok(Object::<Answer>(answer)) = serde_json::from_str(answer) else {
        // serde_json's own classes of errors do not tell the two apart in every case.
        return match serde_json::from_str::<IgnoredAny>(answer) {
            Ok(_) => Reply::Unclear,
            Err(_) => Reply::Fault(Fault::NotJson),
        };
    };
    match (answer.action_status, answer.error_code) {
        (ActionStatus::Ok, 0) => done(answer.error_list.unwrap_or_default(), users),
        (ActionStatus::Fail, code) if code != 0 => Reply::Refused(code),
        _ => Reply::Unclear,
    }
}

fn done(failures: Vec<Object<Failure>>, users: &[UserId]) -> Reply {
    let mut failed: Vec<(UserId, i64)> = Vec::new();
    let mut strangers = 0;
    for Object(failure) in failures {
        if failure.code == 0 {
            continue;
        }
        let account = failure.account.into_text();
        match users.iter().find(|user| user.as_str() == account) {
            None => strangers += 1,
            Some(user) if failed.iter().any(|(known, _)| known == user) => {}
            Some(user) => failed.push((*user, failure.code)),
        }
    }
    Reply::Done { failed, strangers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(ids: &[&str]) -> Vec<UserId> {
        ids.iter().map(|id| UserId::parse(id).unwrap()).collect()
    }

    fn done(failed: &[(&str, i64)], strangers: usize) -> Reply {
        Reply::Done {
            failed: failed
                .iter()
                .map(|(id, code)| (UserId::parse(id).unwrap(), *code))
                .collect(),
            strangers,
        }
    }

    #[test]
    fn only_an_answer_that_is_understood_whole_counts_as_done() {
        let asked = users(&["alice", "bob", "42", "-7"]);
        for (answer, expected) in [
            (
                r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#,
                done(&[], 0),
            ),
            (r#"{"ErrorCode":0,"ActionStatus":"OK"}"#, done(&[], 0)),
            (
                r#" {"ActionStatus":"OK","ErrorCode":0,"RequestId":"x","ErrorDisplay":[]} "#,
                done(&[], 0),
            ),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":7,"ErrorList":null}"#,
                done(&[], 0),
            ),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[]}"#,
                done(&[], 0),
            ),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[
                    {"To_Account":"bob","ErrorCode":70107,"ErrorInfo":""},
                    {"To_Account":"alice","ErrorCode":0},
                    {"To_Account":"Alice","ErrorCode":70107},
                    {"To_Account":"carol","ErrorCode":0},
                    {"To_Account":"bob","ErrorCode":91000},
                    {"To_Account":42,"ErrorCode":-1},
                    {"To_Account":-7,"ErrorCode":1}]}"#,
                done(&[("bob", 70107), ("42", -1), ("-7", 1)], 1),
            ),
            (
                r#"{"ActionStatus":"FAIL","ErrorInfo":"x","ErrorCode":60007}"#,
                Reply::Refused(60007),
            ),
            (
                r#"{"ActionStatus":"FAIL","ErrorCode":70107,"ErrorList":"x"}"#,
                Reply::Unclear,
            ),
            (r#"{"ActionStatus":"OK","ErrorCode":60007}"#, Reply::Unclear),
            (r#"{"ActionStatus":"FAIL","ErrorCode":0}"#, Reply::Unclear),
            (r#"{"ActionStatus":"ok","ErrorCode":0}"#, Reply::Unclear),
            (r#"{"ErrorCode":0}"#, Reply::Unclear),
            (r#"{"ActionStatus":"OK"}"#, Reply::Unclear),
            (r#"{"ActionStatus":"OK","ErrorCode":"0"}"#, Reply::Unclear),
            (r#"{"ActionStatus":"OK","ErrorCode":0.0}"#, Reply::Unclear),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorCode":91000}"#,
                Reply::Unclear,
            ),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":{}}"#,
                Reply::Unclear,
            ),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":["bob"]}"#,
                Reply::Unclear,
            ),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":"bob"}]}"#,
                Reply::Unclear,
            ),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"ErrorCode":70107}]}"#,
                Reply::Unclear,
            ),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[{"To_Account":null,"ErrorCode":1}]}"#,
                Reply::Unclear,
            ),
            (r#"["OK",0,[]]"#, Reply::Unclear),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorList":[["bob",70107]]}"#,
                Reply::Unclear,
            ),
            ("[0]", Reply::Unclear),
            (r#"{"ActionStatus":0,"ErrorCode":0}"#, Reply::Unclear),
            (
                r#"{"ActionStatus":"OK","ErrorCode":"0""#,
                Reply::Fault(Fault::NotJson),
            ),
            ("[]", Reply::Unclear),
            ("null", Reply::Unclear),
            ("\"OK\"", Reply::Unclear),
            ("", Reply::Fault(Fault::NotJson)),
            ("<html>502</html>", Reply::Fault(Fault::NotJson)),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0"#,
                Reply::Fault(Fault::NotJson),
            ),
            (
                r#"{"ActionStatus":"OK","ErrorCode":0} x"#,
                Reply::Fault(Fault::NotJson),
            ),
        ] {
            assert_eq!(reply(answer.as_bytes(), &asked), expected, "{answer}");
        }
    }

    #[test]
    fn an_answer_with_a_broken_byte_anywhere_is_not_done() {
        let answer = br#"{"ActionStatus":"OK","ErrorCode":0,"Error\xffist":[]}"#;
        let broken = answer.map(|byte| if byte == b'\\' { 0xff } else { byte });
        assert_eq!(reply(&broken, &[]), Reply::Fault(Fault::NotJson));
    }

    #[test]
    fn a_full_request_is_as_small_as_json_allows() {
        let ids: Vec<String> = (0..100).map(|number| format!("{number:032}")).collect();
        let body = request(ids.iter().map(String::as_str));
        assert_eq!(body.len(), 3_516);
        assert_eq!(
            request(["a\"\\|", "b"].into_iter()),
            br#"{"To_Account":["a\"\\|","b"]}"#
        );
    }

    #[test]
    fn an_endpoint_keeps_the_prefix_of_the_base_url_and_nothing_behind_it() {
        for (base, expected) in [
            ("https://api.test", "https://api.test/v4/x"),
            ("https://api.test/", "https://api.test/v4/x"),
            (
                "http://api.test:81/gateway/?a=b#c",
                "http://api.test:81/gateway/v4/x",
            ),
        ] {
            let base = Url::parse(base).unwrap();
            assert_eq!(endpoint(&base, "/v4/x").as_str(), expected);
            assert_eq!(endpoint(&base, "v4/x").as_str(), expected);
        }
    }

    #[test]
    fn the_probe_goes_where_the_command_exists() {
        for (path, expected) in [
            (
                "/v4/all_member_push/im_remove_all_tags",
                "/v4/all_member_push/im_get_tag",
            ),
            ("/proxied/im_remove_all_tags", "/proxied/im_get_tag"),
            (
                "/v4/timpush/clear_all_tags",
                "/v4/all_member_push/im_get_tag",
            ),
        ] {
            assert_eq!(probe_path(path), expected);
        }
    }

    #[test]
    fn values_in_the_query_are_percent_encoded() {
        assert_eq!(
            query(1_400_000_000, "a b&c+é", "eJ*x-y_", 4_294_967_295),
            "sdkappid=1400000000&identifier=a%20b%26c%2B%C3%A9&usersig=eJ*x-y_\
             &random=4294967295&contenttype=json"
        );
    }
}
