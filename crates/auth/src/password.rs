//! Passwords: argon2id with 19 MiB, two passes and one lane, kept as PHC strings. Hashing blocks for tens of
//! milliseconds and belongs on a thread for that; whose password it is, and what a wrong one means, is left to others.
//!
//! The memory is taken from a small pool and goes back to it: blocks of this size that come and go would make the
//! allocator keep hundreds of MiB after a crowd has logged in.

use crate::secrets;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time;
use parking_lot::{Condvar, Mutex};
use std::sync::LazyLock;
use std::thread::available_parallelism;

/// Memory of one hash, KiB; also the most that a kept hash may ask for.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Most passes of a kept hash.
const PASSES_MAX: u32 = 10;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// Hashes at once at most, whatever the number of cores: 152 MiB.
const AT_ONCE_MAX: usize = 8;
/// Length of a password, characters.
const MIN_CHARS: usize = 12;
const MAX_CHARS: usize = 256;
/// Longest piece that a password may not merely repeat, characters.
const REPEATED_MAX_CHARS: usize = 4;

/// The commonest of those that are long enough.
const COMMON: &str = "\
    123456789012 1234567890123 12345678901234 123456789123 1234567891011 012345678910 0987654321098 \
    098765432109 098765432100 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1qaz2wsx3edc 1qaz2wsx3edc4rfv q1w2e3r4t5y6 \
    zaq12wsxcde3 qazwsxedcrfv qwertyuiop12 qwertyuiop123 qwertyuiopas qwertyuiopasdfgh qwerty123456 \
    qwertyqwerty 1234qwerasdf asdfghjkl123 asdfghjklqwe 123qweasdzxc abcdefghijkl abcdefghijklmnop abcd12345678 \
    password1234 password12345 password123456 passwordpassword mypassword123 thisismypassword passw0rd1234 \
    p@ssw0rd1234 p@ssword1234 administrator administrator1 admin1234567 admin12345678 letmein12345 welcome12345 \
    changeme1234 changemenow! iloveyou1234 correcthorsebatterystaple";

/// A hash of this password for keeping, with a salt of its own. Waits while as many as are allowed are being hashed.
pub(crate) fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES))?;
    let salt = secrets::random::<SALT_BYTES>();
    let mut out = [0; HASH_BYTES];
    let kept = ParamsString::try_from(&params)?;
    run(params, password, &salt, &mut out)?;
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: kept,
        salt: Some(Salt::new(&salt)?),
        hash: Some(Output::new(&out)?),
    };
    Ok(hash.to_string())
}

/// True if this is the password of that hash. How long it takes does not tell how wrong it is. A hash that is not ours
/// (of another kind, or asking for more memory than ours) is nobody's.
pub(crate) fn verify(password: &str, hash: &str) -> bool {
    verified(password, hash).unwrap_or(false)
}

fn verified(password: &str, hash: &str) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let is_known = hash.algorithm == ARGON2ID_IDENT && hash.version == Some(Version::V0x13.into());
    if !is_known || params.m_cost() > MEMORY_KIB || params.t_cost() > PASSES_MAX {
        return None;
    }
    let (salt, right) = (hash.salt?, hash.hash?);
    let mut out = vec![0; right.len()];
    run(params, password, &salt, &mut out).ok()?;
    Some(constant_time::verify_slices_are_equal(&out, right.as_bytes()).is_ok())
}

/// What is wrong with a new password of somebody with this e-mail address.
pub(crate) fn check(password: &str, email: &str) -> Result<(), &'static str> {
    let chars = password.chars().count();
    if chars < MIN_CHARS {
        return Err("a password has at least 12 characters");
    }
    if chars > MAX_CHARS {
        return Err("a password has at most 256 characters");
    }
    let lower = password.to_lowercase();
    if lower == email.to_lowercase() {
        return Err("a password is not the e-mail address");
    }
    if COMMON.split(' ').any(|common| common == lower) || is_repeated(&lower) {
        return Err("this password is one of the first that are guessed");
    }
    Ok(())
}

/// True for a short piece again and again, as `abcabcabcabc`.
fn is_repeated(password: &str) -> bool {
    let letters: Vec<char> = password.chars().collect();
    (1..=REPEATED_MAX_CHARS).any(|piece| letters.iter().zip(letters.iter().skip(piece)).all(|(one, next)| one == next))
}

fn run(params: Params, password: &str, salt: &[u8], out: &mut [u8]) -> Result<(), argon2::Error> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    POOL.with(|memory| argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, memory))
}

static POOL: LazyLock<Pool> =
    LazyLock::new(|| Pool::new(available_parallelism().map_or(1, usize::from).min(AT_ONCE_MAX)));

/// Memory for hashes: so many at once, made when first needed, kept for the next.
struct Pool {
    free: Mutex<Free>,
    given_back: Condvar,
}

struct Free {
    idle: Vec<Vec<Block>>,
    not_made_yet: usize,
}

impl Pool {
    fn new(at_once: usize) -> Pool {
        Pool { free: Mutex::new(Free { idle: Vec::new(), not_made_yet: at_once }), given_back: Condvar::new() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut [Block]) -> T) -> T {
        let mut loan = Loan { pool: self, memory: self.take() };
        work(&mut loan.memory)
    }

    fn take(&self) -> Vec<Block> {
        let mut free = self.free.lock();
        loop {
            if let Some(memory) = free.idle.pop() {
                return memory;
            }
            if free.not_made_yet > 0 {
                free.not_made_yet -= 1;
                drop(free);
                return vec![Block::default(); MEMORY_KIB as usize]; // a block is one KiB
            }
            self.given_back.wait(&mut free);
        }
    }
}

/// Memory that goes back to its pool, also when its user panics.
struct Loan<'a> {
    pool: &'a Pool,
    memory: Vec<Block>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.pool.free.lock().idle.push(std::mem::take(&mut self.memory));
        self.pool.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const GOOD: &str = "correct pony battery";

    #[test]
    fn a_password_is_known_again_and_no_other_is() {
        let hash = hash(GOOD).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify(GOOD, &hash));
        for wrong in ["", "correct pony batterY", "correct pony battery ", "correct pony batter"] {
            assert!(!verify(wrong, &hash), "{wrong}");
        }
    }

    #[test]
    fn the_same_password_is_kept_differently_each_time() {
        assert_ne!(hash(GOOD).unwrap(), hash(GOOD).unwrap());
    }

    /// Made with the reference implementation: `argon2 somesalt -id -t 2 -m 8 -p 1 -e`, of the word `password`.
    #[test]
    fn a_hash_that_another_program_made_is_understood() {
        let theirs = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(verify("password", theirs));
        assert!(!verify("Password", theirs));
    }

    #[test]
    fn hashes_that_are_not_ours_are_nobodys() {
        let ours = hash(GOOD).unwrap();
        let changed =
            [("argon2id", "argon2i"), ("m=19456", "m=4000000"), ("t=2", "t=4000000"), ("v=19", "v=16"), ("$v=19", "")];
        for (from, to) in changed {
            assert!(!verify(GOOD, &ours.replace(from, to)), "{to}");
        }
        for hash in ["", "$", "plain", GOOD, "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ"] {
            assert!(!verify(GOOD, hash), "{hash}");
        }
    }

    #[test]
    fn what_is_guessed_first_is_refused() {
        let email = "dispatcher@example.com";
        let long = "aB3-z".repeat(51) + "xy"; // 257
        let wrong = [
            "short pass1",
            "Password1234",
            "administrator",
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "Ab1!aB1!Ab1!",
            "abcdabcdabcda",
            "Dispatcher@Example.com",
            &long,
        ];
        for password in wrong {
            assert!(check(password, email).is_err(), "{password}");
        }
        for password in [GOOD, "zwölf Zeichen", "abcdefabcdef!", &long[..256]] {
            assert_eq!(check(password, email), Ok(()), "{password}");
        }
    }

    #[test]
    fn every_common_password_would_be_long_enough_and_is_written_in_lower_case() {
        for password in COMMON.split(' ') {
            assert!(password.chars().count() >= MIN_CHARS && password == password.to_lowercase(), "{password}");
        }
    }

    #[test]
    fn no_more_than_allowed_hash_at_once_and_their_memory_is_used_again() {
        let pool = Pool::new(2);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    pool.with(|memory| {
                        assert_eq!(memory.len(), MEMORY_KIB as usize);
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        now.fetch_sub(1, Ordering::SeqCst);
                    });
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 2);
        let free = pool.free.lock();
        assert_eq!((free.idle.len(), free.not_made_yet), (2, 0));
    }

    #[test]
    fn memory_comes_back_from_who_panics() {
        let pool = Pool::new(1);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.with(|_| panic!("in a test"))));
        assert!(panicked.is_err());
        assert_eq!(pool.with(|memory| memory.len()), MEMORY_KIB as usize);
    }
}
