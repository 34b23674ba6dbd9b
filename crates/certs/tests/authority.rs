//! The authority: what it issues, what it remembers, and what others' tools say about it.

mod client;

use client::name;
use drover_certs::{Authority, Error, Reason, Refused};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

fn openssl(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let done = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl is installed");
    let text = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (done.status.success(), text)
}

#[test]
fn what_was_issued_and_revoked_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), None).unwrap();
    let one = authority.issue(&name("driver/d-1"), 30).unwrap();
    let two = authority.issue(&name("vehicle/v-1"), 30).unwrap();
    authority.revoke(&one.serial, Reason::KeyCompromise).unwrap();
    authority.revoke(&one.serial, Reason::Superseded).expect("once more does no harm");
    let pem = authority.certificate_pem().to_owned();
    drop(authority);

    let authority = Authority::open(folder.path(), None).unwrap();
    assert_eq!(authority.certificate_pem(), pem);
    assert_eq!(authority.identify(&der(&one.certificate_pem)), Err(Refused::Revoked));
    let device = authority.identify(&der(&two.certificate_pem)).unwrap();
    assert_eq!((device.name, device.serial, device.expires_ms), (name("vehicle/v-1"), two.serial, two.expires_ms));
    let listed = authority.list();
    let revoked: Vec<_> = listed.iter().map(|listed| listed.revoked.map(|(_, reason)| reason)).collect();
    assert_eq!(listed.len(), 2);
    assert!(revoked.contains(&Some(Reason::KeyCompromise)) && revoked.contains(&None), "{revoked:?}");
}

#[test]
fn keys_are_for_their_owner_only_and_never_in_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), None).unwrap();
    authority.issue(&name("driver/d-1"), 30).unwrap();
    let mode = folder.path().join("ca.key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let index = std::fs::read_to_string(folder.path().join("index.jsonl")).unwrap();
    assert_eq!(index.lines().count(), 1);
    assert!(!index.contains("KEY"), "{index}");
}

#[test]
fn a_line_that_a_crash_cut_is_forgotten_and_the_next_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), None).unwrap();
    let one = authority.issue(&name("driver/d-1"), 30).unwrap();
    let mut index = std::fs::OpenOptions::new().append(true).open(folder.path().join("index.jsonl")).unwrap();
    index.write_all(br#"{"revoked":{"serial":"#).unwrap();
    authority.revoke(&one.serial, Reason::Unspecified).unwrap();
    let again = Authority::open(folder.path(), None).unwrap();
    assert!(again.revoked(&one.serial));
    assert_eq!(again.list().len(), 1);
}

#[test]
fn an_index_that_cannot_be_read_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    drop(Authority::open(folder.path(), None).unwrap());
    std::fs::write(folder.path().join("index.jsonl"), "{\"revoked\":1}\n").unwrap();
    Authority::open(folder.path(), None).expect_err("revocations may be lost in it");
}

#[test]
fn two_processes_share_one_authority() {
    let folder = tempfile::tempdir().unwrap();
    let both: Vec<Authority> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..2).map(|_| scope.spawn(|| Authority::open(folder.path(), None).unwrap())).collect();
        opening.into_iter().map(|opening| opening.join().unwrap()).collect()
    });
    assert_eq!(both[0].certificate_pem(), both[1].certificate_pem());
    std::thread::scope(|scope| {
        for authority in &both {
            scope.spawn(|| (0..20).for_each(|n| drop(authority.issue(&name(&format!("driver/d-{n}")), 1).unwrap())));
        }
    });
    for authority in &both {
        authority.look().unwrap();
        assert_eq!(authority.list().len(), 40);
    }
    let one = both[0].issue(&name("driver/one"), 1).unwrap();
    both[1].revoke(&one.serial, Reason::Unspecified).expect("known without having looked before");
}

#[test]
fn a_certificate_that_was_never_issued_cannot_be_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), None).unwrap();
    let refused = authority.revoke("0123", Reason::Unspecified);
    assert!(matches!(refused, Err(Error::UnknownSerial(_))), "{refused:?}");
}

#[test]
fn a_request_gets_the_name_that_was_decided_here_and_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), None).unwrap();
    let wish = ["req", "-new", "-nodes", "-keyout", "d.key", "-out", "d.csr", "-subj", r"/CN=driver\/somebody-else"];
    let ec: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let rsa: &[&str] = &["-newkey", "rsa:2048"];
    for kind in [ec, rsa] {
        let (done, text) = openssl(folder.path(), &[&wish[..], kind].concat());
        assert!(done, "{text}");
        let csr = std::fs::read_to_string(folder.path().join("d.csr")).unwrap();
        let issued = authority.sign_csr(&csr, &name("driver/d-1"), 30).unwrap();
        assert!(issued.key_pem.is_none());
        let device = authority.identify(&der(&issued.certificate_pem)).unwrap();
        assert_eq!(device.name, name("driver/d-1"));
        std::fs::write(folder.path().join("d.pem"), &issued.certificate_pem).unwrap();
        let (verified, text) = openssl(folder.path(), &["verify", "-x509_strict", "-CAfile", "ca.pem", "d.pem"]);
        assert!(verified, "{text}");
    }
    authority.sign_csr("no request", &name("driver/d-1"), 30).expect_err("this is none");
}

#[test]
fn a_request_whose_signature_is_wrong_is_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), None).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    authority.sign_csr(&request.pem().unwrap(), &name("driver/d-1"), 1).expect("as it is");
    let mut der = request.der().to_vec();
    *der.last_mut().unwrap() ^= 1;
    let spoiled = rustls::pki_types::CertificateSigningRequestDer::from(der);
    let pem = x509_pem(&spoiled);
    let refused = authority.sign_csr(&pem, &name("driver/d-1"), 1);
    assert!(matches!(refused, Err(Error::Request(_))), "{refused:?}");
}

fn x509_pem(der: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("r.der"), der).unwrap();
    let (done, text) = openssl(folder.path(), &["base64", "-in", "r.der"]);
    assert!(done, "{text}");
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n")
}

#[test]
fn openssl_finds_the_revoked_one_by_the_list_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), None).unwrap();
    let [one, two] = ["driver/d-1", "driver/d-2"].map(|text| authority.issue(&name(text), 30).unwrap());
    authority.revoke(&one.serial, Reason::KeyCompromise).unwrap();
    for (file, text) in
        [("one.pem", one.certificate_pem), ("two.pem", two.certificate_pem), ("crl.pem", authority.crl_pem().unwrap())]
    {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let verify = |file| {
        let all = ["verify", "-x509_strict", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "crl.pem", file];
        openssl(folder.path(), &all)
    };
    let (good, text) = verify("two.pem");
    assert!(good, "{text}");
    let (good, text) = verify("one.pem");
    assert!(!good && text.contains("certificate revoked"), "{text}");
}

#[test]
fn a_spoiled_certificate_never_says_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), None).unwrap();
    let whole = der(&authority.issue(&name("driver/d-1"), 30).unwrap().certificate_pem);
    let device = authority.identify(&whole).unwrap();
    for end in 0..whole.len() {
        authority.identify(&whole[..end]).expect_err("it is cut");
    }
    for at in 0..whole.len() {
        let mut spoiled = whole.clone();
        spoiled[at] ^= 0x10;
        // Some bits are not under the signature, and mean nothing.
        if let Ok(spoiled) = authority.identify(&spoiled) {
            assert_eq!(spoiled, device, "byte {at}");
        }
    }
}

#[test]
fn files_of_another_authority_do_not_go_together_with_the_key() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&folder, &other] {
        drop(Authority::open(folder.path(), None).unwrap());
    }
    std::fs::copy(other.path().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
    Authority::open(folder.path(), None).expect_err("the certificate is of another key");
    std::fs::remove_file(folder.path().join("ca.key")).unwrap();
    Authority::open(folder.path(), None).expect_err("a missing key is not made up");
}
