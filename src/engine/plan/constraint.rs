//! Constraints, typed: operator and operands become a condition, or a constant where no context can
//! change the result (`spec/evaluation.md` 4.1 to 4.9, column *Ours*).

use std::{borrow::Cow, sync::Arc};

use super::{
    definition::{Comparison, Definition, Number, Patterns, Place, Predicate, Version},
    list::List,
};
use crate::engine::{
    model::{Constraint, Texts},
    value::{date, fold, network::Networks, number, version},
};

/// How much of an operand a warning repeats, in characters.
const SHOWN: usize = 100;

/// What a constraint comes down to.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    Always,
    Never,
    Literal(Literal),
}

/// A condition or its opposite.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    pub(super) condition: Arc<Definition>,
    pub(super) inverted: bool,
}

/// Types a constraint. What is odd about it but harmless is pushed to `faults`.
///
/// # Errors
///
/// Why it can never be satisfied, inverted or not: an unknown operator, or a scalar operand that is
/// missing or cannot be read (D-2, D-3).
pub(super) fn read(
    constraint: &Constraint,
    patterns: &mut Patterns,
    faults: &mut Vec<String>,
) -> Result<Meaning, String> {
    let operator = &*constraint.operator;
    let inverted = constraint.inverted;
    Ok(match operator {
        "IN" => one_of(&constraint.field, not_empty(constraint), inverted),
        "NOT_IN" => one_of(&constraint.field, not_empty(constraint), !inverted),
        "STR_STARTS_WITH" => text(constraint, Place::Start),
        "STR_ENDS_WITH" => text(constraint, Place::End),
        "STR_CONTAINS" => text(constraint, Place::Anywhere),
        "IN_CIDR" => {
            let items = constraint.values.iter();
            networks(&constraint.field, items, inverted, faults)
        }
        "REGEX" => matching(constraint, patterns, faults)?,
        _ => literal(&constraint.field, scalar(constraint)?, inverted),
    })
}

/// A condition that `field` is one of `values`, or its opposite; constant for no values.
pub(super) fn one_of(field: &str, values: Texts, inverted: bool) -> Meaning {
    let list = List::new(values);
    if list.is_empty() {
        return constant(inverted);
    }
    literal(field, Predicate::In(list), inverted)
}

/// A condition that `field` is an address inside one of the networks `items`. What is no network is
/// skipped and pushed to `faults`.
pub(super) fn networks<'a>(
    field: &str,
    items: impl Iterator<Item = &'a str>,
    inverted: bool,
    faults: &mut Vec<String>,
) -> Meaning {
    let (networks, skipped) = Networks::parse(items);
    for item in skipped {
        faults.push(format!("lists `{}`, which is no network and is skipped", short(item)));
    }
    if networks.is_empty() {
        return constant(inverted);
    }
    literal(field, Predicate::Network(networks), inverted)
}

fn literal(field: &str, predicate: Predicate, inverted: bool) -> Meaning {
    let condition = Arc::new(Definition::new(field, predicate));
    Meaning::Literal(Literal { condition, inverted })
}

fn constant(holds: bool) -> Meaning {
    if holds { Meaning::Always } else { Meaning::Never }
}

/// The values of a list operator. Empty texts are dropped from lists (D-26).
fn listed(constraint: &Constraint) -> impl Iterator<Item = &str> {
    constraint.values.iter().filter(|value| !value.is_empty())
}

/// As [`listed`], shared with the constraint where there is nothing to drop.
fn not_empty(constraint: &Constraint) -> Texts {
    match constraint.values.iter().any(str::is_empty) {
        true => listed(constraint).collect(),
        false => constraint.values.clone(),
    }
}

fn text(constraint: &Constraint, place: Place) -> Meaning {
    let folded = constraint.case_insensitive;
    let needles: Box<[Box<str>]> = listed(constraint)
        .map(|value| {
            if !folded {
                return value.into();
            }
            let mut lowered = String::with_capacity(value.len());
            fold::lower_into(value, &mut lowered);
            lowered.into()
        })
        .collect();
    if needles.is_empty() {
        return constant(constraint.inverted);
    }
    literal(&constraint.field, Predicate::Text { place, needles, folded }, constraint.inverted)
}

/// The start of a text that may be a megabyte, for a line of the log.
fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

fn operand(constraint: &Constraint) -> Result<&str, String> {
    constraint
        .value
        .as_deref()
        .ok_or_else(|| format!("has a constraint `{}` without a `value`", constraint.operator))
}

/// An unanchored pattern. One that is no pattern matches nothing, which `inverted` turns round
/// (4.7: both engines do so).
fn matching(
    constraint: &Constraint,
    patterns: &mut Patterns,
    faults: &mut Vec<String>,
) -> Result<Meaning, String> {
    let source = operand(constraint)?;
    match patterns.get(source, constraint.case_insensitive) {
        Ok(pattern) => {
            Ok(literal(&constraint.field, Predicate::Pattern(pattern), constraint.inverted))
        }
        Err(err) => {
            faults.push(format!(
                "compares by `REGEX` with `{}`, which matches nothing: {err}",
                short(source)
            ));
            Ok(constant(constraint.inverted))
        }
    }
}

/// The predicate of an operator that compares with one `value`.
fn scalar(constraint: &Constraint) -> Result<Predicate, String> {
    let operator = &*constraint.operator;
    let (family, comparison) = match operator {
        "DATE_AFTER" => ("DATE", Comparison::Greater),
        "DATE_BEFORE" => ("DATE", Comparison::Less),
        _ => operator
            .split_once('_')
            .and_then(|(family, name)| Some((family, comparison(name)?)))
            .filter(|(family, _)| matches!(*family, "NUM" | "SEMVER"))
            .ok_or_else(|| format!("uses the unknown operator `{}`", short(operator)))?,
    };
    let value = operand(constraint)?;
    let unreadable =
        |what: &str| format!("compares by `{operator}` with `{}`, {what}", short(value));
    Ok(match family {
        "DATE" => {
            let instant = date::parse(value).ok_or_else(|| unreadable("which is no date"))?;
            Predicate::Date(comparison, instant)
        }
        "NUM" => {
            let number = number::parse(value).ok_or_else(|| unreadable("which is no number"))?;
            Predicate::Number(comparison, Number(number))
        }
        _ => {
            let version =
                version::parse(value).ok_or_else(|| unreadable("which is no semantic version"))?;
            Predicate::Version(
                comparison,
                Version {
                    major: version.major,
                    minor: version.minor,
                    patch: version.patch,
                    pre: version.pre.into(),
                },
            )
        }
    })
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "EQ" => Comparison::Equal,
        "GT" => Comparison::Greater,
        "GTE" => Comparison::GreaterOrEqual,
        "LT" => Comparison::Less,
        "LTE" => Comparison::LessOrEqual,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_repeats_the_start_of_a_long_operand_only() {
        assert_eq!(short("plain"), "plain");
        assert_eq!(short(&"é".repeat(SHOWN)), "é".repeat(SHOWN));
        assert_eq!(short(&"é".repeat(SHOWN + 1)), format!("{}…", "é".repeat(SHOWN)));
        let long = Constraint {
            field: "x".into(),
            operator: "NUM_GT".into(),
            value: Some("9x".repeat(100_000).into()),
            values: Texts::default(),
            inverted: false,
            case_insensitive: false,
        };
        let fault = scalar(&long).unwrap_err();
        assert!(fault.contains("which is no number") && fault.len() < 200, "{fault}");
    }
}
