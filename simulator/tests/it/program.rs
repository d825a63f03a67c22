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
