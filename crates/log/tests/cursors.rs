//! Cursors outlive the process, and damage to them is noticed.

use drover_log::Cursors;

#[test]
fn a_saved_position_is_loaded_again_and_an_unknown_name_starts_before_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let cursors = Cursors::open(folder.path()).unwrap();
    assert_eq!(cursors.load("live").unwrap(), 0);
    for position in [1, 7, u64::MAX] {
        cursors.save("live", position).unwrap();
        assert_eq!(Cursors::open(folder.path()).unwrap().load("live").unwrap(), position);
    }
    assert_eq!(cursors.load("notify").unwrap(), 0);
}

#[test]
fn a_damaged_cursor_is_an_error_and_not_another_position() {
    let folder = tempfile::tempdir().unwrap();
    let cursors = Cursors::open(folder.path()).unwrap();
    cursors.save("live", 1234).unwrap();
    let path = folder.path().join("cursors/live.cursor");
    let good = std::fs::read(&path).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bad).unwrap();
        assert!(cursors.load("live").is_err());
    }
    cursors.save("live", 5).unwrap();
    assert_eq!(cursors.load("live").unwrap(), 5);
}

#[test]
fn a_name_cannot_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let cursors = Cursors::open(folder.path()).unwrap();
    for name in ["", "../live", "a/b", "a.b"] {
        assert!(cursors.save(name, 1).is_err());
        assert!(cursors.load(name).is_err());
    }
}
