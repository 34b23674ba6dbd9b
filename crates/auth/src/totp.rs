//! Codes of an authenticator: RFC 6238 with SHA-1, six digits and thirty seconds, which is what every authenticator
//! understands. That a code is good once is the caller's part: it keeps the last step that was accepted.

use crate::secrets;
use aws_lc_rs::{constant_time, hmac};

/// How long a code is shown, seconds.
const STEP_SECONDS: i64 = 30;
/// Steps that a clock may be ahead or behind.
const STEPS_OFF: i64 = 1;
/// Digits of a code.
const DIGITS: u32 = 6;
/// Bytes of a secret: as long as the digest.
const SECRET_BYTES: usize = 20;
/// As authenticators name us.
const ISSUER: &str = "Drover";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret of 160 bits, in base32.
pub(crate) fn new_secret() -> String {
    base32(&secrets::random::<SECRET_BYTES>())
}

/// The address that an authenticator reads from a QR code.
pub(crate) fn url(secret: &str, account: &str) -> String {
    let account = percent_encoded(account);
    let kind = format!("algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}");
    format!("otpauth://totp/{ISSUER}:{account}?secret={secret}&issuer={ISSUER}&{kind}")
}

/// The step of this code, if it is one of now, of the step before or of the one after, and later than the last that
/// was accepted. The caller keeps it as the last before anything is granted: until then the code is good again.
pub(crate) fn check(secret: &str, code: &str, now_ms: i64, last_step: i64) -> Option<i64> {
    let key = from_base32(secret).filter(|key| key.len() >= SECRET_BYTES)?;
    let code: String = code.chars().filter(|letter| !letter.is_whitespace()).collect();
    let now = now_ms.div_euclid(1000 * STEP_SECONDS);
    let mut accepted = None;
    // All of them each time: how long it takes tells nothing.
    for step in now - STEPS_OFF..=now + STEPS_OFF {
        let right = code_of(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key, step, DIGITS);
        let is_right = constant_time::verify_slices_are_equal(right.as_bytes(), code.as_bytes()).is_ok();
        if is_right && step > last_step {
            accepted = accepted.or(Some(step));
        }
    }
    accepted
}

/// RFC 4226, with the number of the step as the counter.
fn code_of(algorithm: hmac::Algorithm, key: &[u8], step: i64, digits: u32) -> String {
    let tag = hmac::sign(&hmac::Key::new(algorithm, key), &step.to_be_bytes());
    let tag = tag.as_ref();
    let from = usize::from(tag[tag.len() - 1] & 0x0f);
    let number = tag[from..from + 4].iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) & 0x7fff_ffff;
    format!("{:0width$}", number % 10_u32.pow(digits), width = digits as usize)
}

/// RFC 4648, without padding.
fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for piece in bytes.chunks(5) {
        let bits = piece.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)) << (8 * (5 - piece.len()));
        let letters = (piece.len() * 8).div_ceil(5);
        out.extend((0..letters).map(|place| BASE32[(bits >> (35 - 5 * place) & 31) as usize] as char));
    }
    out
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|one| *one == letter)? as u32;
        (bits, held) = (bits << 5 | value, held + 5);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if is_plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_000_000_000;
    const NOW: i64 = NOW_MS / 30_000;

    fn code(secret: &str, step: i64) -> String {
        code_of(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &from_base32(secret).unwrap(), step, DIGITS)
    }

    #[test]
    fn all_codes_of_rfc_6238_come_out() {
        let digits: Vec<u8> = (1..=64).map(|place| b'0' + place % 10).collect();
        let algorithms = [
            (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &digits[..20]),
            (hmac::HMAC_SHA256, &digits[..32]),
            (hmac::HMAC_SHA512, &digits[..64]),
        ];
        let vectors = [
            (59, ["94287082", "46119246", "90693936"]),
            (1_111_111_109, ["07081804", "68084774", "25091201"]),
            (1_111_111_111, ["14050471", "67062674", "99943326"]),
            (1_234_567_890, ["89005924", "91819424", "93441116"]),
            (2_000_000_000, ["69279037", "90698825", "38618901"]),
            (20_000_000_000_i64, ["65353130", "77737706", "47863826"]),
        ];
        for (seconds, codes) in vectors {
            for ((algorithm, key), right) in algorithms.into_iter().zip(codes) {
                let code = code_of(algorithm, key, seconds / STEP_SECONDS, 8);
                assert_eq!(code, right, "{algorithm:?} at {seconds}");
            }
        }
    }

    #[test]
    fn a_code_is_taken_one_step_early_or_late_and_no_further() {
        let secret = new_secret();
        for off in -3..=3 {
            let taken = check(&secret, &code(&secret, NOW + off), NOW_MS, 0);
            assert_eq!(taken, (off.abs() <= 1).then_some(NOW + off), "{off}");
        }
    }

    #[test]
    fn a_code_is_taken_once_and_none_from_before_it() {
        let secret = new_secret();
        assert_eq!(check(&secret, &code(&secret, NOW), NOW_MS, NOW - 1), Some(NOW));
        assert_eq!(check(&secret, &code(&secret, NOW), NOW_MS, NOW), None);
        assert_eq!(check(&secret, &code(&secret, NOW - 1), NOW_MS, NOW), None);
        assert_eq!(check(&secret, &code(&secret, NOW + 1), NOW_MS, NOW), Some(NOW + 1));
    }

    #[test]
    fn a_code_may_be_written_in_two_groups_and_is_nothing_else_than_six_digits() {
        let secret = new_secret();
        let right = code(&secret, NOW);
        let grouped = format!(" {} {}", &right[..3], &right[3..]);
        assert_eq!(check(&secret, &grouped, NOW_MS, 0), Some(NOW));
        for wrong in
            ["", "0", &right[1..], &format!("0{right}"), &format!("{right}0"), "abcdef", &format!("+{}", &right[1..])]
        {
            assert_eq!(check(&secret, wrong, NOW_MS, 0), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_that_is_missing_broken_or_short_takes_no_code() {
        for secret in ["", "A", "not base32", "GEZDGNBVGY3TQOJQ"] {
            let key = from_base32(secret).unwrap_or_default();
            let code = code_of(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key, NOW, DIGITS);
            assert_eq!(check(secret, &code, NOW_MS, 0), None, "{secret}");
        }
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        let vectors =
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB")];
        for (plain, text) in vectors {
            assert_eq!(base32(plain.as_bytes()), text);
            assert_eq!(from_base32(text).as_deref(), Some(plain.as_bytes()), "{text}");
        }
        assert_eq!(from_base32("MZXW6YTBOI").as_deref(), Some(&b"foobar"[..]));
        assert_eq!(from_base32("mz"), None);
    }

    #[test]
    fn secrets_are_160_bits_and_never_the_same() {
        let (one, other) = (new_secret(), new_secret());
        assert_eq!(from_base32(&one).map(|key| key.len()), Some(20));
        assert_ne!(one, other);
    }

    #[test]
    fn the_address_says_all_that_an_authenticator_needs() {
        assert_eq!(
            url("JBSWY3DPEHPK3PXP", "alice+x@example.com"),
            "otpauth://totp/Drover:alice%2Bx%40example.com?secret=JBSWY3DPEHPK3PXP&issuer=Drover&algorithm=SHA1\
             &digits=6&period=30"
        );
    }
}
