//! Rules of the section `rabbitmq`.

use super::{Finding, both_forms, finding, pem_file};
use crate::config::{RabbitMq, Secret, Settings, UrlsError};

/// The longest name on the wire, in bytes.
const MAX_NAME: usize = 255;

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let rabbitmq = &settings.rabbitmq;
    let mut found = Vec::new();
    found.extend(one_form_of_urls(rabbitmq));
    found.extend(urls_can_be_had(rabbitmq));
    found.extend(login_can_be_had(rabbitmq));
    found.extend(tls_needs_amqps(rabbitmq));
    found.extend(certificate_and_key(rabbitmq));
    for (key, path) in tls_files(rabbitmq) {
        found.extend(pem_file(key, path));
    }
    for (key, text) in [
        ("rabbitmq.exchange", &rabbitmq.exchange),
        ("rabbitmq.queue", &rabbitmq.queue),
        (
            "rabbitmq.dead_letter_exchange",
            &rabbitmq.dead_letter_exchange,
        ),
        ("rabbitmq.dead_letter_queue", &rabbitmq.dead_letter_queue),
    ] {
        found.extend(name(key, text));
    }
    found.extend(routing_keys(rabbitmq));
    found.extend(queues_differ(rabbitmq));
    found.extend(exchanges_differ(rabbitmq));
    found.extend(prefetch_fills_the_windows(settings));
    found.extend(derived_prefetch_fits_the_wire(settings));
    found
}

fn one_form_of_urls(rabbitmq: &RabbitMq) -> Option<Finding> {
    (rabbitmq.url.is_some() && rabbitmq.url_file.is_some())
        .then(|| both_forms("rabbitmq.url", "rabbitmq.url_file"))
}

fn urls_can_be_had(rabbitmq: &RabbitMq) -> Option<Finding> {
    let key = match rabbitmq.url_file {
        Some(_) => "rabbitmq.url_file",
        None => "rabbitmq.url",
    };
    let text = match rabbitmq.urls_as_given().err()? {
        UrlsError::File(error) => super::unreadable_secret(&error),
        UrlsError::Invalid(text) => text,
        UrlsError::NoUrl => "must hold at least one amqp:// or amqps:// URL".into(),
    };
    Some(finding([key], text))
}

fn login_can_be_had(rabbitmq: &RabbitMq) -> impl Iterator<Item = Finding> {
    let files = [
        ("rabbitmq.username_file", &rabbitmq.username_file),
        ("rabbitmq.password_file", &rabbitmq.password_file),
    ];
    files.into_iter().filter_map(|(key, path)| {
        let error = Secret::File(path.clone()?).load().err()?;
        Some(finding([key], super::unreadable_secret(&error)))
    })
}

fn tls_files(rabbitmq: &RabbitMq) -> [(&'static str, Option<&std::path::Path>); 3] {
    [
        ("rabbitmq.ca_file", rabbitmq.ca_file.as_deref()),
        ("rabbitmq.cert_file", rabbitmq.cert_file.as_deref()),
        ("rabbitmq.key_file", rabbitmq.key_file.as_deref()),
    ]
}

/// Whoever names a certificate wants TLS; an `amqp://` URL beside it would go on in the clear.
fn tls_needs_amqps(rabbitmq: &RabbitMq) -> Option<Finding> {
    let (key, _) = tls_files(rabbitmq)
        .into_iter()
        .find(|(_, path)| path.is_some())?;
    let urls = rabbitmq.urls_as_given().ok()?;
    let plain = urls.iter().find(|url| !url.is_tls())?;
    Some(finding(
        [key, "rabbitmq.url", "rabbitmq.url_file"],
        format!("is for amqps URLs only, and {plain} is none; write amqps:// there or remove this"),
    ))
}

fn certificate_and_key(rabbitmq: &RabbitMq) -> Option<Finding> {
    let (cert, key) = ("rabbitmq.cert_file", "rabbitmq.key_file");
    match (&rabbitmq.cert_file, &rabbitmq.key_file) {
        (Some(_), None) => Some(finding([cert, key], format!("needs {key} beside it"))),
        (None, Some(_)) => Some(finding([key, cert], format!("needs {cert} beside it"))),
        _ => None,
    }
}

fn name(key: &'static str, name: &str) -> Option<Finding> {
    (!is_name(name)).then(|| finding([key], format!("must be 1 to {MAX_NAME} bytes")).or_default())
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
}

fn routing_keys(rabbitmq: &RabbitMq) -> Option<Finding> {
    let keys = &rabbitmq.routing_keys;
    (keys.is_empty() || !keys.iter().all(|key| is_name(key))).then(|| {
        finding(
            ["rabbitmq.routing_keys"],
            format!("must hold at least one routing key, each of 1 to {MAX_NAME} bytes"),
        )
        .or_default()
    })
}

fn queues_differ(rabbitmq: &RabbitMq) -> Option<Finding> {
    (rabbitmq.queue == rabbitmq.dead_letter_queue).then(|| {
        finding(
            ["rabbitmq.dead_letter_queue", "rabbitmq.queue"],
            "must differ from rabbitmq.queue, or dead letters come back as events",
        )
        .or(format!("{}.dead-letters", rabbitmq.queue))
    })
}

fn exchanges_differ(rabbitmq: &RabbitMq) -> Option<Finding> {
    (rabbitmq.exchange == rabbitmq.dead_letter_exchange).then(|| {
        finding(
            ["rabbitmq.dead_letter_exchange", "rabbitmq.exchange"],
            "must differ from rabbitmq.exchange, or dead letters come back as events",
        )
        .or(format!("{}.dead-letters", rabbitmq.exchange))
    })
}

/// With less, the next window cannot fill while all others are out, and closes by its age only.
fn prefetch_fills_the_windows(settings: &Settings) -> Option<Finding> {
    let prefetch = usize::from(settings.rabbitmq.prefetch?);
    let least = settings.window.max_ids * (settings.im.max_in_flight + 1);
    (prefetch < least).then(|| {
        finding(
            ["rabbitmq.prefetch", "window.max_ids", "im.max_in_flight"],
            format!("must be at least {least}, window.max_ids x (im.max_in_flight + 1)"),
        )
        .or(least)
    })
}

fn derived_prefetch_fits_the_wire(settings: &Settings) -> Option<Finding> {
    let derived = settings.derived_prefetch();
    let fits = settings.rabbitmq.prefetch.is_some() || derived <= usize::from(u16::MAX);
    (!fits).then(|| {
        let most = usize::from(u16::MAX) / settings.window.max_ids - 2;
        finding(
            ["im.max_in_flight", "window.max_ids"],
            format!("makes a prefetch of {derived}, and the broker takes 65535 at most"),
        )
        .or(most)
    })
}
