//! The OpenAPI document: every operation of the Proxy's surface, and everything it may answer.

use utoipa::openapi::{
    ContentBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder,
    RefOr, Required, Response, ResponseBuilder, ResponsesBuilder,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::Schema,
    security::SecurityRequirement,
    tag::TagBuilder,
};

use super::schemas::{self, API_KEY, named, text};
use crate::{
    config::{Exposure, Surfaces},
    http::error::Problem,
    telemetry::VERSION,
};

const CLIENTS: &str = "Proxy client";
const SERVERS: &str = "Server-side client";
const OPERATORS: &str = "Operational";
const JSON: &str = "application/json";
const PLAIN: &str = "text/plain";
const HTML: &str = "text/html";

/// # Errors
///
/// None that a test would not have shown.
pub(super) fn json(surfaces: &Surfaces) -> Result<String, Problem> {
    document(surfaces).to_json().map_err(|_| Problem::Broken)
}

/// # Errors
///
/// None that a test would not have shown.
pub(super) fn yaml(surfaces: &Surfaces) -> Result<String, Problem> {
    document(surfaces).to_yaml().map_err(|_| Problem::Broken)
}

// The base path stands in the paths, and in nothing else: with it in `servers` too, clients would
// apply it twice (#125 of the original).
fn document(surfaces: &Surfaces) -> OpenApi {
    let info = InfoBuilder::new().title("Unleash Proxy API").version(VERSION).description(Some(
        "Feature flags, decided for a context, by Offleash in place of the Unleash Proxy.",
    ));
    let tags = [
        (CLIENTS, "For frontends: flags that are decided here."),
        (SERVERS, "For servers and other proxies: definitions, to decide themselves."),
        (OPERATORS, "For those who run it."),
    ];
    let tags =
        tags.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build());
    let base = &surfaces.proxy.base_path;
    let mut paths = PathsBuilder::new();
    for (path, item) in items(surfaces) {
        paths = paths.path(format!("{base}/proxy{path}"), item);
    }
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths)
        .components(Some(schemas::components(&surfaces.proxy.key_header)))
        .security(Some([SecurityRequirement::new(API_KEY, [""; 0])]))
        .tags(Some(tags))
        .build()
}

/// Below `{base}/proxy`.
fn items(surfaces: &Surfaces) -> Vec<(&'static str, PathItem)> {
    let lists = |read: Operation, look_up: Operation| {
        let mut item = PathItem::new(HttpMethod::Get, read);
        item.post = Some(look_up);
        item
    };
    let get = |operation: OperationBuilder| PathItem::new(HttpMethod::Get, operation.build());
    let post = |operation: OperationBuilder| PathItem::new(HttpMethod::Post, operation.build());
    let mut items = vec![
        (
            "",
            lists(
                list("getEnabledToggles", "The flags that are on for the context of the query"),
                look_up("lookUpToggles", "The flags of the body, or those that are on"),
            ),
        ),
        (
            "/all",
            lists(
                disabled(list("getAllToggles", "Every flag, on or off"), surfaces),
                disabled(look_up("lookUpAllToggles", "The flags of the body, or all"), surfaces),
            ),
        ),
        ("/all/client/metrics", post(metrics("reportUsageOfAll", "As `/client/metrics`"))),
        ("/client/features", get(definitions())),
        ("/client/metrics", post(metrics("reportUsage", "Takes what an SDK counted"))),
        ("/client/register", post(registration())),
        ("/health", get(health())),
    ];
    if surfaces.metrics == Exposure::On {
        items.push(("/internal-backstage/prometheus", get(prometheus())));
    }
    items
}

// --- operations ---

fn list(id: &str, summary: &str) -> Operation {
    let operation = operation(id, CLIENTS, summary)
        .parameters(Some(context()))
        .responses(keyed().response("200", json_of("featuresSchema", "The flags")));
    conditional(waiting(operation)).build()
}

fn look_up(id: &str, summary: &str) -> Operation {
    let operation = operation(id, CLIENTS, summary)
        .request_body(Some(body_of("lookupTogglesSchema", Required::False)))
        .responses(keyed().response("200", json_of("featuresSchema", "The flags")));
    waiting(operation).build()
}

/// What `/all` answers where it is not enabled.
fn disabled(mut operation: Operation, surfaces: &Surfaces) -> Operation {
    if !surfaces.proxy.all_endpoint {
        let response = answer(HTML, text(), "This process does not serve `/all`");
        operation.responses.responses.insert("501".to_owned(), response.into());
    }
    operation
}

fn definitions() -> OperationBuilder {
    let operation = operation("getDefinitions", SERVERS, "What is defined, with its segments")
        .responses(keyed().response("200", json_of("apiRequestSchema", "The definitions")));
    conditional(waiting(operation))
}

fn metrics(id: &str, summary: &str) -> OperationBuilder {
    operation(id, OPERATORS, summary)
        .tag(SERVERS)
        .request_body(Some(body_of("registerMetricsSchema", Required::True)))
        .responses(keyed().response("200", answer(PLAIN, text(), "Taken")))
}

fn registration() -> OperationBuilder {
    operation("registerApplication", OPERATORS, "Takes that an SDK runs")
        .tag(SERVERS)
        .request_body(Some(body_of("registerClientSchema", Required::True)))
        .responses(keyed().response("200", answer(PLAIN, text(), "Taken")))
}

fn health() -> OperationBuilder {
    let operation = operation("getHealth", OPERATORS, "Whether flags can be decided")
        .securities(Some([]))
        .responses(any().response("200", answer(HTML, text(), "They can")));
    waiting(operation)
}

fn prometheus() -> OperationBuilder {
    let operation = operation("getMetrics", OPERATORS, "What is measured")
        .securities(Some([]))
        .responses(any().response("200", answer(PLAIN, text(), "In Prometheus's format")));
    waiting(operation)
}

fn operation(id: &str, tag: &str, summary: &str) -> OperationBuilder {
    OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary))
}

// --- answers ---

/// What every operation may answer: each of them reads a body where one is sent.
fn any() -> ResponsesBuilder {
    let unread = "The body is no JSON, or encoded in a way that is not read";
    ResponsesBuilder::new()
        .response(
            "400",
            json_of("errorSchema", "The request cannot be understood, or breaks its schema"),
        )
        .response("408", json_of("errorSchema", "The body took too long to arrive"))
        .response(
            "413",
            json_of("errorSchema", "The body, or the answer it asks for, is too large"),
        )
        .response("415", Response::new(unread))
}

/// And what those may answer that want a key.
fn keyed() -> ResponsesBuilder {
    any().response("401", answer(PLAIN, text(), "The key is missing or wrong"))
}

/// And those that wait for flags.
fn waiting(operation: OperationBuilder) -> OperationBuilder {
    operation.response("503", answer(HTML, text(), "No flags have come yet"))
}

/// And those that have a tag.
fn conditional(operation: OperationBuilder) -> OperationBuilder {
    let tag = ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .schema(Some(text()))
        .description(Some("The `ETag` of an answer that the caller holds"));
    let same = Response::new(
        "What the caller holds is still the answer, or newer than what is known here",
    );
    operation.parameter(tag).response("304", same)
}

fn answer(media: &str, schema: impl Into<RefOr<Schema>>, description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content(media, content).build()
}

fn json_of(schema: &str, description: &str) -> Response {
    answer(JSON, named(schema), description)
}

fn body_of(schema: &str, required: Required) -> RequestBody {
    let content = ContentBuilder::new().schema(Some(named(schema))).build();
    RequestBodyBuilder::new().content(JSON, content).required(Some(required)).build()
}

// --- parameters ---

fn context() -> Vec<Parameter> {
    let fields = [
        ("appName", "The application's name"),
        ("environment", "The application's environment"),
        ("userId", "The user"),
        ("sessionId", "The session"),
        ("remoteAddress", "The client's address; by default the caller's"),
        ("currentTime", "The time to decide for, in ISO 8601; by default now"),
    ];
    let query = |name: &str, description: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(description))
    };
    let mut parameters: Vec<Parameter> = fields
        .iter()
        .map(|(name, description)| query(name, description).schema(Some(text())).build())
        .collect();
    let properties = query("properties", "Fields of your own, as `properties[name]=value`")
        .style(Some(ParameterStyle::DeepObject))
        .explode(Some(true))
        .schema(Some(schemas::query_properties()));
    parameters.push(properties.build());
    parameters
}
