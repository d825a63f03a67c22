//! Whether and where traces are sent, by the standard variables of OpenTelemetry.
//!
//! Only what decides that is read here. Sampling, queue, headers and resource are read by OpenTelemetry's
//! own libraries, each from its standard variable.

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::pem::{PemError, read_pem};

/// For one request to the receiver, where no variable says otherwise: OTLP's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where traces are sent to.
#[derive(Debug)]
pub struct Traces {
    /// Scheme, host and port only: the rest of the URL may hold a key.
    pub receiver: String,
    /// For one request, from connecting to the end of the answer.
    pub timeout: Duration,
    pub service_name: Option<String>,
    /// PEM certificates that are trusted in place of the system's.
    pub ca_pem: Option<String>,
    /// Client certificate and key.
    pub identity_pem: Option<SecretString>,
}

/// Why traces cannot be sent as the environment asks for. Values are not repeated: a key may be among them.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("OTEL_TRACES_EXPORTER can be otlp or none")]
    Exporter,
    #[error(
        "OTEL_EXPORTER_OTLP_PROTOCOL can be http/protobuf only, with the receiver's port for it"
    )]
    Protocol,
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT is no http or https URL")]
    Endpoint,
    #[error("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY need each other")]
    HalfAnIdentity,
    #[error(transparent)]
    Pem(#[from] PemError),
}

/// What `variable` says about traces; nothing where they are off, as they are unless an endpoint is named.
pub(super) fn from(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Traces>, TracesError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let otlp = |name: &str| {
        set(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
            .or_else(|| set(&format!("OTEL_EXPORTER_OTLP_{name}")))
    };
    let is = |name: &str, wanted: &str| set(name).is_some_and(|it| it.eq_ignore_ascii_case(wanted));

    let Some(endpoint) = otlp("ENDPOINT") else {
        return Ok(None);
    };
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return Ok(None);
    }
    if set("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter != "otlp") {
        return Err(TracesError::Exporter);
    }
    if otlp("PROTOCOL").is_some_and(|protocol| protocol != "http/protobuf") {
        return Err(TracesError::Protocol);
    }
    let pem = |name: &str| {
        let file = otlp(name);
        file.map(|file| read_pem(Path::new(&file))).transpose()
    };
    let identity = match (pem("CLIENT_CERTIFICATE")?, pem("CLIENT_KEY")?) {
        (Some(certificate), Some(key)) => {
            let both = [certificate.as_str(), key.as_str()].join("\n");
            Some(SecretString::from(both))
        }
        (None, None) => None,
        _ => return Err(TracesError::HalfAnIdentity),
    };
    let milliseconds = otlp("TIMEOUT").and_then(|timeout| timeout.trim().parse().ok());
    Ok(Some(Traces {
        receiver: receiver(&endpoint).ok_or(TracesError::Endpoint)?,
        timeout: milliseconds.map_or(TIMEOUT, Duration::from_millis),
        service_name: set("OTEL_SERVICE_NAME"),
        ca_pem: pem("CERTIFICATE")?.map(|pem| pem.to_string()),
        identity_pem: identity,
    }))
}

fn receiver(endpoint: &str) -> Option<String> {
    let url = Url::parse(endpoint).ok()?;
    let port = url.port_or_known_default()?;
    let known = ["http", "https"].contains(&url.scheme());
    known.then_some(format!("{}://{}:{port}", url.scheme(), url.host_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Option<Traces>, TracesError> {
        from(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn traces_are_off_unless_an_endpoint_is_named_and_nothing_says_off() {
        for off in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[("OTEL_SERVICE_NAME", "tags")],
            &[("OTEL_TRACES_EXPORTER", "otlp")],
            &[ENDPOINT, ("OTEL_SDK_DISABLED", "True")],
            &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert!(with(off).unwrap().is_none(), "{off:?}");
        }
        for on in [
            &[ENDPOINT][..],
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://h/v1/traces")],
            &[
                ENDPOINT,
                ("OTEL_SDK_DISABLED", "false"),
                ("OTEL_TRACES_EXPORTER", "otlp"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ],
        ] {
            assert!(with(on).unwrap().is_some(), "{on:?}");
        }
    }

    #[test]
    fn a_variable_for_traces_wins_over_the_one_for_all_signals() {
        let traces = with(&[
            ENDPOINT,
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "https://user:pa55@traces/v1?key=5ec2e7",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1500"),
        ]);
        let traces = traces.unwrap().unwrap();
        assert_eq!(traces.receiver, "https://traces:443");
        assert_eq!(traces.timeout, Duration::from_millis(1500));
    }

    #[test]
    fn what_cannot_be_done_is_named_and_no_value_is_repeated() {
        for wrong in [
            ("OTEL_TRACES_EXPORTER", "pa55"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "pa55"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://pa55:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "pa55"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/dev/null"),
        ] {
            let text = with(&[ENDPOINT, wrong]).unwrap_err().to_string();
            assert!(!text.contains("pa55"), "{text}");
        }
    }

    #[test]
    fn certificates_and_keys_are_read_from_their_files() {
        let file = |content: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), content).unwrap();
            file
        };
        let ca = file("-----BEGIN CERTIFICATE-----");
        let key = file("-----BEGIN PRIVATE KEY-----\n5ec2e7");
        let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
        let (ca, key) = (path(&ca), path(&key));
        let authority = ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str());
        let certificate = ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", ca.as_str());
        let key = ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.as_str());
        let traces = with(&[ENDPOINT, authority, certificate, key]);
        let traces = traces.unwrap().unwrap();
        assert!(traces.ca_pem.is_some() && traces.identity_pem.is_some());
        assert!(!format!("{traces:?}").contains("5ec2e7"));
        let half = with(&[ENDPOINT, certificate]);
        assert!(matches!(half, Err(TracesError::HalfAnIdentity)));
    }
}
