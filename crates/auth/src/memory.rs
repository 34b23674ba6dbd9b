//! Everything that a request's credential is held against, in memory: so a request costs no SQL, and the database
//! may be away. `store` fills it, and it is never changed before the database is.

use crate::rows::{BY_KEY, BY_USER, Key, Rights, Session, Token, User};
use crate::secrets::Digest;
use drover_access::Caller;
use drover_model::Kind;
use hashbrown::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A login and its caller.
pub(crate) struct Login {
    pub(crate) session: Arc<Session>,
    pub(crate) caller: Caller,
}

/// One record, as read from the database; none where it is gone.
pub(crate) enum Row {
    User(Arc<str>, Option<User>),
    Session(Arc<str>, Option<Session>),
    Key(Arc<str>, Option<Key>),
    Token(Arc<str>, Option<Token>),
    /// Issuer and subject at a provider, and who that is here.
    Link((String, String), Option<Arc<str>>),
}

/// Access that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whose: `user/u-…`, `key/k-…`, `device/driver/d-1`.
    pub subject: String,
    /// The one session or credential that ended; none if all of the subject's did.
    pub session: Option<Arc<str>>,
}

/// The tables.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) users: HashMap<Arc<str>, Arc<User>>,
    pub(crate) by_email: HashMap<String, Arc<str>>,
    pub(crate) logins: HashMap<Arc<str>, Login>,
    pub(crate) cookies: HashMap<Digest, Arc<str>>,
    pub(crate) keys: HashMap<Arc<str>, Arc<Key>>,
    /// Who comes by a key, within what its maker has by now; a key that is not here opens nothing.
    by_key: HashMap<Arc<str>, Caller>,
    pub(crate) tokens: HashMap<Arc<str>, Arc<Token>>,
    pub(crate) links: HashMap<(String, String), Arc<str>>,
    tokens_by_device: HashMap<(Kind, Box<str>), usize>,
}

impl Memory {
    /// Takes up records as they are in the database now; tells what ended by it.
    pub(crate) fn apply(&mut self, rows: Vec<Row>, ended: &mut Vec<Ended>) {
        let mut moves_keys = false;
        for row in rows {
            moves_keys |= self.moves_keys(&row);
            self.take(row, ended);
        }
        if moves_keys {
            self.settle_keys(ended);
        }
    }

    fn take(&mut self, row: Row, ended: &mut Vec<Ended>) {
        match row {
            Row::User(id, user) => self.apply_user(id, user, ended),
            Row::Session(id, session) => self.apply_session(id, session, ended),
            Row::Key(id, key) => {
                let before = self.keys.remove(&id);
                if let Some(key) = key {
                    keep_time(before.as_ref().map(|key| &key.used_ms), &key.used_ms);
                    self.keys.insert(id, Arc::new(key));
                }
            }
            Row::Token(id, token) => {
                let before = self.tokens.remove(&id);
                if let Some(before) = &before {
                    self.count_token(before, -1);
                }
                if let (Some(before), None) = (&before, &token) {
                    ended.push(ended_of(&before.caller));
                }
                if let Some(token) = token {
                    keep_time(before.as_ref().map(|token| &token.used_ms), &token.used_ms);
                    self.count_token(&token, 1);
                    self.tokens.insert(id, Arc::new(token));
                }
            }
            Row::Link(whose, user) => match user {
                Some(user) => drop(self.links.insert(whose, user)),
                None => drop(self.links.remove(&whose)),
            },
        }
    }

    /// Takes the place of everything: what is not in `rows` is gone.
    pub(crate) fn replace(&mut self, rows: Vec<Row>, ended: &mut Vec<Ended>) {
        let before = std::mem::take(self);
        let mut nothing = Vec::new();
        // Users first: a session's caller is made from its user.
        let (users, others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| matches!(row, Row::User(..)));
        users.into_iter().chain(others).for_each(|row| self.take(row, &mut nothing));
        self.settle_keys(&mut nothing);
        let gone = |caller: &Caller| !self.is_known(caller);
        ended.extend(before.logins.values().map(|login| &login.caller).filter(|caller| gone(caller)).map(ended_of));
        ended.extend(before.by_key.values().filter(|caller| gone(caller)).map(ended_of));
        ended.extend(before.tokens.values().map(|token| &token.caller).filter(|caller| gone(caller)).map(ended_of));
    }

    /// Takes out what has ended by itself.
    pub(crate) fn expire(&mut self, now_ms: i64, ended: &mut Vec<Ended>) {
        let sessions: Vec<Arc<str>> =
            self.logins.values().filter(|l| l.session.ends_ms <= now_ms).map(|l| l.session.id.clone()).collect();
        sessions.into_iter().for_each(|id| self.apply_session(id, None, ended));
        for key in self.keys.values().filter(|key| key.is_over(now_ms) && key.expires_ms > now_ms - 2_000) {
            ended.push(Ended { subject: key.subject(), session: None });
        }
        for token in self.tokens.values().filter(|token| token.is_over(now_ms) && token.expires_ms > now_ms - 2_000) {
            ended.push(ended_of(&token.caller));
        }
    }

    /// The login of a cookie.
    pub(crate) fn by_cookie(&self, digest: &Digest, now_ms: i64) -> Option<&Login> {
        let login = self.login(self.cookies.get(digest)?, now_ms)?;
        (login.session.cookie_ends_ms > now_ms).then_some(login)
    }

    /// A key that is good, and who comes by it.
    pub(crate) fn by_key(&self, id: &str, now_ms: i64) -> Option<(&Key, &Caller)> {
        let key = self.keys.get(id).filter(|key| !key.is_over(now_ms))?;
        Some((key, self.by_key.get(id)?))
    }

    /// What is left of a key within what its maker has, whether it has expired or not.
    pub(crate) fn caller_of_key(&self, id: &str) -> Option<&Caller> {
        self.by_key.get(id)
    }

    /// A login that goes on.
    pub(crate) fn login(&self, id: &str, now_ms: i64) -> Option<&Login> {
        self.logins.get(id).filter(|login| login.session.ends_ms > now_ms)
    }

    /// The user of an address, by its blind index.
    pub(crate) fn user_of_email(&self, blind: &str) -> Option<&Arc<User>> {
        self.users.get(self.by_email.get(blind)?)
    }

    /// The sessions of a user.
    pub(crate) fn logins_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Login> {
        self.logins.values().filter(move |login| *login.session.user == *user)
    }

    /// How many tokens a device has.
    pub(crate) fn tokens_of(&self, kind: Kind, device: &str) -> usize {
        self.tokens_by_device.get(&(kind, device.into())).copied().unwrap_or(0)
    }

    fn is_known(&self, caller: &Caller) -> bool {
        let session = caller.session.as_deref().unwrap_or_default();
        match session.strip_prefix(crate::rows::BY_TOKEN) {
            Some(token) => self.tokens.contains_key(token),
            None if session.is_empty() => {
                let id = caller.subject.strip_prefix(BY_KEY).unwrap_or_default();
                self.by_key.get(id) == Some(caller)
            }
            None => self.logins.get(session).is_some_and(|login| login.caller == *caller),
        }
    }

    /// True if by this record keys may open more or less than before: it is a key, or a user who has other rights.
    fn moves_keys(&self, row: &Row) -> bool {
        let Row::User(id, user) = row else { return matches!(row, Row::Key(..)) };
        let rights = |user: &User| Rights::of_user(user).map(|rights| (rights.may, rights.reach));
        self.users.get(id).and_then(|user| rights(user)) != user.as_ref().and_then(rights)
    }

    /// Finds anew who comes by each key. A key has never more than its maker has by now, who may be a key as well; of who is
    /// neither user nor key (the node for its demo, whoever asked a node for trying out) nothing can be lost.
    fn settle_keys(&mut self, ended: &mut Vec<Ended>) {
        let mut settled: HashMap<Arc<str>, Option<Caller>> = HashMap::with_capacity(self.keys.len());
        for key in self.keys.values() {
            let mut line = Vec::new();
            let mut at = Some(key);
            // Makers before what they made.
            while let Some(key) = at.filter(|key| !settled.contains_key(&key.id) && line.len() < self.keys.len()) {
                line.push(key);
                at = key.created_by.strip_prefix(BY_KEY).and_then(|id| self.keys.get(id));
            }
            for key in line.into_iter().rev() {
                let rights = self.rights_of_maker(key, &settled);
                settled.insert(key.id.clone(), rights.and_then(|rights| key.caller(&rights)));
            }
        }
        let by_key = settled.into_iter().filter_map(|(id, caller)| Some((id, caller?))).collect();
        let before = std::mem::replace(&mut self.by_key, by_key);
        let others = before.iter().filter(|(id, caller)| self.by_key.get(*id) != Some(*caller));
        ended.extend(others.map(|(_, caller)| ended_of(caller)));
    }

    fn rights_of_maker(&self, key: &Key, settled: &HashMap<Arc<str>, Option<Caller>>) -> Option<Rights> {
        if let Some(id) = key.created_by.strip_prefix(BY_USER) {
            return Rights::of_user(self.users.get(id)?);
        }
        match key.created_by.strip_prefix(BY_KEY) {
            Some(id) => settled.get(id)?.as_ref().map(Rights::of_key),
            None => Some(Rights::ALL),
        }
    }

    fn count_token(&mut self, token: &Token, by: isize) {
        let key = (token.kind, token.device.clone());
        let count = self.tokens_by_device.entry(key.clone()).or_insert(0);
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            self.tokens_by_device.remove(&key);
        }
    }

    fn apply_user(&mut self, id: Arc<str>, user: Option<User>, ended: &mut Vec<Ended>) {
        if let Some(before) = self.users.remove(&id) {
            self.by_email.remove(&before.email_blind);
        }
        if let Some(user) = user {
            self.by_email.insert(user.email_blind.clone(), id.clone());
            self.users.insert(id.clone(), Arc::new(user));
        }
        let user = self.users.get(&id);
        // Whoever changes what a user reaches ends his sessions too; this is for those that have not ended yet.
        for login in self.logins.values_mut().filter(|login| login.session.user == id) {
            let caller = user.filter(|user| !user.disabled).map(|user| user.caller(login.session.id.clone()));
            match caller {
                Some(caller) if caller == login.caller => {}
                Some(caller) => {
                    ended.push(ended_of(&login.caller));
                    login.caller = caller;
                }
                None => ended.push(ended_of(&login.caller)),
            }
        }
        if user.is_none_or(|user| user.disabled) {
            self.logins.retain(|_, login| login.session.user != id);
            let logins = &self.logins;
            self.cookies.retain(|_, session| logins.contains_key(session));
        }
    }

    fn apply_session(&mut self, id: Arc<str>, session: Option<Session>, ended: &mut Vec<Ended>) {
        let before = self.logins.remove(&id);
        if let Some(before) = &before {
            self.cookies.remove(&before.session.cookie);
            if session.is_none() {
                ended.push(ended_of(&before.caller));
            }
        }
        if let Some(session) = session
            && let Some(user) = self.users.get(&session.user).filter(|user| !user.disabled)
        {
            keep_time(before.as_ref().map(|login| &login.session.seen_ms), &session.seen_ms);
            self.cookies.insert(session.cookie, id.clone());
            let caller = user.caller(id.clone());
            self.logins.insert(id, Login { session: Arc::new(session), caller });
        }
    }
}

fn ended_of(caller: &Caller) -> Ended {
    Ended { subject: caller.subject.clone(), session: caller.session.clone() }
}

/// When something was used last is noted in memory before it is written, if it is written at all.
fn keep_time(before: Option<&AtomicI64>, now: &AtomicI64) {
    if let Some(before) = before {
        now.fetch_max(before.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
