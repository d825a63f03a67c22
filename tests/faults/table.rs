//! The table of faults. Each row is a test of its own.

use crate::fault::{Fault, api, link, node, vhost, worker};
use crate::trial;

pub struct Row {
    /// The test's name.
    pub name: &'static str,
    /// The fault in an operator's words.
    pub title: &'static str,
    /// How the fault is caused, and between which moments the recovery time is counted.
    pub meaning: &'static str,
    pub fault: Fault,
}

macro_rules! rows {
    ($($name:ident = $fault:expr, $title:literal, $meaning:literal;)*) => {
        pub const ROWS: &[Row] = &[
            $(Row { name: stringify!($name), title: $title, meaning: $meaning, fault: $fault },)*
        ];

        $(
            #[tokio::test]
            async fn $name() {
                let row = ROWS.iter().find(|row| row.name == stringify!($name));
                trial::run(row.expect("the macro put it there")).await;
            }
        )*
    };
}

rows! {
    broker_killed_and_restarted = Fault::Node(node::Fault::Killed),
        "broker killed (SIGKILL) and restarted",
        "Counted from when the node accepts connections again.";
    broker_restarted_in_good_order = Fault::Node(node::Fault::Restarted),
        "broker restarted in good order",
        "Counted from when the node accepts connections again.";
    broker_paused_beyond_the_heartbeat = Fault::Node(node::Fault::Paused),
        "broker paused (SIGSTOP) beyond the heartbeat",
        "Resumed when the worker has ended the session.";
    consumer_timeout_fired = Fault::Node(node::Fault::ConsumerTimeout),
        "consumer timeout fired",
        "The broker's timeout is 3 s, the worker is set to 30 min, and the API does not answer. The broker closes the \
         channel; then the API answers again.";
    memory_alarm = Fault::Node(node::Fault::MemoryAlarm),
        "memory alarm (connection.blocked)",
        "Counted to the first confirmed dead letter; acknowledgements continue throughout.";
    disk_alarm = Fault::Node(node::Fault::DiskAlarm),
        "disk alarm (connection.blocked)",
        "As the memory alarm.";
    dead_letters_too_large_for_the_broker = Fault::Node(node::Fault::LettersTooLarge),
        "dead letters larger than the broker takes (max_message_size)",
        "Their events were accepted before the limit was lowered. The dead letters are published with hash and size \
         instead of the body. Counted from the reset of the limit to the first confirmed dead letter.";
    connections_closed_by_the_operator = Fault::Vhost(vhost::Fault::ConnectionsClosed),
        "connections closed by the operator",
        "CONNECTION_FORCED on all connections at once. Counted from there.";
    connection_cut = Fault::Link(link::Fault::Cut),
        "connection cut (RST)",
        "Both connections are reset. Counted from there.";
    connection_stalled_beyond_the_heartbeat = Fault::Link(link::Fault::Stalled),
        "connection stalled beyond the heartbeat",
        "No byte passes until the worker has ended the session.";
    connection_half_open = Fault::Link(link::Fault::HalfOpen),
        "connection half-open",
        "The broker's end is closed without notice to the worker. Counted from there, so it includes two heartbeats.";
    connection_cut_beside_a_black_hole = Fault::Link(link::Fault::CutBesideBlackHole),
        "connection cut while the first address of the broker's name swallows packets",
        "Both connections are reset, and the worker must skip the address that never answers. Counted from the \
         reset. On a machine without namespaces the two addresses are two URLs.";
    queue_deleted = Fault::Vhost(vhost::Fault::QueueDeleted),
        "queue deleted",
        "The broker drops its messages, confirmed or not. The worker redeclares the queue, and the publisher republishes \
         what was not done, as anybody who deletes a queue must. Counted from the deletion.";
    dead_letter_queue_full = Fault::Vhost(vhost::Fault::DeadLettersFull),
        "dead-letter queue full (reject-publish)",
        "Intake stops until the queue is emptied. Counted from there to the first confirmed dead letter.";
    dead_letter_exchange_removed = Fault::Vhost(vhost::Fault::DeadLetterExchangeRemoved),
        "dead-letter exchange removed",
        "Dead letters go directly to the queue, and the worker redeclares the exchange. Counted from the removal to the \
         first confirmed dead letter.";
    dead_letter_binding_removed = Fault::Vhost(vhost::Fault::DeadLetterBindingRemoved),
        "dead-letter binding removed",
        "With rabbitmq.declare = false, so that only the operator binds it again. Counted from there to the first \
         confirmed dead letter.";
    permissions_revoked = Fault::Vhost(vhost::Fault::PermissionsRevoked),
        "permissions on the virtual host revoked",
        "All connections are closed too. Granted again when the worker was refused.";
    password_rotated = Fault::Vhost(vhost::Fault::PasswordRotated),
        "password rotated",
        "Changed at the broker, and all connections closed. The new password is written into rabbitmq.url_file when \
         the worker was refused with the old one.";
    api_refuses_connections = Fault::Api(api::Fault::RefusesConnections),
        "API refuses connections",
        "";
    api_hangs = Fault::Api(api::Fault::Hangs),
        "API hangs",
        "Requests are read and never answered; im.request_timeout is 2 s.";
    api_resets_connections = Fault::Api(api::Fault::Resets),
        "API resets connections",
        "";
    api_truncates_answers = Fault::Api(api::Fault::TruncatesAnswers),
        "API truncates its answers",
        "The API does the work but sends half an answer: each of these calls is repeated.";
    api_behind_a_502 = Fault::Api(api::Fault::BadGateway),
        "HTML page with status 502",
        "";
    api_drips_answers = Fault::Api(api::Fault::DripsAnswers),
        "API sends its answers drop by drop",
        "The API does the work, but its answer takes longer than im.request_timeout: each of these calls is repeated.";
    api_shows_a_wrong_certificate = Fault::Api(api::Fault::WrongCertificate),
        "API shows a wrong certificate",
        "The certificate is from an authority that is not trusted.";
    api_name_does_not_resolve = Fault::Api(api::Fault::NameGone),
        "API's host name does not resolve",
        "The worker runs with its own /etc/hosts in a mount namespace, from which the name is removed. On a machine \
         without namespaces it is restarted with a name that is too long to be resolved.";
    api_throttles = Fault::Api(api::Fault::Throttles),
        "API throttles everything (60007)",
        "Rate-limited calls are the fault itself here; the limit of calls in any second still holds.";
    api_fails_inside = Fault::Api(api::Fault::FailsInside),
        "API answers 91000 to everything",
        "";
    api_fails_for_many_hold_limits = Fault::Api(api::Fault::FailsForLong),
        "API answers 91000 for many hold limits, on a queue of somebody else with a delivery limit of 3",
        "rabbitmq.hold_limit is 3 s. Events that are held for probes are dead-lettered as returned-too-often before the \
         broker drops them.";
    api_has_another_secret_key = Fault::Api(api::Fault::OtherKey),
        "API has another secret key (70009)",
        "";
    api_clock_a_day_ahead = Fault::Api(api::Fault::ClockAhead),
        "API's clock a day ahead: every UserSig expired (70001)",
        "";
    worker_killed_and_restarted = Fault::Worker(worker::Fault::Killed),
        "worker killed (SIGKILL) and restarted",
        "Counted from the restart, including the second for which a worker delays its first call after a takeover.";
    worker_stopped_beyond_the_heartbeat = Fault::Worker(worker::Fault::Stopped),
        "worker stopped (SIGSTOP) beyond the heartbeat",
        "Resumed when the broker has closed its connections.";
    log_disk_full = Fault::Worker(worker::Fault::LogDiskFull),
        "disk for the log full",
        "A worker whose log is /dev/full starts, works and shuts down gracefully; then another one starts with a usable log.";
    log_reader_stuck = Fault::Worker(worker::Fault::LogReaderStuck),
        "log reader stuck",
        "A worker whose log is a full pipe that nobody reads starts, works and shuts down gracefully; then another one \
         starts with a usable log.";
    active_of_two_workers_killed = Fault::Worker(worker::Fault::ActiveKilled),
        "active one of two workers killed",
        "The standby takes over. Counted from the kill.";
}
