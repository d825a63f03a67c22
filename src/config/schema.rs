//! The JSON Schema of a configuration file: shapes and descriptions from the structs, defaults from the default file.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use super::{DEFAULT_FILE, Settings};

/// A name and no address: the schema of each version comes from `tagsweep config --schema`.
const ID: &str = "urn:tagsweep:config";

/// The schema of the whole configuration. No key is required in it, because a file may hold a part only.
#[expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the default file is compiled in, and every load parses it"
)]
pub fn schema() -> Value {
    let mut schema = of::<Settings>();
    schema["$id"] = ID.into();
    let defaults: Value = toml::from_str(DEFAULT_FILE).expect("a test parses the default file");
    for (section, keys) in defaults.as_object().into_iter().flatten() {
        for (key, value) in keys.as_object().into_iter().flatten() {
            schema["properties"][section]["properties"][key]["default"] = value.clone();
        }
    }
    schema
}

/// The schema of some sections, without defaults.
pub(super) fn of<S: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        let transforms = &mut settings.transforms;
        transforms.push(Box::new(RecursiveTransform(only_what_a_file_may_hold)));
        transforms.push(Box::new(RecursiveTransform(choices_as_an_enum)));
    });
    settings.into_generator().into_root_schema_for::<S>().into()
}

/// TOML has no null, and a part of a configuration is one too.
fn only_what_a_file_may_hold(schema: &mut schemars::Schema) {
    schema.remove("required");
    schema.remove("default");
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
}

/// One `enum` instead of a `oneOf` of constants, which editors complete; the descriptions of the choices are kept.
fn choices_as_an_enum(schema: &mut schemars::Schema) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else {
        return;
    };
    let names: Vec<Value> = choices
        .iter()
        .map(|choice| choice["const"].clone())
        .collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let described: Vec<String> = choices
        .iter()
        .map(|choice| format!("{}: {}", choice["const"], text(&choice["description"])))
        .collect();
    let own = schema.get("description").map(text).unwrap_or_default();
    let description = format!("{own} {}", described.join(" ")).replace('\n', " ");
    schema.remove("oneOf");
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), json!(names));
    schema.insert("description".into(), description.trim().into());
}
