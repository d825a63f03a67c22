//! A console of a running Erlang VM over its standard input and output: a command takes
//! milliseconds, with `rabbitmqctl` a second of CPU.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// For `erl -eval`: boots RabbitMQ, says so, then evaluates each line it reads
/// and prints the value. End of input means that the owner is gone: it halts.
pub(super) const PROGRAM: &str = include_str!("boot.erl");

const ANSWER: &str = "testkit-answer ";

/// How many of the VM's other lines are kept to explain a failure.
const KEPT_LINES: usize = 40;

/// The longest an expression may take; a paused VM never answers.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Console {
    conversation: tokio::sync::Mutex<Conversation>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
}

#[derive(Debug)]
struct Conversation {
    input: ChildStdin,
    answers: UnboundedReceiver<Answer>,
    asked: u64,
}

#[derive(Debug)]
struct Answer {
    id: u64,
    value: Result<String, String>,
}

impl Console {
    pub(super) fn new(input: ChildStdin, output: ChildStdout) -> Self {
        let (sender, answers) = unbounded_channel();
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let lines = Arc::clone(&last_lines);
        // A thread, not a task: a node outlives the runtime that started it.
        thread::spawn(move || read_output(output, &sender, &lines));
        Self {
            conversation: tokio::sync::Mutex::new(Conversation {
                input,
                answers,
                asked: 0,
            }),
            last_lines,
        }
    }

    /// Waits until RabbitMQ takes connections.
    pub(super) async fn ready(&self) -> anyhow::Result<()> {
        let mut conversation = self.conversation.lock().await;
        match conversation.answer(0).await?.as_str() {
            "ok" => Ok(()),
            other => bail!("RabbitMQ did not start up: {other}"),
        }
    }

    /// The value of Erlang `code` (expressions without the closing dot), printed as a term.
    pub(super) async fn eval(&self, code: &str) -> anyhow::Result<String> {
        let code = code.replace('\n', " ");
        let mut conversation = self.conversation.lock().await;
        conversation.asked += 1;
        let id = conversation.asked;
        writeln!(conversation.input, "{id} {code}.").context("the Erlang VM is gone")?;
        timeout(PATIENCE, conversation.answer(id))
            .await
            .with_context(|| format!("no answer from the Erlang VM to `{code}`"))?
            .with_context(|| format!("the Erlang VM cannot evaluate `{code}`"))
    }

    /// Waits until the VM has closed its output, as it does by ending.
    pub(super) async fn closed(&self) {
        let mut conversation = self.conversation.lock().await;
        while conversation.answers.recv().await.is_some() {}
    }

    /// What the VM said last, beside answers.
    pub(super) fn last_lines(&self) -> String {
        let lines = self
            .last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .fold(String::new(), |text, line| text + line + "\n")
    }
}

impl Conversation {
    async fn answer(&mut self, id: u64) -> anyhow::Result<String> {
        loop {
            let answer = self
                .answers
                .recv()
                .await
                .context("the Erlang VM has ended")?;
            // Others are answers nobody waited for long enough.
            if answer.id == id {
                return answer.value.map_err(|reason| anyhow!(reason));
            }
        }
    }
}

fn read_output(
    output: ChildStdout,
    answers: &UnboundedSender<Answer>,
    last_lines: &Mutex<VecDeque<String>>,
) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if let Some(answer) = line.strip_prefix(ANSWER).and_then(parse_answer) {
            // Nobody listens any more when the console is being dropped.
            let _ = answers.send(answer);
        } else {
            let mut lines = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line.into_owned());
        }
    }
}

fn parse_answer(text: &str) -> Option<Answer> {
    let (id, text) = text.split_once(' ')?;
    let (kind, value) = text.split_once(' ')?;
    let value = value.to_owned();
    Some(Answer {
        id: id.parse().ok()?,
        value: if kind == "ok" { Ok(value) } else { Err(value) },
    })
}
