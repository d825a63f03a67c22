//! The simulator takes every UserSig that the worker signs, and no other, whatever it is given.

use std::io::Write;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use im_simulator::usersig::UserSig;
use tagsweep::im::fuzzing::user_sig as sign;

const KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";
const APP: u32 = 1_400_000_000;

pub fn user_sig(input: &[u8]) {
    // As it stands, and as the innermost of its layers: no fuzzer makes up a checksum.
    if let Ok(text) = str::from_utf8(input) {
        is_refused(text);
        is_signed(text);
    }
    is_refused(&in_layers(input));
    if input.len() > 1_000 {
        is_refused(&in_layers(&input.repeat(1_000)));
    }
}

/// Nobody but us has the key.
fn is_refused(text: &str) {
    if let Some(decoded) = UserSig::decode(text) {
        assert!(!decoded.is_signed_by(KEY), "a forged UserSig is taken");
        // Any time is a time.
        let _ = (decoded.is_expired(0), decoded.is_expired(u64::MAX));
    }
}

/// The input is the admin's name, and its length the time.
fn is_signed(identifier: &str) {
    let now = 1_700_000_000 + identifier.len() as u64;
    let signed = sign(now, KEY, APP, identifier, 60);
    assert!(
        signed
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"*-_".contains(&byte))
    );
    let Some(decoded) = UserSig::decode(&signed) else {
        // The simulator inflates 8 KiB at most, and JSON writes a control character as six.
        assert!(identifier.len() > 1_000, "our own UserSig cannot be read");
        return;
    };
    assert_eq!(
        (decoded.identifier.as_str(), decoded.sdk_app_id),
        (identifier, u64::from(APP))
    );
    assert!(decoded.is_signed_by(KEY));
    assert!(!decoded.is_signed_by("5ec2e7-another"));
    assert_eq!(
        [59, 60, 61].map(|after| decoded.is_expired(now + after)),
        [false, false, true]
    );
}

fn in_layers(json: &[u8]) -> String {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    let zipped = zlib.write_all(json).and_then(|()| zlib.finish());
    BASE64_STANDARD
        .encode(zipped.expect("writing to memory does not fail"))
        .replace('+', "*")
        .replace('/', "-")
        .replace('=', "_")
}
