//! Logging in with a password and a second factor, refreshing, logging out. What failures cost is in `throttle`.

use crate::error::Error;
use crate::people::UserView;
use crate::rows::{Session, User};
use crate::store::{self, EMAIL, What};
use crate::work::Work;
use crate::{Auth, millis, secrets, totp};
use drover_access::Caller;
use drover_answer::now_ms;
use drover_ledger::{Entry, Outcome};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// Sessions of one user; one more, and the oldest ends.
const SESSIONS_MAX: usize = 50;
const AGENT_MAX_CHARS: usize = 200;

/// What somebody shows to log in.
#[derive(Clone, Default)]
pub struct Proof {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
    /// The code of his authenticator.
    pub totp: Option<String>,
    /// In its place, a recovery code.
    pub recovery_code: Option<String>,
}

/// A login, with its secrets. They are shown once.
#[derive(Clone)]
pub struct LoggedIn {
    /// Who.
    pub user: UserView,
    /// The secret of the cookie; none after a refresh.
    pub cookie: Option<String>,
    /// A token for the header `Authorization: Bearer`.
    pub access_token: String,
    /// For a new access token, once.
    pub refresh_token: String,
    /// How long the access token is good, seconds.
    pub expires_in: i64,
}

/// From where somebody comes.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// The address.
    pub address: Option<IpAddr>,
    /// What his program calls itself.
    pub agent: String,
}

impl Auth {
    /// Logs somebody in. A wrong address, password or code is always the same error, after about the same time.
    pub async fn log_in(&self, proof: Proof, from: &Client) -> Result<LoggedIn, Error> {
        let blind = self.0.vault.blind(EMAIL, &proof.email);
        let known = self.0.memory.read().user_of_email(&blind).cloned();
        let account = known.as_ref().map_or_else(|| "user/unknown".to_owned(), |user| user.subject());
        let done = self.try_log_in(&blind, known, proof, from).await;
        match &done {
            Ok(_) => self.note_login(&account, "login", from.address, Outcome::Ok),
            Err(Error::WrongCredentials | Error::Throttled { .. }) => {
                self.note_refusal(&account, "login", from.address);
            }
            // Nothing that he showed was wrong.
            Err(_) => self.forgive(&blind, from.address),
        }
        done
    }

    async fn try_log_in(
        &self,
        blind: &str,
        known: Option<Arc<User>>,
        proof: Proof,
        from: &Client,
    ) -> Result<LoggedIn, Error> {
        self.begin_attempt(blind, from.address)?;
        let hash = known.as_ref().map_or_else(String::new, |user| user.password_hash.clone());
        let is_right = self.is_password(proof.password, hash).await;
        let user = known.filter(|user| is_right && !user.disabled).ok_or(Error::WrongCredentials)?;
        let needs_code = user.totp_on && proof.totp.is_none() && proof.recovery_code.is_none();
        if needs_code {
            return Err(Error::TotpRequired);
        }
        let mut work = self.work().await?;
        // As it is now: it may have been changed while the password was hashed, and a code is good once.
        let now_user = self.0.memory.read().users.get(&user.id).cloned().ok_or(Error::WrongCredentials)?;
        if now_user.disabled || now_user.password_hash != user.password_hash {
            return Err(Error::WrongCredentials);
        }
        self.take_code(&mut work, &now_user, proof.totp.as_deref(), proof.recovery_code.as_deref()).await?;
        let logged_in = self.begin_session(&mut work, &now_user, from, false).await?;
        work.commit().await?;
        self.0.accounts.clear(&blind);
        self.forgive(blind, from.address);
        Ok(logged_in)
    }

    /// Takes a code of somebody with a second factor; on success it is spent.
    async fn take_code(
        &self,
        work: &mut Work<'_>,
        user: &User,
        code: Option<&str>,
        recovery: Option<&str>,
    ) -> Result<(), Error> {
        if !user.totp_on {
            return Ok(());
        }
        let after = match (code, recovery) {
            (Some(code), _) => {
                let step = totp_step(user, code).ok_or(Error::WrongCredentials)?;
                User { totp_last_step: step, ..user.clone() }
            }
            (None, Some(recovery)) => {
                let digest = recovery_digest(recovery);
                let left: Vec<String> = user.recovery.iter().filter(|kept| **kept != digest).cloned().collect();
                if left.len() == user.recovery.len() {
                    return Err(Error::WrongCredentials);
                }
                User { recovery: left, ..user.clone() }
            }
            (None, None) => return Err(Error::TotpRequired),
        };
        // Spending a code changes nothing that others see: no new version, no row in the outbox.
        store::put_user(work.on(), &self.0.vault, &after).await?;
        work.touch(What::User, &user.id);
        Ok(())
    }

    /// Begins a session of somebody who has proven who he is, here or `elsewhere`.
    pub(crate) async fn begin_session(
        &self,
        work: &mut Work<'_>,
        user: &User,
        from: &Client,
        elsewhere: bool,
    ) -> Result<LoggedIn, Error> {
        self.end_oldest(work, &user.id).await?;
        let now = now_ms();
        let (cookie, refresh) = (secrets::secret(), secrets::secret());
        let session = Session {
            id: secrets::name("s-").into(),
            user: user.id.clone(),
            cookie: secrets::digest_of(&cookie),
            created_ms: now,
            cookie_ends_ms: now + millis(self.0.settings.session),
            ends_ms: now + self.refresh_ms().max(millis(self.0.settings.session)),
            address: from.address.map(|address| address.to_string()).unwrap_or_default(),
            agent: from.agent.chars().filter(|c| !c.is_control()).take(AGENT_MAX_CHARS).collect(),
            elsewhere,
            seen_ms: AtomicI64::new(now),
        };
        store::put_session(work.on(), &session).await?;
        let digest = secrets::digest_of(&refresh);
        store::put_refresh(work.on(), &digest, &session.id, now + self.refresh_ms()).await?;
        work.touch(What::Session, &session.id);
        Ok(LoggedIn {
            user: UserView::from(user),
            cookie: Some(cookie),
            access_token: self.0.signer.sign(&user.subject(), &session.id, now),
            refresh_token: refresh,
            expires_in: self.0.signer.token_s(),
        })
    }

    async fn end_oldest(&self, work: &mut Work<'_>, user: &str) -> Result<(), Error> {
        let mut sessions: Vec<(i64, Arc<str>)> = {
            let memory = self.0.memory.read();
            memory.logins_of(user).map(|login| (login.session.created_ms, login.session.id.clone())).collect()
        };
        sessions.sort();
        let beyond = (sessions.len() + 1).saturating_sub(SESSIONS_MAX);
        for (_, id) in sessions.into_iter().take(beyond) {
            work.end_session(&id).await?;
        }
        Ok(())
    }

    /// A new access token and a new refresh token for an old one, which is spent. One that was spent before is a sign that
    /// somebody else has it: then the whole session ends.
    pub async fn refresh(&self, token: &str, from: &Client) -> Result<LoggedIn, Error> {
        const NOT_GOOD: Error = Error::Unauthorized("the refresh token is not good any more");
        let digest = secrets::digest_of(token);
        let now = now_ms();
        let mut work = self.work().await?;
        let refresh = store::refresh(work.on(), &digest).await?.ok_or(NOT_GOOD)?;
        let (session, user) = {
            let memory = self.0.memory.read();
            let login = memory.login(&refresh.session, now).ok_or(NOT_GOOD)?;
            let user = memory.users.get(&login.session.user).cloned().ok_or(NOT_GOOD)?;
            (login.session.clone(), user)
        };
        if refresh.used {
            work.end_session(&refresh.session).await?;
            work.commit().await?;
            self.note_login(&user.subject(), "token.reused", from.address, Outcome::Refused);
            tracing::warn!(user = %user.id, session = %session.id, "a refresh token came twice: its session has ended");
            return Err(NOT_GOOD);
        }
        if refresh.ends_ms <= now {
            return Err(NOT_GOOD);
        }
        let new = secrets::secret();
        store::use_refresh(work.on(), &digest, now).await?;
        store::put_refresh(work.on(), &secrets::digest_of(&new), &session.id, now + self.refresh_ms()).await?;
        let moved = Session {
            id: session.id.clone(),
            user: session.user.clone(),
            ends_ms: session.ends_ms.max(now + self.refresh_ms()),
            address: session.address.clone(),
            agent: session.agent.clone(),
            seen_ms: AtomicI64::new(now),
            ..*session
        };
        store::put_session(work.on(), &moved).await?;
        work.touch(What::Session, &session.id);
        work.commit().await?;
        Ok(LoggedIn {
            user: UserView::from(&*user),
            cookie: None,
            access_token: self.0.signer.sign(&user.subject(), &session.id, now),
            refresh_token: new,
            expires_in: self.0.signer.token_s(),
        })
    }

    /// Ends the caller's session, with its tokens. A caller without a session has nothing to end.
    pub async fn log_out(&self, caller: &Caller, from: &Client) -> Result<(), Error> {
        let Some(session) = caller.session.as_deref().filter(|_| caller.subject.starts_with("user/")) else {
            return Ok(());
        };
        let mut work = self.work().await?;
        work.end_session(session).await?;
        work.commit().await?;
        self.note_login(&caller.subject, "logout", from.address, Outcome::Ok);
        Ok(())
    }

    /// Proves once more that somebody knows his password, before he changes what protects his account.
    pub(crate) async fn prove_password(&self, user: &User, password: String) -> Result<(), Error> {
        self.begin_attempt(&user.email_blind, None)?;
        match self.is_password(password, user.password_hash.clone()).await {
            true => {
                self.0.accounts.clear(&user.email_blind.as_str());
                Ok(())
            }
            false => Err(Error::WrongCredentials),
        }
    }

    /// Counts an attempt as a failure of both until it turns out to be none; where either has to wait, of neither. The
    /// address comes first: who is held up there tries nothing, and whoever has the account does not wait for him.
    fn begin_attempt(&self, account: &str, address: Option<IpAddr>) -> Result<(), Error> {
        let now = now_ms();
        let throttled = |seconds| Error::Throttled { seconds };
        let site = address.map(site_of);
        if let Some(site) = &site {
            self.0.addresses.begin(site, now).map_err(throttled)?;
        }
        self.0.accounts.begin(&account, now).map_err(|seconds| {
            if let Some(site) = &site {
                self.0.addresses.forgive(site);
            }
            throttled(seconds)
        })
    }

    fn forgive(&self, account: &str, address: Option<IpAddr>) {
        self.0.accounts.forgive(&account);
        if let Some(address) = address {
            self.0.addresses.forgive(&site_of(address));
        }
    }

    pub(crate) fn note_login(&self, actor: &str, action: &'static str, address: Option<IpAddr>, outcome: Outcome) {
        self.0.ledger.note(Entry { address, outcome, ..Entry::new(actor, action, actor) });
    }

    /// A refusal that may come many times: noted once a minute.
    fn note_refusal(&self, actor: &str, action: &'static str, address: Option<IpAddr>) {
        if self.0.refusals.is_due(&(actor, action, address), now_ms()) {
            self.note_login(actor, action, address, Outcome::Refused);
        }
    }
}

/// Whom an address stands for: a host with IPv6 has a whole network of them.
pub(crate) fn site_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            std::net::Ipv6Addr::from(segments).into()
        }
    }
}

/// The step of a code that is right and was not used.
pub(crate) fn totp_step(user: &User, code: &str) -> Option<i64> {
    totp::check(&user.totp_secret, code, now_ms(), user.totp_last_step)
}

/// What is kept of a recovery code. How it is written (hyphens, case) does not matter.
pub(crate) fn recovery_digest(code: &str) -> String {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    secrets::write_digest(&secrets::digest_of(&plain.to_ascii_lowercase()))
}
