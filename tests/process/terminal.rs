//! A program at a terminal, as somebody types at it.

use std::fs::File;
use std::process::Stdio;

use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};

use crate::program::{PATIENCE, Program};
use crate::secrets;

pub const CTRL_C: &str = "\x03";
/// The end of input.
pub const CTRL_D: &str = "\x04";

pub struct Terminal {
    /// `script` of util-linux, which gives the program a terminal and ends with its exit code.
    script: Child,
    keys: ChildStdin,
    screen: NamedTempFile,
}

impl Terminal {
    pub fn start(program: &Program) -> Terminal {
        let screen = NamedTempFile::new().unwrap();
        let command = program.command_line();
        let mut script = program.wrapped_in(
            "script",
            &["--quiet", "--return", "--command", &command, "/dev/null"],
        );
        script
            .env("TERM", "xterm")
            .env("CONFIGURATION_DIRECTORY", "/none")
            .stdin(Stdio::piped())
            .stdout(File::create(screen.path()).unwrap());
        let mut script = script.spawn().expect("script (of util-linux) can be run");
        let keys = script.stdin.take().expect("a pipe");
        Terminal {
            script,
            keys,
            screen,
        }
    }

    pub fn screen(&self) -> String {
        let screen = std::fs::read(self.screen.path()).unwrap();
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// Waits until this text is on the screen.
    pub async fn shows(&self, text: &str) {
        testkit::eventually(PATIENCE, text, async || {
            self.screen().contains(text).then_some(())
        })
        .await;
    }

    pub async fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
    }

    /// Waits for the end and gives the exit code, as a shell sees it, and all that was on the screen.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let status = tokio::time::timeout(PATIENCE, self.script.wait()).await;
        let screen = self.screen();
        let status = status.unwrap_or_else(|_| panic!("it does not end\n{screen}"));
        secrets::assert_clean_text("the screen", &screen);
        (status.unwrap().code(), screen)
    }
}
