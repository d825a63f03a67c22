use super::*;

#[test]
fn the_replies_of_rabbitmq_3_10_to_4_x_are_told_apart() {
    let limit = Some(3);
    for (code, text, expected) in [
        (
            403,
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
            Cause::Credentials,
        ),
        (530, "NOT_ALLOWED - vhost a not found", Cause::VhostMissing),
        (
            530,
            "NOT_ALLOWED - access to vhost 'a' refused for user 'u'",
            Cause::VhostRefused,
        ),
        (
            530,
            "NOT_ALLOWED - 'u' doesn't have access to 'a'",
            Cause::VhostRefused,
        ),
        (
            530,
            "NOT_ALLOWED - access to vhost 'a' refused for user 'u': connection limit (3) is reached",
            Cause::VhostConnections { limit },
        ),
        (
            530,
            "NOT_ALLOWED - access to vhost 'connection limit' refused for user 'u': vhost 'connection limit' is down",
            Cause::VhostDown,
        ),
        (
            541,
            "INTERNAL_ERROR - access to vhost 'a' refused for user 'u': vhost 'a' is down",
            Cause::VhostDown,
        ),
        (
            530,
            "NOT_ALLOWED - connection refused for user 'u': user connection limit (3) is reached",
            Cause::UserConnections { limit },
        ),
        (
            530,
            "NOT_ALLOWED - connection refused: node connection limit (3) is reached",
            Cause::NodeConnections { limit },
        ),
        (
            530,
            "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (3)",
            Cause::UserChannels { limit },
        ),
        (
            530,
            "NOT_ALLOWED - number of channels opened on node 'rabbit@a' has reached the maximum allowed limit of (3)",
            Cause::NodeChannels { limit },
        ),
        (
            530,
            "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
            Cause::ChannelMax,
        ),
        (
            530,
            "NOT_ALLOWED - negotiated frame_max = 4096 is lower than the minimum allowed value (8192)",
            Cause::FrameMax,
        ),
        (
            406,
            "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1000 ms. This timeout value can be configured, see consumers doc guide to learn more",
            Cause::ConsumerTimeout,
        ),
        (
            406,
            "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'a' (3) is reached",
            Cause::QueueLimit { limit },
        ),
        (
            320,
            "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
            Cause::Shutdown,
        ),
        (
            320,
            "CONNECTION_FORCED - user 'u' is deleted",
            Cause::UserDeleted,
        ),
        (
            320,
            "CONNECTION_FORCED - vhost 'a' is deleted",
            Cause::VhostDeleted,
        ),
        (
            320,
            "CONNECTION_FORCED - Closed via management plugin",
            Cause::ClosedByOperator,
        ),
        (506, "RESOURCE_ERROR - no memory", Cause::Resource),
    ] {
        assert_eq!(Cause::of_reply(code, text), Some(expected), "{text}");
    }
    assert_eq!(Cause::of_reply(404, "NOT_FOUND - no queue 'q'"), None);
}
