//! The SQL of identities: reading records, writing them, and following what other nodes changed. What may be
//! changed by whom is decided by the callers.
//!
//! Every change takes the next number of `auth_clock` first and holds that row until it commits, so numbers are in the
//! order of commits, and whoever reads `auth_changes` from his last number on misses nothing.

use crate::error::Error;
use crate::memory::Row;
use crate::rows::{self, Key, Session, Token, Unread, User};
use crate::secrets::{Digest, read_digest, write_digest};
use drover_access::{Permission, Permissions, Role};
use drover_model::Kind;
use drover_vault::Vault;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// What a change was about; the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    User,
    Session,
    Key,
    Token,
    Link,
}

impl What {
    const ALL: [What; 5] = [What::User, What::Session, What::Key, What::Token, What::Link];

    pub(crate) const fn table(self) -> &'static str {
        match self {
            What::User => "users",
            What::Session => "sessions",
            What::Key => "api_keys",
            What::Token => "device_tokens",
            What::Link => "oidc_links",
        }
    }

    fn parse(table: &str) -> Option<What> {
        What::ALL.into_iter().find(|what| what.table() == table)
    }

    const fn all(self) -> &'static str {
        match self {
            What::User => "SELECT * FROM users",
            What::Session => "SELECT * FROM sessions",
            What::Key => "SELECT * FROM api_keys",
            What::Token => "SELECT * FROM device_tokens",
            What::Link => "SELECT * FROM oidc_links",
        }
    }

    const fn one(self) -> &'static str {
        match self {
            What::User => "SELECT * FROM users WHERE id = $1",
            What::Session => "SELECT * FROM sessions WHERE id = $1",
            What::Key => "SELECT * FROM api_keys WHERE id = $1",
            What::Token => "SELECT * FROM device_tokens WHERE id = $1",
            What::Link => "SELECT * FROM oidc_links WHERE id = $1",
        }
    }

    const fn delete(self) -> &'static str {
        match self {
            What::User => "DELETE FROM users WHERE id = $1",
            What::Session => "DELETE FROM sessions WHERE id = $1",
            What::Key => "DELETE FROM api_keys WHERE id = $1",
            What::Token => "DELETE FROM device_tokens WHERE id = $1",
            What::Link => "DELETE FROM oidc_links WHERE id = $1",
        }
    }
}

/// The number of the last change.
pub(crate) async fn clock(on: &mut AnyConnection) -> Result<i64, Error> {
    let row = sqlx::query("SELECT seq FROM auth_clock WHERE one = 1").fetch_one(on).await?;
    Ok(row.try_get("seq")?)
}

/// Takes the next number; nobody else gets one before this transaction ends.
pub(crate) async fn tick(on: &mut AnyConnection) -> Result<i64, Error> {
    sqlx::query("UPDATE auth_clock SET seq = seq + 1 WHERE one = 1").execute(&mut *on).await?;
    clock(on).await
}

/// Records that `what`/`id` was changed under the number.
pub(crate) async fn record_change(
    on: &mut AnyConnection,
    seq: i64,
    now_ms: i64,
    what: What,
    id: &str,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO auth_changes (seq, time_ms, what, id) VALUES ($1, $2, $3, $4)")
        .bind(seq)
        .bind(now_ms)
        .bind(what.table())
        .bind(id)
        .execute(on)
        .await?;
    Ok(())
}

/// What was changed after a number; none if that is not known any more, so that everything must be read.
pub(crate) async fn changes_after(on: &mut AnyConnection, seq: i64) -> Result<Option<Vec<(What, String)>>, Error> {
    let rows = sqlx::query("SELECT seq, what, id FROM auth_changes WHERE seq > $1 ORDER BY seq")
        .bind(seq)
        .fetch_all(on)
        .await?;
    let mut expected = seq + 1;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        let at: i64 = row.try_get("seq")?;
        if at > expected {
            return Ok(None);
        }
        expected = at + 1;
        let what: String = row.try_get("what")?;
        // A table that only a newer version knows is no concern of this one.
        if let Some(what) = What::parse(&what) {
            changes.push((what, row.try_get("id")?));
        }
    }
    Ok(Some(changes))
}

/// Forgets changes that every node has seen or reads anew, tokens that ended, sessions that ended.
pub(crate) async fn tidy(on: &mut AnyConnection, now_ms: i64) -> Result<(), Error> {
    const HOUR_MS: i64 = 3_600_000;
    // The newest number stays, so that a gap can be seen.
    sqlx::query("DELETE FROM auth_changes WHERE time_ms < $1 AND seq < (SELECT seq FROM auth_clock WHERE one = 1)")
        .bind(now_ms - HOUR_MS)
        .execute(&mut *on)
        .await?;
    sqlx::query("DELETE FROM refresh_tokens WHERE ends_ms < $1").bind(now_ms).execute(&mut *on).await?;
    sqlx::query("DELETE FROM sessions WHERE ends_ms < $1").bind(now_ms).execute(on).await?;
    Ok(())
}

/// Everything.
pub(crate) async fn read_all(on: &mut AnyConnection, vault: &Vault) -> Result<Vec<Row>, Error> {
    let mut all = Vec::new();
    for what in What::ALL {
        for row in sqlx::query(what.all()).fetch_all(&mut *on).await? {
            all.push(read_row(what, row.try_get("id")?, Some(&row), vault)?);
        }
    }
    Ok(all)
}

/// One record, as it is now.
pub(crate) async fn read_one(on: &mut AnyConnection, vault: &Vault, what: What, id: String) -> Result<Row, Error> {
    let row = sqlx::query(what.one()).bind(&id).fetch_optional(on).await?;
    read_row(what, id, row.as_ref(), vault)
}

/// Takes a record out.
pub(crate) async fn delete(on: &mut AnyConnection, what: What, id: &str) -> Result<(), Error> {
    sqlx::query(what.delete()).bind(id).execute(on).await?;
    Ok(())
}

fn read_row(what: What, id: String, row: Option<&AnyRow>, vault: &Vault) -> Result<Row, Error> {
    Ok(match what {
        What::User => Row::User(id.as_str().into(), row.map(|row| user(&id, row, vault)).transpose()?),
        What::Session => Row::Session(id.as_str().into(), row.map(|row| session(&id, row)).transpose()?),
        What::Key => Row::Key(id.as_str().into(), row.map(|row| key(&id, row)).transpose()?),
        What::Token => Row::Token(id.as_str().into(), row.map(|row| token(&id, row)).transpose()?),
        What::Link => {
            let (issuer, subject) = id.split_once(' ').unwrap_or((&id, ""));
            let user = row.map(|row| row.try_get::<String, _>("user_id")).transpose()?;
            Row::Link((issuer.to_owned(), subject.to_owned()), user.map(Into::into))
        }
    })
}

/// The id of a link. An issuer is an address: no space in it.
pub(crate) fn link_id(issuer: &str, subject: &str) -> String {
    format!("{issuer} {subject}")
}

/// Where a user's personal fields are sealed.
pub(crate) const EMAIL: &str = "users.email";
pub(crate) const NAME: &str = "users.name";
pub(crate) const TOTP: &str = "users.totp_secret";

/// For the vault: whose fields these are.
pub(crate) fn person(id: &str) -> String {
    format!("users/{id}")
}

fn user(id: &str, row: &AnyRow, vault: &Vault) -> Result<User, Error> {
    let mut unread = Unread::default();
    let open = |place: &str, column: &str, unread: &mut String| -> Result<String, Error> {
        let sealed: String = row.try_get(column)?;
        if sealed.is_empty() {
            return Ok(sealed);
        }
        match vault.open_sealed(&person(id), place, &sealed) {
            Ok(opened) => Ok(opened.unwrap_or_default()),
            Err(error) => {
                tracing::error!(user = id, place, %error, "a user cannot be read, and is taken as disabled");
                *unread = sealed;
                Ok(String::new())
            }
        }
    };
    let email = open(EMAIL, "email", &mut unread.email)?;
    let name = open(NAME, "name", &mut unread.name)?;
    let totp_secret = open(TOTP, "totp_secret", &mut unread.totp_secret)?;
    let role: String = row.try_get("role")?;
    Ok(User {
        id: id.into(),
        email,
        email_blind: row.try_get("email_blind")?,
        name,
        role: Role::parse(&role).ok_or_else(|| Error::Row(format!("the user {id} has the role {role}")))?,
        fleets: list(row, "fleets")?.into_iter().map(Into::into).collect(),
        all_fleets: flag(row, "all_fleets")?,
        driver_id: row.try_get("driver_id")?,
        customer_id: row.try_get("customer_id")?,
        password_hash: row.try_get("password_hash")?,
        must_change_password: flag(row, "must_change_password")?,
        totp_secret,
        totp_on: flag(row, "totp_on")?,
        totp_last_step: row.try_get("totp_last_step")?,
        recovery: list(row, "recovery")?,
        // Who was erased and came back with an older database opens nothing.
        disabled: flag(row, "disabled")? || vault.is_erased(&person(id)) || unread != Unread::default(),
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
        version: row.try_get("version")?,
        unread,
    })
}

fn session(id: &str, row: &AnyRow) -> Result<Session, Error> {
    let user: String = row.try_get("user_id")?;
    Ok(Session {
        id: id.into(),
        user: user.into(),
        cookie: digest(row, "cookie")?,
        created_ms: row.try_get("created_ms")?,
        cookie_ends_ms: row.try_get("cookie_ends_ms")?,
        ends_ms: row.try_get("ends_ms")?,
        address: row.try_get("address")?,
        agent: row.try_get("agent")?,
        elsewhere: flag(row, "elsewhere")?,
        seen_ms: AtomicI64::new(row.try_get("created_ms")?),
    })
}

fn key(id: &str, row: &AnyRow) -> Result<Key, Error> {
    let old_until_ms: i64 = row.try_get("old_until_ms")?;
    // A scope that only a newer version knows allows nothing here.
    let scopes: Permissions = list(row, "scopes")?.iter().filter_map(|word| Permission::parse(word)).collect();
    let fleets: Vec<Arc<str>> = list(row, "fleets")?.into_iter().map(Into::into).collect();
    Ok(Key {
        id: id.into(),
        name: row.try_get("name")?,
        secret: digest(row, "secret")?,
        old_secret: if old_until_ms > 0 { Some((digest(row, "old_secret")?, old_until_ms)) } else { None },
        scopes,
        fleets,
        all_fleets: flag(row, "all_fleets")?,
        created_by: row.try_get("created_by")?,
        created_ms: row.try_get("created_ms")?,
        expires_ms: row.try_get("expires_ms")?,
        used_ms: AtomicI64::new(row.try_get("used_ms")?),
        version: row.try_get("version")?,
    })
}

fn token(id: &str, row: &AnyRow) -> Result<Token, Error> {
    let kind: String = row.try_get("kind")?;
    let kind = Kind::parse(&kind).ok_or_else(|| Error::Row(format!("the device token {id} has the kind {kind}")))?;
    let device: String = row.try_get("device_id")?;
    Ok(Token {
        caller: rows::device_caller(kind, &device, format!("{}{id}", rows::BY_TOKEN)),
        id: id.into(),
        kind,
        device: device.into(),
        secret: digest(row, "secret")?,
        created_by: row.try_get("created_by")?,
        created_ms: row.try_get("created_ms")?,
        expires_ms: row.try_get("expires_ms")?,
        used_ms: AtomicI64::new(row.try_get("used_ms")?),
    })
}

fn flag(row: &AnyRow, column: &str) -> Result<bool, Error> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

fn list(row: &AnyRow, column: &str) -> Result<Vec<String>, Error> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| Error::Row(format!("the column {column} holds no list: {error}")))
}

fn digest(row: &AnyRow, column: &str) -> Result<Digest, Error> {
    let text: String = row.try_get(column)?;
    read_digest(&text).ok_or_else(|| Error::Row(format!("the column {column} holds no digest")))
}

/// Writes a user, new or changed.
pub(crate) async fn put_user(on: &mut AnyConnection, vault: &Vault, user: &User) -> Result<(), Error> {
    let seal = |place: &str, plain: &str, unread: &str| match plain.is_empty() {
        true => Ok(unread.to_owned()),
        false => vault.seal(&person(&user.id), place, plain),
    };
    // A second factor that was taken away is not needed any more, whether it could be read or not.
    let unread_totp = if user.totp_on { &*user.unread.totp_secret } else { "" };
    sqlx::query(
        "INSERT INTO users (id, email, email_blind, name, role, fleets, all_fleets, driver_id, customer_id, \
         password_hash, must_change_password, totp_secret, totp_on, totp_last_step, recovery, disabled, created_ms, \
         updated_ms, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
         ON CONFLICT (id) DO UPDATE SET email = excluded.email, email_blind = excluded.email_blind, \
         name = excluded.name, role = excluded.role, fleets = excluded.fleets, all_fleets = excluded.all_fleets, \
         driver_id = excluded.driver_id, customer_id = excluded.customer_id, \
         password_hash = excluded.password_hash, must_change_password = excluded.must_change_password, \
         totp_secret = excluded.totp_secret, totp_on = excluded.totp_on, totp_last_step = excluded.totp_last_step, \
         recovery = excluded.recovery, disabled = excluded.disabled, updated_ms = excluded.updated_ms, \
         version = excluded.version",
    )
    .bind(&*user.id)
    .bind(seal(EMAIL, &user.email, &user.unread.email)?)
    .bind(&user.email_blind)
    .bind(seal(NAME, &user.name, &user.unread.name)?)
    .bind(user.role.name())
    .bind(json(&rows::texts(&user.fleets)))
    .bind(i64::from(user.all_fleets))
    .bind(&user.driver_id)
    .bind(&user.customer_id)
    .bind(&user.password_hash)
    .bind(i64::from(user.must_change_password))
    .bind(seal(TOTP, &user.totp_secret, unread_totp)?)
    .bind(i64::from(user.totp_on))
    .bind(user.totp_last_step)
    .bind(json(&user.recovery))
    .bind(i64::from(user.disabled))
    .bind(user.created_ms)
    .bind(user.updated_ms)
    .bind(user.version)
    .execute(on)
    .await?;
    Ok(())
}

/// Writes a session, new or moved on.
pub(crate) async fn put_session(on: &mut AnyConnection, session: &Session) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO sessions (id, user_id, cookie, created_ms, cookie_ends_ms, ends_ms, address, agent, elsewhere) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET ends_ms = excluded.ends_ms",
    )
    .bind(&*session.id)
    .bind(&*session.user)
    .bind(write_digest(&session.cookie))
    .bind(session.created_ms)
    .bind(session.cookie_ends_ms)
    .bind(session.ends_ms)
    .bind(&session.address)
    .bind(&session.agent)
    .bind(i64::from(session.elsewhere))
    .execute(on)
    .await?;
    Ok(())
}

/// Takes a session out, with its refresh tokens.
pub(crate) async fn delete_session(on: &mut AnyConnection, id: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM refresh_tokens WHERE session_id = $1").bind(id).execute(&mut *on).await?;
    delete(on, What::Session, id).await
}

/// A refresh token, as kept.
pub(crate) struct Refresh {
    pub(crate) session: String,
    pub(crate) ends_ms: i64,
    pub(crate) used: bool,
}

/// Looks a refresh token up.
pub(crate) async fn refresh(on: &mut AnyConnection, digest: &Digest) -> Result<Option<Refresh>, Error> {
    let row = sqlx::query("SELECT session_id, ends_ms, used_ms FROM refresh_tokens WHERE digest = $1")
        .bind(write_digest(digest))
        .fetch_optional(on)
        .await?;
    let read = |row: AnyRow| {
        let used = row.try_get::<i64, _>("used_ms")? != 0;
        Ok(Refresh { session: row.try_get("session_id")?, ends_ms: row.try_get("ends_ms")?, used })
    };
    row.map(read).transpose()
}

/// Keeps a new refresh token.
pub(crate) async fn put_refresh(
    on: &mut AnyConnection,
    digest: &Digest,
    session: &str,
    ends_ms: i64,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO refresh_tokens (digest, session_id, ends_ms, used_ms) VALUES ($1, $2, $3, 0)")
        .bind(write_digest(digest))
        .bind(session)
        .bind(ends_ms)
        .execute(on)
        .await?;
    Ok(())
}

/// Marks a refresh token as used.
pub(crate) async fn use_refresh(on: &mut AnyConnection, digest: &Digest, now_ms: i64) -> Result<(), Error> {
    sqlx::query("UPDATE refresh_tokens SET used_ms = $1 WHERE digest = $2")
        .bind(now_ms)
        .bind(write_digest(digest))
        .execute(on)
        .await?;
    Ok(())
}

/// Writes a key, new or rotated.
pub(crate) async fn put_key(on: &mut AnyConnection, key: &Key) -> Result<(), Error> {
    let (old_secret, old_until_ms) =
        key.old_secret.as_ref().map_or((String::new(), 0), |(d, at)| (write_digest(d), *at));
    sqlx::query(
        "INSERT INTO api_keys (id, name, secret, old_secret, old_until_ms, scopes, fleets, all_fleets, created_by, \
         created_ms, expires_ms, used_ms, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (id) DO UPDATE SET secret = excluded.secret, old_secret = excluded.old_secret, \
         old_until_ms = excluded.old_until_ms, fleets = excluded.fleets, version = excluded.version",
    )
    .bind(&*key.id)
    .bind(&key.name)
    .bind(write_digest(&key.secret))
    .bind(old_secret)
    .bind(old_until_ms)
    .bind(json(&rows::names_of(key.scopes)))
    .bind(json(&rows::texts(&key.fleets)))
    .bind(i64::from(key.all_fleets))
    .bind(&key.created_by)
    .bind(key.created_ms)
    .bind(key.expires_ms)
    .bind(key.used_ms.load(std::sync::atomic::Ordering::Relaxed))
    .bind(key.version)
    .execute(on)
    .await?;
    Ok(())
}

/// Writes a new device token.
pub(crate) async fn put_token(on: &mut AnyConnection, token: &Token) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO device_tokens (id, kind, device_id, secret, created_by, created_ms, expires_ms, used_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
    )
    .bind(&*token.id)
    .bind(token.kind.name())
    .bind(&*token.device)
    .bind(write_digest(&token.secret))
    .bind(&token.created_by)
    .bind(token.created_ms)
    .bind(token.expires_ms)
    .execute(on)
    .await?;
    Ok(())
}

/// Keeps who a provider's subject is here.
pub(crate) async fn put_link(on: &mut AnyConnection, issuer: &str, subject: &str, user: &str) -> Result<(), Error> {
    sqlx::query("INSERT INTO oidc_links (id, issuer, subject, user_id) VALUES ($1, $2, $3, $4)")
        .bind(link_id(issuer, subject))
        .bind(issuer)
        .bind(subject)
        .bind(user)
        .execute(on)
        .await?;
    Ok(())
}

/// Writes when a key or a token was used last.
pub(crate) async fn put_use(on: &mut AnyConnection, what: What, id: &str, used_ms: i64) -> Result<(), Error> {
    let sql = match what {
        What::Key => "UPDATE api_keys SET used_ms = $1 WHERE id = $2",
        _ => "UPDATE device_tokens SET used_ms = $1 WHERE id = $2",
    };
    sqlx::query(sql).bind(used_ms).bind(id).execute(on).await?;
    Ok(())
}

/// The fleet of a customer; none where the registry does not know him, or he is in no fleet.
pub(crate) async fn fleet_of_customer(on: &mut AnyConnection, id: &str) -> Result<Option<String>, Error> {
    let row = sqlx::query("SELECT COALESCE(fleet_id, '') AS fleet_id FROM customers WHERE id = $1")
        .bind(id)
        .fetch_optional(on)
        .await?;
    let fleet = row.map(|row| row.try_get::<String, _>("fleet_id")).transpose()?;
    Ok(fleet.filter(|fleet| !fleet.is_empty()))
}

/// True if the registry has this fleet.
pub(crate) async fn is_fleet(on: &mut AnyConnection, id: &str) -> Result<bool, Error> {
    let row = sqlx::query("SELECT id FROM fleets WHERE id = $1").bind(id).fetch_optional(on).await?;
    Ok(row.is_some())
}

fn json(list: &impl serde::Serialize) -> String {
    // Lists of words are always JSON.
    serde_json::to_string(list).unwrap_or_else(|_| "[]".into())
}
