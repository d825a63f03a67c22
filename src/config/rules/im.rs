//! Rules of the section `im`.

use std::time::Duration;

use secrecy::ExposeSecret;
use url::{Host, Url};

use super::{Finding, above_zero, both_forms, finding, pem_file, secret_mend};
use crate::config::{Credentials, Im, in_units};
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
        "a user ID that belongs to nobody, such as tagsweep-control",
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
            "is required; set it to the app's number (SDKAppID) in the console",
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
            "is not set; set it, im.secret_key_file, im.user_sig or im.user_sig_file",
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
    Some(finding([key], secret_mend(&error)))
}

fn user_sig_lifetime(im: &Im) -> Option<Finding> {
    let allowed = USER_SIG_LIFETIME_MIN..=USER_SIG_LIFETIME_MAX;
    (!allowed.contains(&im.user_sig_lifetime)).then(|| {
        finding(
            ["im.user_sig_lifetime"],
            format!(
                "must be from {} to {} (50 years); 24h is a good value",
                in_units::print(USER_SIG_LIFETIME_MIN),
                in_units::print(USER_SIG_LIFETIME_MAX)
            ),
        )
    })
}

fn base_url(im: &Im) -> Option<Finding> {
    let wrong = match Url::parse(&im.base_url) {
        Err(error) => format!("is not a URL ({error}); write https://console.tim.qq.com"),
        Ok(url) if !matches!(url.scheme(), "https" | "http") => "must start with https://".into(),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "must hold no user and no password; the API takes a UserSig".into()
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "must end before the query; the worker writes it".into()
        }
        Ok(url) if url.scheme() == "http" && !is_loopback(&url) => {
            "would send the UserSig in the clear; write https://, http is for a host on this machine"
                .into()
        }
        Ok(_) => return None,
    };
    Some(finding(["im.base_url"], wrong))
}

/// The text never holds the URL: it may hold a password.
fn proxy_url(im: &Im) -> Option<Finding> {
    let proxy = im.proxy_url.as_ref()?;
    let api_in_clear = im.base_url.starts_with("http://");
    let wrong = match Url::parse(proxy.secret().expose_secret()) {
        Err(error) => format!("is not a URL ({error}); write http://HOST:PORT"),
        Ok(url) if !matches!(url.scheme(), "https" | "http") => {
            "must start with http:// or https://".into()
        }
        Ok(url) if !matches!(url.path(), "" | "/") || url.query().is_some() => {
            "must end after host and port".into()
        }
        Ok(url) if api_in_clear && !is_loopback(&url) => {
            "would get the UserSig in the clear; with an im.base_url of http:// the proxy must be on this machine"
                .into()
        }
        Ok(_) => return None,
    };
    Some(finding(["im.proxy_url"], wrong))
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
    (!fits).then(|| {
        finding(
            ["im.path"],
            "must start with / and hold no query, as /v4/all_member_push/im_remove_all_tags does",
        )
    })
}
