//! Rules of the section `im`.

use std::time::Duration;

use secrecy::ExposeSecret;
use url::{Host, ParseError, Url};

use super::{Finding, above_zero, both_forms, finding, pem_file, unreadable_secret};
use crate::config::{Credentials, Im, Secret, in_units};
use crate::event::UserId;

const USER_SIG_LIFETIME_MIN: Duration = Duration::from_secs(60);
/// 50 years, the longest that Tencent allows.
const USER_SIG_LIFETIME_MAX: Duration = Duration::from_secs(50 * 365 * 24 * 3600);

pub(super) fn check(im: &Im) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(app_is_named(im));
    found.extend(user_id(
        "im.admin",
        &im.admin,
        "the user ID of an App admin",
    ));
    found.extend(user_id(
        "im.control_user",
        &im.control_user,
        "a user ID that belongs to nobody",
    ));
    found.extend(one_kind_of_credentials(im));
    found.extend(credentials_can_be_read(im));
    found.extend(user_sig_lifetime(im));
    found.extend(base_url(im));
    found.extend(path(im));
    found.extend(proxy_url(im));
    found.extend(above_zero("im.connect_timeout", im.connect_timeout));
    found.extend(pem_file("im.ca_file", im.ca_file.as_deref()));
    found
}

fn app_is_named(im: &Im) -> Option<Finding> {
    (im.sdk_app_id == 0).then(|| {
        finding(
            ["im.sdk_app_id"],
            "is required: the app's number (SDKAppID) in the console, such as 1400000000",
        )
    })
}

/// `what` says whose user ID the key takes.
fn user_id(key: &'static str, id: &str, what: &str) -> Option<Finding> {
    let broken = UserId::parse(id).is_err();
    broken.then(|| {
        finding(
            [key],
            format!("must be 1 to 32 bytes of printable ASCII: {what}"),
        )
        .or_default()
    })
}

const CREDENTIALS: [&str; 4] = [
    "im.secret_key",
    "im.secret_key_file",
    "im.user_sig",
    "im.user_sig_file",
];

fn one_kind_of_credentials(im: &Im) -> Option<Finding> {
    let set = [
        im.secret_key.is_some(),
        im.secret_key_file.is_some(),
        im.user_sig.is_some(),
        im.user_sig_file.is_some(),
    ];
    let mut set = CREDENTIALS.into_iter().zip(set).filter(|(_, set)| *set);
    match (set.next(), set.next()) {
        (None, _) => Some(finding(
            CREDENTIALS,
            "is required; set it, or im.secret_key_file, im.user_sig or im.user_sig_file",
        )),
        (Some((first, _)), Some((second, _))) => Some(both_forms(first, second)),
        (Some(_), None) => None,
    }
}

fn credentials_can_be_read(im: &Im) -> Option<Finding> {
    let (key, secret) = match im.credentials()? {
        Credentials::SecretKey(secret) => ("im.secret_key_file", secret),
        Credentials::UserSig(secret) => ("im.user_sig_file", secret),
    };
    let error = secret.load().err()?;
    Some(finding([key], unreadable_secret(&error)))
}

fn user_sig_lifetime(im: &Im) -> Option<Finding> {
    let allowed = USER_SIG_LIFETIME_MIN..=USER_SIG_LIFETIME_MAX;
    (!allowed.contains(&im.user_sig_lifetime)).then(|| {
        finding(
            ["im.user_sig_lifetime"],
            format!(
                "must be from {} to {} (50 years)",
                in_units::print(USER_SIG_LIFETIME_MIN),
                in_units::print(USER_SIG_LIFETIME_MAX)
            ),
        )
        .or_default()
    })
}

fn base_url(im: &Im) -> Option<Finding> {
    let found = |text: &str| Some(finding(["im.base_url"], text));
    let mut url = match Url::parse(&im.base_url) {
        Ok(url) => url,
        Err(ParseError::IdnaError) => {
            return found("has an invalid host; write a name that is not ASCII as xn--…");
        }
        Err(_) => {
            let right = format!("https://{}", im.base_url);
            let is_url = Url::parse(&right).is_ok();
            return found("is not a URL").map(|found| match is_url {
                true => found.or(right),
                false => found.or_default(),
            });
        }
    };
    if !matches!(url.scheme(), "https" | "http") {
        return found("must start with https://").map(Finding::or_default);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return found(
            "must hold no user and no password: the API takes a UserSig; write https:// and the host",
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        url.set_query(None);
        url.set_fragment(None);
        return found("must end before the query").map(|found| found.or(url.as_str()));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        let right = im.base_url.replacen("http", "https", 1);
        let text = "would send the UserSig in the clear: http is for a host on this machine";
        return found(text).map(|found| found.or(right));
    }
    None
}

/// The text never holds the URL: it may hold a password.
fn proxy_url(im: &Im) -> Option<Finding> {
    if im.proxy_url.is_some() && im.proxy_url_file.is_some() {
        return Some(both_forms("im.proxy_url", "im.proxy_url_file"));
    }
    let proxy = im.proxy()?;
    let key = match proxy {
        Secret::Text(_) => "im.proxy_url",
        Secret::File(_) => "im.proxy_url_file",
    };
    let url = match proxy.load() {
        Ok(url) => url,
        Err(error) => return Some(finding([key], unreadable_secret(&error))),
    };
    let api_in_clear = im.base_url.starts_with("http://");
    let wrong = match Url::parse(url.expose_secret()) {
        Err(_) => "is not a URL; write http://HOST:PORT",
        Ok(url) if !matches!(url.scheme(), "https" | "http") => {
            "must start with http:// or https://"
        }
        Ok(url) if !matches!(url.path(), "" | "/") || url.query().is_some() => {
            "must end after host and port"
        }
        Ok(url) if api_in_clear && !is_loopback(&url) => {
            "would get the UserSig in the clear; with an im.base_url of http:// the proxy must be on this machine"
        }
        Ok(_) => return None,
    };
    Some(finding([key], wrong))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn path(im: &Im) -> Option<Finding> {
    let fits = im.path.starts_with('/') && !im.path.contains(['?', '#']);
    (!fits).then(|| finding(["im.path"], "must start with / and hold no query").or_default())
}
