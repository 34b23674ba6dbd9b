//! When access ends that runs out by itself: with a certificate it is the clock alone that says so, whatever else
//! happens meanwhile.

use base64::Engine;
use drover_access::{Caller, Directory};
use drover_auth::{Auth, Settings};
use drover_certs::{Authority, DeviceName, Issued, Reason};
use drover_database::Database;
use drover_ledger::Ledger;
use drover_registry::Registry;
use drover_vault::Vault;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

struct House {
    auth: Auth,
    authority: Authority,
    _registry: Registry,
    _folder: tempfile::TempDir,
}

impl House {
    async fn open() -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open_file(&folder.path().join("registry.db")).await.expect("a database");
        let vault = Vault::open(&folder.path().join("vault")).expect("a vault");
        let ledger = Ledger::open(&folder.path().join("audit.db")).await.expect("a ledger");
        let authority = Authority::open(&folder.path().join("ca"), None).expect("an authority");
        let directory = Directory::default();
        let registry = Registry::open(database.clone(), vault.clone(), directory.clone()).await.expect("a registry");
        let settings = Settings { limits: None, ..Settings::new(folder.path().join("keys")) };
        let opened = Auth::open(settings, database, vault, ledger, authority.clone(), directory);
        let (auth, _) = opened.await.expect("identities");
        House { auth, authority, _registry: registry, _folder: folder }
    }

    fn issue(&self, id: &str, left: Duration) -> Issued {
        let name = DeviceName::new("driver", id).expect("a name");
        let until_ms = now_ms() + left.as_millis() as i64;
        self.authority.issue_between(&name, now_ms() - 60_000, until_ms).expect("a certificate")
    }

    fn enter(&self, issued: &Issued) -> Caller {
        let text: String = issued.certificate_pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(text).expect("PEM");
        self.auth.connect(None, None, Some(&der)).expect("good for now")
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_by_a_certificate_ends_with_it_however_much_ends_for_others() {
    let house = House::open().await;
    // Others whose access ends a few times a second: a wait that began anew with each of them would never be over.
    let others: Vec<Issued> = (0..40).map(|n| house.issue(&format!("other-{n}"), Duration::from_secs(600))).collect();
    let issued = house.issue("d-1", Duration::from_secs(4));
    let caller = house.enter(&issued);
    assert!(house.auth.is_live(&caller));
    let authority = house.authority.clone();
    let revoking = tokio::task::spawn_blocking(move || {
        for other in others {
            authority.revoke(&other.serial, Reason::Superseded).expect("revoked");
            std::thread::sleep(Duration::from_millis(150));
        }
    });
    let ended = timeout(Duration::from_secs(20), house.auth.until(&caller).ended()).await;
    let late_ms = now_ms() - issued.expires_ms;
    ended.expect("it ends");
    assert!((0..2_000).contains(&late_ms), "{late_ms} ms after the certificate");
    assert!(!house.auth.is_live(&caller));
    revoking.await.expect("all revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_by_a_certificate_that_is_taken_back_ends_at_once() {
    let house = House::open().await;
    let issued = house.issue("d-1", Duration::from_secs(600));
    let caller = house.enter(&issued);
    let ended = tokio::spawn(house.auth.until(&caller).ended());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!ended.is_finished(), "it goes on until then");
    let revoked = Instant::now();
    house.authority.revoke(&issued.serial, Reason::KeyCompromise).expect("revoked");
    timeout(Duration::from_secs(20), ended).await.expect("it ends").expect("without a panic");
    assert!(revoked.elapsed() < Duration::from_secs(2), "{:?}", revoked.elapsed());
}
