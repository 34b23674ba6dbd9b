//! Users: who may see, make, change and remove whom. How somebody proves to be one is in `login`.

use crate::document::UserRole;
use crate::error::Error;
use crate::rows::{User, some};
use crate::store::{self, EMAIL, What};
use crate::work::{Noted, Work};
use crate::{Auth, FirstAdmin, millis, password, secrets};
use drover_access::{Caller, Reach, Role};
use drover_answer::now_ms;
use drover_model::{Kind, check_id, format_time};
use drover_registry::repeats::{self, Repeatable};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

const EMAIL_MAX_BYTES: usize = 254;
const NAME_MAX_BYTES: usize = 200;
const FLEETS_MAX: usize = 200;
const USERS_MAX: usize = 100_000;
/// What requests do that make a user, among those that may come again.
const MAKING: &str = "users";

/// A user to be made.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "alice@example.com", "name": "Alice", "role": "dispatcher", "fleets": ["f-north"]}))]
pub struct NewUser {
    /// What he logs in by.
    #[schema(max_length = 254)]
    pub email: String,
    /// His name.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub name: String,
    /// His role.
    #[schema(value_type = UserRole)]
    pub role: String,
    /// The fleets that it is about; for drivers and customers, whose managers may change this user.
    #[serde(default)]
    pub fleets: Vec<String>,
    /// True if it is about all fleets. A System Admin always reaches all.
    #[serde(default)]
    pub all_fleets: Option<bool>,
    /// For the role `driver`: which driver he is.
    #[serde(default)]
    pub driver_id: Option<String>,
    /// For the role `customer`: which customer he is.
    #[serde(default)]
    pub customer_id: Option<String>,
}

/// What is to be changed of a user; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "fleet_manager", "fleets": ["f-north", "f-south"]}))]
pub struct UserChange {
    /// What he logs in by.
    pub email: Option<String>,
    /// His name.
    pub name: Option<String>,
    /// His role.
    #[schema(value_type = Option<UserRole>)]
    pub role: Option<String>,
    /// The fleets that it is about.
    pub fleets: Option<Vec<String>>,
    /// True if it is about all fleets.
    pub all_fleets: Option<bool>,
    /// Which driver he is.
    pub driver_id: Option<String>,
    /// Which customer he is.
    pub customer_id: Option<String>,
    /// True if he may not log in.
    pub disabled: Option<bool>,
}

/// A user, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserView {
    /// The id.
    #[schema(example = "u-7kq2m9x4c5v8b3n6")]
    pub id: String,
    /// What he logs in by.
    pub email: String,
    /// His name.
    pub name: String,
    /// His role.
    #[schema(value_type = UserRole)]
    pub role: String,
    /// The fleets that it is about.
    pub fleets: Vec<String>,
    /// True if it is about all fleets.
    pub all_fleets: bool,
    /// Which driver he is.
    pub driver_id: Option<String>,
    /// Which customer he is.
    pub customer_id: Option<String>,
    /// True if he has to change his password before anything else.
    pub must_change_password: bool,
    /// True if he is asked for a code beside the password.
    pub totp: bool,
    /// Recovery codes that are left.
    pub recovery_codes_left: usize,
    /// True if he may not log in.
    pub disabled: bool,
    /// Since when there is this user, RFC 3339.
    pub created_at: String,
    /// When he was changed last, RFC 3339.
    pub updated_at: String,
    /// Grows with each change.
    pub version: i64,
}

/// A user with the password that he can log in by once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MadeUser {
    /// The user.
    pub user: UserView,
    /// Shown once. It must be changed at the first login.
    #[schema(example = "k7m2p-9xw4c-5v8bn-3qhzd")]
    pub one_time_password: String,
}

/// What became of a request for a new user that may come again.
#[derive(Debug, Clone)]
pub enum Created {
    /// It made this user.
    Now(MadeUser),
    /// It had come before and made this user, who is as he is now.
    Before(UserView),
}

/// A user whom an earlier request of the same `Idempotency-Key` made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KnownUser {
    /// The user.
    pub user: UserView,
}

impl From<&User> for UserView {
    fn from(user: &User) -> UserView {
        UserView {
            id: user.id.to_string(),
            email: user.email.clone(),
            name: user.name.clone(),
            role: user.role.name().into(),
            fleets: user.fleets.iter().map(|fleet| fleet.to_string()).collect(),
            all_fleets: user.all_fleets,
            driver_id: some(&user.driver_id).map(Into::into),
            customer_id: some(&user.customer_id).map(Into::into),
            must_change_password: user.must_change_password,
            totp: user.totp_on,
            recovery_codes_left: user.recovery.len(),
            disabled: user.disabled,
            created_at: time_text(user.created_ms),
            updated_at: time_text(user.updated_ms),
            version: user.version,
        }
    }
}

/// RFC 3339.
pub(crate) fn time_text(ms: i64) -> String {
    let mut text = String::new();
    format_time(ms, &mut text);
    text
}

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
        if version.is_some_and(|version| version != before.version) {
            return Err(Error::Stale { current: before.version });
        }
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

    /// Removes a user, with all that he could log in by.
    pub async fn remove_user(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let mut work = self.work().await?;
        let user = self.managed_user(&mut work, caller, id).await?;
        self.one_admin_is_left(&user, None)?;
        self.delete_user(&mut work, &user, &caller.subject).await?;
        work.commit().await
    }

    /// Removes the users who are this driver or customer, for when that person is erased; says how many. They stay
    /// erased: a backup brings nobody back who could log in, or who has a name.
    pub async fn forget_person(&self, actor: &str, kind: PersonKind, id: &str) -> Result<usize, Error> {
        let mut work = self.work().await?;
        let users: Vec<Arc<User>> = {
            let memory = self.0.memory.read();
            let is_it = |user: &User| match kind {
                PersonKind::Driver => user.role == Role::Driver && user.driver_id == id,
                PersonKind::Customer => user.role == Role::Customer && user.customer_id == id,
            };
            memory.users.values().filter(|user| is_it(user)).cloned().collect()
        };
        if users.is_empty() {
            return Ok(0);
        }
        for user in &users {
            self.delete_user(&mut work, user, actor).await?;
        }
        work.commit().await?;
        for user in &users {
            self.0.vault.erase(&store::person(&user.id))?;
        }
        Ok(users.len())
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
        if let Some(fleets) = change.fleets {
            user.fleets = checked_fleets(fleets)?;
        }
        user.all_fleets = change.all_fleets.unwrap_or(user.all_fleets || user.role == Role::SystemAdmin);
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

fn sees(caller: &Caller, user: &User) -> bool {
    sees_fleets(caller, &user.fleets, user.all_fleets)
}

/// What a role needs to mean something.
fn is_whole(user: &User) -> Result<(), Error> {
    let role = user.role;
    if role == Role::SystemAdmin && !user.all_fleets {
        return Err(Error::invalid("all_fleets", "a System Admin reaches all fleets"));
    }
    if role.only_own() && user.all_fleets {
        let message = format!("the role {} is about one record, not about fleets", role.name());
        return Err(Error::invalid("all_fleets", message));
    }
    if role == Role::Driver && user.driver_id.is_empty() {
        return Err(Error::invalid("driver_id", "the role driver needs the id of the driver"));
    }
    if role == Role::Customer && user.customer_id.is_empty() {
        return Err(Error::invalid("customer_id", "the role customer needs the id of the customer"));
    }
    Ok(())
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

/// The roles that a user can have.
pub(crate) fn people() -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(|role| *role != Role::Device)
}

fn role_of(word: &str) -> Result<Role, Error> {
    people().find(|role| role.name() == word).ok_or_else(|| {
        let words: Vec<&str> = people().map(Role::name).collect();
        Error::invalid("role", format!("there is no such role for people; use one of {}", words.join(", ")))
    })
}

fn checked_email(text: &str) -> Result<String, Error> {
    let email = text.trim();
    let parts = email.split_once('@');
    let is_address = parts.is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
    let is_plain = !email.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    match is_address && is_plain && email.len() <= EMAIL_MAX_BYTES {
        true => Ok(email.to_owned()),
        false => Err(Error::invalid("email", format!("email is no address of at most {EMAIL_MAX_BYTES} bytes"))),
    }
}

fn checked_name(name: String) -> Result<String, Error> {
    match name.len() <= NAME_MAX_BYTES && !name.chars().any(char::is_control) {
        true => Ok(name),
        false => Err(Error::invalid("name", format!("name has at most {NAME_MAX_BYTES} bytes, in one line"))),
    }
}

/// Fleets by id, each once.
pub(crate) fn checked_fleets(fleets: Vec<String>) -> Result<Vec<Arc<str>>, Error> {
    if fleets.len() > FLEETS_MAX {
        return Err(Error::invalid("fleets", format!("at most {FLEETS_MAX} fleets can be named; use all_fleets")));
    }
    let mut checked: Vec<Arc<str>> = Vec::with_capacity(fleets.len());
    for fleet in fleets {
        check_id(&fleet).map_err(|reject| Error::invalid("fleets", reject.message))?;
        if !checked.iter().any(|known| **known == *fleet) {
            checked.push(fleet.into());
        }
    }
    Ok(checked)
}

fn checked_id(field: &'static str, id: Option<String>) -> Result<String, Error> {
    let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(String::new()) };
    check_id(&id).map_err(|reject| Error::invalid(field, reject.message))?;
    Ok(id)
}
