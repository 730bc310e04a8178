//! Reads one feature or segment from JSON, neutralising what is malformed.

use std::borrow::Cow;

use super::{
    Constraint, Dependency, Feature, Impression, Override, Segment, Strategy, Texts, TextsBuilder,
    Told, Variant, Warning, fingerprint,
    json::{Json, Object},
};

/// Why a part cannot be understood, as a text that follows the part's name.
type Fault = String;

// === impl Feature ===

impl Feature {
    /// Reads one element of `features`.
    ///
    /// # Errors
    ///
    /// As [`Feature::of`], and when it is no JSON.
    pub(in crate::engine) fn read(text: &str, told: Told) -> Result<Self, Warning> {
        let value = Json::read(text)
            .map_err(|err| Warning::general(format!("a feature cannot be read: {err}")))?;
        Self::of(&value, text, told)
    }

    /// The feature that `value` is, whose text is `text`.
    ///
    /// # Errors
    ///
    /// When it has no name: then nobody can ask for it. Any smaller fault is in `warnings`.
    pub(super) fn of(value: &Json<'_>, text: &str, told: Told) -> Result<Self, Warning> {
        let object = value
            .as_object()
            .ok_or_else(|| Warning::general("an element of `features` is not an object"))?;
        let name = object
            .get("name")
            .and_then(Json::as_str)
            .ok_or_else(|| Warning::general("a feature without a `name` is left out"))?;

        let mut faults: Vec<Fault> = Vec::new();
        let mut enabled = match object.get("enabled") {
            Some(Json::Bool(enabled)) => *enabled,
            _ => {
                faults.push("`enabled` is not a boolean; the flag is off".into());
                false
            }
        };
        let strategies = read_strategies(object, &mut faults, &mut enabled);
        let dependencies = read_dependencies(object).unwrap_or_else(|fault| {
            faults.push(format!("{fault}; the flag is off"));
            enabled = false;
            Box::default()
        });
        let variants = read_variants(object.get("variants"), &mut faults);
        let impression = match object.get("impressionData") {
            None => Impression::Absent,
            Some(Json::Null) => Impression::Null,
            Some(Json::Bool(is)) => Impression::Is(*is),
            Some(_) => {
                faults.push("`impressionData` is not a boolean and is ignored".into());
                Impression::Absent
            }
        };
        let project = object.get("project").and_then(Json::as_str).unwrap_or("default");
        Ok(Self {
            name: name.into(),
            enabled,
            project: project.into(),
            impression,
            strategies,
            variants,
            dependencies,
            warnings: faults.into_iter().map(|fault| Warning::about(name, fault)).collect(),
            fingerprint: fingerprint(text.as_bytes()),
            raw: told.keep(text),
        })
    }
}

// === impl Segment ===

impl Segment {
    /// Reads one element of `segments`.
    ///
    /// # Errors
    ///
    /// As [`Segment::of`], and when it is no JSON.
    pub(in crate::engine) fn read(text: &str, told: Told) -> Result<Self, Warning> {
        let value = Json::read(text)
            .map_err(|err| Warning::general(format!("a segment cannot be read: {err}")))?;
        Self::of(&value, text, told)
    }

    /// The segment that `value` is, whose text is `text`.
    ///
    /// # Errors
    ///
    /// When it has no integer `id`: then no strategy can name it.
    pub(super) fn of(value: &Json<'_>, text: &str, told: Told) -> Result<Self, Warning> {
        let id = value
            .get("id")
            .and_then(Json::as_i64)
            .ok_or_else(|| Warning::general("a segment without an integer `id` is left out"))?;
        let constraints = read_constraints(value.get("constraints"))
            .map_err(|fault| format!("segment `{id}`: {fault}").into());
        Ok(Self {
            id,
            constraints,
            fingerprint: fingerprint(text.as_bytes()),
            raw: told.keep(text),
        })
    }
}

// === impl Strategy ===

impl Strategy {
    /// Reads one element of `strategies`. Faults of its variants are pushed to `faults`: they
    /// change the choice, not whether the strategy holds.
    fn read(value: &Json<'_>, faults: &mut Vec<Fault>) -> Result<Self, Fault> {
        let object = value.as_object().ok_or("is not an object")?;
        let name = object.get("name").and_then(Json::as_str).ok_or("has no `name`")?;
        Ok(Self {
            name: name.into(),
            parameters: read_parameters(object.get("parameters"))?,
            constraints: read_constraints(object.get("constraints"))?,
            segments: read_segment_ids(object.get("segments"))?,
            variants: read_variants(object.get("variants"), faults),
            fault: None,
        })
    }
}

fn read_strategies(
    object: &Object<'_>,
    faults: &mut Vec<Fault>,
    enabled: &mut bool,
) -> Box<[Strategy]> {
    let Some(list) = elements(object.get("strategies")) else {
        faults.push("`strategies` is not an array; the flag is off".into());
        *enabled = false;
        return Box::default();
    };
    list.iter()
        .map(|value| {
            Strategy::read(value, faults).unwrap_or_else(|fault| Strategy {
                fault: Some(fault.into()),
                ..Strategy::default()
            })
        })
        .collect()
}

/// Each name with its text behind it; those that are null are left out.
fn read_parameters(value: Option<&Json<'_>>) -> Result<Texts, Fault> {
    let object = match value {
        None | Some(Json::Null) => return Ok(Texts::default()),
        Some(Json::Object(object)) => object,
        Some(_) => return Err("has `parameters` that are not an object".into()),
    };
    let mut parameters = TextsBuilder::default();
    for (key, value) in object.iter() {
        if value.is_null() {
            continue;
        }
        let text = scalar(value).ok_or_else(|| format!("has a parameter `{key}` of no text"))?;
        parameters.push(key);
        parameters.push(&text);
    }
    Ok(parameters.build())
}

fn read_segment_ids(value: Option<&Json<'_>>) -> Result<Box<[i64]>, Fault> {
    let ids = elements(value).ok_or("has `segments` that are not an array")?;
    let number = |id: &Json<'_>| id.as_i64().ok_or("names a segment by no integer");
    let mut ids = ids.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids.into())
}

fn read_constraints(value: Option<&Json<'_>>) -> Result<Box<[Constraint]>, Fault> {
    let list = elements(value).ok_or("has `constraints` that are not an array")?;
    list.iter().map(Constraint::read).collect()
}

// === impl Constraint ===

impl Constraint {
    fn read(value: &Json<'_>) -> Result<Self, Fault> {
        let text = |key: &str| {
            value
                .get(key)
                .and_then(Json::as_str)
                .map(Box::from)
                .ok_or_else(|| format!("has a constraint without a `{key}`"))
        };
        let switch = |key: &str| match value.get(key) {
            None | Some(Json::Null) => Ok(false),
            Some(Json::Bool(is)) => Ok(*is),
            Some(_) => Err(format!("has a constraint whose `{key}` is not a boolean")),
        };
        let scalar_value = match value.get("value") {
            None | Some(Json::Null) => None,
            Some(value) => {
                Some(scalar(value).ok_or("has a constraint whose `value` is no text")?.into())
            }
        };
        Ok(Self {
            field: text("contextName")?,
            operator: text("operator")?,
            values: read_texts(value.get("values"))
                .ok_or("has a constraint whose `values` are not texts")?,
            value: scalar_value,
            inverted: switch("inverted")?,
            case_insensitive: switch("caseInsensitive")?,
        })
    }
}

// === impl Variant ===

impl Variant {
    fn read(value: &Json<'_>, faults: &mut Vec<Fault>) -> Result<Self, Fault> {
        let name = value
            .get("name")
            .and_then(Json::as_str)
            .ok_or("a variant without a `name` is left out")?;
        let weight = value.get("weight").and_then(read_weight).unwrap_or_else(|| {
            faults.push(format!("variant `{name}` has a `weight` that is no number and counts 0"));
            0
        });
        let mut overrides = Vec::new();
        for value in value.get("overrides").and_then(Json::as_array).unwrap_or_default().iter() {
            match Override::read(value) {
                Some(read) => overrides.push(read),
                None => faults.push(format!("an override of variant `{name}` is left out")),
            }
        }
        let payload = value.get("payload").filter(|payload| !payload.is_null());
        Ok(Self {
            weight,
            stickiness: value.get("stickiness").and_then(Json::as_str).map(Box::from),
            payload: payload.and_then(Json::to_text).map(Box::from),
            overrides: overrides.into(),
            name: name.into(),
        })
    }
}

impl Override {
    fn read(value: &Json<'_>) -> Option<Self> {
        let field = value.get("contextName")?.as_str()?.into();
        Some(Self { field, values: read_texts(value.get("values"))? })
    }
}

fn read_variants(value: Option<&Json<'_>>, faults: &mut Vec<Fault>) -> Box<[Variant]> {
    let Some(list) = elements(value) else {
        faults.push("`variants` is not an array and is ignored".into());
        return Box::default();
    };
    let mut variants = Vec::with_capacity(list.len());
    for value in list.iter() {
        match Variant::read(value, faults) {
            Ok(variant) => variants.push(variant),
            Err(fault) => faults.push(fault),
        }
    }
    variants.into()
}

/// A weight as a whole number: negative counts 0, a fraction counts its whole part.
fn read_weight(value: &Json<'_>) -> Option<u32> {
    let number = value.as_f64()?;
    // A saturating cast is what is meant: below 0 is 0, beyond `u32` is the largest.
    Some(number as u32)
}

// === impl Dependency ===

impl Dependency {
    fn read(value: &Json<'_>) -> Result<Self, Fault> {
        let parent = value
            .get("feature")
            .and_then(Json::as_str)
            .ok_or("a dependency names no `feature`")?
            .into();
        let enabled = match value.get("enabled") {
            None | Some(Json::Null) => true,
            Some(Json::Bool(enabled)) => *enabled,
            Some(_) => return Err("a dependency's `enabled` is not a boolean".into()),
        };
        let variants =
            read_texts(value.get("variants")).ok_or("a dependency's `variants` are not texts")?;
        Ok(Self { parent, enabled, variants })
    }
}

fn read_dependencies(object: &Object<'_>) -> Result<Box<[Dependency]>, Fault> {
    let list = elements(object.get("dependencies")).ok_or("`dependencies` is not an array")?;
    let mut dependencies: Vec<Dependency> = Vec::new();
    for value in list.iter() {
        let dependency = Dependency::read(value)?;
        // The server repeats a parent for every row of its join.
        if !dependencies.contains(&dependency) {
            dependencies.push(dependency);
        }
    }
    Ok(dependencies.into())
}

/// The texts of a list: numbers and booleans by their text, nulls left out. `None` when the value
/// is no list or holds a list or an object. A missing or null list is empty.
fn read_texts(value: Option<&Json<'_>>) -> Option<Texts> {
    if let Some(Json::Texts(texts)) = value {
        return Some(texts.clone());
    }
    elements(value)?.iter().filter(|item| !item.is_null()).map(scalar).collect()
}

/// The elements of a list. `None` when the value is none. A missing or null list is empty.
fn elements<'v>(value: Option<&'v Json<'_>>) -> Option<Cow<'v, [Json<'v>]>> {
    match value {
        None | Some(Json::Null) => Some(Cow::default()),
        Some(value) => value.as_array(),
    }
}

/// The text of a string, a number or a boolean.
fn scalar<'a>(value: &'a Json<'_>) -> Option<Cow<'a, str>> {
    match value {
        Json::String(text) => Some(Cow::Borrowed(text)),
        Json::Bool(is) => Some(if *is { "true" } else { "false" }.into()),
        Json::Number(number) => Some(match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string().into(),
            _ => number.to_string().into(),
        }),
        Json::Null | Json::Texts(_) | Json::Array(_) | Json::Object(_) => None,
    }
}
