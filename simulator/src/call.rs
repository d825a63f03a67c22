//! One call, completely read.

use std::time::Instant;

use axum::http::{Method, Uri};
use serde_json::Value;

use crate::interface::Interface;

pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// `None` for a path that is none of ours.
    pub(crate) interface: Option<Interface>,
    /// `None` if it is no JSON.
    pub(crate) body: Option<Value>,
    pub(crate) arrived: Instant,
    /// Unix seconds.
    pub(crate) wall_clock: u64,
}

impl Call {
    pub(crate) fn new(
        method: Method,
        uri: Uri,
        body: &[u8],
        arrived: Instant,
        wall_clock: u64,
    ) -> Call {
        Call {
            interface: Interface::at(uri.path()),
            body: serde_json::from_slice(body).ok(),
            method,
            uri,
            arrived,
            wall_clock,
        }
    }

    pub(crate) fn clears_tags(&self) -> bool {
        self.interface.is_some_and(Interface::clears_tags)
    }

    /// Every ID that the body lists, as far as it can be read: the journal and rules about one user
    /// look at refused calls too.
    pub(crate) fn listed_ids(&self) -> Vec<&str> {
        let list = self
            .interface
            .and_then(|interface| self.body.as_ref()?.get(interface.list_field())?.as_array());
        let Some(list) = list else {
            return vec![];
        };
        list.iter().filter_map(listed_id).collect()
    }
}

/// The ID in one element of a list: the element itself, or its field where tags stand beside it.
fn listed_id(element: &Value) -> Option<&str> {
    element.as_str().or_else(|| element["To_Account"].as_str())
}
