//! Identities: users, sessions, tokens, keys, devices, and the guard before every route. What a role may do is decided in
//! `drover-access`; what a handler shows of what its caller reaches, by the handler.
//!
//! Must always hold:
//! - of a secret only a digest is kept, and it is shown once, when it is made;
//! - who is logged out, disabled, or given other rights has lost the old ones when the answer to that goes out;
//! - a request costs no SQL: while the database is away, who has access keeps it, and nobody gets more;
//! - nobody gives rights that he does not have, a key has never more than its maker has by now, and one System Admin is
//!   always left;
//! - every table in memory that strangers can fill is bounded.

mod credentials;
mod devices;
mod document;
mod error;
mod guard;
mod http;
mod keys;
mod limits;
mod login;
mod loopback;
mod memory;
mod oidc;
mod own_keys;
mod password;
mod people;
mod proxies;
mod refusals;
mod removed;
mod reseal;
mod rows;
mod schema;
mod secrets;
mod sessions;
mod signer;
mod store;
mod throttle;
mod totp;
mod totp_setup;
mod users;
mod work;

pub use credentials::Refused;
pub use devices::{MadeToken, TokenView};
pub use document::document;
pub use error::Error;
pub use guard::guard;
pub use keys::{KeyView, MadeKey, NewKey};
pub use limits::{Limits, Rate, Taken};
pub use login::{Client, LoggedIn, Proof};
pub use memory::Ended;
pub use oidc::OidcSettings;
pub use own_keys::{DataKeyView, OwnKey, OwnKeys, RetiredKeys, RootKeyView, SigningKeyView};
pub use people::{Created, KnownUser, MadeUser, NewUser, UserChange, UserView};
pub use proxies::{Network, NotANetwork};
pub use reseal::Resealing;
pub use sessions::SessionView;
pub use totp_setup::TotpSetup;
pub use users::PersonKind;

use drover_access::{Directory, Noter};
use drover_certs::Authority;
use drover_database::Database;
use drover_ledger::Ledger;
use drover_oidc::Provider;
use drover_vault::Vault;
use limits::{Buckets, Strangers};
use memory::Memory;
use parking_lot::{Mutex, RwLock};
use refusals::Refusals;
use signer::Signer;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::What;
use throttle::Throttle;
use tokio::sync::{Semaphore, broadcast};

/// Passwords that are hashed at once: each takes some memory, and a core for a moment.
const HASHES_AT_ONCE: usize = 2;
/// Ended access that a slow listener may be behind by.
const ENDED_MAX: usize = 4_096;
/// Failures of an account, and of an address (which many may share), before somebody has to wait.
const QUICK_FAILURES: u32 = 5;
const QUICK_FAILURES_OF_ADDRESS: u32 = 20;
/// An address is forgiven one failure so often.
const ADDRESS_FORGETS_MS: i64 = 15_000;

/// How identities are kept and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the signing keys, made if it is not there.
    pub keys: PathBuf,
    /// Nobody is asked for credentials; everybody may do everything. For trying out on loopback.
    pub dev: bool,
    /// Whose account the first start makes.
    pub admin_email: String,
    /// Cookies are for TLS only, even where the request came without: something before the node has TLS.
    pub secure_cookies: bool,
    /// How long a cookie is good.
    pub session: Duration,
    /// How long an access token is good.
    pub access_token: Duration,
    /// How long a refresh token is good.
    pub refresh_token: Duration,
    /// How fast somebody may ask; none for no limits.
    pub limits: Option<Limits>,
    /// Proxies that are believed when they say from where a request comes.
    pub trusted_proxies: Vec<Network>,
    /// Logging in at somebody else's provider.
    pub oidc: Option<OidcSettings>,
}

impl Settings {
    /// The usual ones.
    pub fn new(keys: PathBuf) -> Settings {
        Settings {
            keys,
            dev: false,
            admin_email: "admin@localhost".into(),
            secure_cookies: false,
            session: Duration::from_secs(86_400),
            access_token: Duration::from_secs(900),
            refresh_token: Duration::from_secs(30 * 86_400),
            limits: Some(Limits::default()),
            trusted_proxies: Vec::new(),
            oidc: None,
        }
    }
}

/// The administrator whom the first start made. The password is kept nowhere else, and must be changed at the first login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAdmin {
    /// Who logs in.
    pub email: String,
    /// With what, once.
    pub password: String,
}

/// All identities of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Shared>);

pub(crate) struct Shared {
    settings: Settings,
    database: Database,
    vault: Vault,
    ledger: Ledger,
    authority: Authority,
    directory: Directory,
    provider: Option<Provider>,
    signer: Signer,
    memory: RwLock<Memory>,
    follow: tokio::sync::Mutex<i64>,
    ended: broadcast::Sender<Ended>,
    accounts: Throttle,
    addresses: Throttle,
    hashing: Semaphore,
    nobodys_hash: Arc<OnceLock<String>>,
    buckets: Buckets,
    strangers: Strangers,
    noter: OnceLock<Noter>,
    refusals: Refusals,
    certificates: credentials::Certificates,
    resealing: Arc<reseal::Progress>,
    uses: Mutex<Vec<(What, Arc<str>)>>,
}

impl Auth {
    /// Opens the identities in this database, making the tables, the signing key and, where there is no user at all, the
    /// first administrator. On `Ok` everything that a request is held against is in memory, and what changes in
    /// the tables by other hands is followed for as long as this, or a clone, is there.
    pub async fn open(
        settings: Settings,
        database: Database,
        vault: Vault,
        ledger: Ledger,
        authority: Authority,
        directory: Directory,
    ) -> Result<(Auth, Option<FirstAdmin>), Error> {
        database.migrate(schema::AREA, schema::STEPS).await?;
        let token_ms = millis(settings.access_token);
        let signer = Signer::open(&settings.keys, token_ms)
            .map_err(|error| Error::Keys { folder: settings.keys.clone(), error })?;
        let provider = settings.oidc.as_ref().map(|oidc| Provider::new(oidc.provider.clone())).transpose()?;
        let auth = Auth(Arc::new(Shared {
            settings,
            database,
            vault,
            ledger,
            authority,
            directory,
            provider,
            signer,
            memory: RwLock::default(),
            follow: tokio::sync::Mutex::new(0),
            ended: broadcast::channel(ENDED_MAX).0,
            accounts: Throttle::new(QUICK_FAILURES),
            addresses: Throttle::draining(QUICK_FAILURES_OF_ADDRESS, ADDRESS_FORGETS_MS),
            hashing: Semaphore::new(HASHES_AT_ONCE),
            nobodys_hash: Arc::default(),
            buckets: Buckets::new(),
            strangers: Strangers::default(),
            noter: OnceLock::new(),
            refusals: Refusals::default(),
            certificates: credentials::Certificates::default(),
            resealing: Arc::default(),
            uses: Mutex::default(),
        }));
        auth.read_everything().await?;
        let first = auth.make_first_admin().await?;
        // Made now: made by the first login of an unknown account, it would double the time of that answer, and so tell
        // that the account is unknown. Hashing takes tens of milliseconds of a core, which the start does not wait for.
        let nobodys = auth.0.nobodys_hash.clone();
        tokio::task::spawn_blocking(move || nobodys.get_or_init(make_nobodys_hash).len());
        tokio::spawn(work::upkeep(Arc::downgrade(&auth.0)));
        tokio::spawn(reseal::follow(Arc::downgrade(&auth.0)));
        tokio::spawn(devices::follow_revocations(auth.0.authority.subscribe(), Arc::downgrade(&auth.0)));
        Ok((auth, first))
    }

    /// Access as it ends: of one session or credential, or of a subject as a whole. Whoever keeps connections open listens,
    /// and asks [`Auth::is_live`] for those of the subject; who is told that he missed some, for all.
    pub fn ended(&self) -> broadcast::Receiver<Ended> {
        self.0.ended.subscribe()
    }

    /// A new key signs access tokens from now on; those that are out stay good until they end. Gives the key's id.
    pub fn rotate_signing_key(&self) -> Result<String, Error> {
        let rotated = self.0.signer.rotate(drover_answer::now_ms());
        rotated.map_err(|error| Error::Keys { folder: self.0.settings.keys.clone(), error })
    }

    /// The routes of this door.
    pub fn routes(&self) -> utoipa_axum::router::OpenApiRouter {
        http::routes(self.clone())
    }

    async fn read_everything(&self) -> Result<(), Error> {
        let mut follow = self.0.follow.lock().await;
        let mut on = self.0.database.read().await?;
        // The number first: what changes meanwhile is read twice, not missed.
        *follow = store::clock(&mut on).await?;
        work::read_everything(&self.0, &mut on).await
    }

    /// Hashing takes a core and memory for a moment: off the threads that serve, and few at once.
    async fn hash(&self, password: String) -> Result<String, Error> {
        let _permit = self.0.hashing.acquire().await;
        let hashed = tokio::task::spawn_blocking(move || password::hash(&password)).await;
        match hashed {
            Ok(Ok(hash)) => Ok(hash),
            Ok(Err(error)) => Err(Error::Password(error.to_string())),
            Err(error) => Err(Error::Password(error.to_string())),
        }
    }

    /// True if the password is the one that was hashed. An empty hash is nobody's, and takes as long.
    async fn is_password(&self, password: String, hash: String) -> bool {
        let _permit = self.0.hashing.acquire().await;
        let is_set = !hash.is_empty();
        let nobodys = self.0.nobodys_hash.clone();
        let checked = tokio::task::spawn_blocking(move || match is_set {
            true => password::verify(&password, &hash),
            false => password::verify(&password, nobodys.get_or_init(make_nobodys_hash)),
        });
        checked.await.unwrap_or(false) && is_set
    }
}

/// What the password of an unknown account is held against, so that the answer takes as long as for a known one.
fn make_nobodys_hash() -> String {
    password::hash(&secrets::secret()).unwrap_or_default()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
