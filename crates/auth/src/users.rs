//! Users: who may see, make, change and remove whom. How somebody proves to be one is in `login`.

use crate::error::Error;
use crate::people::{
    Created, MadeUser, NewUser, UserChange, UserView, checked_email, checked_fleets, checked_id, checked_name,
    is_whole, role_of,
};
use crate::rows::{Unread, User};
use crate::store::{self, EMAIL, What};
use crate::work::{Noted, Work};
use crate::{Auth, FirstAdmin, millis, password, secrets};
use drover_access::{Caller, Reach, Role};
use drover_answer::now_ms;
use drover_model::Kind;
use drover_registry::repeats::{self, Repeatable};
use std::sync::Arc;

const USERS_MAX: usize = 100_000;
/// What requests do that make a user, among those that may come again.
const MAKING: &str = "users";

impl Auth {
    /// The users whom the caller sees, by e-mail address.
    pub fn users(&self, caller: &Caller) -> Vec<UserView> {
        let memory = self.0.memory.read();
        let mut users: Vec<UserView> =
            memory.users.values().filter(|user| sees(caller, user)).map(|user| UserView::from(&**user)).collect();
        users.sort_by(|a, b| a.email.cmp(&b.email));
        users
    }

    /// One of them.
    pub fn user(&self, caller: &Caller, id: &str) -> Result<UserView, Error> {
        Ok(UserView::from(&*self.seen_user(caller, id)?))
    }

    /// Makes a user, with a password that he can log in by once.
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<MadeUser, Error> {
        match self.create_user_once(caller, new, None).await? {
            Created::Now(made) => Ok(made),
            Created::Before(user) => Err(repeats::gone("user", &user.id).into()),
        }
    }

    /// The same for a request that may come again by the same `word`: a repetition makes nothing, and is not told the
    /// password, which is kept as a hash only.
    pub async fn create_user_once(&self, caller: &Caller, new: NewUser, word: Option<&str>) -> Result<Created, Error> {
        let body = serde_json::to_vec(&new).map_err(|error| Error::Row(error.to_string()))?;
        let request = word.map(|word| Repeatable { word, body: &body });
        let role = role_of(&new.role)?;
        let now = now_ms();
        let email = checked_email(&new.email)?;
        let mut user = User {
            id: secrets::name("u-").into(),
            email_blind: self.0.vault.blind(EMAIL, &email),
            email,
            name: checked_name(new.name)?,
            role,
            all_fleets: new.all_fleets.unwrap_or(role == Role::SystemAdmin),
            fleets: checked_fleets(new.fleets)?,
            driver_id: checked_id("driver_id", new.driver_id)?,
            customer_id: checked_id("customer_id", new.customer_id)?,
            password_hash: String::new(),
            must_change_password: true,
            totp_secret: String::new(),
            totp_on: false,
            totp_last_step: 0,
            recovery: Vec::new(),
            disabled: false,
            created_ms: now,
            updated_ms: now,
            version: 1,
            unread: Unread::default(),
        };
        self.may_give(caller, &user)?;
        let password = secrets::one_time_password();
        user.password_hash = self.hash(password.clone()).await?;
        let mut work = self.work().await?;
        let vault = &self.0.vault;
        if let Some(request) = &request
            && let Some((id, _)) = repeats::look_up(work.on(), vault, &caller.subject, MAKING, request).await?
        {
            let known = self.seen_user(caller, &id).map_err(|_| repeats::gone("user", &id))?;
            return Ok(Created::Before(UserView::from(&*known)));
        }
        fleets_exist(&mut work, &user.fleets).await?;
        self.reaches_customer(&mut work, caller, &user.customer_id).await?;
        self.insert_user(&mut work, &user, &caller.subject).await?;
        if let Some(request) = &request {
            repeats::keep(work.on(), vault, &caller.subject, MAKING, request, (&user.id, now)).await?;
        }
        work.commit().await?;
        Ok(Created::Now(MadeUser { user: UserView::from(&user), one_time_password: password }))
    }

    /// Changes a user. What he reaches, or whether he may log in, changes for sessions that are open too: they end.
    /// `version` is the one that the caller knows, where he says so.
    pub async fn change_user(
        &self,
        caller: &Caller,
        id: &str,
        change: UserChange,
        version: Option<i64>,
    ) -> Result<UserView, Error> {
        let mut work = self.work().await?;
        let before = self.managed_user(&mut work, caller, id).await?;
        same_version(&before, version)?;
        let after = self.changed(&before, change)?;
        self.may_give(caller, &after)?;
        if after.fleets != before.fleets {
            fleets_exist(&mut work, &after.fleets).await?;
        }
        if after.customer_id != before.customer_id {
            self.reaches_customer(&mut work, caller, &after.customer_id).await?;
        }
        self.one_admin_is_left(&before, Some(&after))?;
        let has_other_rights = after.caller("".into()) != before.caller("".into()) || after.disabled != before.disabled;
        if has_other_rights {
            work.end_sessions_of(id, None).await?;
        }
        let after = self.update_user(&mut work, &before, after, &caller.subject).await?;
        work.commit().await?;
        Ok(UserView::from(&after))
    }

    /// Removes a user, with all that he could log in by; the keys that he made open nothing any more. `version` is the one
    /// that the caller knows, where he says so.
    pub async fn remove_user(&self, caller: &Caller, id: &str, version: Option<i64>) -> Result<(), Error> {
        let mut work = self.work().await?;
        let user = self.managed_user(&mut work, caller, id).await?;
        same_version(&user, version)?;
        self.one_admin_is_left(&user, None)?;
        self.delete_user(&mut work, &user, &caller.subject).await?;
        work.commit().await
    }

    /// Removes the users who are this driver or customer, for when that person is erased; says how many. They stay
    /// erased: a backup brings nobody back who could log in, or who has a name.
    pub async fn forget_person(&self, actor: &str, kind: PersonKind, id: &str) -> Result<usize, Error> {
        let users = self.remove_users_of(actor, kind, id, i64::MAX).await?;
        for user in &users {
            self.0.vault.erase(&store::person(&user.id))?;
        }
        Ok(users.len())
    }

    /// Removes the users made up to `until_ms` who are a driver or customer.
    pub(crate) async fn remove_users_of(
        &self,
        actor: &str,
        kind: PersonKind,
        id: &str,
        until_ms: i64,
    ) -> Result<Vec<Arc<User>>, Error> {
        let mut work = self.work().await?;
        let users: Vec<Arc<User>> = {
            let memory = self.0.memory.read();
            let is_it = |user: &User| match kind {
                PersonKind::Driver => user.role == Role::Driver && user.driver_id == id,
                PersonKind::Customer => user.role == Role::Customer && user.customer_id == id,
            };
            let goes = |user: &User| is_it(user) && user.created_ms <= until_ms;
            memory.users.values().filter(|user| goes(user)).cloned().collect()
        };
        if users.is_empty() {
            return Ok(users);
        }
        for user in &users {
            self.delete_user(&mut work, user, actor).await?;
        }
        work.commit().await?;
        Ok(users)
    }

    /// Gives a user a new password that he can log in by once. His sessions end.
    pub async fn reset_password(&self, caller: &Caller, id: &str) -> Result<MadeUser, Error> {
        self.give_password(caller, id, true).await
    }

    /// Gives a user a new password that he need not change, for a node that tells its users' passwords at every start. His
    /// sessions end.
    pub async fn renew_password(&self, caller: &Caller, id: &str) -> Result<String, Error> {
        Ok(self.give_password(caller, id, false).await?.one_time_password)
    }

    async fn give_password(&self, caller: &Caller, id: &str, must_change_password: bool) -> Result<MadeUser, Error> {
        self.may_give(caller, &*self.seen_user(caller, id)?)?;
        let password = secrets::one_time_password();
        let hash = self.hash(password.clone()).await?;
        let mut work = self.work().await?;
        let before = self.managed_user(&mut work, caller, id).await?;
        let after = User { password_hash: hash, must_change_password, ..(*before).clone() };
        work.end_sessions_of(id, None).await?;
        let after = self.update_user(&mut work, &before, after, &caller.subject).await?;
        work.commit().await?;
        self.0.accounts.clear(&after.email_blind);
        Ok(MadeUser { user: UserView::from(&after), one_time_password: password })
    }

    /// Takes a user's second factor away, for who lost it. His sessions end.
    pub async fn remove_totp(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let mut work = self.work().await?;
        let before = self.managed_user(&mut work, caller, id).await?;
        let after = without_totp(&before);
        work.end_sessions_of(id, None).await?;
        self.update_user(&mut work, &before, after, &caller.subject).await?;
        work.commit().await
    }

    /// Changes one's own password. All other sessions of the user end.
    pub async fn change_password(&self, caller: &Caller, current: String, new: String) -> Result<(), Error> {
        let user = self.self_of(caller)?;
        self.prove_password(&user, current).await?;
        password::check(&new, &user.email).map_err(|message| Error::invalid("new_password", message))?;
        if self.is_password(new.clone(), user.password_hash.clone()).await {
            return Err(Error::invalid("new_password", "the new password is the old one"));
        }
        let hash = self.hash(new).await?;
        let mut work = self.work().await?;
        let before = self.self_of(caller)?;
        let after = User { password_hash: hash, must_change_password: false, ..(*before).clone() };
        work.end_sessions_of(&user.id, caller.session.as_deref()).await?;
        self.update_user(&mut work, &before, after, &caller.subject).await?;
        work.commit().await
    }

    /// True if the caller has to change his password before anything else.
    pub(crate) fn is_held_up(&self, caller: &Caller) -> bool {
        let Ok(user) = self.self_of(caller) else { return false };
        let memory = self.0.memory.read();
        let login = caller.session.as_deref().and_then(|session| memory.login(session, now_ms()));
        user.must_change_password && login.is_none_or(|login| !login.session.elsewhere)
    }

    /// Who the caller is, where he is a user.
    pub(crate) fn self_of(&self, caller: &Caller) -> Result<Arc<User>, Error> {
        let id = caller.subject.strip_prefix("user/").unwrap_or_default();
        let not_a_user = || Error::Forbidden("this is for people who are logged in, not for keys and devices".into());
        self.0.memory.read().users.get(id).cloned().ok_or_else(not_a_user)
    }

    /// Writes a new user.
    pub(crate) async fn insert_user(&self, work: &mut Work<'_>, user: &User, actor: &str) -> Result<(), Error> {
        {
            let memory = self.0.memory.read();
            if memory.users.len() >= USERS_MAX {
                return Err(Error::invalid("email", format!("there are {USERS_MAX} users already, which is the most")));
            }
            is_free(&memory.by_email, &user.email_blind, &user.id)?;
        }
        store::put_user(work.on(), &self.0.vault, user).await?;
        work.touch(What::User, &user.id);
        let record = Some(user.record());
        work.note(Noted { after: record, ..noted(user, actor, "create") }).await
    }

    /// Writes a changed user, as its next version.
    pub(crate) async fn update_user(
        &self,
        work: &mut Work<'_>,
        before: &User,
        after: User,
        actor: &str,
    ) -> Result<User, Error> {
        let after = User { version: before.version + 1, updated_ms: now_ms(), ..after };
        is_free(&self.0.memory.read().by_email, &after.email_blind, &after.id)?;
        store::put_user(work.on(), &self.0.vault, &after).await?;
        work.touch(What::User, &after.id);
        let records = (Some(before.record()), Some(after.record()));
        work.note(Noted { before: records.0, after: records.1, ..noted(&after, actor, "update") }).await?;
        Ok(after)
    }

    async fn delete_user(&self, work: &mut Work<'_>, user: &User, actor: &str) -> Result<(), Error> {
        work.end_sessions_of(&user.id, None).await?;
        let links: Vec<String> = {
            let memory = self.0.memory.read();
            let his = memory.links.iter().filter(|(_, id)| **id == user.id);
            his.map(|((issuer, subject), _)| store::link_id(issuer, subject)).collect()
        };
        for link in links {
            store::delete(work.on(), What::Link, &link).await?;
            work.touch(What::Link, &link);
        }
        store::delete(work.on(), What::User, &user.id).await?;
        work.touch(What::User, &user.id);
        let (before, version) = (Some(user.record()), user.version + 1);
        work.note(Noted { before, version, ..noted(user, actor, "remove") }).await
    }

    fn changed(&self, before: &User, change: UserChange) -> Result<User, Error> {
        let mut user = before.clone();
        if let Some(email) = change.email {
            user.email = checked_email(&email)?;
            user.email_blind = self.0.vault.blind(EMAIL, &user.email);
        }
        if let Some(name) = change.name {
            user.name = checked_name(name)?;
        }
        if let Some(role) = change.role {
            user.role = role_of(&role)?;
        }
        let says_reach = change.fleets.is_some() || change.all_fleets.is_some();
        let is_demoted = before.role == Role::SystemAdmin && user.role != Role::SystemAdmin;
        if is_demoted && !says_reach {
            let message = "who is no System Admin any more does not reach all fleets by himself: say which he reaches";
            return Err(Error::invalid("fleets", message));
        }
        // Whoever names fleets means these, not all.
        let keeps_all = user.all_fleets && change.fleets.is_none();
        user.all_fleets = change.all_fleets.unwrap_or(keeps_all || user.role == Role::SystemAdmin);
        if let Some(fleets) = change.fleets {
            user.fleets = checked_fleets(fleets)?;
        }
        if change.driver_id.is_some() {
            user.driver_id = checked_id("driver_id", change.driver_id)?;
        }
        if change.customer_id.is_some() {
            user.customer_id = checked_id("customer_id", change.customer_id)?;
        }
        user.disabled = change.disabled.unwrap_or(user.disabled);
        Ok(user)
    }

    fn seen_user(&self, caller: &Caller, id: &str) -> Result<Arc<User>, Error> {
        let user = self.0.memory.read().users.get(id).cloned();
        user.filter(|user| sees(caller, user)).ok_or_else(|| Error::not_found("user", id))
    }

    /// A user whom the caller may change: whoever can give a user all that he has, and reaches the customer who he is.
    async fn managed_user(&self, work: &mut Work<'_>, caller: &Caller, id: &str) -> Result<Arc<User>, Error> {
        let user = self.seen_user(caller, id)?;
        self.may_give(caller, &user)?;
        self.reaches_customer(work, caller, &user.customer_id).await?;
        Ok(user)
    }

    /// Refuses what the caller does not have himself: permissions, fleets, a driver of a foreign fleet.
    fn may_give(&self, caller: &Caller, user: &User) -> Result<(), Error> {
        is_whole(user)?;
        if !user.role.permissions().within(caller.may) {
            return Err(Error::Forbidden(format!("the role {} is more than you have yourself", user.role.name())));
        }
        may_give_fleets(caller, &user.fleets, user.all_fleets)?;
        let has_driver = user.role == Role::Driver && !user.driver_id.is_empty();
        if has_driver && !caller.reaches_asset(&self.0.directory, Kind::Driver, &user.driver_id) {
            return Err(Error::Forbidden(format!("the driver {} is not within your reach", user.driver_id)));
        }
        Ok(())
    }

    /// Refuses a customer who is not within reach.
    async fn reaches_customer(&self, work: &mut Work<'_>, caller: &Caller, id: &str) -> Result<(), Error> {
        if id.is_empty() || caller.reach == Reach::All {
            return Ok(());
        }
        let fleet = store::fleet_of_customer(work.on(), id).await?;
        match caller.reaches_fleet(fleet.as_deref()) {
            true => Ok(()),
            false => Err(Error::Forbidden(format!("the customer {id} is not within your reach"))),
        }
    }

    fn one_admin_is_left(&self, before: &User, after: Option<&User>) -> Result<(), Error> {
        let is_admin = |user: &User| user.role == Role::SystemAdmin && !user.disabled;
        if !is_admin(before) || after.is_some_and(is_admin) {
            return Ok(());
        }
        let memory = self.0.memory.read();
        match memory.users.values().any(|user| user.id != before.id && is_admin(user)) {
            true => Ok(()),
            false => Err(Error::Conflict {
                code: "last_admin",
                message: "this is the last System Admin".into(),
                help: "make another System Admin first",
            }),
        }
    }

    /// Where there is no user at all: the first administrator.
    pub(crate) async fn make_first_admin(&self) -> Result<Option<FirstAdmin>, Error> {
        if !self.0.memory.read().users.is_empty() {
            return Ok(None);
        }
        let password = secrets::one_time_password();
        let (now, email) = (now_ms(), checked_email(&self.0.settings.admin_email)?);
        let admin = User {
            id: secrets::name("u-").into(),
            email_blind: self.0.vault.blind(EMAIL, &email),
            email,
            name: "Administrator".into(),
            role: Role::SystemAdmin,
            fleets: Vec::new(),
            all_fleets: true,
            driver_id: String::new(),
            customer_id: String::new(),
            password_hash: self.hash(password.clone()).await?,
            must_change_password: true,
            totp_secret: String::new(),
            totp_on: false,
            totp_last_step: 0,
            recovery: Vec::new(),
            disabled: false,
            created_ms: now,
            updated_ms: now,
            version: 1,
            unread: Unread::default(),
        };
        let mut work = self.work().await?;
        // Another node may have been quicker; its users are in memory now.
        if !self.0.memory.read().users.is_empty() {
            return Ok(None);
        }
        self.insert_user(&mut work, &admin, "system").await?;
        work.commit().await?;
        Ok(Some(FirstAdmin { email: admin.email, password }))
    }

    /// How long a refresh token is good, ms.
    pub(crate) fn refresh_ms(&self) -> i64 {
        millis(self.0.settings.refresh_token)
    }
}

/// Who a user can be in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonKind {
    /// A driver.
    Driver,
    /// A customer.
    Customer,
}

/// A user without a second factor.
pub(crate) fn without_totp(user: &User) -> User {
    User { totp_secret: String::new(), totp_on: false, recovery: Vec::new(), ..user.clone() }
}

/// The same rule for users and keys: nobody gives fleets that he does not reach.
pub(crate) fn may_give_fleets(caller: &Caller, fleets: &[Arc<str>], all_fleets: bool) -> Result<(), Error> {
    if caller.reach == Reach::All {
        return Ok(());
    }
    if all_fleets || fleets.is_empty() {
        return Err(Error::Forbidden("you reach some fleets only; name at least one of them".into()));
    }
    match fleets.iter().find(|fleet| !caller.reaches_fleet(Some(fleet))) {
        None => Ok(()),
        Some(fleet) => Err(Error::Forbidden(format!("the fleet {fleet} is not within your reach"))),
    }
}

/// Refuses fleets that the registry does not have: a slip would show nobody that it was one.
pub(crate) async fn fleets_exist(work: &mut Work<'_>, fleets: &[Arc<str>]) -> Result<(), Error> {
    for fleet in fleets {
        if !store::is_fleet(work.on(), fleet).await? {
            return Err(Error::invalid("fleets", format!("there is no fleet {fleet}")));
        }
    }
    Ok(())
}

/// Whose fleets are all within reach is seen.
pub(crate) fn sees_fleets(caller: &Caller, fleets: &[Arc<str>], all_fleets: bool) -> bool {
    may_give_fleets(caller, fleets, all_fleets).is_ok()
}

fn same_version(user: &User, version: Option<i64>) -> Result<(), Error> {
    match version.is_none_or(|version| version == user.version) {
        true => Ok(()),
        false => Err(Error::Stale { current: user.version }),
    }
}

fn sees(caller: &Caller, user: &User) -> bool {
    sees_fleets(caller, &user.fleets, user.all_fleets)
}

fn noted<'a>(user: &'a User, actor: &'a str, op: &'static str) -> Noted<'a> {
    let (id, version, fleets) = (&*user.id, user.version, &*user.fleets);
    Noted { actor, what: What::User, id, op, version, fleets, before: None, after: None }
}

fn is_free(by_email: &hashbrown::HashMap<String, Arc<str>>, blind: &str, id: &Arc<str>) -> Result<(), Error> {
    match by_email.get(blind) {
        Some(other) if other != id => Err(Error::Conflict {
            code: "email_taken",
            message: "another user has this e-mail address".into(),
            help: "give another address",
        }),
        _ => Ok(()),
    }
}
