//! The definitions as the description gives them to pages and tools, and the copy that this page is built with.

#[path = "http/site.rs"]
#[allow(dead_code)]
mod site;

use drover_registry::{FieldKind, RESOURCES, next_statuses};
use serde_json::{Map, Value, json};
use site::Site;
use std::path::Path;

#[tokio::test]
async fn the_description_says_of_each_field_what_a_form_must_know() {
    let site = Site::open().await;
    let records = records(&site.document);
    assert_eq!(records.len(), RESOURCES.len());
    for resource in RESOURCES {
        let schema = &records[resource.name];
        let said = &schema["x-resource"];
        let names: Vec<_> = resource.fields.iter().map(|field| field.name).collect();
        assert_eq!(said["fields"], json!(names), "{}: in the order of the definition", resource.name);
        assert_eq!(said["read"], json!(resource.read.name()));
        assert_eq!(said["write"], json!(resource.write.name()));
        for field in resource.fields {
            let property = &schema["properties"][field.name];
            let referred = match field.kind {
                FieldKind::Ref(other) => json!(other),
                _ => Value::Null,
            };
            assert_eq!(property["x-references"], referred, "{}.{}", resource.name, field.name);
            assert_eq!(property["x-personal"] == json!(true), field.is_sealed(), "{}.{}", resource.name, field.name);
            let listed = |list: &str| said[list].as_array().unwrap().contains(&json!(field.name));
            assert_eq!(listed("writable"), !field.read_only);
            assert_eq!(listed("required"), field.required && !field.read_only);
            assert_eq!(said["defaults"].get(field.name).is_some(), field.default.is_some() && !field.read_only);
        }
    }
    let stops = &records["routes"]["properties"]["stops"];
    assert_eq!((&stops["x-fields"][0], &stops["x-required"]), (&json!("sequence"), &json!(["latitude", "longitude"])));
    assert_eq!(stops["items"]["properties"]["station_id"]["x-references"], "stations");
}

#[tokio::test]
async fn what_lists_are_found_and_sorted_by_is_what_they_take() {
    let site = Site::open().await;
    for (name, schema) in records(&site.document) {
        for field in schema["x-resource"]["sortable"].as_array().unwrap() {
            site.get(&format!("/api/v1/{name}?sort=-{}", field.as_str().unwrap())).await.json(200);
        }
        for field in schema["x-resource"]["filterable"].as_array().unwrap() {
            site.get(&format!("/api/v1/{name}?{}=", field.as_str().unwrap())).await.json(200);
        }
    }
}

#[tokio::test]
async fn the_ways_of_a_delivery_and_what_an_erasure_takes_are_described() {
    let site = Site::open().await;
    let records = records(&site.document);
    let next = records["deliveries"]["x-resource"]["transitions"]["next"].as_object().unwrap();
    for status in records["deliveries"]["properties"]["status"]["enum"].as_array().unwrap() {
        let Some(status) = status.as_str() else { continue };
        assert_eq!(next[status], json!(next_statuses(status)), "{status}");
    }
    site.post("/api/v1/customers", &json!({"id": "c-1", "name": "Ana"})).await.data(201);
    let erased = site.post("/api/v1/customers/c-1/erase", &json!({})).await.data(200);
    let said = &records["customers"]["x-resource"]["erasure"];
    assert_eq!((&said["fields"], &said["deliveries"]), (&erased["erased"]["fields"], &erased["erased"]["deliveries"]));
    assert_eq!((&said["related"], &said["remains"]), (&erased["erased"]["related"], &erased["remains"]));
}

/// `DROVER_WRITE_DOCS=1 cargo test --release -p drover-registry --test definitions page` makes it anew.
#[tokio::test]
async fn the_definitions_of_the_page_are_those_of_the_registry() {
    let site = Site::open().await;
    let made = Value::Object(records(&site.document));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/shared/records.json");
    if std::env::var_os("DROVER_WRITE_DOCS").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        std::fs::write(&path, text).expect("the file");
    }
    let kept = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or(Value::Null);
    let how = "DROVER_WRITE_DOCS=1 cargo test --release -p drover-registry --test definitions page";
    assert!(kept == made, "web/shared/records.json is stale: {how}");
}

/// The schemas of records, by the names of their resources.
fn records(document: &Value) -> Map<String, Value> {
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let found = schemas.values().filter_map(|schema| {
        let name = schema["x-resource"]["name"].as_str()?.to_owned();
        let mut schema = schema.clone();
        let fields = schema.as_object_mut()?;
        // Answers always hold every field.
        fields.remove("examples");
        fields.remove("required");
        forget_descriptions(&mut schema);
        Some((name, schema))
    });
    found.collect()
}

/// Forms have words of their own.
fn forget_descriptions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("description").is_some_and(Value::is_string) {
                fields.remove("description");
            }
            fields.values_mut().for_each(forget_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_descriptions),
        _ => {}
    }
}
