//! The table of faults. Each row is a test of its own.

use crate::fault::{Fault, api, link, node, vhost, worker};
use crate::trial;

pub struct Row {
    /// The test's name.
    pub name: &'static str,
    /// The fault in an operator's words.
    pub title: &'static str,
    /// What is done, and what the time until work goes on is made of.
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
        "Counted from the moment at which the node takes connections again.";
    broker_restarted_in_good_order = Fault::Node(node::Fault::Restarted),
        "broker restarted in good order",
        "Counted from the moment at which the node takes connections again.";
    broker_paused_beyond_the_heartbeat = Fault::Node(node::Fault::Paused),
        "broker paused (SIGSTOP) beyond the heartbeat",
        "Resumed when the worker has given the session up.";
    consumer_timeout_fired = Fault::Node(node::Fault::ConsumerTimeout),
        "consumer timeout fired",
        "The broker allows 3 s and the worker believes in 30 min, while the API answers nobody. The broker closes \
         the channel; then the API answers again.";
    memory_alarm = Fault::Node(node::Fault::MemoryAlarm),
        "memory alarm (connection.blocked)",
        "Counted to the first dead letter that is taken; acknowledgements go on all the time.";
    disk_alarm = Fault::Node(node::Fault::DiskAlarm),
        "disk alarm (connection.blocked)",
        "As the memory alarm.";
    dead_letters_too_large_for_the_broker = Fault::Node(node::Fault::LettersTooLarge),
        "dead letters larger than the broker takes (max_message_size)",
        "Their events were taken before the limit was lowered. The letters go out without body, with its hash and \
         size. Counted to the first dead letter that is taken when the limit is as it was.";
    connections_closed_by_the_operator = Fault::Vhost(vhost::Fault::ConnectionsClosed),
        "connections closed by the operator",
        "CONNECTION_FORCED on all connections at once. Counted from there.";
    connection_cut = Fault::Link(link::Fault::Cut),
        "connection cut (RST)",
        "Both connections are reset. Counted from there.";
    connection_stalled_beyond_the_heartbeat = Fault::Link(link::Fault::Stalled),
        "connection stalled beyond the heartbeat",
        "No byte passes until the worker has given the session up.";
    connection_half_open = Fault::Link(link::Fault::HalfOpen),
        "connection half-open",
        "The broker's end is closed and the worker is not told. Counted from there, so two heartbeats are part of \
         it.";
    connection_cut_beside_a_black_hole = Fault::Link(link::Fault::CutBesideBlackHole),
        "connection cut while the first address of the broker's name swallows packets",
        "Both connections are reset, and the worker must pass by the address that never answers. Counted from the \
         cut. On a machine without namespaces the two addresses are two URLs.";
    queue_deleted = Fault::Vhost(vhost::Fault::QueueDeleted),
        "queue deleted",
        "The broker drops what was in it, confirmed or not. The worker declares the queue again, and the publisher \
         publishes again what was not done, as whoever deletes a queue must. Counted from the deletion.";
    dead_letter_queue_full = Fault::Vhost(vhost::Fault::DeadLettersFull),
        "dead-letter queue full (reject-publish)",
        "Intake stops until somebody empties the queue. Counted from there to the first dead letter that is taken.";
    dead_letter_exchange_removed = Fault::Vhost(vhost::Fault::DeadLetterExchangeRemoved),
        "dead-letter exchange removed",
        "Letters go to the queue itself, and the worker declares the exchange again. Counted from the removal to the \
         first dead letter that is taken.";
    dead_letter_binding_removed = Fault::Vhost(vhost::Fault::DeadLetterBindingRemoved),
        "dead-letter binding removed",
        "With rabbitmq.declare = false, so that nobody but the operator binds it again. Counted from there to the \
         first dead letter that is taken.";
    permissions_revoked = Fault::Vhost(vhost::Fault::PermissionsRevoked),
        "permissions on the virtual host revoked",
        "And all connections closed. Given back when the worker was refused.";
    password_rotated = Fault::Vhost(vhost::Fault::PasswordRotated),
        "password rotated",
        "Changed at the broker, and all connections closed. The new one is written into rabbitmq.url_file when the \
         worker was refused with the old one.";
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
        "All is done, and half an answer comes: each of these calls is made again.";
    api_behind_a_502 = Fault::Api(api::Fault::BadGateway),
        "HTML page with status 502",
        "";
    api_drips_answers = Fault::Api(api::Fault::DripsAnswers),
        "API sends its answers drop by drop",
        "All is done, and the answer takes longer than im.request_timeout: each of these calls is made again.";
    api_shows_a_wrong_certificate = Fault::Api(api::Fault::WrongCertificate),
        "API shows a wrong certificate",
        "One of an authority that is not trusted.";
    api_name_does_not_resolve = Fault::Api(api::Fault::NameGone),
        "API's host name does not resolve",
        "The worker runs with an /etc/hosts of its own, in a mount namespace, from which the name is taken. On a \
         machine without namespaces it is started again with a name that is too long to be looked up.";
    api_throttles = Fault::Api(api::Fault::Throttles),
        "API throttles everything (60007)",
        "That the API refuses calls for their frequency is the fault itself; the busiest second still holds.";
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
        "Counted from the restart, with the second for which a worker that takes over holds back its first call.";
    worker_stopped_beyond_the_heartbeat = Fault::Worker(worker::Fault::Stopped),
        "worker stopped (SIGSTOP) beyond the heartbeat",
        "Resumed when the broker has given its connections up.";
    log_disk_full = Fault::Worker(worker::Fault::LogDiskFull),
        "disk for the log full",
        "A worker is started whose log is /dev/full. It works, and ends in good order; then another one is started \
         with a log.";
    log_reader_stuck = Fault::Worker(worker::Fault::LogReaderStuck),
        "log reader stuck",
        "A worker is started whose log is a full pipe that nobody reads. It works, and ends in good order; then \
         another one is started with a log.";
    active_of_two_workers_killed = Fault::Worker(worker::Fault::ActiveKilled),
        "active one of two workers killed",
        "The standby takes over. Counted from the kill.";
}
