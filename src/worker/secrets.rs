//! Checks the secret files on a reload: they are read where they are needed; this reports at once which ones are
//! unusable.

use std::path::{Path, PathBuf};

use crate::config::{self, Credentials, Secret, Settings, read_pem};

pub(super) struct SecretFiles {
    im: Option<(&'static str, Secret)>,
    broker: config::RabbitMq,
    admin: config::Admin,
}

/// An unusable file, which therefore changes nothing. The reason contains nothing of the file.
pub(super) struct Unusable {
    pub(super) key: &'static str,
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

impl SecretFiles {
    pub(super) fn of(settings: &Settings) -> SecretFiles {
        SecretFiles {
            im: settings
                .im
                .credentials()
                .map(|credentials| match credentials {
                    Credentials::SecretKey(secret) => ("im.secret_key_file", secret),
                    Credentials::UserSig(secret) => ("im.user_sig_file", secret),
                }),
            broker: settings.rabbitmq.clone(),
            admin: settings.admin.clone(),
        }
    }

    pub(super) fn unusable(&self) -> Vec<Unusable> {
        let broker = &self.broker;
        let mut found = Vec::new();
        if let Some((key, secret @ Secret::File(path))) = &self.im {
            found.extend(unusable(key, path, secret.load()));
        }
        if let Some(secret @ Secret::File(path)) = &self.admin.token() {
            found.extend(unusable("admin.token_file", path, secret.load()));
        }
        if let Some(path) = &broker.url_file {
            found.extend(unusable("rabbitmq.url_file", path, broker.urls_as_given()));
        }
        for (key, path) in [
            ("rabbitmq.username_file", &broker.username_file),
            ("rabbitmq.password_file", &broker.password_file),
        ] {
            let read = |path: &PathBuf| unusable(key, path, Secret::File(path.clone()).load());
            found.extend(path.iter().filter_map(read));
        }
        for (key, path) in [
            ("rabbitmq.ca_file", &broker.ca_file),
            ("rabbitmq.cert_file", &broker.cert_file),
            ("rabbitmq.key_file", &broker.key_file),
        ] {
            found.extend(
                path.iter()
                    .filter_map(|path| unusable(key, path, read_pem(path))),
            );
        }
        found
    }
}

fn unusable<T, E: ToString>(
    key: &'static str,
    path: &Path,
    read: Result<T, E>,
) -> Option<Unusable> {
    Some(Unusable {
        key,
        path: path.to_owned(),
        reason: read.err()?.to_string(),
    })
}
