//! Formats a log line as a JSON object: the library's formatter writes lists as strings.

use std::fmt;
use std::io;

use serde::Serializer as _;
use serde::ser::SerializeMap;
use serde_json::Serializer;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Time and level, then the message and its fields, then the target.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = line(event).map_err(|_| fmt::Error)?;
        writeln!(writer, "{}", String::from_utf8_lossy(&line))
    }
}

fn line(event: &Event<'_>) -> io::Result<Vec<u8>> {
    let mut timestamp = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let mut line = Vec::new();
    let mut serializer = Serializer::new(&mut line);
    let mut object = serializer.serialize_map(None)?;
    object.serialize_entry("timestamp", &timestamp)?;
    object.serialize_entry("level", event.metadata().level().as_str())?;
    let mut fields = Fields {
        object,
        result: Ok(()),
    };
    event.record(&mut fields);
    let Fields { mut object, result } = fields;
    result?;
    object.serialize_entry("target", event.metadata().target())?;
    object.end()?;
    Ok(line)
}

struct Fields<M: SerializeMap> {
    object: M,
    result: Result<(), M::Error>,
}

impl<M: SerializeMap> Fields<M> {
    fn write(&mut self, field: &Field, value: &(impl serde::Serialize + ?Sized)) {
        if self.result.is_ok() {
            self.result = self.object.serialize_entry(field.name(), value);
        }
    }
}

impl<M: SerializeMap> Visit for Fields<M> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    /// Everything else is a string. `Debug` writes a list of strings as JSON.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        let list = text.starts_with('[').then(|| serde_json::from_str(&text));
        match list {
            Some(Ok::<Vec<String>, _>(list)) => self.write(field, &list),
            _ => self.write(field, &text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lists_are_lists_numbers_are_numbers_and_what_has_no_value_is_left_out() {
        let buffer = Buffer::default();
        let written = buffer.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Json)
            .with_writer(move || buffer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let (none, reason) = (None::<u32>, "[::1]: \"refused\"");
            tracing::warn!(code = none, list = ?["a", "b"], %reason, seconds = 1.8, count = 2u64, "said");
        });
        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let (time, rest) = line.split_once(r#","level""#).unwrap();
        assert!(
            time.starts_with(r#"{"timestamp":"2"#) && time.ends_with("Z\""),
            "{time}"
        );
        assert_eq!(
            rest,
            concat!(
                r#":"WARN","message":"said","list":["a","b"],"reason":"[::1]: \"refused\"","#,
                r#""seconds":1.8,"count":2,"target":"tagsweep::telemetry::json::tests"}"#,
                "\n"
            )
        );
    }
}
