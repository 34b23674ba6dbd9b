//! What is sealed opens only as what it was sealed as; keys rotate under it; the erased stay erased.

use drover_vault::{Error, Settings, Vault};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const ALICE: &str = "customers/c-1";
const EMAIL: &str = "customers.email";

fn new_vault() -> (TempDir, Vault) {
    let folder = tempdir().unwrap();
    let vault = Vault::open(folder.path()).unwrap();
    (folder, vault)
}

fn held(folder: &Path, key: &Path) -> Settings {
    Settings { folder: folder.to_owned(), root_key_file: Some(key.to_owned()) }
}

#[track_caller]
fn opens(vault: &Vault, sealed: &str, plain: &str) {
    assert_eq!(vault.open_sealed(ALICE, EMAIL, sealed).unwrap().as_deref(), Some(plain));
}

fn error<T>(result: Result<T, Error>) -> Error {
    result.err().expect("this is refused")
}

#[test]
fn a_text_opens_after_a_restart_as_what_it_was() {
    let (folder, vault) = new_vault();
    let sealed = vault.seal(ALICE, EMAIL, "alice@example.com").unwrap();
    assert!(sealed.starts_with("v1.1.") && !sealed.contains("alice"), "{sealed}");
    assert_ne!(sealed, vault.seal(ALICE, EMAIL, "alice@example.com").unwrap(), "two seals differ");
    drop(vault);
    opens(&Vault::open(folder.path()).unwrap(), &sealed, "alice@example.com");
}

#[test]
fn any_change_of_a_sealed_text_is_refused() {
    let (_folder, vault) = new_vault();
    let sealed = vault.seal(ALICE, EMAIL, "alice@example.com").unwrap();
    for at in 0..sealed.len() {
        for other in ["A", "B", "9", "!", ""] {
            let changed = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
            if changed != sealed {
                let opened = vault.open_sealed(ALICE, EMAIL, &changed);
                assert!(opened.is_err(), "{changed} of {sealed} gave {opened:?}");
            }
        }
    }
    for nothing in ["", "v1", "v1.", "v1.1", "v1.1.", "v2.1.AAAA", "v1.+1.AAAA", "v1..AAAA", "alice@example.com"] {
        assert!(vault.open_sealed(ALICE, EMAIL, nothing).is_err(), "{nothing}");
    }
}

#[test]
fn a_text_that_was_moved_to_another_person_or_place_or_vault_is_refused() {
    let (_folder, vault) = new_vault();
    let sealed = vault.seal(ALICE, EMAIL, "alice@example.com").unwrap();
    assert!(matches!(error(vault.open_sealed("customers/c-2", EMAIL, &sealed)), Error::Tampered));
    assert!(matches!(error(vault.open_sealed(ALICE, "customers.name", &sealed)), Error::Tampered));
    assert!(matches!(error(vault.open_sealed("customers/c-1c", "ustomers.email", &sealed)), Error::Tampered));
    let (_folder, other) = new_vault();
    assert!(matches!(error(other.open_sealed(ALICE, EMAIL, &sealed)), Error::Tampered));
}

#[test]
fn new_data_keys_seal_and_old_ones_still_open() {
    let (folder, vault) = new_vault();
    let old = vault.seal(ALICE, EMAIL, "old").unwrap();
    assert_eq!((vault.rotate().unwrap(), vault.rotate().unwrap(), vault.current_key()), (2, 3, 3));
    let new = vault.seal(ALICE, EMAIL, "new").unwrap();
    assert_eq!((Vault::key_of(&old), Vault::key_of(&new), Vault::key_of("new")), (Some(1), Some(3), None));
    drop(vault);
    let vault = Vault::open(folder.path()).unwrap();
    opens(&vault, &old, "old");
    opens(&vault, &new, "new");
    assert_eq!(vault.current_key(), 3);
    let from_later = new.replacen("v1.3.", "v1.4.", 1);
    assert!(matches!(error(vault.open_sealed(ALICE, EMAIL, &from_later)), Error::UnknownKey(4)));
}

#[test]
fn a_new_root_key_changes_no_sealed_text_and_shuts_the_old_one_out() {
    let (folder, vault) = new_vault();
    let old_root = fs::read(folder.path().join("root.key")).unwrap();
    let (sealed, blind) = (vault.seal(ALICE, EMAIL, "text").unwrap(), vault.blind(EMAIL, "text"));
    vault.rotate().unwrap();
    vault.rotate_root(&[9; 32]).unwrap();
    assert_eq!(vault.rotate().unwrap(), 3);
    drop(vault);
    let vault = Vault::open(folder.path()).unwrap();
    opens(&vault, &sealed, "text");
    assert_eq!((vault.blind(EMAIL, "text"), vault.current_key()), (blind, 3));
    drop(vault);
    assert_eq!(fs::read(folder.path().join("root.key")).unwrap(), [9; 32]);
    fs::write(folder.path().join("root.key"), old_root).unwrap();
    assert!(matches!(error(Vault::open(folder.path())), Error::WrongRoot { .. }));
}

#[test]
fn an_operators_root_key_is_changed_in_two_steps_and_both_open_the_vault_between_them() {
    let (folder, keys) = (tempdir().unwrap(), tempdir().unwrap());
    let (old, new) = (keys.path().join("old"), keys.path().join("new"));
    fs::write(&old, format!("{}\n", "aB".repeat(32))).unwrap();
    fs::write(&new, [9; 32]).unwrap();
    let vault = Vault::open_with(&held(folder.path(), &old)).unwrap();
    assert!(!folder.path().join("root.key").exists(), "the vault makes none of its own");
    let sealed = vault.seal(ALICE, EMAIL, "text").unwrap();
    vault.rotate_root(&[9; 32]).unwrap();
    assert_eq!(vault.rotate().unwrap(), 2, "the process that changed it knows both");
    drop(vault);
    let vault = Vault::open_with(&held(folder.path(), &old)).unwrap();
    opens(&vault, &sealed, "text");
    assert!(matches!(error(vault.rotate()), Error::RootPending), "it would shut the new one out");
    drop(vault);
    opens(&Vault::open_with(&held(folder.path(), &new)).unwrap(), &sealed, "text");
    assert!(matches!(error(Vault::open_with(&held(folder.path(), &old))), Error::WrongRoot { .. }));
}

#[test]
fn an_operators_new_root_key_is_taken_from_beside_his_own_and_settled_without_a_restart() {
    let (folder, keys) = (tempdir().unwrap(), tempdir().unwrap());
    let (root, next) = (keys.path().join("root"), keys.path().join("root.new"));
    fs::write(&root, [1; 32]).unwrap();
    let vault = Vault::open_with(&held(folder.path(), &root)).unwrap();
    let sealed = vault.seal(ALICE, EMAIL, "text").unwrap();
    let none = error(vault.rotate_root_in_place());
    assert!(matches!(none, Error::NoNextRoot(_)) && none.to_string().contains("root.new"), "{none}");
    fs::write(&next, [1; 32]).unwrap();
    assert!(matches!(error(vault.rotate_root_in_place()), Error::SameRoot(_)));
    assert!(!vault.root_state().is_pending);

    fs::write(&next, "02".repeat(32)).unwrap();
    let state = vault.rotate_root_in_place().unwrap();
    assert_eq!(
        (state.held_in.as_deref(), state.next_in.as_deref(), state.is_pending),
        (Some(&*root), Some(&*next), true)
    );
    assert!(!vault.settle_root().unwrap(), "the old one is in place");
    drop(vault);
    // A restart in between: the node knows the old one only, and settles all the same.
    let vault = Vault::open_with(&held(folder.path(), &root)).unwrap();
    assert!(vault.root_state().is_pending);
    assert!(matches!(error(vault.rotate()), Error::RootPending), "it would shut the new one out");
    fs::rename(&next, &root).unwrap();
    fs::write(&next, [2; 32]).unwrap();
    assert!(
        matches!(error(vault.rotate_root_in_place()), Error::SameRoot(_)),
        "and the first change is seen to be done"
    );
    assert!(!vault.root_state().is_pending);
    fs::write(&next, [3; 32]).unwrap();
    vault.rotate_root_in_place().unwrap();
    fs::rename(&next, &root).unwrap();
    assert!(vault.settle_root().unwrap());
    assert!(!vault.root_state().is_pending && !vault.settle_root().unwrap());
    assert_eq!(vault.rotate().unwrap(), 2);
    drop(vault);
    opens(&Vault::open_with(&held(folder.path(), &root)).unwrap(), &sealed, "text");
    fs::write(&root, [1; 32]).unwrap();
    assert!(matches!(error(Vault::open_with(&held(folder.path(), &root))), Error::WrongRoot { .. }));
}

#[test]
fn the_vaults_own_root_key_is_changed_in_place() {
    let (folder, vault) = new_vault();
    let old = fs::read(folder.path().join("root.key")).unwrap();
    let sealed = vault.seal(ALICE, EMAIL, "text").unwrap();
    let state = vault.rotate_root_in_place().unwrap();
    assert_eq!((state.held_in, state.is_pending), (None, false));
    drop(vault);
    assert_ne!(fs::read(folder.path().join("root.key")).unwrap(), old);
    opens(&Vault::open(folder.path()).unwrap(), &sealed, "text");
}

#[test]
fn a_retired_data_key_opens_nothing_and_its_number_does_not_come_back() {
    let (folder, vault) = new_vault();
    let first = vault.seal(ALICE, EMAIL, "first").unwrap();
    vault.rotate().unwrap();
    let second = vault.seal(ALICE, EMAIL, "second").unwrap();
    vault.rotate().unwrap();
    assert_eq!(vault.retire(&[1, 3, 7]).unwrap(), [1], "3 seals, 7 never was");
    drop(vault);
    let vault = Vault::open(folder.path()).unwrap();
    assert!(matches!(error(vault.open_sealed(ALICE, EMAIL, &first)), Error::UnknownKey(1)));
    opens(&vault, &second, "second");
    assert_eq!(vault.data_keys().iter().map(|key| key.number).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(vault.rotate().unwrap(), 4);
}

#[test]
fn a_wrong_or_missing_root_key_is_told_and_changes_nothing() {
    let (folder, vault) = new_vault();
    let sealed = vault.seal(ALICE, EMAIL, "text").unwrap();
    drop(vault);
    let root = folder.path().join("root.key");
    let right = fs::read(&root).unwrap();
    fs::write(&root, [1; 32]).unwrap();
    let wrong = error(Vault::open(folder.path()));
    assert!(matches!(wrong, Error::WrongRoot { .. }) && wrong.to_string().contains("root.key"), "{wrong}");
    fs::write(&root, "too short").unwrap();
    assert!(matches!(error(Vault::open(folder.path())), Error::NoRootKey(_)));
    fs::remove_file(&root).unwrap();
    assert!(matches!(error(Vault::open(folder.path())), Error::RootMissing(_)));
    assert!(!root.exists(), "no new one is made");
    fs::write(&root, right).unwrap();
    opens(&Vault::open(folder.path()).unwrap(), &sealed, "text");
}

#[test]
fn files_that_are_missing_or_damaged_are_told_and_not_made_anew() {
    for name in ["keys.json", "erased"] {
        let (folder, vault) = new_vault();
        drop(vault);
        let path = folder.path().join(name);
        let right = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(error(Vault::open(folder.path())), Error::Damaged { .. }), "{name}");
        assert!(!path.exists(), "{name}");
        fs::write(&path, [&right[..right.len() / 2], b"#\n".as_slice()].concat()).unwrap();
        assert!(matches!(error(Vault::open(folder.path())), Error::Damaged { .. }), "{name}");
        fs::write(&path, right).unwrap();
        Vault::open(folder.path()).unwrap();
    }
}

#[test]
fn a_vault_whose_making_was_cut_off_is_made_anew() {
    let (folder, vault) = new_vault();
    drop(vault);
    fs::write(folder.path().join("making"), "").unwrap();
    fs::remove_file(folder.path().join("keys.json")).unwrap();
    let vault = Vault::open(folder.path()).unwrap();
    let sealed = vault.seal(ALICE, EMAIL, "text").unwrap();
    drop(vault);
    opens(&Vault::open(folder.path()).unwrap(), &sealed, "text");
}

#[test]
fn the_erased_stay_erased_also_when_old_texts_come_back() {
    let (folder, vault) = new_vault();
    let of_a_backup = vault.seal(ALICE, EMAIL, "alice@example.com").unwrap();
    let of_bob = vault.seal("customers/c-2", EMAIL, "bob@example.com").unwrap();
    vault.erase(ALICE).unwrap();
    vault.erase(ALICE).unwrap();
    for _ in 0..2 {
        let vault = vault.clone();
        assert!(vault.is_erased(ALICE) && !vault.is_erased("customers/c-2"));
        assert_eq!(vault.open_sealed(ALICE, EMAIL, &of_a_backup).unwrap(), None);
        assert!(matches!(error(vault.seal(ALICE, EMAIL, "again")), Error::Erased));
    }
    vault.rotate().unwrap();
    vault.rotate_root(&[3; 32]).unwrap();
    drop(vault);
    let list = fs::read_to_string(folder.path().join("erased")).unwrap();
    assert!(!list.contains("c-1") && list.lines().count() == 2, "no name, and nobody twice: {list}");
    let vault = Vault::open(folder.path()).unwrap();
    assert_eq!(vault.open_sealed(ALICE, EMAIL, &of_a_backup).unwrap(), None);
    let bob = vault.open_sealed("customers/c-2", EMAIL, &of_bob).unwrap();
    assert_eq!(bob.as_deref(), Some("bob@example.com"));
}

#[test]
fn a_line_of_the_erased_that_was_cut_off_is_cut_away_and_the_next_one_is_whole() {
    let (folder, vault) = new_vault();
    vault.erase(ALICE).unwrap();
    drop(vault);
    let path = folder.path().join("erased");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"17953 AAAA");
    fs::write(&path, bytes).unwrap();
    let vault = Vault::open(folder.path()).unwrap();
    vault.erase("customers/c-2").unwrap();
    drop(vault);
    let vault = Vault::open(folder.path()).unwrap();
    assert!(vault.is_erased(ALICE) && vault.is_erased("customers/c-2"));
}

#[test]
fn one_process_has_a_vault_open_and_its_files_are_its_owners_alone() {
    let (folder, vault) = new_vault();
    vault.erase(ALICE).unwrap();
    vault.rotate().unwrap();
    assert!(matches!(error(Vault::open(folder.path())), Error::InUse(_)));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path()), 0o700);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.iter().all(|path| mode(path) == 0o600), "{names:?}");
}

#[test]
fn equal_values_are_found_by_their_blind_index_however_they_are_written() {
    let (folder, vault) = new_vault();
    let index = vault.blind(EMAIL, "alice@example.com");
    assert_eq!(vault.blind(EMAIL, "  Alice@EXAMPLE.com\n"), index);
    assert_ne!(vault.blind(EMAIL, "alice@example.org"), index);
    assert_ne!(vault.blind("drivers.email", "alice@example.com"), index, "places are apart");
    let phone = vault.blind("customers.phone", "+49 (171) 234-56.78");
    assert_eq!(vault.blind("customers.phone", "+491712345678"), phone);
    assert_ne!(vault.blind("customers.phone", "491712345678"), phone);
    assert_ne!(vault.blind("customers.name", "a b"), vault.blind("customers.name", "ab"), "only phones lose spaces");
    vault.rotate().unwrap();
    vault.rotate_root(&[5; 32]).unwrap();
    drop(vault);
    assert_eq!(Vault::open(folder.path()).unwrap().blind(EMAIL, "alice@example.com"), index);
    let (_folder, other) = new_vault();
    assert_ne!(other.blind(EMAIL, "alice@example.com"), index, "vaults are apart");
}

#[test]
fn texts_open_while_keys_rotate_and_others_are_erased() {
    let (_folder, vault) = new_vault();
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let vault = &vault;
            scope.spawn(move || {
                let person = format!("customers/reader-{reader}");
                for round in 0..2000 {
                    let plain = format!("text {round}");
                    let sealed = vault.seal(&person, EMAIL, &plain).unwrap();
                    assert_eq!(vault.open_sealed(&person, EMAIL, &sealed).unwrap(), Some(plain));
                }
            });
        }
        for round in 0..20u8 {
            vault.rotate().unwrap();
            vault.rotate_root(&[round; 32]).unwrap();
            vault.erase(&format!("customers/erased-{round}")).unwrap();
        }
    });
    assert_eq!(vault.current_key(), 21);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn whatever_is_sealed_is_what_opens(texts in prop::collection::vec((any::<String>(), "\\PC*", any::<String>()), 1..4)) {
        let (_folder, vault) = new_vault();
        for (person, place, plain) in &texts {
            let sealed = vault.seal(person, place, plain).unwrap();
            let opened = vault.open_sealed(person, place, &sealed).unwrap();
            prop_assert_eq!(opened.as_ref(), Some(plain));
            prop_assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)));
        }
    }
}
