//! Describes the machine that the benchmark ran on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use testkit::rabbitmq::Node;

use crate::contestant::Places;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gb: f64,
    pub kernel: String,
    pub rabbitmq: String,
    pub tagsweep: String,
    pub python: String,
    pub node: String,
    pub binary_mb: Option<f64>,
}

impl Machine {
    /// # Errors
    /// When the system or the broker does not tell.
    pub async fn look(node: &Node, places: &Places) -> anyhow::Result<Machine> {
        let tagsweep = places.binaries.join("tagsweep");
        let uname = rustix::system::uname();
        Ok(Machine {
            processor: field("/proc/cpuinfo", "model name")?,
            cores: std::thread::available_parallelism()?.get(),
            memory_gb: memory_bytes()? / 1e9,
            kernel: uname.release().to_string_lossy().into_owned(),
            rabbitmq: node.version().await?,
            binary_mb: fs::metadata(&tagsweep)
                .ok()
                .map(|binary| binary.len() as f64 / 1e6),
            tagsweep: version(tagsweep),
            python: version(places.installed.join("python/bin/python")),
            node: version(places.installed.join("node/node")),
        })
    }
}

/// Nobody needs a program that takes no part.
fn version(program: PathBuf) -> String {
    match Command::new(program).arg("--version").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(_) => "not installed".to_owned(),
    }
}

fn memory_bytes() -> anyhow::Result<f64> {
    let text = field("/proc/meminfo", "MemTotal")?;
    let kib: f64 = text.trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

/// The first value of this name in a file of lines `name: value`.
fn field(file: &str, name: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(file)?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields
        .find(|(key, _)| key.trim() == name)
        .with_context(|| format!("no {name} in {file}"))?;
    Ok(value.trim().to_owned())
}
