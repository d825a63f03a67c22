//! The document that rules see of a message.

use serde_json::{Map, Value};

use crate::event::json::{Json, TooLarge};
use crate::event::{Message, Surroundings, body};

/// The parts of a document, which paths begin with.
pub(super) const PARTS: [&str; 5] = ["body", "headers", "properties", "routing_key", "exchange"];

#[derive(Clone)]
pub(super) struct Document {
    /// A list of the document alone: a filter needs a list to choose from.
    pub value: Value,
    pub is_json: bool,
    /// An object of the body has a field twice. Two programs would take two different ones of them.
    pub has_repeated: bool,
    /// What it may still take, in bytes.
    pub room: usize,
}

impl Document {
    pub(super) fn of(message: &Message<'_>) -> Result<Document, TooLarge> {
        let text = body::trim(message.body);
        let found = match text {
            b"" => Some(Json::of(Value::Null, 0)?),
            text => Json::read(text)?,
        };
        let is_json = found.is_some();
        let body = match found {
            Some(body) => body,
            None => {
                let text = String::from_utf8_lossy(text);
                let length = text.len();
                Json::of(text.into(), length)?
            }
        };
        let Surroundings {
            headers,
            properties,
        } = (message.surroundings)();
        // Each is moved, as the macro `json!` would not.
        let parts = [
            body.value,
            headers.into(),
            properties.into(),
            message.routing_key.into(),
            message.exchange.into(),
        ];
        let fields = PARTS.map(str::to_owned).into_iter().zip(parts);
        Ok(Document {
            value: Value::Array(vec![fields.collect::<Map<_, _>>().into()]),
            is_json,
            has_repeated: body.has_repeated,
            room: body.room,
        })
    }

    /// The document itself.
    #[expect(clippy::indexing_slicing, reason = "it is made as a list of one")]
    pub(super) fn root(&self) -> &Value {
        &self.value[0]
    }

    #[expect(clippy::indexing_slicing, reason = "it is made as a list of one")]
    pub(super) fn root_mut(&mut self) -> &mut Value {
        &mut self.value[0]
    }
}
