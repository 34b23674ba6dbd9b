//! What is said of users: how they are made, changed and shown, and what their fields may hold.

use crate::document::UserRole;
use crate::error::Error;
use crate::rows::{User, some};
use drover_access::Role;
use drover_model::{check_id, format_time};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

const EMAIL_MAX_BYTES: usize = 254;
const NAME_MAX_BYTES: usize = 200;
const FLEETS_MAX: usize = 200;

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
    /// The fleets that it is about: these, and not all, unless `all_fleets` says so too.
    pub fleets: Option<Vec<String>>,
    /// True if it is about all fleets. Who was a System Admin and gets another role is told this, or `fleets`.
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

/// What a role needs to mean something.
pub(crate) fn is_whole(user: &User) -> Result<(), Error> {
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

/// The roles that a user can have.
pub(crate) fn people() -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(|role| *role != Role::Device)
}

pub(crate) fn role_of(word: &str) -> Result<Role, Error> {
    people().find(|role| role.name() == word).ok_or_else(|| {
        let words: Vec<&str> = people().map(Role::name).collect();
        Error::invalid("role", format!("there is no such role for people; use one of {}", words.join(", ")))
    })
}

pub(crate) fn checked_email(text: &str) -> Result<String, Error> {
    let email = text.trim();
    let parts = email.split_once('@');
    let is_address = parts.is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
    let is_plain = !email.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    match is_address && is_plain && email.len() <= EMAIL_MAX_BYTES {
        true => Ok(email.to_owned()),
        false => Err(Error::invalid("email", format!("email is no address of at most {EMAIL_MAX_BYTES} bytes"))),
    }
}

pub(crate) fn checked_name(name: String) -> Result<String, Error> {
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

pub(crate) fn checked_id(field: &'static str, id: Option<String>) -> Result<String, Error> {
    let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(String::new()) };
    check_id(&id).map_err(|reject| Error::invalid(field, reject.message))?;
    Ok(id)
}
