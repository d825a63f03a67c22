//! What is logged during one test.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::subscriber::DefaultGuard;

/// Everything that the test's thread logs is in a file; the worker's own lines are at hand, too.
pub struct Log {
    path: PathBuf,
    worker: Arc<Mutex<String>>,
    _subscriber: DefaultGuard,
}

impl Log {
    pub fn start() -> Log {
        let path =
            crate::secrets::folder().join(format!("{}.log", testkit::rabbitmq::unique("it")));
        let worker = Arc::default();
        let writer = Tee {
            file: File::create(&path).expect("the log can be created"),
            worker: Arc::clone(&worker),
        };
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(Mutex::new(writer))
            .finish();
        Log {
            path,
            worker,
            _subscriber: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The worker's lines so far.
    pub fn text(&self) -> String {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        worker.clone()
    }

    /// The worker's lines so far without those at debug level, to be shown when a test fails.
    pub fn summary(&self) -> String {
        let text = self.text();
        let lines = text.lines().filter(|line| !line.contains(r#""DEBUG""#));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub fn assert_clean(&self) {
        crate::secrets::assert_clean(&self.path);
    }
}

/// Each write is one line.
struct Tee {
    file: File,
    worker: Arc<Mutex<String>>,
}

impl Write for Tee {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if text.contains(r#""target":"tagsweep"#) {
            let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
            worker.push_str(&text);
        }
        self.file.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
