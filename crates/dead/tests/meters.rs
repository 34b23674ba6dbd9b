//! What an alarm can see.

mod support;

use drover_dead::{Dead, Filter, NewLetter, Settings};
use metrics_exporter_prometheus::PrometheusBuilder;
use support::{DAY, HISTORY, IMPORT, NOON, failure, put, put_at, retried_by};
use tempfile::tempdir;

fn value(rendered: &str, metric: &str) -> Option<f64> {
    rendered.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn every_way_in_and_out_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let folder = tempdir().unwrap();
    metrics::with_local_recorder(&recorder, || {
        drover_dead::describe();
        let settings = Settings { max_letters: 5, max_bytes: 100, ..Settings::default() };
        let dead = Dead::open(folder.path(), settings).unwrap();
        retried_by(&dead, &IMPORT, |letter, _| match letter.key.as_str() {
            "bad" => Err("no".into()),
            _ => Ok("yes".into()),
        });
        dead.publish();
        let metric = |name: &str| value(&handle.render(), name);
        assert_eq!(metric(r#"drover_dead_letters{source="import"}"#), Some(0.0), "before the first letter");
        assert_eq!(metric(r#"drover_dead_letters_total{source="import"}"#), Some(0.0));
        assert_eq!(metric(r#"drover_dead_letters_retried_total{source="import",result="failed"}"#), Some(0.0));

        let good = put(&dead, &IMPORT, "good");
        let bad = put(&dead, &IMPORT, "bad");
        put(&dead, &IMPORT, "bad");
        dead.put(NewLetter { original: &[0; 200], ..failure(&HISTORY, "large", b"") }).unwrap();
        dead.publish();
        assert_eq!(metric(r#"drover_dead_letters{source="import"}"#), Some(2.0));
        assert_eq!(metric(r#"drover_dead_letters_total{source="import"}"#), Some(2.0), "one failure met twice is one");
        assert_eq!(metric(r#"drover_dead_letters_without_original_total{source="history"}"#), Some(1.0));
        assert_eq!(metric("drover_dead_letter_original_bytes"), Some(16.0 + 15.0));

        dead.retry(good).unwrap();
        dead.retry(bad).unwrap();
        assert_eq!(metric(r#"drover_dead_letters_retried_total{source="import",result="done"}"#), Some(1.0));
        assert_eq!(metric(r#"drover_dead_letters_retried_total{source="import",result="failed"}"#), Some(1.0));

        dead.drop_all(&Filter::of(HISTORY)).unwrap();
        assert_eq!(metric(r#"drover_dead_letters_dropped_total{source="history"}"#), Some(1.0));
        put_at(&dead, "old", NOON);
        dead.tidy(NOON + 15 * DAY).unwrap();
        assert_eq!(metric(r#"drover_dead_letters_expired_total{source="import",reason="age"}"#), Some(1.0));
        for n in 0..6 {
            put(&dead, &HISTORY, &n.to_string());
        }
        assert_eq!(metric(r#"drover_dead_letters_expired_total{source="import",reason="number"}"#), Some(1.0));
        assert_eq!(metric(r#"drover_dead_letters_expired_total{source="history",reason="number"}"#), Some(1.0));

        dead.publish();
        assert_eq!(metric(r#"drover_dead_letters{source="import"}"#), Some(0.0), "none are left of this source");
        assert_eq!(metric(r#"drover_dead_letter_oldest_seconds{source="import"}"#), Some(0.0));
        assert_eq!(metric(r#"drover_dead_letters{source="history"}"#), Some(5.0));
    });
}

#[test]
fn the_age_of_the_oldest_letter_counts_from_its_first_failure() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let folder = tempdir().unwrap();
    metrics::with_local_recorder(&recorder, || {
        let dead = support::open(folder.path());
        let now = drover_answer::now_ms();
        put_at(&dead, "a", now - 3_600_000);
        put_at(&dead, "a", now);
        dead.publish();
        let age = value(&handle.render(), r#"drover_dead_letter_oldest_seconds{source="import"}"#).unwrap();
        assert!((3600.0..3660.0).contains(&age), "{age}");
    });
}
