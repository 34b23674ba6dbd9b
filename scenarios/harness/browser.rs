//! A browser as far as a login needs one: cookies, and redirects that are followed one by one. Like any browser it keeps
//! cookies by host and path, and takes all ports of a host for one.

use super::{PATIENCE, parse};
use serde_json::Value;
use ureq::http::Uri;

/// Redirects that lead somewhere come to an end before this.
const REDIRECTS_MAX: usize = 12;

/// A browser of one person.
pub struct Browser {
    http: ureq::Agent,
    jar: Vec<Cookie>,
}

#[derive(Clone)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

/// What came of one request.
#[derive(Debug, Clone)]
pub struct Page {
    pub url: String,
    pub status: u16,
    /// Where it leads, as it is written there.
    pub location: Option<String>,
    pub content_type: String,
    /// The headers that set cookies.
    pub set_cookies: Vec<String>,
    pub body: Vec<u8>,
}

impl Page {
    /// The JSON of a page that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.url, String::from_utf8_lossy(&self.body));
        parse(&self.body)
    }

    /// The header that sets this cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let is_it = |set: &&String| set.split('=').next() == Some(name);
        self.set_cookies.iter().find(is_it).map(String::as_str)
    }
}

impl Browser {
    pub fn new() -> Browser {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let config = config.max_redirects(0).max_redirects_will_error(false).timeout_global(Some(PATIENCE)).build();
        Browser { http: ureq::Agent::new_with_config(config), jar: Vec::new() }
    }

    /// Sets a cookie for a whole host.
    pub fn set(&mut self, host: &str, name: &str, value: &str) {
        self.keep(Cookie { host: host.into(), path: "/".into(), name: name.into(), value: value.into() });
    }

    /// Another browser with the same cookies.
    pub fn copy(&self) -> Browser {
        Browser { jar: self.jar.clone(), ..Browser::new() }
    }

    /// One request.
    pub fn get(&mut self, url: &str) -> Page {
        let here: Uri = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
        let mut request = self.http.get(url);
        let cookies = self.cookies_for(&here);
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        let mut answer = request.call().unwrap_or_else(|error| panic!("GET {url}: {error}"));
        let headers = answer.headers();
        let text = |name: &str| headers.get(name).map(|value| value.to_str().expect("a header in ASCII").to_owned());
        let set_cookies = headers.get_all("set-cookie").iter();
        let set_cookies: Vec<String> = set_cookies.map(|set| set.to_str().expect("ASCII").to_owned()).collect();
        let (location, content_type) = (text("location"), text("content-type").unwrap_or_default());
        set_cookies.iter().for_each(|set| self.take(&here, set));
        let status = answer.status().as_u16();
        let body = answer.body_mut().read_to_vec().expect("a whole answer");
        Page { url: url.to_owned(), status, location, content_type, set_cookies, body }
    }

    /// Follows redirects from here until one leads to an address that begins so; that one is given, and not asked for.
    #[track_caller]
    pub fn follow_until(&mut self, start: &str, end: &str) -> String {
        let mut here = start.to_owned();
        for _ in 0..REDIRECTS_MAX {
            let page = self.get(&here);
            here = next_of(&page);
            if here.starts_with(end) {
                return here;
            }
        }
        panic!("redirected without end, at last to {here}");
    }

    fn cookies_for(&self, here: &Uri) -> String {
        let host = here.host().unwrap_or_default();
        let is_sent = |cookie: &&Cookie| cookie.host == host && is_within(here.path(), &cookie.path);
        let sent = self.jar.iter().filter(is_sent).map(|cookie| format!("{}={}", cookie.name, cookie.value));
        sent.collect::<Vec<_>>().join("; ")
    }

    /// Does what a `Set-Cookie` says.
    fn take(&mut self, here: &Uri, set: &str) {
        let mut parts = set.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("name=value");
        let attributes: Vec<(String, &str)> =
            parts.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(k, v)| (k.to_lowercase(), v)).collect();
        let of = |name: &str| attributes.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        let folder = here.path().rsplit_once('/').map_or("/", |(folder, _)| folder);
        let path = of("path").unwrap_or(if folder.is_empty() { "/" } else { folder });
        let host = here.host().unwrap_or_default();
        let cookie = Cookie { host: host.into(), path: path.into(), name: name.into(), value: value.into() };
        let is_over = of("max-age") == Some("0") || of("expires").is_some_and(|date| date.contains("1970"));
        match is_over {
            true => self.jar.retain(|kept| !is_same(kept, &cookie)),
            false => self.keep(cookie),
        }
    }

    fn keep(&mut self, cookie: Cookie) {
        self.jar.retain(|kept| !is_same(kept, &cookie));
        self.jar.push(cookie);
    }
}

/// The whole address that a redirect leads to.
#[track_caller]
pub fn next_of(page: &Page) -> String {
    let Some(place) = &page.location else {
        panic!("{} answers {}: {}", page.url, page.status, String::from_utf8_lossy(&page.body));
    };
    if !place.starts_with('/') {
        return place.clone();
    }
    let here: Uri = page.url.parse().expect("an address");
    format!("{}://{}{place}", here.scheme_str().expect("a scheme"), here.authority().expect("a host"))
}

fn is_same(one: &Cookie, other: &Cookie) -> bool {
    (&one.host, &one.path, &one.name) == (&other.host, &other.path, &other.name)
}

/// True of paths at and below a cookie's.
fn is_within(path: &str, of_cookie: &str) -> bool {
    let rest = path.strip_prefix(of_cookie);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || of_cookie.ends_with('/'))
}
