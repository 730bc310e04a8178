//! What bodies look like, as they are really read and written (unleash-proxy.md 1.7, 1.12, 1.13).

use serde_json::json;
use utoipa::openapi::{
    Components, ComponentsBuilder, KnownFormat, Ref, RefOr, SchemaFormat,
    schema::{AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type},
    security::{ApiKey, ApiKeyValue, SecurityScheme},
};

use crate::http::json::NAMES;

/// The name of the one way to show a key.
pub(super) const API_KEY: &str = "apiKey";

/// Every schema, and the header that carries keys.
pub(super) fn components(key_header: &str) -> Components {
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(key_header)));
    let schemas = [
        ("apiRequestSchema", definitions()),
        ("errorSchema", error()),
        ("featureSchema", feature()),
        ("featuresSchema", features()),
        ("lookupTogglesSchema", lookup_toggles()),
        ("registerClientSchema", registration()),
        ("registerMetricsSchema", metrics()),
        ("toggleCountSchema", toggle_count()),
        ("unleashContextSchema", context()),
        ("variantSchema", variant()),
    ];
    let components = ComponentsBuilder::new().security_scheme(API_KEY, key);
    schemas
        .into_iter()
        .fold(components, |components, (name, schema)| components.schema(name, schema))
        .build()
}

/// The schema of that name.
pub(super) fn named(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// The fields of a query's `properties[…]`. A name that is empty or a number would make it a list.
pub(super) fn query_properties() -> ObjectBuilder {
    let names = text().pattern(Some(r"^[^\[\]]*[^0-9\[\]][^\[\]]*$")).build();
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(Schema::from(names)))
        .examples([json!({"plan": "pro", "region": "NO"})])
}

fn object() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object)
}

fn flag() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).build()
}

/// A text; numbers, booleans and null are taken for one.
fn scalar(description: &str) -> Object {
    let types = [Type::String, Type::Number, Type::Boolean, Type::Null];
    let description = format!("{description}. Anything but a text is read as one.");
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter(types))
        .description(Some(description))
        .build()
}

fn date_time(description: &str) -> Object {
    text()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some(description))
        .build()
}

/// A number of this type; booleans and null are taken for one, and texts that spell one.
fn number(whole: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([whole, Type::Boolean, Type::Null]))
}

fn count() -> Object {
    number(Type::Integer).minimum(Some(0)).build()
}

fn list_of(items: impl Into<RefOr<Schema>>) -> ArrayBuilder {
    ArrayBuilder::new().items(items.into())
}

fn variant() -> Schema {
    let payload = object().description(Some("As it is defined: its type and its value")).build();
    object()
        .property("name", text())
        .required("name")
        .property("enabled", flag())
        .required("enabled")
        .property("feature_enabled", flag())
        .property("featureEnabled", flag())
        .property("payload", payload)
        .build()
        .into()
}

fn feature() -> Schema {
    let impression = SchemaType::from_iter([Type::Boolean, Type::Null]);
    object()
        .property("name", text())
        .required("name")
        .property("enabled", flag())
        .required("enabled")
        .property("variant", named("variantSchema"))
        .required("variant")
        .property(
            "impressionData",
            ObjectBuilder::new()
                .schema_type(impression)
                .description(Some("Whether whoever shows the flag should report it")),
        )
        .build()
        .into()
}

fn features() -> Schema {
    object().property("toggles", list_of(named("featureSchema"))).required("toggles").build().into()
}

fn definitions() -> Schema {
    let version = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([2]));
    let own =
        |what: &str| list_of(object()).description(Some(format!("{what}, as upstream sent it")));
    object()
        .property("version", version)
        .required("version")
        .property("features", own("Each feature"))
        .required("features")
        .property("segments", own("Each segment that a feature may name"))
        .required("segments")
        .build()
        .into()
}

fn error() -> Schema {
    let violation = object()
        .property("instancePath", text())
        .property("schemaPath", text())
        .property("keyword", text())
        .property("params", object())
        .property("message", text());
    object()
        .property("error", text().description(Some("What is wrong, for people")))
        .required("error")
        .property(
            "validation",
            list_of(violation).description(Some("Which part broke which rule of its schema")),
        )
        .build()
        .into()
}

fn context() -> Schema {
    let values = scalar("A field of your own");
    object()
        .property("appName", scalar("The application's name"))
        .property("environment", scalar("The application's environment"))
        .property("userId", scalar("The user"))
        .property("sessionId", scalar("The session"))
        .property("remoteAddress", scalar("The client's address; by default the caller's"))
        .property(
            "currentTime",
            ObjectBuilder::new()
                .schema_type(SchemaType::AnyValue)
                .description(Some("The time to decide for; by default now")),
        )
        .property(
            "properties",
            object()
                .additional_properties(Some(Schema::from(values)))
                .examples([json!({"plan": "pro", "region": "NO"})]),
        )
        .description(Some("Whom the flags are for. Fields it does not list are properties."))
        .build()
        .into()
}

fn lookup_toggles() -> Schema {
    let names = list_of(scalar("A flag's name"))
        .max_items(Some(NAMES))
        .description(Some("The flags to decide, on or off; by default all that are on"));
    object()
        .property("context", named("unleashContextSchema"))
        .property("toggles", names)
        .examples([json!({"context": {"userId": "7"}, "toggles": ["checkout"]})])
        .build()
        .into()
}

fn toggle_count() -> Schema {
    let variants = object().additional_properties(Some(Schema::from(count())));
    object()
        .property("yes", count())
        .property("no", count())
        .property("variants", variants)
        .build()
        .into()
}

fn metrics() -> Schema {
    let counts = object().additional_properties(Some(named("toggleCountSchema")));
    let bucket = object()
        .property("start", date_time("When counting began"))
        .required("start")
        .property("stop", date_time("When it ended"))
        .required("stop")
        .property("toggles", counts)
        .required("toggles");
    let impact = ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(
        "A list of impact metrics, passed on upstream; whatever is none is counted and dropped",
    ));
    object()
        .property("appName", scalar("Whose counts these are"))
        .required("appName")
        .property("instanceId", scalar("Which of its instances"))
        .required("instanceId")
        .property("environment", scalar("Not used: the key decides it"))
        .property("bucket", bucket)
        .required("bucket")
        .property("impactMetrics", impact)
        .build()
        .into()
}

fn registration() -> Schema {
    let started = AnyOfBuilder::new()
        .item(date_time("RFC 3339"))
        .item(ObjectBuilder::new().schema_type(Type::Number).description(Some("Unix milliseconds")))
        .description(Some("When it started"));
    let interval =
        number(Type::Number).description(Some("How often it will report, in milliseconds"));
    object()
        .property("appName", scalar("The application's name"))
        .required("appName")
        .property("instanceId", scalar("Which of its instances"))
        .property("sdkVersion", scalar("The SDK, as `name:version`"))
        .property("environment", scalar("Not used: the key decides it"))
        .property("interval", interval)
        .required("interval")
        .property("started", started)
        .required("started")
        .property("strategies", list_of(scalar("A strategy it knows")))
        .required("strategies")
        .build()
        .into()
}
