//! What befalls the API and the way to it.

use std::time::Duration;

use im_simulator::Fault as Spoilt;
use lapin::types::{AMQPValue, FieldTable};

use super::{PAUSED, RETURNED_TOO_OFTEN};
use crate::stage::{QUEUE, SECRET_KEY, Stage};
use crate::worker::has_namespaces;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    RefusesConnections,
    Hangs,
    Resets,
    TruncatesAnswers,
    BadGateway,
    DripsAnswers,
    WrongCertificate,
    NameGone,
    Throttles,
    /// 91000, "service internal error", to everything.
    FailsInside,
    /// The same for many hold limits, on a queue of somebody else with a delivery limit.
    FailsForLong,
    OtherKey,
    ClockAhead,
}

impl Fault {
    pub async fn prepare(self, stage: &mut Stage) {
        let port = stage.api_link.address().port();
        match self {
            Fault::WrongCertificate => {
                let (_, certificates) = stage.tls.as_ref().expect("this row has a TLS front");
                let authority = certificates.server_authority.display().to_string();
                stage.set("IM__CA_FILE", authority);
                stage.set("IM__BASE_URL", format!("https://localhost:{port}"));
            }
            Fault::NameGone => {
                stage.own_names = has_namespaces().await;
                if stage.own_names {
                    stage.write("nsswitch.conf", "hosts: files\n");
                    stage.write("hosts", "127.0.0.1 localhost\n");
                    stage.set("IM__BASE_URL", format!("http://localhost:{port}"));
                }
            }
            Fault::FailsForLong => {
                let mut limited = FieldTable::default();
                let quorum = AMQPValue::LongString("quorum".into());
                limited.insert("x-queue-type".into(), quorum);
                limited.insert("x-delivery-limit".into(), AMQPValue::LongInt(3));
                stage.amqp().await.declare(QUEUE, limited).await.unwrap();
                stage.set("RABBITMQ__HOLD_LIMIT", "3s");
                stage.set("RETRY__BACKOFF_MAX", "1s");
            }
            _ => {}
        }
    }

    pub async fn strike(self, stage: &mut Stage) {
        let mark = stage.worker().mark();
        if let Some(spoilt) = self.spoilt() {
            stage.simulator.add_fault(spoilt);
        }
        match self {
            Fault::RefusesConnections => {
                stage.api_link.refuse().await.unwrap();
                stage.api_link.cut().await;
            }
            Fault::WrongCertificate => {
                let (front, certificates) = stage.tls.as_ref().expect("this row has a TLS front");
                // Of an authority that the worker does not trust.
                front.show(&certificates.client).unwrap();
                stage.api_link.cut().await;
            }
            Fault::NameGone => return take_name_away(stage, mark).await,
            Fault::OtherKey => stage.simulator.set_secret_key("5ec2e7-another"),
            Fault::ClockAhead => stage
                .simulator
                .set_clock_ahead(Duration::from_secs(25 * 3_600)),
            _ => {}
        }
        stage.worker().says_since(mark, PAUSED).await;
        if self == Fault::FailsForLong && returns_count(stage).await {
            // What is held for probes is returned at each hold limit, until the next return would drop it.
            stage.worker().says_since(mark, RETURNED_TOO_OFTEN).await;
        }
    }

    pub async fn lift(self, stage: &mut Stage) {
        stage.simulator.clear_faults();
        match self {
            Fault::RefusesConnections => stage.api_link.accept().await.unwrap(),
            Fault::WrongCertificate => {
                let (front, certificates) = stage.tls.as_ref().expect("this row has a TLS front");
                front.show(&certificates.server).unwrap();
            }
            Fault::NameGone => give_name_back(stage).await,
            Fault::OtherKey => stage.simulator.set_secret_key(SECRET_KEY),
            Fault::ClockAhead => stage.simulator.set_clock_ahead(Duration::ZERO),
            _ => {}
        }
    }

    /// What the simulator does to every call.
    fn spoilt(self) -> Option<Spoilt> {
        Some(match self {
            Fault::Hangs => Spoilt::Hang,
            Fault::Resets => Spoilt::Reset,
            Fault::TruncatesAnswers => Spoilt::Truncated,
            Fault::BadGateway => Spoilt::ErrorStatus(502),
            // An answer has 70 bytes, and a call has 2 s.
            Fault::DripsAnswers => Spoilt::SlowDrip(Duration::from_millis(200)),
            Fault::Throttles => Spoilt::Answer(60007),
            Fault::FailsInside | Fault::FailsForLong => Spoilt::Answer(91000),
            _ => return None,
        })
    }
}

/// From RabbitMQ 4.3 on, a delivery that is handed back does not count towards the delivery limit.
async fn returns_count(stage: &Stage) -> bool {
    let version = stage.broker.node().version().await.unwrap();
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    (parts.next(), parts.next()) < (Some(4), Some(3))
}

const BASE_URL: &str = "IM__BASE_URL";

/// With names of its own the worker goes on running. Where there are no namespaces to be had, it is started
/// with a name that is too long to be looked up: any other one would be asked for outside of this machine.
async fn take_name_away(stage: &mut Stage, mark: u64) {
    if stage.own_names {
        stage.write("hosts", "");
        // A connection that stands needs no name.
        stage.api_link.cut().await;
        let unresolved = "cannot resolve the API's host name";
        stage.worker().says_since(mark, unresolved).await;
        // Nor does one that was just being made.
        stage.api_link.cut().await;
        stage.worker().says_since(mark, PAUSED).await;
    } else {
        stage.drain_worker().await;
        stage.set(BASE_URL, format!("https://{}.invalid", "a".repeat(64)));
        stage.start_worker();
        stage.worker().says_since(0, PAUSED).await;
    }
}

async fn give_name_back(stage: &mut Stage) {
    if stage.own_names {
        stage.write("hosts", "127.0.0.1 localhost\n");
    } else {
        stage.drain_worker().await;
        stage.set(BASE_URL, format!("http://{}", stage.api_link.address()));
        stage.start_worker();
    }
}
