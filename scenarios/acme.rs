//! A node that gets its certificate by ACME, from Let's Encrypt's own test server: asked for at the first start, shown at
//! the door, kept over a restart; and a node whose directory is away, which serves with what it has and says so.

mod harness;

use harness::{Node, PATIENCE, folder, free_port, tool, wait_for};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// The name that the certificate is for; every machine knows it.
const NAME: &str = "localhost";
/// What a node says when the directory's certificate is in use.
const IN_USE: &str = "the certificate of the directory is in use";
/// What it says when there is none.
const NONE: &str = "the ACME directory gave no certificate";

/// The test server (Debian: `apt-get install pebble`). It looks at the challenge at the node's own HTTP door.
struct Pebble {
    process: Child,
    folder: PathBuf,
    port: u16,
    management: u16,
}

impl Pebble {
    /// Its files and ports; it does not run yet.
    fn prepare(folder: &Path, door: u16) -> Pebble {
        let (port, management) = (free_port(), free_port());
        let (certificate, key) = (folder.join("pebble.pem"), folder.join("pebble.key"));
        let settings = folder.join("openssl.cnf");
        let text = "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=localhost\n\
                    [ext]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";
        fs::write(&settings, text).expect("settings of openssl");
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let made = tool(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-config",
                &path(&settings),
                "-keyout",
                &path(&key),
                "-out",
                &path(&certificate),
            ],
        );
        made.expect("a certificate for the directory itself");
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path(&certificate), "privateKey": path(&key), "httpPort": free_port(), "tlsPort": door,
        }});
        fs::write(folder.join("pebble.json"), config.to_string()).expect("settings of pebble");
        Pebble { process: Pebble::run(folder), folder: folder.into(), port, management }
    }

    fn run(folder: &Path) -> Child {
        let log = File::options().create(true).append(true).open(folder.join("pebble.log")).expect("a log");
        Command::new("pebble")
            .arg("-config")
            .arg(folder.join("pebble.json"))
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a log"))
            .stdout(log)
            .spawn()
            .expect("pebble is installed (Debian: apt-get install pebble)")
    }

    fn start(folder: &Path, door: u16) -> Pebble {
        let pebble = Pebble::prepare(folder, door);
        pebble.root();
        pebble
    }

    fn stop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("pebble ends");
    }

    /// It goes on at the same ports, with a new authority.
    fn start_again(&mut self) {
        self.process = Pebble::run(&self.folder);
        self.root();
    }

    /// The root of what it issues, PEM, once it answers.
    fn root(&self) -> String {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let own = fs::read(self.folder.join("pebble.pem")).expect("its certificate");
        wait_for("pebble", || get(&url, &own).ok())
    }

    fn orders(&self) -> usize {
        let log = fs::read_to_string(self.folder.join("pebble.log")).expect("its log");
        log.lines().filter(|line| line.contains("POST /order-plz")).count()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let ca = self.folder.join("pebble.pem").display().to_string();
        vec![
            ("DROVER_ACME_DIRECTORY".into(), format!("https://localhost:{}/dir", self.port)),
            ("DROVER_ACME_NAMES".into(), format!(r#"["{NAME}"]"#)),
            ("DROVER_ACME_CONTACT".into(), "fleet@drover.example".into()),
            ("DROVER_ACME_CA".into(), ca),
            // Its messages are read.
            ("NO_COLOR".into(), "1".into()),
        ]
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
        if std::thread::panicking() {
            eprintln!("pebble said:\n{}", fs::read_to_string(self.folder.join("pebble.log")).unwrap_or_default());
        }
    }
}

/// GET over HTTPS, by somebody who trusts these certificates and nobody else, and takes no wrong name.
fn get(url: &str, trusted: &[u8]) -> Result<String, ureq::Error> {
    let roots = CertificateDer::pem_slice_iter(trusted)
        .map(|der| ureq::tls::Certificate::from_der(&der.expect("a certificate")).to_owned());
    let roots: Vec<ureq::tls::Certificate<'static>> = roots.collect();
    let tls = ureq::tls::TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(ureq::tls::RootCerts::from(roots))
        .build();
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).tls_config(tls).build();
    ureq::Agent::new_with_config(config).get(url).call()?.body_mut().read_to_string()
}

fn start(data: &Path, door: u16, settings: &[(String, String)]) -> Node {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Node::start_with(data, &format!("127.0.0.1:{door}"), &settings)
}

#[test]
fn a_node_gets_its_certificate_serves_with_it_and_keeps_it_over_a_restart() {
    let folder = folder();
    let (data, door) = (folder.path().join("data"), free_port());
    let pebble = Pebble::start(folder.path(), door);
    let root = pebble.root();
    let (file, url) = (data.join("tls/certificate.pem"), format!("https://{NAME}:{door}/healthz"));

    let node = start(&data, door, &pebble.settings());
    wait_for("a certificate of the directory", || node.messages().contains(IN_USE).then_some(()));
    get(&url, root.as_bytes()).expect("who trusts the directory's authority is served");
    let got = fs::read_to_string(&file).expect("the certificate");
    let metrics = get(&format!("https://{NAME}:{door}/metrics"), root.as_bytes()).expect("metrics");
    assert!(metrics.contains("drover_certificate_expires_timestamp_seconds "), "{metrics}");
    assert_eq!(pebble.orders(), 1);
    node.stop();

    let node = start(&data, door, &pebble.settings());
    wait_for("the second look", || (node.messages().matches(IN_USE).count() == 2).then_some(()));
    get(&url, root.as_bytes()).expect("the same certificate is served again");
    assert_eq!((pebble.orders(), fs::read_to_string(&file).expect("the certificate")), (1, got), "no new order");
    assert!(!node.messages().contains(NONE), "{}", node.messages());
    node.stop();
}

#[test]
fn a_node_whose_directory_is_away_serves_with_its_own_certificate_and_says_so() {
    let folder = folder();
    let (data, door) = (folder.path().join("data"), free_port());
    let mut pebble = Pebble::start(folder.path(), door);
    pebble.stop();
    let url = format!("https://{NAME}:{door}/healthz");

    let node = start(&data, door, &pebble.settings());
    let own = fs::read(data.join("tls/certificate.pem")).expect("a certificate of its own");
    get(&url, &own).expect("it serves all the same");
    let said = wait_for("a warning", || {
        let messages = node.messages();
        messages.lines().find(|line| line.contains(NONE)).map(str::to_owned)
    });
    assert!(said.contains("WARN") && said.contains("made itself") && said.contains("asked_again_in_s=60"), "{said}");
    get(&url, &own).expect("and goes on");
    node.stop();

    pebble.start_again();
    let (root, node) = (pebble.root(), start(&data, door, &pebble.settings()));
    wait_for("a certificate of the directory", || node.messages().contains(IN_USE).then_some(()));
    get(&url, root.as_bytes()).expect("now it has one of the directory's");
    assert!(get(&url, &own).is_err(), "and shows it to everybody");
    node.stop();

    // Away again: what it got is kept and shown.
    pebble.stop();
    let node = start(&data, door, &pebble.settings());
    get(&url, root.as_bytes()).expect("the directory's, from before");
    node.stop();
}
