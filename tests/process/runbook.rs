//! The commands of docs/OPERATIONS.md and the quick start of the README do what they say.

use std::path::Path;
use std::process::Command;

use im_simulator::{Options, Simulator};
use testkit::amqp::Outgoing;

use crate::program::{PATIENCE, Program};
use crate::stage::*;

fn document(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The commands of all shell blocks, each as a shell parts it into words.
fn commands(text: &str) -> Vec<Vec<String>> {
    let blocks = text.split("\n```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("\n```").next());
    // The shell itself does the quoting: each command is a function that prints its words.
    let names = ["tagsweep", "rabbitmqctl", "rabbitmqadmin", "cargo"];
    let script: String = names
        .map(|name| format!("{name}() {{ printf '%s\\n' {name} \"$@\" ''; }}\n"))
        .concat();
    let script = script + &Vec::from_iter(blocks).join("\n");
    let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let words = String::from_utf8(output.stdout).unwrap();
    let commands = words.trim_end().split("\n\n");
    commands
        .map(|words| words.lines().map(str::to_owned).collect())
        .collect()
}

#[tokio::test]
async fn the_commands_of_the_runbook_work_as_written() {
    let stage = Stage::new().await;
    stage.declare().await;
    let worker = stage.worker().await;
    let address = worker.admin_address().await;
    let node = stage.vhost.node();
    let (vhost, user) = (stage.vhost.name(), format!("{}-user", stage.vhost.name()));
    let operator = format!("{vhost}-operator");
    for user in [&user, &operator] {
        node.ctl(&["add_user", user, "pa55word"]).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("deleted-users.txt");
    std::fs::write(&users, "pii-90001\npii-90002\n").unwrap();
    let users = users.to_str().unwrap();
    stage
        .publish([Outgoing::json("user.deleted", "no event")])
        .await;
    stage.letters_wait(1).await;
    let letters = stage.program("dead-letters list --each --json").run().await;
    let letter = letters.json()["letters"][0]["id"].clone();
    let copies = folder.path().join("letters.ndjson");
    let copies = copies.to_str().unwrap();
    let mut tried = [0, 0];
    for words in commands(&document("docs/OPERATIONS.md")) {
        let [program, arguments @ ..] = words.as_slice() else {
            unreachable!("a command has a name");
        };
        match program.as_str() {
            // Lists in other formats have tests of their own.
            "tagsweep"
                if arguments[0] == "sweep"
                    && arguments.last().map(String::as_str) != Some("deleted-users.txt") => {}
            "tagsweep" => {
                let command = arguments.join(" ").replace("deleted-users.txt", users);
                let command = command.replace("letters.ndjson", copies);
                let command = command.replace("LETTER", letter.as_str().unwrap());
                // Without a terminal nobody can be asked.
                let asks = ["sweep", "dead-letters redrive", "dead-letters purge"];
                let is_asked = asks.iter().any(|asks| command.starts_with(asks));
                let command = stage.program(&command);
                let command = match is_asked {
                    true => command.argument("--yes"),
                    false => command,
                };
                let ended = command.set("admin.listen", &address).run().await;
                assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
                tried[0] += 1;
            }
            // Debian's package has no plugin `rabbitmq_shovel` switched on, and no rabbitmqadmin.
            "rabbitmqctl" if !words.iter().any(|word| word == "shovel") => {
                let ours = |word: &String| match word.as_str() {
                    "accounts" => vhost.to_owned(),
                    "tagsweep" => user.clone(),
                    "operator" => operator.clone(),
                    word => word.to_owned(),
                };
                let arguments: Vec<String> = arguments.iter().map(ours).collect();
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let done = node.ctl(&arguments).await;
                assert!(done.is_ok(), "{words:?}: {done:?}");
                tried[1] += 1;
            }
            _ => {}
        }
    }
    assert!(tried >= [5, 5], "{tried:?} are not all");
    // None of them has harmed the worker.
    stage.import(0..1);
    stage.delete(0..1).await;
    stage.cleared(1).await;
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await.0, Some(0));
}

#[tokio::test]
async fn the_quick_start_of_the_readme_calls_for_its_users() {
    let readme = document("README.md");
    for line in [
        "tagsweep --config examples/quickstart.toml run",
        "im-simulator --listen 8480 &",
        "tagsweep publish alice bob ",
    ] {
        assert!(readme.contains(&format!("\n{line}")), "{line}");
    }
    let stage = Stage::new().await;
    // As `im-simulator` is without options, but for the port.
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart.toml");
    assert!(document("examples/quickstart.toml").contains("http://127.0.0.1:8480"));
    let worker = Program::new("run")
        .file(&example)
        .set("im.base_url", simulator.url())
        .set("rabbitmq.url", stage.vhost.url())
        .set("admin.listen", "127.0.0.1:0")
        .start();
    worker.says("broker session open").await;
    let publish = Program::new("publish alice bob").set("rabbitmq.url", stage.vhost.url());
    assert_eq!(publish.run().await.code, Some(0));
    let called = simulator.wait_for(PATIENCE, |stats| stats.ids == 2);
    called.await.unwrap();
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await.0, Some(0));
}
