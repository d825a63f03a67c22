//! Selects the headers of a message that fit into one frame: the protocol cannot split them.

use lapin::types::{AMQPValue, FieldTable, ShortString, generation::gen_value};

/// Returns as many headers as fit into this many bytes, small ones first, and the names of the others.
pub(crate) fn fitting<'a>(
    headers: impl IntoIterator<Item = (&'a ShortString, &'a AMQPValue)>,
    mut room: usize,
) -> (FieldTable, Vec<String>) {
    let with_size = |(name, value): (&'a ShortString, _)| (size(name.as_str(), value), name, value);
    let mut headers: Vec<_> = headers.into_iter().map(with_size).collect();
    headers.sort_by_key(|(size, ..)| *size);
    let mut fitting = FieldTable::default();
    let mut others = Vec::new();
    for (size, name, value) in headers {
        if let Some(rest) = room.checked_sub(size) {
            room = rest;
            fitting.insert(name.clone(), value.clone());
        } else {
            others.push(name.as_str().to_owned());
        }
    }
    (fitting, others)
}

/// Size of a header in a frame, in bytes.
pub(crate) fn size(name: &str, value: &AMQPValue) -> usize {
    // Writing to memory does not fail; what cannot be written has no room anywhere.
    let written = gen_value(value)(Vec::new().into());
    let size = written.map_or(u32::MAX as usize, |written| written.into_inner().1 as usize);
    1 + name.len() + size
}
