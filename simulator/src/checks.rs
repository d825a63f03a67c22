//! The checks of a call, in the order of the real API. The first that fails determines the
//! `ErrorCode`; which of several errors is reported is part of the contract.
//!
//! They are pure functions: quota, faults and users are checked elsewhere.

use axum::extract::Query;
use axum::http::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::call::Call;
use crate::codes;
use crate::interface::Interface;
use crate::options::Options;
use crate::usersig::UserSig;

const MAX_ACCOUNTS: usize = 100;
const MAX_TAGS_OF_A_USER: usize = 10;
const MAX_TAG_BYTES: usize = 50;

/// Names and values are case-sensitive.
#[derive(Deserialize)]
struct Parameters {
    sdkappid: Option<String>,
    identifier: Option<String>,
    usersig: Option<String>,
    random: Option<u32>,
    contenttype: Option<ContentType>,
}

#[derive(Deserialize)]
enum ContentType {
    #[serde(rename = "json")]
    Json,
}

/// From the path to the admin right.
pub(crate) fn authenticate(options: &Options, call: &Call) -> Result<Interface, i32> {
    let interface = call.interface.ok_or(codes::NO_SUCH_PATH)?;
    if call.method != Method::POST {
        return Err(codes::HTTP_PARSE);
    }
    let Query(parameters) =
        Query::<Parameters>::try_from_uri(&call.uri).map_err(|_| codes::HTTP_PARSE)?;
    let sdk_app_id = not_empty(parameters.sdkappid).ok_or(codes::NO_APP)?;
    if sdk_app_id.parse() != Ok(options.sdk_app_id) {
        return Err(codes::UNKNOWN_APP);
    }
    // Documented as required, so a client that leaves one out has a mistake to show.
    if parameters.random.is_none() || parameters.contenttype.is_none() {
        return Err(codes::HTTP_PARSE);
    }
    let identifier = not_empty(parameters.identifier).ok_or(codes::NO_IDENTITY)?;
    let user_sig = parameters.usersig.ok_or(codes::NO_IDENTITY)?;
    if user_sig.is_empty() {
        return Err(codes::SIG_EMPTY);
    }
    verify(options, &identifier, &user_sig, call.wall_clock)?;
    if !options.admins.contains(&identifier) {
        return Err(codes::NOT_ADMIN);
    }
    Ok(interface)
}

/// The signature comes before its age: a forged old UserSig must not look merely expired.
fn verify(options: &Options, identifier: &str, user_sig: &str, now: u64) -> Result<(), i32> {
    let user_sig = UserSig::decode(user_sig).ok_or(codes::SIG_UNREADABLE)?;
    if user_sig.sdk_app_id != options.sdk_app_id {
        return Err(codes::SIG_OF_OTHER_APP);
    }
    if user_sig.identifier != identifier {
        return Err(codes::SIG_OF_OTHER_IDENTIFIER);
    }
    if !user_sig.is_signed_by(&options.secret_key) {
        return Err(codes::SIG_FORGED);
    }
    if user_sig.is_expired(now) {
        return Err(codes::SIG_EXPIRED);
    }
    Ok(())
}

fn not_empty(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

/// One user of a request's list.
pub(crate) struct Target<'a> {
    pub(crate) id: &'a str,
    /// To be added; empty for the other interfaces.
    pub(crate) tags: Vec<&'a str>,
}

/// The users that a body asks for; `body` is `None` where it was no JSON.
pub(crate) fn targets(
    interface: Interface,
    body: Option<&Value>,
    feature_enabled: bool,
) -> Result<Vec<Target<'_>>, i32> {
    let body = body.ok_or(codes::NOT_JSON)?;
    let list = body
        .get(interface.list_field())
        .and_then(Value::as_array)
        .filter(|list| !list.is_empty())
        .ok_or(codes::UNFIT_BODY)?;
    if !feature_enabled {
        return Err(codes::FEATURE_OFF);
    }
    let targets = list
        .iter()
        .map(|element| target(interface, element))
        .collect::<Result<Vec<_>, _>>()?;
    if targets.len() > MAX_ACCOUNTS {
        return Err(codes::TOO_MANY_ACCOUNTS);
    }
    Ok(targets)
}

fn target(interface: Interface, element: &Value) -> Result<Target<'_>, i32> {
    if interface != Interface::ImAddTag {
        let id = element.as_str().ok_or(codes::NOT_STRINGS)?;
        return Ok(Target { id, tags: vec![] });
    }
    let id = element["To_Account"].as_str().ok_or(codes::NOT_STRINGS)?;
    let tags = element
        .get("Tags")
        .and_then(Value::as_array)
        .and_then(|tags| tags.iter().map(Value::as_str).collect::<Option<Vec<_>>>())
        .ok_or(codes::UNFIT_BODY)?;
    if tags.len() > MAX_TAGS_OF_A_USER {
        return Err(codes::TOO_MANY_TAGS);
    }
    if tags
        .iter()
        .any(|tag| tag.is_empty() || tag.len() > MAX_TAG_BYTES)
    {
        return Err(codes::TAG_LENGTH);
    }
    Ok(Target { id, tags })
}
