//! The binary as a process: with the environment that a test gives it and no other, its standard error
//! in a file that is searched for secrets at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::secrets;

/// Long enough for a busy machine; a test that needs it all has found something.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A command of the binary. [`run`](Program::run) waits for its end, [`start`](Program::start) does not.
#[derive(Clone, Default)]
pub struct Program {
    arguments: Vec<String>,
    settings: BTreeMap<String, String>,
    input: Vec<u8>,
}

impl Program {
    /// Arguments are parted by spaces.
    pub fn new(arguments: &str) -> Program {
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Program {
            arguments,
            ..Program::default()
        }
    }

    pub fn argument(mut self, argument: impl Into<String>) -> Program {
        self.arguments.push(argument.into());
        self
    }

    /// Passes a configuration file.
    pub fn file(self, path: &Path) -> Program {
        self.argument("--config").argument(path.to_str().unwrap())
    }

    /// Sets a key, `im.admin` for instance, in the environment.
    pub fn set(self, key: &str, value: impl ToString) -> Program {
        let key = key.to_uppercase().replace('.', "__");
        self.variable(&format!("TAGSWEEP__{key}"), value)
    }

    pub fn variable(mut self, name: &str, value: impl ToString) -> Program {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    pub fn unset(mut self, key: &str) -> Program {
        let key = key.to_uppercase().replace('.', "__");
        self.settings.remove(&format!("TAGSWEEP__{key}"));
        self
    }

    /// As one types it.
    pub fn command_line(&self) -> String {
        let quoted = self
            .arguments
            .iter()
            .map(|argument| format!(" '{argument}'"));
        let arguments: String = quoted.collect();
        // Tests that run in the background of a shell ignore SIGINT, and so would all that they start.
        let program = concat!("env --default-signal=INT ", env!("CARGO_BIN_EXE_tagsweep"));
        format!("exec {program}{arguments}")
    }

    /// Another program with this one's environment, to start this one.
    pub fn wrapped_in(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// What the program reads from standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Program {
        self.input = input.into();
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tagsweep"));
        command
            .args(&self.arguments)
            .env_clear()
            // No test reads what this machine has in /etc.
            .env("CONFIGURATION_DIRECTORY", "/none")
            .envs(&self.settings)
            .stdin(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub async fn run(&self) -> Ended {
        self.run_into(Stdio::piped()).await
    }

    /// Runs it to its end, with another standard output.
    pub async fn run_into(&self, output: impl Into<Stdio>) -> Ended {
        self.run_to_end(output, true).await
    }

    /// The same. Of a command that is there to print users, standard output is not searched for them.
    pub async fn run_to_end(&self, output: impl Into<Stdio>, hides_users: bool) -> Ended {
        let mut command = self.command();
        command.stdout(output).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut input = child.stdin.take().expect("a pipe");
        // A program that does not read its input closes the pipe.
        let _ = input.write_all(&self.input).await;
        drop(input);
        let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        let ended = ended.expect("the program ends").expect("it was started");
        let ended = Ended {
            code: ended.status.code(),
            stdout: String::from_utf8(ended.stdout).expect("UTF-8"),
            stderr: String::from_utf8(ended.stderr).expect("UTF-8"),
        };
        if hides_users {
            secrets::assert_clean_text("standard output", &ended.stdout);
        }
        secrets::assert_clean_text("standard error", &ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ended
    }

    /// Starts it, with its standard error somewhere else than in a file that is searched.
    pub fn start_into(&self, log: impl Into<Stdio>) -> Child {
        let mut command = self.command();
        command.stdout(Stdio::null()).stderr(log);
        command.spawn().expect("the program starts")
    }

    /// Starts it, with its standard error in a file.
    pub fn start(&self) -> Running {
        let log = secrets::folder().join(format!("{}.log", testkit::rabbitmq::unique("process")));
        let file = File::create(&log).expect("the log can be created");
        Running {
            child: self.start_into(file),
            log,
        }
    }
}

/// What a program that has ended said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// What answers at this URL.
pub async fn get(url: &str) -> String {
    // Every client asks for a provider, one that speaks no TLS too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build();
    let answer = client.expect("a client").get(url).send().await;
    let text = answer.expect("it answers").text().await;
    text.expect("a text")
}

/// A program that runs. Dropping it kills it.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log can be read")
    }

    /// Waits until the log contains `text`.
    pub async fn says(&self, text: &str) {
        let what = format!("{} says {text:?}", self.log.display());
        testkit::eventually(PATIENCE, &what, async || {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// Where it listens at `admin.listen`, if that is port 0 and it logs JSON.
    pub async fn admin_address(&self) -> String {
        self.says("serving /livez").await;
        let log = self.log();
        let listens = log.lines().find(|line| line.contains("serving /livez"));
        let line: serde_json::Value = serde_json::from_str(listens.expect("said")).expect("JSON");
        line["address"].as_str().expect("an address").to_owned()
    }

    pub async fn ask(&self, path: &str) -> String {
        get(&format!("http://{}{path}", self.admin_address().await)).await
    }

    /// Waits until it says this at `path`.
    pub async fn answers(&self, path: &str, text: &str) -> String {
        let what = format!("{path} of {} says {text:?}", self.log.display());
        testkit::eventually(PATIENCE, &what, async || {
            let answer = self.ask(path).await;
            answer.contains(text).then_some(answer)
        })
        .await
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> usize {
        let process = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        let status = status.expect("Linux tells");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        kib.expect("a peak").parse::<usize>().expect("a number") * 1024
    }

    /// Sends `TERM`, `INT` or another signal.
    pub async fn signal(&self, name: &str) {
        let process = self.id().to_string();
        let kill = Command::new("kill")
            .args(["-s", name, &process])
            .status()
            .await;
        assert!(kill.expect("kill can be run").success());
    }

    /// Ends it as a crash or a power cut would.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
        secrets::assert_clean(&self.log);
    }

    /// Waits for the end by itself and gives the exit code and the log.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let log = self.log();
        let status = status.unwrap_or_else(|_| panic!("it does not end\n{log}"));
        secrets::assert_clean(&self.log);
        assert!(!log.contains("panicked"), "{log}");
        (status.expect("it was started").code(), log)
    }
}
