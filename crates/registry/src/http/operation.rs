//! Operations of the OpenAPI document, put together piece by piece: what one may be asked, and every answer it gives.

use axum::http::StatusCode;
use axum::routing::MethodRouter;
use drover_answer::{ErrorEnvelope, INTERFACE_VERSION};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder, Responses, Schema};

/// A schema with its name in the document.
pub(super) type Named = (String, RefOr<Schema>);
/// A route with its description, as `OpenApiRouter::routes` takes it.
pub(super) type Described = (Vec<Named>, Paths, MethodRouter);

/// One operation in the making.
pub(super) struct Op {
    operation: OperationBuilder,
    answers: Responses,
}

impl Op {
    /// An operation by its id, under a tag, with what it does in a sentence.
    pub fn new(id: impl Into<String>, tag: &str, summary: impl Into<String>) -> Op {
        let operation = OperationBuilder::new().operation_id(Some(id.into())).tag(tag).summary(Some(summary.into()));
        Op { operation, answers: Responses::new() }
    }

    /// More about it.
    pub fn about(mut self, description: impl Into<String>) -> Op {
        self.operation = self.operation.description(Some(description.into()));
        self
    }

    /// A part of the path.
    pub fn path(self, name: &str, description: &str, example: &str) -> Op {
        let schema = text().min_length(Some(1)).max_length(Some(64));
        self.parameter(ParameterIn::Path, name, Required::True, description, schema, Some(json!(example)))
    }

    /// A query parameter that may be left out.
    pub fn query(self, name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Op {
        self.parameter(ParameterIn::Query, name, Required::False, description, schema, None)
    }

    /// A header that may be left out.
    pub fn header(self, name: &str, description: &str, example: &str) -> Op {
        self.parameter(ParameterIn::Header, name, Required::False, description, text(), Some(json!(example)))
    }

    fn parameter(
        mut self,
        place: ParameterIn,
        name: &str,
        required: Required,
        description: &str,
        schema: impl Into<RefOr<Schema>>,
        example: Option<Value>,
    ) -> Op {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(description))
            .schema(Some(schema))
            // Several values stand in one, separated by commas.
            .explode(name.ends_with("[in]").then_some(false))
            .example(example);
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// The body that it takes.
    pub fn takes(mut self, media: &str, schema: impl Into<RefOr<Schema>>, example: Value) -> Op {
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        let body = RequestBodyBuilder::new().required(Some(Required::True)).content(media, content).build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// A success with a JSON body, and the headers that come with it.
    pub fn gives(
        self,
        status: u16,
        description: &str,
        schema: impl Into<RefOr<Schema>>,
        example: Value,
        headers: &[(&str, &str)],
    ) -> Op {
        self.gives_as("application/json", status, description, schema, example, headers)
    }

    /// A success with a body of some media type.
    pub fn gives_as(
        self,
        media: &str,
        status: u16,
        description: &str,
        schema: impl Into<RefOr<Schema>>,
        example: Value,
        headers: &[(&str, &str)],
    ) -> Op {
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        self.answer(status, ResponseBuilder::new().description(description).content(media, content), headers)
    }

    /// The same success in another media type, for who asks for it.
    pub fn or_as(mut self, media: &str, status: u16, schema: impl Into<RefOr<Schema>>, example: Value) -> Op {
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        if let Some(RefOr::T(response)) = self.answers.responses.get_mut(&status.to_string()) {
            response.content.insert(media.to_owned(), content.into());
        }
        self
    }

    /// A success without a body.
    pub fn gives_nothing(self, status: u16, description: &str, headers: &[(&str, &str)]) -> Op {
        self.answer(status, ResponseBuilder::new().description(description), headers)
    }

    /// What may be wrong, by status.
    pub fn fails(mut self, problems: &[(u16, &str)]) -> Op {
        for (status, description) in problems {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(ErrorEnvelope::name())))
                .example(Some(problem_example(*status, description)))
                .build();
            let response = ResponseBuilder::new().description(*description).content("application/json", content);
            self.answers.responses.insert(status.to_string(), response.into());
        }
        self
    }

    fn answer(mut self, status: u16, mut response: ResponseBuilder, headers: &[(&str, &str)]) -> Op {
        for (name, description) in headers {
            let mut header = Header::new(text());
            header.description = Some((*description).to_owned());
            response = response.header(*name, header);
        }
        self.answers.responses.insert(status.to_string(), response.into());
        self
    }

    /// The operation at its place, with the handler that answers it.
    pub fn at(self, method: HttpMethod, path: &str, schemas: Vec<Named>, handler: MethodRouter) -> Described {
        let mut paths = Paths::new();
        paths.add_path_operation(path, vec![method], self.operation.responses(self.answers).build());
        (schemas, paths, handler)
    }
}

/// A text, to be narrowed.
pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A whole number between two bounds, with a default.
pub(super) fn whole(least: i64, most: i64, default: i64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least as isize))
        .maximum(Some(most as isize))
        .default(Some(json!(default)))
}

/// A reference to a named schema.
pub(super) fn named(name: impl Into<String>) -> Ref {
    Ref::from_schema_name(name)
}

/// The error envelope and what it refers to.
pub(super) fn error_schemas() -> Vec<Named> {
    let mut schemas = vec![(ErrorEnvelope::name().into_owned(), <ErrorEnvelope as utoipa::PartialSchema>::schema())];
    <ErrorEnvelope as ToSchema>::schemas(&mut schemas);
    schemas
}

fn problem_example(status: u16, description: &str) -> Value {
    let code = match status {
        400 => "malformed",
        404 => "not_found",
        409 => "conflict",
        412 => "changed",
        413 => "too_large",
        422 => "out_of_range",
        503 => "registry_away",
        _ => StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("error"),
    };
    json!({
        "status": "error",
        "code": status,
        "meta": {"timestamp": "2026-01-31T12:00:00Z", "version": INTERFACE_VERSION},
        "error": {"code": code, "message": description, "help": "see /docs"}
    })
}
