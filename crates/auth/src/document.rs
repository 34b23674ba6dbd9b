//! What the guard adds to the documentation of every route, from the same table that it asks: which credentials, and the
//! answers 401, 403 and 429.

use crate::guard::COOKIE;
use crate::people::people;
use drover_access::{Needs, Role, routes};
use drover_answer::ErrorEnvelope;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, Object, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder, Type};
use utoipa::{PartialSchema, ToSchema};

const BEARER: &str = "bearerAuth";
const KEY: &str = "apiKey";
const COOKIE_AUTH: &str = "cookieAuth";

/// The words of the roles that a user can have, as a schema.
pub(crate) struct UserRole;

impl ToSchema for UserRole {}

impl PartialSchema for UserRole {
    fn schema() -> RefOr<Schema> {
        let words = people().map(Role::name);
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What a user is to the organisation."))
            .enum_values(Some(words))
            .examples([Role::Dispatcher.name()]);
        schema.build().into()
    }
}

/// Adds to every route of the table what the guard asks for and answers.
pub fn document(openapi: &mut OpenApi) {
    let components = openapi.components.get_or_insert_with(Default::default);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token, an API key (`dk_…`) or a device token (`dt_…`)"))
        .build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    let key = ApiKeyValue::with_description("X-API-Key", "An API key");
    components.add_security_scheme(KEY, SecurityScheme::ApiKey(ApiKey::Header(key)));
    let text = "Set by logging in. What changes something needs `X-Drover-Request: 1` too, or the page's own Origin";
    let cookie = ApiKeyValue::with_description(COOKIE, text);
    components.add_security_scheme(COOKIE_AUTH, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let name = ErrorEnvelope::name().into_owned();
    if !components.schemas.contains_key(&name) {
        let mut schemas = vec![(name.clone(), ErrorEnvelope::schema())];
        ErrorEnvelope::schemas(&mut schemas);
        components.schemas.extend(schemas);
    }
    for row in routes() {
        let operation = openapi.paths.paths.get_mut(&row.path).and_then(|item| operation_of(item, row.method));
        if let Some(operation) = operation {
            describe(operation, row.needs, &name);
        }
    }
}

fn operation_of<'a>(item: &'a mut PathItem, method: &str) -> Option<&'a mut Operation> {
    match method {
        "GET" => item.get.as_mut(),
        "PUT" => item.put.as_mut(),
        "POST" => item.post.as_mut(),
        "DELETE" => item.delete.as_mut(),
        "PATCH" => item.patch.as_mut(),
        _ => None,
    }
}

fn describe(operation: &mut Operation, needs: Needs, envelope: &str) {
    add(operation, "429", too_many(envelope));
    if needs == Needs::Public {
        operation.security = Some(Vec::new());
        return;
    }
    let none: [&str; 0] = [];
    operation.security = Some([BEARER, KEY, COOKIE_AUTH].map(|name| SecurityRequirement::new(name, none)).into());
    add(operation, "401", problem(envelope, "no credentials, or none that are good"));
    let forbidden = match needs {
        Needs::May(permission) => {
            format!("the permission `{}` is missing, or what else the answer says", permission.name())
        }
        _ => "the password must be changed first, or what else the answer says".to_owned(),
    };
    add(operation, "403", problem(envelope, &forbidden));
}

/// What the route itself says of a status stays.
fn add(operation: &mut Operation, status: &str, response: Response) {
    operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
}

fn problem(envelope: &str, description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(envelope))).build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

fn too_many(envelope: &str) -> Response {
    let mut response =
        problem(envelope, "too many requests, or too many failures; `Retry-After` says how long to wait");
    let seconds =
        HeaderBuilder::new().schema(Some(Object::with_type(Type::Integer))).description(Some("seconds to wait"));
    response.headers.insert("Retry-After".into(), seconds.build().into());
    response
}
