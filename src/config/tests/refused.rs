//! What is refused, and what is only just taken.

use super::problems_of;

/// One wrong thing a line: the TOML, the key that is blamed, and words of the remedy.
const REFUSED: &str = r#"
# Unknown names.
im.max_inflight = 1  ->  im.max_inflight: did you mean im.max_in_flight?
max_wait = '1s'  ->  max_wait: write it below [window]
im.colour = 'red'  ->  im.colour: tagsweep config --default
[imm]; admin = 'a'  ->  [imm]: did you mean [im]?
[nonsense]  ->  [nonsense]: there are [admin], [events], [im], [log]
im = 5  ->  im: write [im]
# Types and ranges.
im.max_in_flight = 0  ->  im.max_in_flight: from 1 to 1000
im.max_in_flight = '16'  ->  im.max_in_flight: without quotes; write max_in_flight = 16
im.sdk_app_id = 4294967296  ->  im.sdk_app_id: from 1 to 4294967295
im.calls_per_second = 10001  ->  im.calls_per_second: from 1 to 10000
window.max_ids = 101  ->  window.max_ids: from 1 to 100
window.max_ids = 3.7  ->  window.max_ids: whole number
retry.max_attempts = -1  ->  retry.max_attempts: from 1 to 1000
rabbitmq.prefetch = 65536  ->  rabbitmq.prefetch: from 1 to 65535
rabbitmq.delivery_limit = 0  ->  rabbitmq.delivery_limit: from 1 to 2147483647
rabbitmq.accept_lossy_queue = 'no'  ->  rabbitmq.accept_lossy_queue: true or false
rabbitmq.declare = 1  ->  rabbitmq.declare: true or false
rabbitmq.queue = 7  ->  rabbitmq.queue: text in quotes
rabbitmq.url = [1]  ->  rabbitmq.url: or a list
events.types = 'user.deleted'  ->  events.types: list of texts
im.admin.name = 'a'  ->  im.admin: no keys of its own
window.max_wait = 10  ->  window.max_wait: write max_wait = "10s"
window.max_wait = '10'  ->  window.max_wait: write max_wait = "10s"
window.max_wait = 'soon'  ->  window.max_wait: such as 1m30s; write max_wait = "500ms"
window.max_wait = '876001h'  ->  window.max_wait: not be above 876000h
rabbitmq.hold_limit = '9223372036854775807s'  ->  rabbitmq.hold_limit: 100 years
window.max_wait = true  ->  window.max_wait: duration in quotes
im.missing_account = 'ignore'  ->  im.missing_account: "done" or "dead-letter"
events.format = 'auth0'  ->  events.format: "auto", "plain", "cloudevents" or "none"
log.format = 'xml'  ->  log.format: "text"
admin.listen = ':9464'  ->  admin.listen: write listen = "0.0.0.0:9464"
rabbitmq.url = 'http://host'  ->  rabbitmq.url: amqp:// or amqps://
rabbitmq.url = ['amqp://a', 'amqp://']  ->  rabbitmq.url: URL 2 names no host
# im
im.admin = ''  ->  im.admin: 1 to 32 bytes
im.control_user = ''  ->  im.control_user: 1 to 32 bytes
im.control_user = 'ü'  ->  im.control_user: printable ASCII
im.control_user = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'  ->  im.control_user: belongs to nobody
im.secret_key_file = '/none'  ->  im.secret_key: remove one
im.user_sig = 'x'  ->  im.secret_key: im.user_sig; remove one
im.user_sig_lifetime = '59s'  ->  im.user_sig_lifetime: from 1m
im.user_sig_lifetime = '438001h'  ->  im.user_sig_lifetime: 50 years
im.base_url = 'console.tim.qq.com'  ->  im.base_url: write base_url = "https://console.tim.qq.com"
im.base_url = 'ftp://host'  ->  im.base_url: start with https://
im.base_url = 'http://console.tim.qq.com'  ->  im.base_url: in the clear
im.base_url = 'https://host?a=b'  ->  im.base_url: before the query
im.base_url = 'https://user@host'  ->  im.base_url: no user
im.path = 'v4/x'  ->  im.path: start with /
im.path = '/v4/x?a'  ->  im.path: no query
im.connect_timeout = '0s'  ->  im.connect_timeout: above zero
im.connect_timeout = '11s'  ->  im.connect_timeout: im.request_timeout (10s)
im.ca_file = '/none'  ->  im.ca_file: cannot be read
# window, events, retry
window.max_wait = '0s'  ->  window.max_wait: above zero
window.max_wait = '10m'  ->  window.max_wait: rabbitmq.hold_limit (10m)
events.types = []  ->  events.types: at least one
events.types = ['']  ->  events.types: at least one
retry.backoff_min = '0s'  ->  retry.backoff_min: above zero
retry.backoff_min = '31s'  ->  retry.backoff_min: retry.backoff_max (30s)
retry.backoff_max = '10m'  ->  retry.backoff_max: rabbitmq.hold_limit (10m)
# rabbitmq
rabbitmq.url = []  ->  rabbitmq.url: at least one
rabbitmq.url = 'amqp://h/%2f?heartbeat=abc'  ->  rabbitmq.url: heartbeat="abc"; write the seconds
rabbitmq.url = 'amqp://h/%2f?heartbeat=70000'  ->  rabbitmq.url: from 0 to 65535
rabbitmq.url = 'amqp://h/%2f?channel_max=abc'  ->  rabbitmq.url: channel_max="abc"
rabbitmq.url = 'amqp://h/%2f?channel_max=4'  ->  rabbitmq.url: the worker needs 8 channels
rabbitmq.url = 'amqp://h/%2f?frame_max=100'  ->  rabbitmq.url: from 8192
rabbitmq.url = 'amqp://h/%2f?auth_mechanism=foo'  ->  rabbitmq.url: write plain, amqplain
rabbitmq.url = 'amqp://h/%FF'  ->  rabbitmq.url: the vhost / as %2f
rabbitmq.url_file = '/none'  ->  rabbitmq.url_file: check the path
rabbitmq.username_file = '/none'  ->  rabbitmq.username_file: check the path
rabbitmq.password_file = '/none'  ->  rabbitmq.password_file: check the path
rabbitmq.password_file = '/dev/null'  ->  rabbitmq.password_file: is empty
rabbitmq.ca_file = '/none'  ->  rabbitmq.ca_file: amqp://guest:***@127.0.0.1
rabbitmq.url = 'amqps://h'; rabbitmq.ca_file = '/none'  ->  rabbitmq.ca_file: cannot be read
rabbitmq.url = 'amqps://h'; rabbitmq.cert_file = '/none'  ->  rabbitmq.cert_file: needs rabbitmq.key_file
rabbitmq.url = 'amqps://h'; rabbitmq.key_file = '/none'  ->  rabbitmq.key_file: needs rabbitmq.cert_file
rabbitmq.exchange = ''  ->  rabbitmq.exchange: 1 to 255 bytes
rabbitmq.routing_keys = []  ->  rabbitmq.routing_keys: at least one
rabbitmq.dead_letter_queue = 'tagsweep.events'  ->  rabbitmq.dead_letter_queue: come back as events
rabbitmq.dead_letter_exchange = 'account.events'  ->  rabbitmq.dead_letter_exchange: come back as events
rabbitmq.prefetch = 1699  ->  rabbitmq.prefetch: at least 1700
im.max_in_flight = 654  ->  im.max_in_flight: write max_in_flight = 653
rabbitmq.hold_limit = '30m'  ->  rabbitmq.hold_limit: rabbitmq.consumer_timeout (30m)
rabbitmq.hold_limit = '10s'; retry.backoff_max = '5s'  ->  rabbitmq.hold_limit: above im.request_timeout
im.proxy_url = 'http://p'; im.proxy_url_file = '/none'  ->  im.proxy_url: remove one
im.proxy_url_file = '/none'  ->  im.proxy_url_file: check the path
# admin, shutdown, log
admin.token = 'a'; admin.token_file = '/none'  ->  admin.token: remove one
admin.token_file = '/none'  ->  admin.token_file: check the path
shutdown.grace_period = '10s'  ->  shutdown.grace_period: above im.request_timeout (10s)
log.level = 'inof'  ->  log.level: must be off, error
log.level = 'info,lapin=loud'  ->  log.level: must be off, error
"#;

#[test]
fn whatever_cannot_work_is_refused_with_its_key_and_a_mend() {
    let rows = REFUSED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    for row in rows {
        let (toml, expected) = row.split_once("  ->  ").unwrap();
        let (key, words) = expected.split_once(": ").unwrap();
        let problems = problems_of(&toml.replace("; ", "\n"));
        assert!(
            problems
                .iter()
                .any(|problem| problem.key == key && problem.text.contains(words)),
            "{row}\n{problems:#?}"
        );
    }
}

#[test]
fn values_at_the_edge_of_what_works_are_taken() {
    for toml in [
        "im.max_in_flight = 653",
        "rabbitmq.prefetch = 1700",
        "window.max_ids = 1\nim.max_in_flight = 1000",
        "im.connect_timeout = '10s'",
        "im.base_url = 'http://127.0.0.1:8080/'",
        "im.base_url = 'http://[::1]:8080'",
        "im.base_url = 'http://localhost:8080'",
        "im.base_url = 'https://gateway.internal/tim'",
        "im.user_sig_lifetime = '438000h'",
        "retry.backoff_min = '30s'",
        "log.level = 'warn,tagsweep=debug,lapin::io_loop=off'",
        "rabbitmq.url = ['amqp://a', 'amqps://b']",
        "rabbitmq.url = 'amqp://[::1]:5672/%2f?heartbeat=5&channel_max=8'",
        "admin.listen = '[::]:0'",
    ] {
        assert_eq!(problems_of(toml), [], "{toml}");
    }
}
