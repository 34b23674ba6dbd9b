//! Lists a bucket: pages of at most 1,000 keys, each asked for by the last key of the page before.

use super::client::Ask;
use super::{Bucket, answer, bare};
use crate::error::Error;
use crate::{Meta, key};
use http::Method;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// What a store gives at most, whatever it is asked for.
const PAGE_MAX: usize = 1000;
/// Never so few that pages of others' files take a request for each of them.
const PAGE_MIN: usize = 100;

pub(super) async fn list(bucket: &Bucket, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Meta>, Error> {
    let prefix = format!("{}{prefix}", bucket.prefix);
    let mut after = format!("{}{}", bucket.prefix, after.unwrap_or(""));
    let mut listed = Vec::new();
    loop {
        let wanted = (limit - listed.len()).clamp(PAGE_MIN, PAGE_MAX);
        let ask = ask(&prefix, &after, wanted);
        let (_, document) = bucket.client.document(&ask).await?;
        let page = Page::read(&document)
            .map_err(|error| bucket.client.nonsense(&ask, format!("the list makes no sense: {error}")))?;
        let Some(last) = page.last(&after) else {
            return Err(bucket.client.nonsense(&ask, "the store does not list its keys in order"));
        };
        after = last.to_owned();
        listed.extend(page.entries.into_iter().filter_map(|entry| known(&bucket.prefix, entry)));
        if !page.more || listed.len() >= limit {
            listed.truncate(limit);
            return Ok(listed);
        }
    }
}

fn ask(prefix: &str, after: &str, wanted: usize) -> Ask<'static> {
    let ask = Ask::of("list", Method::GET, None)
        .query("list-type", "2")
        .query("max-keys", wanted.to_string())
        .query("prefix", prefix);
    if after.is_empty() { ask } else { ask.query("start-after", after) }
}

/// With its key relative to the place, if that is one.
fn known(prefix: &str, entry: Meta) -> Option<Meta> {
    let key = entry.key.strip_prefix(prefix).filter(|key| key::is_listed(key))?.to_owned();
    Some(Meta { key, ..entry })
}

/// One answer. Its keys are the bucket's.
#[derive(Debug, Default, PartialEq)]
struct Page {
    entries: Vec<Meta>,
    more: bool,
}

impl Page {
    fn read(xml: &str) -> Result<Page, String> {
        let mut page = Page::default();
        let mut entry = None;
        let mut text = String::new();
        let mut reader = Reader::from_str(xml);
        let mut whole = false;
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) => {
                    text.clear();
                    if start.local_name().as_ref() == "Contents" {
                        entry = Some(Meta { key: String::new(), bytes: 0, etag: None, modified_ms: 0 });
                    }
                }
                Event::Text(more) => text.push_str(&more),
                Event::CData(more) => text.push_str(&more),
                Event::GeneralRef(character) => push(&mut text, &character)?,
                Event::End(end) => match (end.local_name().as_ref(), &mut entry) {
                    ("Contents", _) => page.entries.extend(entry.take()),
                    ("ListBucketResult", None) => whole = true,
                    ("IsTruncated", None) => page.more = text.trim() == "true",
                    (name, Some(entry)) => set(entry, name, &text)?,
                    _ => {}
                },
                Event::Eof if whole => return Ok(page),
                Event::Eof => return Err("it ends too soon".to_owned()),
                _ => {}
            }
        }
    }

    /// The key after which the next page starts. `None` if going on from there would not be going on.
    fn last(&self, after: &str) -> Option<&str> {
        let mut keys = self.entries.iter().map(|entry| entry.key.as_str());
        match self.entries.last() {
            None if self.more => None,
            None => Some(""),
            Some(last) => {
                let mut before = after;
                keys.all(|key| std::mem::replace(&mut before, key) < key).then_some(&last.key)
            }
        }
    }
}

fn set(entry: &mut Meta, name: &str, text: &str) -> Result<(), String> {
    match name {
        "Key" => entry.key = text.to_owned(),
        "Size" => entry.bytes = text.trim().parse().map_err(|_| format!("{text:?} is no size"))?,
        "ETag" => entry.etag = Some(bare(text.trim())),
        "LastModified" => {
            entry.modified_ms = answer::list_date(text.trim()).ok_or_else(|| format!("{text:?} is no date"))?;
        }
        _ => {}
    }
    Ok(())
}

fn push(text: &mut String, character: &BytesRef<'_>) -> Result<(), String> {
    if let Some(character) = character.resolve_char_ref().map_err(|error| error.to_string())? {
        text.push(character);
        return Ok(());
    }
    let known = quick_xml::escape::resolve_predefined_entity(character);
    text.push_str(known.ok_or_else(|| format!("&{}; is no character", &**character))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>lake</Name>"#;

    fn page(inside: &str) -> Result<Page, String> {
        Page::read(&format!("{HEAD}{inside}</ListBucketResult>"))
    }

    fn keys(keys: &[&str], more: bool) -> Page {
        let entry = |key: &&str| Meta { key: (*key).to_owned(), bytes: 0, etag: None, modified_ms: 0 };
        Page { entries: keys.iter().map(entry).collect(), more }
    }

    #[test]
    fn a_page_is_read_with_every_kind_of_key() {
        let page = page(
            "<Contents><Key> a&amp;b&#x1; &lt;ü&gt; </Key><LastModified>2015-10-21T07:28:00.000Z</LastModified>\
             <ETag>&quot;abc-2&quot;</ETag><Size>17</Size><Owner><ID>9</ID></Owner></Contents>\
             <Contents><Key>c</Key><LastModified>2015-10-21T07:28:00Z</LastModified><Size>0</Size></Contents>\
             <IsTruncated>true</IsTruncated>",
        )
        .unwrap();
        let modified_ms = 1_445_412_480_000;
        let first = Meta { key: " a&b\u{1} <ü> ".into(), bytes: 17, etag: Some("abc-2".into()), modified_ms };
        let second = Meta { key: "c".into(), bytes: 0, etag: None, modified_ms };
        assert_eq!(page, Page { entries: vec![first, second], more: true });
        assert_eq!(page.last(""), Some("c"));
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(page("<Contents><Size>many</Size></Contents>").is_err());
        assert!(page("<Contents><LastModified>then</LastModified></Contents>").is_err());
        assert!(page("<Contents><Key>a&b;</Key></Contents>").is_err());
        assert!(page("<Contents></IsTruncated>").is_err());
        assert!(Page::read(HEAD).is_err());
        assert!(Page::read("<html></html>").is_err());
    }

    #[test]
    fn a_list_that_does_not_go_on_is_noticed() {
        assert_eq!(keys(&["b", "c"], true).last("a"), Some("c"));
        assert_eq!(keys(&["b", "c"], true).last("b"), None);
        assert_eq!(keys(&["c", "b"], false).last("a"), None);
        assert_eq!(keys(&[], true).last("a"), None);
        assert_eq!(keys(&[], false).last("a"), Some(""));
    }

    #[test]
    fn only_keys_below_the_place_are_shown() {
        let shown = |key: &str| known("cold/", keys(&[key], false).entries.remove(0)).map(|meta| meta.key);
        assert_eq!(shown("cold/a/b"), Some("a/b".to_owned()));
        for hidden in ["cold/", "cold/a/", "cold/a//b", "warm/a", "cold/a.tmp", "cold/.drover-check-1", "cold/a\u{1}"] {
            assert_eq!(shown(hidden), None, "{hidden}");
        }
    }
}
