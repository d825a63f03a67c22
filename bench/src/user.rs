//! The users of the benchmark: each has a number, and a user ID that holds it.

use memchr::memmem;

const PREFIX: &str = "pii-";
const DIGITS: usize = 9;

/// The user ID of this number.
pub fn id(number: u32) -> String {
    format!("{PREFIX}{number:0DIGITS$}")
}

/// The numbers of all user IDs in a text, in their order.
pub fn numbers(text: &[u8]) -> Vec<u32> {
    memmem::find_iter(text, PREFIX)
        .filter_map(|at| number(text.get(at + PREFIX.len()..)?.get(..DIGITS)?))
        .collect()
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_user_ids_are_read_back_in_order() {
        let text = format!(r#"{{"To_Account":["{}","{}"]}}"#, id(7), id(123_456_789));
        assert_eq!(numbers(text.as_bytes()), [7, 123_456_789]);
    }

    #[test]
    fn what_is_no_user_id_of_ours_is_passed_over() {
        assert!(numbers(b"pii-12, pii-00000000x, pii").is_empty());
    }
}
