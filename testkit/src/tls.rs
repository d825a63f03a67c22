//! Certificates for one test: a server's for `localhost` and 127.0.0.1, a
//! client's, and the authority of each. Valid for a week.
//!
//! Made by the Erlang that every RabbitMQ comes with, in some seconds, so that
//! no private key has to lie in the repository.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::Command;

/// PEM files, in the folder they were made in; keys are PKCS #8.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// What a client must trust to believe the server.
    pub server_authority: PathBuf,
    pub server: PathBuf,
    pub server_key: PathBuf,
    /// What a server must trust to believe the client.
    pub client_authority: PathBuf,
    pub client: PathBuf,
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes new ones, which nobody else trusts, in an existing folder.
    pub async fn make(folder: &Path) -> anyhow::Result<Self> {
        let output = Command::new("erl")
            .args(["-noinput", "-eval", include_str!("tls/certificates.erl")])
            .current_dir(folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run erl, which comes with rabbitmq-server")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            bail!("erl cannot make certificates: {said}");
        }
        Ok(Self {
            server_authority: folder.join("server-authority.pem"),
            server: folder.join("server.pem"),
            server_key: folder.join("server-key.pem"),
            client_authority: folder.join("client-authority.pem"),
            client: folder.join("client.pem"),
            client_key: folder.join("client-key.pem"),
        })
    }
}
