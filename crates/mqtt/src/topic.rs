//! Topics and filters: what is allowed, what matches (MQTT 5.0, section 4.7).

use crate::settings::Settings;

/// Checks the name of a topic that somebody publishes to.
pub(crate) fn check_name(topic: &str, settings: &Settings) -> Result<(), String> {
    check_size(topic, settings)?;
    match topic.bytes().find(|byte| matches!(byte, b'+' | b'#' | 0)) {
        Some(byte) => Err(format!("topic contains {:?}, which only filters may", char::from(byte))),
        None => Ok(()),
    }
}

/// Checks a filter, without the prefix of a shared subscription.
pub(crate) fn check_filter(filter: &str, settings: &Settings) -> Result<(), String> {
    check_size(filter, settings)?;
    if filter.contains('\0') {
        return Err("filter contains a zero character".into());
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        if level.contains('#') && (level != "#" || !is_last) {
            return Err(format!("filter {filter:?}: # stands alone as the last level"));
        }
        if level.contains('+') && level != "+" {
            return Err(format!("filter {filter:?}: + stands alone in its level"));
        }
    }
    Ok(())
}

fn check_size(text: &str, settings: &Settings) -> Result<(), String> {
    if text.is_empty() || text.len() > settings.max_topic_bytes {
        return Err(format!("topic has {} bytes; allowed is 1 to {}", text.len(), settings.max_topic_bytes));
    }
    let levels = text.split('/').count();
    if levels > settings.max_topic_levels {
        return Err(format!("topic has {levels} levels; allowed is up to {}", settings.max_topic_levels));
    }
    Ok(())
}

/// Splits `$share/group/filter`; `Err` where the prefix is there and the rest is wrong.
pub(crate) fn split_shared(filter: &str) -> Result<(Option<&str>, &str), String> {
    let Some(rest) = filter.strip_prefix("$share/") else { return Ok((None, filter)) };
    match rest.split_once('/') {
        Some((group, filter)) if !group.is_empty() && !group.contains(['+', '#']) && !filter.is_empty() => {
            Ok((Some(group), filter))
        }
        _ => Err(format!("filter {filter:?}: $share/GROUP/FILTER is expected")),
    }
}

/// Whether a topic's name matches a filter.
pub fn matches(filter: &str, topic: &str) -> bool {
    // Wildcards at the front do not reach topics of the broker itself.
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_specification_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("a//b", "a//b", true),
            ("a/+/b", "a//b", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn wrong_filters_and_names_are_refused() {
        let settings = Settings::default();
        for filter in ["", "a/#/b", "a#", "a/b+", "#/", &"x".repeat(2000), &"a/".repeat(40)] {
            assert!(check_filter(filter, &settings).is_err(), "{filter}");
        }
        for filter in ["#", "+", "a/+/#", "/", "//", "+/+"] {
            assert!(check_filter(filter, &settings).is_ok(), "{filter}");
        }
        assert!(check_name("a/+", &settings).is_err());
        assert!(check_name("a/b", &settings).is_ok());
        assert_eq!(split_shared("$share/g/a/#"), Ok((Some("g"), "a/#")));
        assert!(split_shared("$share/g").is_err());
        assert!(split_shared("$share//a").is_err());
    }
}
