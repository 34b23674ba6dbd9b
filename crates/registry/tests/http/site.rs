//! A registry with its door in a folder of its own, and what is asked of it.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use drover_access::{Caller, Directory, Principal, Reach, Role};
use drover_database::Database;
use drover_model::Kind;
use drover_registry::{FieldKind, Hooks, Registry, Resource, resource as resource_named, routes};
use drover_vault::Vault;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};
use tower::ServiceExt;

/// A registry and its door.
pub struct Site {
    _folder: TempDir,
    router: Router,
    /// The OpenAPI document.
    pub document: Value,
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    bytes: Vec<u8>,
}

/// Who may do everything.
pub fn dev() -> Caller {
    Caller::dev()
}

/// Somebody of a role.
pub fn caller(role: Role, reach: Reach) -> Caller {
    let subject = format!("user/{}", role.name());
    Caller::new(Principal { subject, role, may: role.permissions(), reach, ..(*Caller::dev()).clone() })
}

/// A customer who is himself.
pub fn customer(id: &str) -> Caller {
    Caller::new(Principal { customer_id: Some(id.into()), ..(*caller(Role::Customer, Reach::Own)).clone() })
}

/// A driver who is himself.
pub fn driver(id: &str) -> Caller {
    let own = Some((Kind::Driver, id.into()));
    Caller::new(Principal { asset: own, ..(*caller(Role::Driver, Reach::Own)).clone() })
}

impl Site {
    pub async fn open() -> Site {
        let folder = tempdir().unwrap();
        let database =
            Database::open(&format!("sqlite://{}", folder.path().join("registry.db").display())).await.unwrap();
        let vault = Vault::open(&folder.path().join("keys")).unwrap();
        let registry = Registry::open(database, vault, Directory::default()).await.unwrap();
        let (router, document) = routes(registry, hooks()).split_for_parts();
        Site { _folder: folder, router, document: serde_json::to_value(document).unwrap() }
    }

    /// With the routes of another door in the same router.
    pub fn beside(mut self, other: Router) -> Site {
        self.router = self.router.merge(other);
        self
    }

    /// A route of another door.
    pub async fn undescribed(&self, path: &str) -> Answer {
        self.answer(Some(&dev()), "GET", path, &[], "").await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.with("GET", path, &[], "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.with("DELETE", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.with("POST", path, &[], &body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.with("PUT", path, &[], &body.to_string()).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.with("PATCH", path, &[], &body.to_string()).await
    }

    pub async fn by(&self, caller: &Caller, method: &str, path: &str, body: &str) -> Answer {
        self.ask(Some(caller), method, path, &[], body).await
    }

    pub async fn with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask(Some(&dev()), method, path, headers, body).await
    }

    /// Without a caller, as if the guard had been forgotten.
    pub async fn nobody(&self, path: &str) -> Answer {
        self.ask(None, "GET", path, &[], "").await
    }

    async fn ask(&self, by: Option<&Caller>, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let answer = self.answer(by, method, path, headers, body).await;
        // 403 is described for all routes at once, a missing guard for none.
        if !matches!(answer.status, 403 | 500) {
            self.is_described(method, path, &answer);
        }
        answer
    }

    async fn answer(
        &self,
        by: Option<&Caller>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path.replace('[', "%5B").replace(']', "%5D"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        if let Some(caller) = by {
            request.extensions_mut().insert(caller.clone());
        }
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, bytes: to_bytes(answer.into_body(), 64 << 20).await.unwrap().to_vec() }
    }

    fn is_described(&self, method: &str, path: &str, answer: &Answer) {
        let path = path.split('?').next().unwrap();
        let fits = |template: &str| {
            let (parts, asked) = (template.split('/'), path.split('/'));
            parts.clone().count() == asked.clone().count()
                && parts.zip(asked).all(|(part, asked)| part == asked || part.starts_with('{'))
        };
        let paths = self.document["paths"].as_object().unwrap();
        let found =
            paths.iter().filter(|(template, _)| fits(template)).min_by_key(|(template, _)| template.contains('{'));
        let (template, item) = found.unwrap_or_else(|| panic!("{path} is not described"));
        let status = answer.status.to_string();
        let response = &item[method.to_lowercase()]["responses"][&status];
        assert!(response.is_object(), "{method} {template}: {status} is not described: {}", answer.body());
        if let Some(media) = answer.headers.get("content-type").map(|media| media.to_str().unwrap()) {
            let media = media.split(';').next().unwrap();
            assert!(response["content"][media].is_object(), "{method} {template} {status}: {media} is not described");
        }
    }
}

/// Two stations report, one of which nobody wrote down, in the words of the node: what only stations say is in `readings`, and
/// every number is a float. History remembers whom it erased.
fn hooks() -> Hooks {
    Hooks {
        latest_station: Arc::new(|id| match id {
            "station-01" => Some(json!({
                "kind": "station", "id": id, "status": "degraded", "timestamp": "2026-01-31T12:00:00Z",
                "received_at": "2026-01-31T12:00:01Z", "position": 7,
                "readings": {"battery_available": 12.0, "battery_charging": 4.0, "temperature": 28.5, "humidity": 42.0,
                    "door": "open", "region": "made up", "fleet_id": "f-2"}
            })),
            "station-99" => Some(json!({
                "kind": "station", "id": id, "timestamp": "2026-01-31T12:00:00Z", "position": 8,
                "readings": {"temperature": 20.5, "humidity": null}
            })),
            _ => None,
        }),
        reporting_stations: Arc::new(|| vec!["station-99".into(), "station-01".into()]),
        erase: Arc::new(|_, resource, id| {
            Box::pin(async move { Ok(json!({"history": format!("{}/{id}", resource.name)})) })
        }),
        has_reported: Arc::new(|kind, id| kind == Kind::Vehicle && id == "v-reported"),
    }
}

impl Answer {
    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    #[track_caller]
    pub fn is(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body());
    }

    #[track_caller]
    pub fn text(&self, status: u16) -> String {
        self.is(status);
        self.body()
    }

    #[track_caller]
    pub fn json(&self, status: u16) -> Value {
        self.is(status);
        serde_json::from_slice(&self.bytes).expect("the answer is JSON")
    }

    /// What is in the envelope of a success.
    #[track_caller]
    pub fn data(&self, status: u16) -> Value {
        let envelope = self.json(status);
        assert_eq!((&envelope["status"], &envelope["code"]), (&json!("success"), &json!(status)), "{envelope}");
        assert!(envelope["meta"]["timestamp"].is_string(), "{envelope}");
        envelope["data"].clone()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    pub fn message(&self) -> String {
        let body: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        body["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    pub fn field(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        body["error"]["details"]["field"].as_str().map(str::to_owned)
    }

    /// An error of this status, code and field that says what to do.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str, field: Option<&str>) {
        let envelope = self.json(status);
        let error = &envelope["error"];
        assert_eq!((&envelope["status"], &error["code"]), (&json!("error"), &json!(code)), "{envelope}");
        assert_eq!(error["details"]["field"].as_str(), field, "{envelope}");
        assert!(!error["help"].as_str().unwrap().is_empty() && !error["message"].as_str().unwrap().is_empty());
    }
}

/// A record with nothing but what it must have; what it refers to is made first.
pub async fn minimal(site: &Site, resource: &'static Resource, number: usize) -> Value {
    let mut body = Map::new();
    for field in resource.fields.iter().filter(|field| field.required) {
        let value = match field.kind {
            FieldKind::Text { .. } => format!("text {number}").into(),
            FieldKind::Word(words) => words[0].into(),
            FieldKind::Integer { min, .. } => min.into(),
            FieldKind::Real { min, .. } => min.max(0.0).into(),
            FieldKind::Flag => true.into(),
            FieldKind::Time => "2026-01-31T12:00:00Z".into(),
            FieldKind::Date => "2026-01-31".into(),
            FieldKind::Ref(to) => made(site, resource_named(to).expect("a resource"), number).await["id"].clone(),
            // The only one is a device's, which reports for a driver here.
            FieldKind::Id => made(site, resource_named("drivers").expect("drivers"), number).await["id"].clone(),
            FieldKind::Object { .. } => json!({}),
            FieldKind::List { .. } => json!([]),
        };
        body.insert(field.name.into(), value);
    }
    body.into()
}

async fn made(site: &Site, resource: &'static Resource, number: usize) -> Value {
    let body = Box::pin(minimal(site, resource, number)).await;
    site.post(&format!("/api/v1/{}", resource.name), &body).await.data(201)
}

/// Every `$ref` of a document.
pub fn collect_refs(value: &Value, refs: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            refs.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect_refs(value, refs));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_refs(value, refs)),
        _ => {}
    }
}
