use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::ZlibDecoder;
use serde_json::{Value, json};

use super::*;

/// Tencent's public demo key.
const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
const APP: u32 = 1_400_000_000;

fn ticket(user_sig: &str) -> Value {
    let base64 = user_sig
        .replace('*', "+")
        .replace('-', "/")
        .replace('_', "=");
    let zipped = BASE64_STANDARD.decode(base64).unwrap();
    let mut ticket = String::new();
    ZlibDecoder::new(zipped.as_slice())
        .read_to_string(&mut ticket)
        .unwrap();
    serde_json::from_str(&ticket).unwrap()
}

#[test]
fn signatures_and_tickets_equal_those_of_the_official_libraries() {
    // The first is by the Python library; the others by the one for Node.
    for (identifier, now, lifetime, signature, theirs) in [
        (
            "0",
            1_569_910_200,
            15_552_000,
            "CpjuBdQs9ZwnuGAJR8onoOeI9fweX2vIMMY94iOJWJY=",
            Some(
                "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwjDB4pTsxIKCzBQlK0MTAyiAyKRWFGQWpQL\
                 FTU1NjeCiJZm5YDEzS0tDAyOYaHFmOtBM54KsUqeUwGLLqPK8UndHryCL-Lx8-1RPy7Ty1AijMk\
                 9f30hLk0x-r3CvSFulWgAPYy*9",
            ),
        ),
        (
            "administrator",
            1_700_000_000,
            86_400,
            "yLAe+w7WUeUuqbV9h/TX78u21oTGi+i9Zp1u3PpnY60=",
            Some(
                "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwokpuZl5mcUlRYkl*UVQBcUp2YkFBZkpSla\
                 GJgZQAJEpycxNVbIyNEcVTa0oyCxKVbKyMDOBCRVnpitZKVX6OKZql5uHh6aGlhYmhVlm6IdEmF\
                 uUGhnmh7hnamdaRhUYlhoHFORFmhnYKtUCAK0SM5I_",
            ),
        ),
        (
            "xiaojun",
            1_700_000_000,
            15_552_000,
            "LvA7d/Iw7gSsnskvVzBDPOCCDbuNCw4GHwTC0bip+B4=",
            None,
        ),
    ] {
        let ours = sign_at(now, &KEY.into(), APP, identifier, lifetime);
        let ours = ours.expose_secret();
        assert!(
            ours.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"*-_".contains(&byte)),
            "{ours}"
        );
        let ours = ticket(ours);
        assert_eq!(
            ours,
            json!({
                "TLS.ver": "2.0", "TLS.identifier": identifier, "TLS.sdkappid": APP,
                "TLS.expire": lifetime, "TLS.time": now, "TLS.sig": signature,
            })
        );
        if let Some(theirs) = theirs {
            assert_eq!(ours, ticket(theirs));
        }
    }
}

/// A source that counts how often it is read, and a switch that makes it fail.
fn source(secret: &'static str) -> (SecretSource, Arc<AtomicUsize>, Arc<Mutex<bool>>) {
    let reads = Arc::new(AtomicUsize::new(0));
    let broken = Arc::new(Mutex::new(false));
    let load: SecretSource = {
        let (reads, broken) = (reads.clone(), broken.clone());
        Arc::new(move || {
            reads.fetch_add(1, Ordering::Relaxed);
            if *broken.lock().unwrap() {
                Err(SecretError::Unreadable(io::ErrorKind::NotFound))
            } else {
                Ok(secret.into())
            }
        })
    };
    (load, reads, broken)
}

fn signer(load: SecretSource) -> Signer {
    let credential = Credential::SecretKey {
        load,
        lifetime: Duration::from_secs(1_000),
    };
    Signer::new(credential, APP, "administrator".into())
}

fn made_at(signer: &Signer, now: u64) -> u64 {
    let user_sig = signer.user_sig_at(now).unwrap();
    ticket(user_sig.expose_secret())["TLS.time"]
        .as_u64()
        .unwrap()
}

#[test]
fn what_is_made_with_the_key_is_wiped_when_it_is_dropped() {
    fn wiped(_: &impl zeroize::ZeroizeOnDrop) {}
    let key = SecretString::from(KEY);
    wiped(&signature(1, &key, APP, "administrator", 1));
    wiped(&sign_at(1, &key, APP, "administrator", 1));
}

#[test]
fn a_user_sig_is_kept_for_80_percent_of_its_lifetime() {
    let (load, reads, _) = source(KEY);
    let signer = signer(load);
    assert_eq!(made_at(&signer, 5_000), 5_000);
    assert_eq!(made_at(&signer, 5_059), 5_000);
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    assert_eq!(made_at(&signer, 5_799), 5_000);
    assert_eq!(made_at(&signer, 5_800), 5_800);
}

#[test]
fn a_key_that_was_replaced_is_used_within_a_minute() {
    let key = Arc::new(Mutex::new("old"));
    let load: SecretSource = {
        let key = key.clone();
        Arc::new(move || Ok((*key.lock().unwrap()).into()))
    };
    let signer = signer(load);
    assert_eq!(made_at(&signer, 5_000), 5_000);
    *key.lock().unwrap() = "new";
    assert_eq!(made_at(&signer, 5_059), 5_000);
    assert_eq!(made_at(&signer, 5_060), 5_060);
    // And half a rotation, an empty file for a moment, changes nothing.
    *key.lock().unwrap() = "";
    assert_eq!(made_at(&signer, 5_120), 5_060);
}

#[test]
fn a_clock_set_back_calls_for_a_new_user_sig() {
    let signer = signer(source(KEY).0);
    assert_eq!(made_at(&signer, 5_000), 5_000);
    assert_eq!(made_at(&signer, 4_999), 4_999);
}

#[test]
fn renewing_reads_the_secret_again() {
    let (load, reads, _) = source(KEY);
    let signer = signer(load);
    assert_eq!(made_at(&signer, 5_000), 5_000);
    signer.renew();
    assert_eq!(made_at(&signer, 5_001), 5_001);
    assert_eq!(reads.load(Ordering::Relaxed), 2);
}

#[test]
fn a_secret_that_is_away_stops_calls_only_when_the_old_user_sig_has_expired() {
    let (load, _, broken) = source(KEY);
    let signer = signer(load);
    assert_eq!(made_at(&signer, 5_000), 5_000);
    *broken.lock().unwrap() = true;
    assert_eq!(signer.trouble(), None);
    assert_eq!(made_at(&signer, 5_999), 5_000);
    let away = SecretError::Unreadable(io::ErrorKind::NotFound);
    assert_eq!(signer.trouble(), Some(away));
    assert_eq!(signer.user_sig_at(6_000).unwrap_err(), away);
    *broken.lock().unwrap() = false;
    assert_eq!(made_at(&signer, 6_001), 6_001);
    assert_eq!(signer.trouble(), None);
}

#[test]
fn an_empty_secret_signs_nothing() {
    let signer = signer(source("").0);
    assert_eq!(signer.user_sig_at(0).unwrap_err(), SecretError::Empty);
}

#[test]
fn a_ready_made_user_sig_is_used_as_it_is_until_it_is_renewed() {
    let (load, reads, _) = source("eJ-made-elsewhere_");
    let signer = Signer::new(Credential::UserSig { load }, APP, "administrator".into());
    for now in [0, 5_000, 5_030, u64::MAX - 1] {
        let user_sig = signer.user_sig_at(now).unwrap();
        assert_eq!(user_sig.expose_secret(), "eJ-made-elsewhere_");
    }
    assert_eq!(reads.load(Ordering::Relaxed), 3);
    signer.renew();
    assert!(signer.user_sig_at(u64::MAX - 1).is_ok());
    assert_eq!(reads.load(Ordering::Relaxed), 4);
}
