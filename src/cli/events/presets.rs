//! `tagsweep events presets`: the list, or the rules of one.

use serde_json::{Value, json};

use crate::cli::{Failure, output};
use crate::config::{self, Preset};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep events presets\n  tagsweep events presets debezium\n\n\
                  Exit codes: 0 printed, 1 unknown name."
)]
pub(super) struct Arguments {
    /// A preset.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Some(name) = &arguments.name else {
        return list(arguments.json);
    };
    let preset = config::preset(name).map_err(|error| anyhow::anyhow!("{name:?} {error}"))?;
    match arguments.json {
        true => output::print(as_json(&preset)),
        false => output::print(rules(&preset)),
    }
}

fn list(json: bool) -> Result<(), Failure> {
    if json {
        let presets: Value = config::presets().map(|preset| as_json(&preset)).collect();
        return output::print(serde_json::to_string_pretty(&presets)?);
    }
    let width = config::presets()
        .map(|preset| preset.name.len())
        .max()
        .unwrap_or(0);
    let lines = config::presets().map(|preset| {
        let parameters: Vec<_> = preset.parameters.keys().map(String::as_str).collect();
        let parameters = match parameters.is_empty() {
            true => String::new(),
            false => format!(" [{}]", parameters.join(", ")),
        };
        format!("{:width$}  {}{parameters}", preset.name, preset.about)
    });
    output::print(Vec::from_iter(lines).join("\n"))
}

/// What stands above the rules, then the rules as they would stand in a configuration.
fn rules(preset: &Preset) -> String {
    let comment: String = preset
        .text
        .lines()
        .take_while(|line| line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let parameters = preset.parameters.iter().map(|(name, parameter)| {
        let otherwise = match &parameter.default {
            Some(default) => format!("default {default:?}"),
            None => format!("required, such as {:?}", parameter.example),
        };
        format!("# {{{name}}}: {}; {otherwise}\n", parameter.about)
    });
    let parameters: String = parameters.collect();
    let between = if parameters.is_empty() { "" } else { "#\n" };
    let rules = preset.text.find("[[events.mapping]]");
    let rules = preset.text.get(rules.unwrap_or(0)..).unwrap_or_default();
    format!("{comment}{between}{parameters}\n{}", rules.trim_end())
}

fn as_json(preset: &Preset) -> Value {
    let parameters = preset.parameters.iter().map(|(name, parameter)| {
        json!({
            "name": name,
            "about": parameter.about,
            "default": parameter.default,
            "example": parameter.example,
        })
    });
    json!({
        "name": preset.name,
        "about": preset.about,
        "parameters": parameters.collect::<Value>(),
        "rules": rules(preset),
    })
}
