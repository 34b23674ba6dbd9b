//! Logins that were begun and not finished: in memory, for a while, so many at most. A restart forgets them; people
//! begin anew then.

use openidconnect::{CsrfToken, Nonce, PkceCodeVerifier};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// How long a login may take from redirect to return.
pub const LOGIN_LIFE: Duration = Duration::from_secs(10 * 60);
/// Logins that may be under way; one more, and the oldest is forgotten.
pub const LOGINS_MAX: usize = 10_000;

/// What must be remembered of a login.
pub(crate) struct Login {
    /// What the browser that began it holds.
    pub(crate) binding: CsrfToken,
    pub(crate) nonce: Nonce,
    pub(crate) verifier: PkceCodeVerifier,
    pub(crate) after: Option<String>,
}

/// Logins under way. `order` and `numbers` always name the same ones.
#[derive(Default)]
pub(crate) struct Waiting {
    order: BTreeMap<u64, (Instant, String, Login)>,
    numbers: HashMap<String, u64>,
    next: u64,
}

impl Waiting {
    pub(crate) fn add(&mut self, state: String, login: Login) {
        while let Some(oldest) = self.order.first_entry() {
            let (begun, state, _) = oldest.get();
            if begun.elapsed() < LOGIN_LIFE && self.numbers.len() < LOGINS_MAX {
                break;
            }
            self.numbers.remove(state);
            oldest.remove();
        }
        self.numbers.insert(state.clone(), self.next);
        self.order.insert(self.next, (Instant::now(), state, login));
        self.next += 1;
    }

    /// The login of this state, which is gone from now on. A wrong binding takes nothing: who only learned the state
    /// of somebody else's login cannot spoil it.
    pub(crate) fn take(&mut self, state: &str, binding: &str) -> Option<Login> {
        let number = *self.numbers.get(state)?;
        let (begun, _, login) = self.order.get(&number)?;
        if login.binding != CsrfToken::new(binding.to_owned()) || begun.elapsed() >= LOGIN_LIFE {
            return None;
        }
        self.numbers.remove(state);
        self.order.remove(&number).map(|(_, _, login)| login)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        let binding = CsrfToken::new("browser".into());
        let verifier = PkceCodeVerifier::new("v".repeat(43));
        Login { binding, nonce: Nonce::new("n".into()), verifier, after: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_is_good_for_ten_minutes_and_not_longer() {
        let mut waiting = Waiting::default();
        waiting.add("a".into(), login());
        waiting.add("b".into(), login());
        tokio::time::advance(LOGIN_LIFE - Duration::from_millis(1)).await;
        assert!(waiting.take("a", "browser").is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(waiting.take("b", "browser").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn old_logins_leave_memory_when_new_ones_begin() {
        let mut waiting = Waiting::default();
        for number in 0..100 {
            waiting.add(number.to_string(), login());
        }
        tokio::time::advance(LOGIN_LIFE).await;
        waiting.add("new".into(), login());
        assert_eq!((waiting.order.len(), waiting.numbers.len()), (1, 1));
    }

    #[test]
    fn the_oldest_leaves_when_there_are_too_many() {
        let mut waiting = Waiting::default();
        for number in 0..=LOGINS_MAX {
            waiting.add(number.to_string(), login());
        }
        assert_eq!((waiting.order.len(), waiting.numbers.len()), (LOGINS_MAX, LOGINS_MAX));
        assert!(waiting.take("0", "browser").is_none());
        assert!(waiting.take("1", "browser").is_some());
        assert!(waiting.take(&LOGINS_MAX.to_string(), "browser").is_some());
    }

    #[test]
    fn a_state_is_good_once_and_only_with_its_binding() {
        let mut waiting = Waiting::default();
        waiting.add("a".into(), login());
        assert!(waiting.take("a", "another").is_none());
        assert!(waiting.take("a", "browser").is_some());
        assert!(waiting.take("a", "browser").is_none());
        assert_eq!((waiting.order.len(), waiting.numbers.len()), (0, 0));
    }
}
