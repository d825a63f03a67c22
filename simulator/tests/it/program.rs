//! The program: its one line on stdout, its flags, its end.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Killed on drop, so that a failed test leaves nothing behind.
struct Program(Child);

impl Program {
    fn start(arguments: &[&str]) -> Program {
        let child = Command::new(env!("CARGO_BIN_EXE_im-simulator"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Program(child.expect("the program was built with this test"))
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_where_it_listens_and_ends_with_0_when_asked_to() {
    for signal in ["TERM", "INT"] {
        let mut program = Program::start(&["--latency", "1ms", "--fault", "91000:p=0.05"]);
        let mut stdout = BufReader::new(program.0.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line
            .strip_prefix("listening on http://")
            .unwrap()
            .trim_end();
        TcpStream::connect(address).unwrap();

        program.signal(signal);
        assert_eq!(program.0.wait().unwrap().code(), Some(0), "{signal}");
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        program
            .0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn with_a_folder_it_serves_https_and_can_be_asked_whether_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(&["--tls-dir", folder.path().to_str().unwrap()]);
    let mut stdout = BufReader::new(program.0.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.strip_prefix("listening on https://").unwrap();
    let address = address.trim_end();
    assert!(folder.path().join("ca.pem").exists());

    // Nobody has port 1, whereas that of the program may be another's as soon as it has ended.
    for (listen, code) in [(address, 0), ("127.0.0.1:1", 1)] {
        let mut asks = Program::start(&["--listen", listen, "--healthy"]);
        assert_eq!(asks.0.wait().unwrap().code(), Some(code), "{listen}");
    }
}

#[test]
fn names_for_a_certificate_that_nobody_gets_are_refused() {
    let mut program = Program::start(&["--tls-name", "im-simulator"]);
    assert_eq!(program.0.wait().unwrap().code(), Some(2));
}

#[test]
fn a_wrong_flag_is_refused_without_repeating_the_secret() {
    let mut program = Program::start(&["--secret-key", "s3cret", "--latency", "20"]);
    assert_eq!(program.0.wait().unwrap().code(), Some(2));
    let mut complaint = String::new();
    program
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaint)
        .unwrap();
    assert!(complaint.contains("--latency"));
    assert!(!complaint.contains("s3cret"));
}
