//! UserSig (TLSSigAPIv2) as the real server checks it, and a signer for tests and demos.
//!
//! It knows neither the query nor the clock: who the caller says they are, and what time it is,
//! are compared elsewhere or given as parameters.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// No honest UserSig inflates to more; a compression bomb does.
const MAX_INFLATED_BYTES: u64 = 8 * 1024;

const VERSION: &str = "2.0";

/// The text inside a UserSig. The field order of the languages' libraries differs and means nothing.
#[derive(Deserialize, Serialize)]
pub struct UserSig {
    #[serde(rename = "TLS.ver")]
    version: String,
    #[serde(rename = "TLS.identifier")]
    pub identifier: String,
    #[serde(rename = "TLS.sdkappid")]
    pub sdk_app_id: u64,
    #[serde(rename = "TLS.expire")]
    expire: u64,
    #[serde(rename = "TLS.time")]
    time: u64,
    /// Standard base64, as it stands in the signed text.
    #[serde(
        rename = "TLS.userbuf",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    userbuf: Option<String>,
    #[serde(rename = "TLS.sig")]
    sig: String,
}

impl UserSig {
    /// Undoes the encoding of `text`. `None` if any layer of it is broken, a plain base64 alphabet
    /// included: a signer that forgot the substitution of `+/=` has to notice it here.
    pub fn decode(text: &str) -> Option<UserSig> {
        let base64 = text
            .chars()
            .map(|character| match character {
                '*' => Some('+'),
                '-' => Some('/'),
                '_' => Some('='),
                '+' | '/' | '=' => None,
                other => Some(other),
            })
            .collect::<Option<String>>()?;
        let compressed = STANDARD.decode(base64).ok()?;
        let mut json = Vec::new();
        ZlibDecoder::new(compressed.as_slice())
            .take(MAX_INFLATED_BYTES + 1)
            .read_to_end(&mut json)
            .ok()?;
        if json.len() as u64 > MAX_INFLATED_BYTES {
            return None;
        }
        let decoded: UserSig = serde_json::from_slice(&json).ok()?;
        (decoded.version == VERSION).then_some(decoded)
    }

    /// Whether `secret_key` made this signature; compared in constant time.
    pub fn is_signed_by(&self, secret_key: &str) -> bool {
        STANDARD
            .decode(&self.sig)
            .is_ok_and(|sig| self.mac(secret_key).verify_slice(&sig).is_ok())
    }

    /// Whether it is no longer valid at `now` (Unix seconds).
    pub fn is_expired(&self, now: u64) -> bool {
        now > self.time.saturating_add(self.expire)
    }

    /// The key is the console's text as it stands: it looks like hexadecimal, but is not decoded.
    fn mac(&self, secret_key: &str) -> Hmac<Sha256> {
        let mut signed = format!(
            "TLS.identifier:{}\nTLS.sdkappid:{}\nTLS.time:{}\nTLS.expire:{}\n",
            self.identifier, self.sdk_app_id, self.time, self.expire
        );
        if let Some(userbuf) = &self.userbuf {
            signed.push_str(&format!("TLS.userbuf:{userbuf}\n"));
        }
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret_key.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(signed.as_bytes());
        mac
    }
}

/// A UserSig for `identifier`, signed at `time` (Unix seconds) and valid for `expire` seconds.
pub fn sign(secret_key: &str, sdk_app_id: u64, identifier: &str, time: u64, expire: u64) -> String {
    let mut unsigned = UserSig {
        version: VERSION.to_owned(),
        identifier: identifier.to_owned(),
        sdk_app_id,
        expire,
        time,
        userbuf: None,
        sig: String::new(),
    };
    unsigned.sig = STANDARD.encode(unsigned.mac(secret_key).finalize().into_bytes());
    let json = serde_json::to_vec(&unsigned).expect("strings and numbers always serialize");
    let mut compressed = Vec::new();
    ZlibEncoder::new(json.as_slice(), Compression::default())
        .read_to_end(&mut compressed)
        .expect("reading from memory cannot fail");
    STANDARD
        .encode(compressed)
        .replace('+', "*")
        .replace('/', "-")
        .replace('=', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tencent's public demo key.
    const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
    const APP: u64 = 1_400_000_000;

    const PYTHON: &str = "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwjDB4pTsxIKCzBQlK0MTAyiAyKRWFGQWpQLFTU1NjeCiJZm5YDEzS0tDAyOYaHFmOtBM54KsUqeUwGLLqPK8UndHryCL-Lx8-1RPy7Ty1AijMk9f30hLk0x-r3CvSFulWgAPYy*9";
    const NODE: &str = "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwokpuZl5mcUlRYkl*UVQBcUp2YkFBZkpSlaGJgZQAJEpycxNVbIyNEcVTa0oyCxKVbKyMDOBCRVnpitZKVX6OKZql5uHh6aGlhYmhVlm6IdEmFuUGhnmh7hnamdaRhUYlhoHFORFmhnYKtUCAK0SM5I_";
    /// As the Go library does it: stored blocks only, and a line feed after the JSON.
    const GO: &str = "eAEBrwBQ-3siVExTLnZlciI6IjIuMCIsIlRMUy5pZGVudGlmaWVyIjoiYWRtaW5pc3RyYXRvciIsIlRMUy5zZGthcHBpZCI6MTQwMDAwMDAwMCwiVExTLmV4cGlyZSI6ODY0MDAsIlRMUy50aW1lIjoxNzAwMDAwMDAwLCJUTFMuc2lnIjoieUxBZSt3N1dVZVV1cWJWOWgvVFg3OHUyMW9UR2kraTlacDF1M1Bwblk2MD0ifQrwJDOc";

    fn sig_of(identifier: &str, time: u64, expire: u64, userbuf: Option<&str>) -> String {
        let unsigned = UserSig {
            version: VERSION.to_owned(),
            identifier: identifier.to_owned(),
            sdk_app_id: APP,
            expire,
            time,
            userbuf: userbuf.map(str::to_owned),
            sig: String::new(),
        };
        STANDARD.encode(unsigned.mac(KEY).finalize().into_bytes())
    }

    #[test]
    fn the_signed_text_is_that_of_the_official_libraries() {
        let vectors = [
            (
                "0",
                1_569_910_200,
                15_552_000,
                None,
                "CpjuBdQs9ZwnuGAJR8onoOeI9fweX2vIMMY94iOJWJY=",
            ),
            (
                "0",
                1_569_910_200,
                15_552_000,
                Some("YWJj"),
                "bC3u5cuslSg8Ds7KY58mhSkTrxunrFu50dkdkCYH4i8=",
            ),
            (
                "administrator",
                1_700_000_000,
                86_400,
                None,
                "yLAe+w7WUeUuqbV9h/TX78u21oTGi+i9Zp1u3PpnY60=",
            ),
            (
                "xiaojun",
                1_700_000_000,
                15_552_000,
                None,
                "LvA7d/Iw7gSsnskvVzBDPOCCDbuNCw4GHwTC0bip+B4=",
            ),
            (
                "administrator",
                1_700_000_000,
                86_400,
                Some("YWJj"),
                "8genqljbpEaJZVMsIbmfmZ/85Nx6/a80jcuFHDVj+RM=",
            ),
        ];
        for (identifier, time, expire, userbuf, expected) in vectors {
            assert_eq!(sig_of(identifier, time, expire, userbuf), expected);
        }
    }

    #[test]
    fn what_the_official_libraries_made_is_accepted_at_any_compression_level() {
        for (text, identifier) in [
            (PYTHON, "0"),
            (NODE, "administrator"),
            (GO, "administrator"),
        ] {
            let decoded = UserSig::decode(text).expect("a published vector decodes");
            assert_eq!(
                (decoded.identifier.as_str(), decoded.sdk_app_id),
                (identifier, APP)
            );
            assert!(decoded.is_signed_by(KEY));
            assert!(!decoded.is_signed_by("another key"));
        }
    }

    #[test]
    fn it_expires_one_second_after_its_last_one() {
        let decoded = UserSig::decode(GO).expect("a published vector decodes");
        assert!(!decoded.is_expired(1_700_086_400));
        assert!(decoded.is_expired(1_700_086_401));
    }

    #[test]
    fn a_changed_field_breaks_the_signature() {
        let mut decoded = UserSig::decode(GO).expect("a published vector decodes");
        decoded.expire += 1;
        assert!(!decoded.is_signed_by(KEY));
    }

    #[test]
    fn its_own_signer_and_verifier_agree() {
        let decoded = UserSig::decode(&sign(KEY, APP, "administrator", 7, 60)).expect("decodes");
        assert!(decoded.is_signed_by(KEY));
        assert!(decoded.is_expired(68));
    }

    #[test]
    fn broken_layers_are_not_decoded() {
        let bomb = {
            let mut compressed = Vec::new();
            ZlibEncoder::new([b' '; 9000].as_slice(), Compression::default())
                .read_to_end(&mut compressed)
                .expect("memory");
            STANDARD
                .encode(compressed)
                .replace('+', "*")
                .replace('/', "-")
                .replace('=', "_")
        };
        let version_1 = {
            let json = br#"{"TLS.ver":"1.0","TLS.identifier":"a","TLS.sdkappid":1,"TLS.expire":1,"TLS.time":1,"TLS.sig":""}"#;
            let mut compressed = Vec::new();
            ZlibEncoder::new(json.as_slice(), Compression::default())
                .read_to_end(&mut compressed)
                .expect("memory");
            STANDARD
                .encode(compressed)
                .replace('+', "*")
                .replace('/', "-")
                .replace('=', "_")
        };
        let unsubstituted = NODE.replace('*', "+").replace('-', "/").replace('_', "=");
        let cases = [
            ("", "empty"),
            ("xxx", "not base64"),
            (&NODE[..NODE.len() - 8], "cut short"),
            (&GO.replace("JDOc", "JDOd"), "wrong checksum"),
            (unsubstituted.as_str(), "plain base64"),
            (bomb.as_str(), "compression bomb"),
            (version_1.as_str(), "another version"),
        ];
        for (text, what) in cases {
            assert!(UserSig::decode(text).is_none(), "{what}");
        }
    }
}
