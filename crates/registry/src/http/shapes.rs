//! Schemas and examples of the OpenAPI document, made from the definitions of the resources.

use super::definition::{of_field, of_resource};
use super::operation::{Named, named, text};
use crate::schema::{Field, FieldKind, Resource, Unique};
use drover_answer::INTERFACE_VERSION;
use drover_model::ID_MAX_BYTES;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{AdditionalProperties, Array, ArrayBuilder, KnownFormat, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Schema};

const ID_PATTERN: &str = "^[A-Za-z0-9._:@+-]+$";
const TIME_EXAMPLE: &str = "2026-01-31T12:00:00Z";

/// The name of a record's schema: `Vehicle`, `MaintenanceRecord`.
pub(super) fn type_name(resource: &Resource) -> String {
    let words = resource.singular.split([' ', '_']);
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

/// The schemas of a resource: the record, a new one, a change, and the envelopes of one and of many.
pub(super) fn schemas(resource: &'static Resource) -> Vec<Named> {
    let name = type_name(resource);
    vec![
        (name.clone(), record(resource)),
        (format!("{name}New"), new(resource)),
        (format!("{name}Change"), change(resource)),
        (format!("{name}Envelope"), envelope(named(&*name), "RecordMeta")),
        (format!("{name}Page"), envelope(Array::new(named(&*name)), "PageMeta")),
    ]
}

/// What all envelopes share.
pub(super) fn shared_schemas() -> Vec<Named> {
    let stamp = || {
        object()
            .property("timestamp", text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))))
            .required("timestamp")
            .property("version", text().description(Some("Version of the API.")))
            .required("version")
    };
    let pagination = counted(object(), &["page", "limit", "total"]);
    let page = stamp().property("pagination", pagination).required("pagination");
    vec![("RecordMeta".into(), stamp().into()), ("PageMeta".into(), page.into())]
}

/// The envelope of a success around `data`.
pub(super) fn envelope(data: impl Into<RefOr<Schema>>, meta: &str) -> RefOr<Schema> {
    object()
        .property("status", text().enum_values(Some(["success"])))
        .required("status")
        .property("code", ObjectBuilder::new().schema_type(Type::Integer))
        .required("code")
        .property("data", data)
        .required("data")
        .property("meta", named(meta))
        .required("meta")
        .into()
}

/// An envelope as an example.
pub(super) fn envelope_example(code: u16, data: Value) -> Value {
    let meta = json!({"timestamp": TIME_EXAMPLE, "version": INTERFACE_VERSION});
    json!({"status": "success", "code": code, "data": data, "meta": meta})
}

/// The envelope of a page as an example.
pub(super) fn page_example(data: Value) -> Value {
    let mut example = envelope_example(200, json!([data]));
    example["meta"]["pagination"] = json!({"page": 1, "limit": 25, "total": 1});
    example
}

/// Adds required whole numbers from 0.
pub(super) fn counted(mut object: ObjectBuilder, names: &[&str]) -> ObjectBuilder {
    for name in names {
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_isize));
        object = object.property(*name, number).required(*name);
    }
    object
}

/// An object, to be filled.
pub(super) fn object() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object)
}

/// An id.
pub(super) fn id() -> ObjectBuilder {
    text().min_length(Some(1)).max_length(Some(ID_MAX_BYTES)).pattern(Some(ID_PATTERN))
}

/// A moment.
pub(super) fn moment() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

fn record(resource: &'static Resource) -> RefOr<Schema> {
    let mut object = object().description(Some(resource.doc)).property("id", id()).required("id");
    object = object.property("version", ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1_isize)));
    object = object.required("version");
    for field in resource.fields {
        // An erased person's fields are null, required or not.
        let nullable = !field.required || field.is_sealed();
        object = object.property(field.name, schema(field, nullable, false)).required(field.name);
    }
    for name in ["created_at", "updated_at"] {
        object = object.property(name, moment()).required(name);
    }
    let erased = ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .description(Some("True where personal fields are null because the person was erased."));
    let object = object.property("erased", erased).extensions(Some(of_resource(resource)));
    object.examples([record_example(resource)]).into()
}

fn new(resource: &'static Resource) -> RefOr<Schema> {
    let own = id().description(Some("Its id; without, Drover makes one."));
    let mut object = object().description(Some(resource.doc)).property("id", own);
    for field in resource.fields.iter().filter(|field| !field.read_only) {
        object = object.property(field.name, schema(field, !field.required, true));
        if field.required {
            object = object.required(field.name);
        }
    }
    let closed = AdditionalProperties::FreeForm(false);
    object.additional_properties(Some(closed)).examples([new_example(resource)]).into()
}

fn change(resource: &'static Resource) -> RefOr<Schema> {
    let mut object = object().description(Some("What to change (JSON merge patch): null empties a field."));
    for field in resource.fields.iter().filter(|field| !field.read_only) {
        object = object.property(field.name, schema(field, !field.required, true));
    }
    let closed = AdditionalProperties::FreeForm(false);
    object.additional_properties(Some(closed)).examples([change_example(resource)]).into()
}

/// The schema of one field; `asked` for requests, whose objects hold nothing unknown.
fn schema(field: &Field, nullable: bool, asked: bool) -> RefOr<Schema> {
    let kinds = |one: Type| -> SchemaType {
        if nullable { SchemaType::Array(vec![one, Type::Null]) } else { SchemaType::Type(one) }
    };
    let object = ObjectBuilder::new().description(Some(described(field))).extensions(of_field(field));
    let object = match field.kind {
        FieldKind::Text { max } => object.schema_type(kinds(Type::String)).min_length(Some(1)).max_length(Some(max)),
        FieldKind::Word(words) => {
            let null = nullable.then_some(Value::Null);
            let words = words.iter().map(|word| Value::from(*word)).chain(null);
            object.schema_type(kinds(Type::String)).enum_values(Some(words.collect::<Vec<_>>()))
        }
        FieldKind::Integer { min, max } => {
            object.schema_type(kinds(Type::Integer)).minimum(Some(min as isize)).maximum(Some(max as isize))
        }
        FieldKind::Real { min, max } => object.schema_type(kinds(Type::Number)).minimum(Some(min)).maximum(Some(max)),
        FieldKind::Flag => object.schema_type(kinds(Type::Boolean)),
        FieldKind::Time => {
            object.schema_type(kinds(Type::String)).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        }
        FieldKind::Date => {
            object.schema_type(kinds(Type::String)).format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        }
        FieldKind::Ref(_) | FieldKind::Id => object
            .schema_type(kinds(Type::String))
            .min_length(Some(1))
            .max_length(Some(ID_MAX_BYTES))
            .pattern(Some(ID_PATTERN)),
        FieldKind::Object { .. } => {
            object.schema_type(kinds(Type::Object)).additional_properties(Some(AdditionalProperties::FreeForm(true)))
        }
        FieldKind::List { max_items, item } => {
            return ArrayBuilder::new()
                .schema_type(kinds(Type::Array))
                .description(Some(described(field)))
                .items(items(item, asked))
                .max_items(Some(max_items))
                .extensions(of_field(field))
                .into();
        }
    };
    // A default is for requests; answers always hold a value.
    let default = field.default.filter(|_| asked).map(Value::from);
    object.default(default).into()
}

fn items(fields: &'static [Field], asked: bool) -> ObjectBuilder {
    let mut item = object();
    for field in fields.iter().filter(|field| !(asked && field.read_only)) {
        item = item.property(field.name, schema(field, !field.required, asked));
        // What an erasure empties may be missing in an answer.
        if field.required && (asked || !field.untold) {
            item = item.required(field.name);
        }
    }
    if asked { item.additional_properties(Some(AdditionalProperties::FreeForm(false))) } else { item }
}

fn described(field: &Field) -> String {
    let more = match field.kind {
        FieldKind::Text { max } => format!(" At most {max} bytes."),
        FieldKind::Ref(resource) => format!(" An id of {resource}."),
        FieldKind::Object { max_bytes } => format!(" At most {max_bytes} bytes as JSON."),
        _ => String::new(),
    };
    let personal = if field.is_sealed() { " Personal: sealed in the table." } else { "" };
    let unique = match field.unique {
        Unique::No => "",
        Unique::InFleet => " No two records of a fleet have the same.",
        Unique::Everywhere => " No two records have the same.",
    };
    format!("{}{more}{personal}{unique}", field.doc)
}

/// A new record as an example: what is required, and a little more.
pub(super) fn new_example(resource: &'static Resource) -> Value {
    let shown = resource.fields.iter().filter(|field| !field.read_only && (field.required || field.default.is_some()));
    let mut example: Map<String, Value> = shown.map(|field| (field.name.into(), example(field))).collect();
    example.insert("id".into(), id_example(resource).into());
    example.into()
}

/// An id as an example.
pub(super) fn id_example(resource: &Resource) -> String {
    format!("{}-1", resource.id_prefix)
}

/// A record as an example.
pub(super) fn record_example(resource: &'static Resource) -> Value {
    let mut example: Map<String, Value> =
        resource.fields.iter().map(|field| (field.name.into(), Value::Null)).collect();
    for field in resource.fields.iter().filter(|field| field.required || field.default.is_some()) {
        example.insert(field.name.into(), self::example(field));
    }
    example.insert("id".into(), id_example(resource).into());
    example.insert("version".into(), 1.into());
    example.insert("created_at".into(), TIME_EXAMPLE.into());
    example.insert("updated_at".into(), TIME_EXAMPLE.into());
    example.into()
}

/// A change as an example: the first field that may be changed.
pub(super) fn change_example(resource: &'static Resource) -> Value {
    let first = resource.fields.iter().find(|field| !field.read_only);
    first.map(|field| (field.name.to_owned(), example(field))).into_iter().collect::<Map<_, _>>().into()
}

fn example(field: &Field) -> Value {
    match field.kind {
        FieldKind::Word(words) => field.default.or(words.first().copied()).into(),
        FieldKind::Integer { min, max } => 10.clamp(min, max).into(),
        FieldKind::Real { .. } if field.name.ends_with("latitude") => 38.7223.into(),
        FieldKind::Real { .. } if field.name.ends_with("longitude") => (-9.1393).into(),
        FieldKind::Real { min, max } => 10.0_f64.clamp(min, max).into(),
        FieldKind::Flag => true.into(),
        FieldKind::Time => TIME_EXAMPLE.into(),
        FieldKind::Date => "2026-01-31".into(),
        FieldKind::Ref(resource) => crate::resource(resource).map(id_example).into(),
        FieldKind::Id => "A-1001".into(),
        FieldKind::Object { .. } => json!({"colour": "white"}),
        FieldKind::List { item, .. } => {
            let required = item.iter().filter(|field| field.required);
            json!([required.map(|field| (field.name.to_owned(), example(field))).collect::<Map<_, _>>()])
        }
        FieldKind::Text { .. } => match field.name {
            "registration_number" => "12-AB-34",
            "email" => "alice@example.com",
            "phone" => "+351 210 000 000",
            "name" => "North",
            _ => "as written",
        }
        .into(),
    }
}

/// A record's schema by reference.
pub(super) fn of(resource: &Resource, suffix: &str) -> Ref {
    named(format!("{}{suffix}", type_name(resource)))
}
