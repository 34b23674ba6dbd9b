//! "Did you mean …": the known name that is closest to a mistyped one.

/// The candidate with the fewest single-letter edits from `name`, when few enough to be a slip. Case does not count.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let slips = (name.chars().count() / 3).max(2);
    let scored = candidates.into_iter().map(|candidate| (score(&name, &candidate.to_lowercase()), candidate));
    scored.filter(|(edits, _)| *edits <= slips).min().map(|(_, candidate)| candidate)
}

/// Edits between the names; a name that begins with the other (`speed`, `speed_kmh`) counts as one.
fn score(a: &str, b: &str) -> usize {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    if short.len() >= 3 && short.len() < long.len() && long.starts_with(short) { 1 } else { edits(a, b) }
}

/// Levenshtein's distance with one row of the table.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const COLUMNS: [&str; 5] = ["kind", "id", "event_time", "speed_kmh", "latitude"];

    #[test]
    fn a_slip_finds_its_column() {
        assert_eq!(nearest("sped_kmh", COLUMNS), Some("speed_kmh"));
        assert_eq!(nearest("Event_Tme", COLUMNS), Some("event_time"));
        assert_eq!(nearest("speed", COLUMNS), Some("speed_kmh"));
    }

    #[test]
    fn a_name_like_none_finds_none() {
        assert_eq!(nearest("temperature", COLUMNS), None);
    }
}
