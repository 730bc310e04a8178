//! What the Proxy's request schema forbids, and how its 400 says so (unleash-proxy.md 1.7, 1.13).

use serde_json::{Value, json};

use super::context::Field;

/// The part of a request that has the wrong type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// A query parameter.
    Query(Field),
    /// The body is no object.
    Body,
    /// `context` is no object.
    Context,
    /// A declared field of `context`.
    ContextField(Field),
    /// The value of one of the context's `properties`.
    Property(Box<str>),
    /// `toggles` is no list.
    Toggles,
    /// The item of `toggles` at this index.
    Toggle(usize),
    /// A rule of another schema.
    Rule(Violation),
}

/// A rule that a part of a body breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// A JSON pointer into the request.
    pub(super) instance: String,
    /// Where in the schema documents the part is described.
    pub(super) schema: String,
    pub(super) rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It has to be of this type.
    Type(&'static str),
    /// It has to have this property.
    Required(&'static str),
    /// It has to be a time.
    DateTime,
    NotNegative,
    /// Whether what stands there can be read as a text at all decides what the first choice says.
    TimeOrNumber {
        is_text: bool,
    },
}

// === impl Invalid ===

impl Invalid {
    /// Notes `self`, unless what the schema declares earlier was found already: only the first
    /// problem, in the schema's order, is reported.
    pub(super) fn note(self, first: &mut Option<Self>) {
        if first.as_ref().is_none_or(|found| self.rank() < found.rank()) {
            *first = Some(self);
        }
    }

    /// The body of the 400.
    pub(super) fn body(&self) -> Value {
        if let Self::Rule(violation) = self {
            return json!({
                "error": "Request validation failed",
                "validation": violation.errors(),
            });
        }
        let expected = self.expected();
        json!({
            "error": "Request validation failed",
            "validation": [{
                "instancePath": self.instance_path(),
                "schemaPath": self.schema_path(),
                "keyword": "type",
                "params": {"type": expected},
                "message": format!("must be {expected}"),
            }],
        })
    }

    fn rank(&self) -> (u8, Option<Field>) {
        match self {
            Self::Body | Self::Rule(_) => (0, None),
            Self::Context => (1, None),
            Self::Query(field) | Self::ContextField(field) => (2, Some(*field)),
            Self::Property(_) => (2, Some(Field::Properties)),
            Self::Toggles => (3, None),
            Self::Toggle(_) => (4, None),
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Self::Body | Self::Context => "object",
            Self::Query(Field::Properties) | Self::ContextField(Field::Properties) => "object",
            Self::Query(_) | Self::ContextField(_) | Self::Property(_) | Self::Toggle(_) => {
                "string"
            }
            Self::Toggles => "array",
            // It says so itself.
            Self::Rule(_) => "",
        }
    }

    /// A JSON pointer into the request.
    fn instance_path(&self) -> String {
        match self {
            Self::Query(field) => format!("/query/{}", field.name()),
            Self::Body => "/body".to_owned(),
            Self::Context => "/body/context".to_owned(),
            Self::ContextField(field) => format!("/body/context/{}", field.name()),
            Self::Property(name) => {
                let name = name.replace('~', "~0").replace('/', "~1");
                format!("/body/context/properties/{name}")
            }
            Self::Toggles => "/body/toggles".to_owned(),
            Self::Toggle(index) => format!("/body/toggles/{index}"),
            Self::Rule(violation) => violation.instance.clone(),
        }
    }

    /// Where in the schema documents the rule stands.
    fn schema_path(&self) -> String {
        let below = match self {
            Self::Query(field) => {
                return format!("#/properties/query/properties/{}/type", field.name());
            }
            Self::Rule(violation) => return violation.schema.clone(),
            Self::Body => String::new(),
            Self::Context => "/properties/context".to_owned(),
            Self::ContextField(field) => {
                format!("/properties/context/properties/{}", field.name())
            }
            Self::Property(_) => {
                "/properties/context/properties/properties/additionalProperties".to_owned()
            }
            Self::Toggles => "/properties/toggles".to_owned(),
            Self::Toggle(_) => "/properties/toggles/items".to_owned(),
        };
        format!("#/components/schemas/lookupTogglesSchema{below}/type")
    }
}

// === impl Violation ===

impl Violation {
    /// One error, or one for each form that would have been right.
    fn errors(&self) -> Value {
        let error = |below: &str, keyword: &str, params: Value, message: String| {
            json!({
                "instancePath": self.instance,
                "schemaPath": format!("{}{below}/{keyword}", self.schema),
                "keyword": keyword,
                "params": params,
                "message": message,
            })
        };
        let of_type =
            |below, name| error(below, "type", json!({"type": name}), format!("must be {name}"));
        let of_format = |below| {
            let message = "must match format \"date-time\"".to_owned();
            error(below, "format", json!({"format": "date-time"}), message)
        };
        match self.rule {
            Rule::Type(name) => json!([of_type("", name)]),
            Rule::DateTime => json!([of_format("")]),
            Rule::Required(name) => {
                let message = format!("must have required property '{name}'");
                json!([error("", "required", json!({"missingProperty": name}), message)])
            }
            Rule::NotNegative => {
                let params = json!({"comparison": ">=", "limit": 0});
                json!([error("", "minimum", params, "must be >= 0".to_owned())])
            }
            Rule::TimeOrNumber { is_text } => {
                let first = match is_text {
                    true => of_format("/oneOf/0"),
                    false => of_type("/oneOf/0", "string"),
                };
                let message = "must match exactly one schema in oneOf".to_owned();
                json!([
                    first,
                    of_type("/oneOf/1", "number"),
                    error("", "oneOf", json!({"passingSchemas": null}), message),
                ])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_says_where_it_is_and_which_rule_it_breaks() {
        const SCHEMA: &str = "#/components/schemas/lookupTogglesSchema";
        for (invalid, instance, schema, expected) in [
            (
                Invalid::Query(Field::Properties),
                "/query/properties",
                "#/properties/query/properties/properties/type".to_owned(),
                "object",
            ),
            (
                Invalid::Query(Field::UserId),
                "/query/userId",
                "#/properties/query/properties/userId/type".to_owned(),
                "string",
            ),
            (Invalid::Body, "/body", format!("{SCHEMA}/type"), "object"),
            (
                Invalid::Property("a/b".into()),
                "/body/context/properties/a~1b",
                format!(
                    "{SCHEMA}/properties/context/properties/properties/additionalProperties/type"
                ),
                "string",
            ),
            (
                Invalid::ContextField(Field::Properties),
                "/body/context/properties",
                format!("{SCHEMA}/properties/context/properties/properties/type"),
                "object",
            ),
            (
                Invalid::Toggles,
                "/body/toggles",
                format!("{SCHEMA}/properties/toggles/type"),
                "array",
            ),
            (
                Invalid::Toggle(2),
                "/body/toggles/2",
                format!("{SCHEMA}/properties/toggles/items/type"),
                "string",
            ),
        ] {
            let body = invalid.body();
            assert_eq!(body["error"], "Request validation failed");
            assert_eq!(
                body["validation"],
                json!([{
                    "instancePath": instance,
                    "schemaPath": schema,
                    "keyword": "type",
                    "params": {"type": expected},
                    "message": format!("must be {expected}"),
                }])
            );
        }
    }

    #[test]
    fn the_problem_the_schema_declares_first_is_kept() {
        let mut first = None;
        Invalid::Toggles.note(&mut first);
        Invalid::ContextField(Field::RemoteAddress).note(&mut first);
        Invalid::Property("a".into()).note(&mut first);
        Invalid::ContextField(Field::UserId).note(&mut first);
        Invalid::Toggle(1).note(&mut first);
        assert_eq!(first, Some(Invalid::ContextField(Field::UserId)));
    }
}
