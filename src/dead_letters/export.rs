//! A whole letter as JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::Entry;
use crate::event::PROPERTIES;
use crate::rabbitmq::Message;

/// One line of an export: the letter with its headers, its properties and its body. Nothing if its message was not
/// kept.
pub fn export_line(letter: &Entry) -> Option<String> {
    whole(letter).map(|whole| whole.to_string())
}

/// The letter with everything that it holds.
pub fn whole(letter: &Entry) -> Option<Value> {
    let message = letter.message()?;
    let mut whole = letter.as_json();
    let object = whole.as_object_mut()?;
    object.insert("headers".to_owned(), message.headers_as_json().into());
    object.insert(
        "properties".to_owned(),
        message.properties_as_json(&PROPERTIES).into(),
    );
    let (body, encoding) = body(message);
    object.insert("body".to_owned(), body);
    if let Some(encoding) = encoding {
        object.insert("body_encoding".to_owned(), json!(encoding));
    }
    Some(whole)
}

fn body(message: &Message) -> (Value, Option<&'static str>) {
    match str::from_utf8(&message.body) {
        Ok(text) => (text.into(), None),
        Err(_) => (STANDARD.encode(&message.body).into(), Some("base64")),
    }
}
