//! Logging in at somebody else's provider: who that is here. How the provider is spoken to is in `drover-oidc`.

use crate::error::Error;
use crate::login::{Client, LoggedIn};
use crate::rows::{Unread, User};
use crate::store::{self, EMAIL, What};
use crate::work::Work;
use crate::{Auth, secrets};
use drover_access::Role;
use drover_answer::now_ms;
use drover_ledger::Outcome;
use drover_oidc::{Begun, Identity};
use std::sync::Arc;

/// Logging in at a provider.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// The provider.
    pub provider: drover_oidc::Settings,
    /// What the login page calls it.
    pub label: String,
    /// What somebody becomes whom nobody knows here: role and fleets. None: he is refused. Not for roles that are about
    /// one's own record, nor for System Admins.
    pub newcomers: Option<(Role, Vec<String>)>,
}

/// What came of it.
pub(crate) enum Returned {
    /// He is logged in; and where to go now.
    Here(Box<LoggedIn>, Option<String>),
    /// He is not, and the page says so by this word.
    Problem(&'static str),
}

impl Auth {
    /// True if somebody can log in at a provider; what the page calls it.
    pub fn oidc_label(&self) -> Option<&str> {
        self.0.settings.oidc.as_ref().map(|oidc| oidc.label.as_str())
    }

    /// Begins a login at the provider; none where there is none.
    pub(crate) async fn begin_oidc(&self, after: Option<&str>) -> Option<Result<Begun, drover_oidc::Error>> {
        Some(self.0.provider.as_ref()?.begin(after).await)
    }

    /// Finishes it, with what the provider sent back.
    pub(crate) async fn finish_oidc(
        &self,
        state: &str,
        answer: Result<&str, (&str, Option<&str>)>,
        binding: &str,
        client: &Client,
    ) -> Result<Returned, Error> {
        let Some(provider) = &self.0.provider else { return Ok(Returned::Problem("oidc_refused")) };
        let identity = match answer {
            Ok(code) => provider.finish(state, code, binding).await,
            Err((error, why)) => Err(provider.refused(state, binding, error, why)),
        };
        match identity {
            Ok(identity) => self.log_in_as(identity, client).await,
            Err(error) => {
                tracing::info!(%error, "a login at the provider came to nothing");
                self.note_login("anonymous", "login.oidc", client.address, Outcome::Refused);
                let is_away = matches!(error, drover_oidc::Error::Away(_));
                Ok(Returned::Problem(if is_away { "provider_away" } else { "oidc_refused" }))
            }
        }
    }

    async fn log_in_as(&self, identity: Identity, client: &Client) -> Result<Returned, Error> {
        let mut work = self.work().await?;
        let user = self.user_of(&mut work, &identity).await?;
        let Some(user) = user.filter(|user| !user.disabled) else {
            tracing::info!(issuer = identity.issuer, "the provider vouches for somebody who is no user here");
            self.note_login("anonymous", "login.oidc", client.address, Outcome::Refused);
            return Ok(Returned::Problem("unknown_user"));
        };
        let logged_in = self.begin_session(&mut work, &user, client, true).await?;
        work.commit().await?;
        self.note_login(&user.subject(), "login.oidc", client.address, Outcome::Ok);
        Ok(Returned::Here(Box::new(logged_in), identity.after))
    }

    /// Who it is: by his link, else by a verified address (and linked from now on), else a new user where that is wanted.
    async fn user_of(&self, work: &mut Work<'_>, identity: &Identity) -> Result<Option<Arc<User>>, Error> {
        let (linked, known, blind) = {
            let memory = self.0.memory.read();
            let whose = (identity.issuer.clone(), identity.subject.clone());
            let linked = memory.links.get(&whose).and_then(|id| memory.users.get(id)).cloned();
            // An address that nobody verified may be anybody's.
            let email = identity.email.as_deref().filter(|_| identity.email_verified);
            let blind = email.map(|email| self.0.vault.blind(EMAIL, email));
            let known = blind.as_ref().and_then(|blind| memory.user_of_email(blind)).cloned();
            (linked, known, blind)
        };
        if linked.is_some() {
            return Ok(linked);
        }
        let user = match (known, blind) {
            (Some(user), _) => Some(user),
            (None, Some(blind)) => self.newcomer(work, identity, blind).await?,
            (None, None) => None,
        };
        if let Some(user) = user.as_ref().filter(|user| !user.disabled) {
            store::put_link(work.on(), &identity.issuer, &identity.subject, &user.id).await?;
            work.touch(What::Link, &store::link_id(&identity.issuer, &identity.subject));
        }
        Ok(user)
    }

    async fn newcomer(
        &self,
        work: &mut Work<'_>,
        identity: &Identity,
        email_blind: String,
    ) -> Result<Option<Arc<User>>, Error> {
        let newcomers = self.0.settings.oidc.as_ref().and_then(|oidc| oidc.newcomers.as_ref());
        let Some((role, fleets)) = newcomers else { return Ok(None) };
        if role.only_own() || *role == Role::SystemAdmin {
            return Ok(None);
        }
        let now = now_ms();
        let user = User {
            id: secrets::name("u-").into(),
            email: identity.email.clone().unwrap_or_default(),
            email_blind,
            name: identity.name.clone().unwrap_or_default().chars().take(100).collect(),
            role: *role,
            fleets: fleets.iter().map(|fleet| fleet.as_str().into()).collect(),
            all_fleets: false,
            driver_id: String::new(),
            customer_id: String::new(),
            password_hash: String::new(),
            must_change_password: false,
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
        self.insert_user(work, &user, "oidc").await?;
        Ok(Some(Arc::new(user)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewUser, Settings};
    use drover_access::{Caller, Directory};
    use drover_certs::Authority;
    use drover_database::Database;
    use drover_ledger::Ledger;
    use drover_registry::Registry;
    use drover_vault::Vault;
    use tempfile::TempDir;

    async fn open(newcomers: Option<(Role, Vec<String>)>) -> (Auth, TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let database = Database::open_file(&at("registry.db")).await.expect("a database");
        let vault = Vault::open(&at("vault")).expect("a vault");
        let ledger = Ledger::open(&at("audit.db")).await.expect("a ledger");
        let authority = Authority::open(&at("ca"), None).expect("an authority");
        let directory = Directory::default();
        Registry::open(database.clone(), vault.clone(), directory.clone()).await.expect("a registry");
        let provider = drover_oidc::Settings {
            issuer: "http://localhost:1/".into(),
            client_id: "drover".into(),
            client_secret: None,
            redirect_url: "http://localhost:2/api/v1/auth/oidc/callback".into(),
            scopes: vec!["email".into()],
            ca: None,
            allow_http: true,
        };
        let oidc = Some(OidcSettings { provider, label: "Work".into(), newcomers });
        let settings = Settings { oidc, ..Settings::new(at("keys")) };
        let opened = Auth::open(settings, database, vault, ledger, authority, directory).await;
        (opened.expect("identities").0, folder)
    }

    fn identity(subject: &str, email: &str, email_verified: bool) -> Identity {
        Identity {
            issuer: "http://localhost:1/".into(),
            subject: subject.into(),
            email: Some(email.into()),
            email_verified,
            name: None,
            groups: Vec::new(),
            after: Some("/map".into()),
        }
    }

    async fn who(auth: &Auth, identity: Identity) -> Result<String, &'static str> {
        match auth.log_in_as(identity, &Client::default()).await.expect("the database answers") {
            Returned::Here(login, after) => {
                assert_eq!(after.as_deref(), Some("/map"));
                Ok(login.user.id)
            }
            Returned::Problem(code) => Err(code),
        }
    }

    #[tokio::test]
    async fn somebody_is_known_by_a_verified_address_at_first_and_by_his_subject_from_then_on() {
        let (auth, _folder) = open(None).await;
        let new = NewUser {
            email: "bob@example.com".into(),
            role: "dispatcher".into(),
            all_fleets: Some(true),
            ..NewUser::default()
        };
        let bob = auth.create_user(&Caller::dev(), new).await.expect("made").user.id;
        assert_eq!(who(&auth, identity("b", "bob@example.com", false)).await, Err("unknown_user"), "not verified");
        assert_eq!(who(&auth, identity("b", "bob@example.com", true)).await, Ok(bob.clone()));
        assert_eq!(who(&auth, identity("b", "robert@example.com", false)).await, Ok(bob.clone()), "linked");
        assert_eq!(who(&auth, identity("x", "nobody@example.com", true)).await, Err("unknown_user"));
        auth.remove_user(&Caller::dev(), &bob, None).await.expect("removed");
        assert_eq!(who(&auth, identity("b", "bob@example.com", true)).await, Err("unknown_user"), "so is the link");
    }

    #[tokio::test]
    async fn a_newcomer_becomes_what_is_configured_and_never_an_administrator() {
        let (auth, _folder) = open(Some((Role::Dispatcher, vec!["north".into()]))).await;
        let id = who(&auth, identity("n", "new@example.com", true)).await.expect("made");
        let user = auth.user(&Caller::dev(), &id).expect("there");
        assert_eq!((user.role.as_str(), user.fleets), ("dispatcher", vec!["north".to_owned()]));
        assert!(!user.must_change_password);
        let (auth, _folder) = open(Some((Role::SystemAdmin, Vec::new()))).await;
        assert_eq!(who(&auth, identity("n", "new@example.com", true)).await, Err("unknown_user"));
    }

    #[tokio::test]
    async fn what_unknown_accounts_are_held_against_is_made_before_the_first_of_them_comes() {
        let (auth, _folder) = open(None).await;
        let began = std::time::Instant::now();
        while auth.0.nobodys_hash.get().is_none_or(String::is_empty) {
            assert!(began.elapsed() < std::time::Duration::from_secs(30), "nobody makes it");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_provider_that_is_away_is_said_to_be() {
        let (auth, _folder) = open(None).await;
        let begun = auth.begin_oidc(Some("/map")).await.expect("there is one");
        assert!(matches!(begun, Err(drover_oidc::Error::Away(_))), "nobody listens there");
        let forged = auth.finish_oidc("made up", Ok("code"), "binding", &Client::default()).await.expect("answers");
        assert!(matches!(forged, Returned::Problem("oidc_refused")));
    }
}
