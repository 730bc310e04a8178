//! Answers: what an evaluation picked, tagged and written.

use super::{
    model::Impression,
    plan::{
        OFF, Plan, Profile,
        fragment::{Run, write_quoted},
    },
};

/// No flag's number.
pub(super) const NOBODY: u32 = u32::MAX;

/// More than the longest answer to a name has besides the name.
const OFF_BYTES: usize = 200;
/// `{"toggles":[` and `]}`.
const LIST_BYTES: usize = 14;

/// Which flags a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Enabled,
    All,
}

/// The outcome of an evaluation, not yet written: ask for its [`Answer::tag`] first, and write it
/// only if the caller does not have it already.
#[derive(Debug)]
pub struct Answer<'a> {
    pub(super) plan: &'a Plan,
    pub(super) form: Form<'a>,
    pub(super) by_chance: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'a> {
    /// These fragments, in this order.
    List(Show, &'a [Run]),
    /// What was asked for, and what came of each.
    Named(&'a [String], &'a [Named]),
}

/// What came of a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    /// The flag of that name. [`NOBODY`]: there is none.
    pub(super) flag: u32,
    pub(super) code: u32,
}

// === impl Answer ===

impl Answer<'_> {
    /// A hash of what the answer says, made without writing it.
    ///
    /// Equal outcomes of equal flags give equal tags, on every replica and after every restart;
    /// another profile, listing or outcome gives another.
    pub fn tag(&self, profile: Profile) -> u128 {
        let salt = match (profile, self.form) {
            (Profile::Proxy, Form::List(Show::Enabled, _)) => 1u128,
            (Profile::Proxy, Form::List(Show::All, _)) => 2,
            (Profile::Proxy, Form::Named(..)) => 3,
            (Profile::Edge, Form::List(Show::Enabled, _)) => 4,
            (Profile::Edge, Form::List(Show::All, _)) => 5,
            (Profile::Edge, Form::Named(..)) => 6,
        };
        match self.form {
            // A list has one order, so a sum over it is enough; an answer by name has the caller's.
            Form::List(_, runs) => runs
                .iter()
                .fold(salt, |tag, run| tag.wrapping_add(self.plan.fragments.hash_sum(*run))),
            Form::Named(names, found) => {
                names.iter().zip(found).fold(salt, |tag, (name, found)| {
                    let sum = match found.flag {
                        NOBODY => !xxhash_rust::xxh3::xxh3_128(name.as_bytes()),
                        _ => self.plan.fragments.hash_sum(self.run_of(*found)),
                    };
                    tag.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b).wrapping_add(sum)
                })
            }
        }
    }

    /// Whether a random draw had a hand in it: the same question may be answered otherwise.
    pub fn is_by_chance(&self) -> bool {
        self.by_chance
    }

    /// What [`Answer::render_into`] appends is no longer than this, in bytes.
    pub fn bytes_at_most(&self, profile: Profile) -> usize {
        let bytes = |run| self.plan.fragments.get(profile, run).len();
        let answers: usize = match self.form {
            Form::List(_, runs) => runs.iter().map(|run| bytes(*run)).sum(),
            Form::Named(names, found) => {
                let each = names.iter().zip(found);
                // JSON spells one byte with six at most. A fragment may get a few bytes more.
                each.map(|(name, found)| bytes(self.run_of(*found)) + 6 * name.len() + OFF_BYTES)
                    .sum()
            }
        };
        LIST_BYTES + answers
    }

    /// Whether each flag that was asked for by name is on, in the order of the names. Nothing for a
    /// list.
    pub fn named(&self) -> impl Iterator<Item = (&str, bool)> {
        let (names, found) = match self.form {
            Form::List(..) => (&[][..], &[][..]),
            Form::Named(names, found) => (names, found),
        };
        names.iter().zip(found).map(|(name, found)| (name.as_str(), found.code != OFF))
    }

    /// Appends `{"toggles":[…]}` in the spelling of `profile`.
    pub fn render_into(&self, profile: Profile, body: &mut Vec<u8>) {
        body.extend_from_slice(b"{\"toggles\":[");
        match self.form {
            Form::List(_, runs) => self.plan.fragments.copy_into(body, profile, runs),
            Form::Named(names, found) => {
                for (name, found) in names.iter().zip(found) {
                    self.render_named(*found, name, profile, body);
                }
            }
        }
        // Every fragment brings its comma; the last one is too many.
        if body.last() == Some(&b',') {
            body.pop();
        }
        body.extend_from_slice(b"]}");
    }

    /// One answer to a name. The Proxy spells these a little differently from its lists: a flag
    /// that is off repeats `featureEnabled`, and `impressionData` is never absent or null.
    fn render_named(&self, found: Named, name: &str, profile: Profile, body: &mut Vec<u8>) {
        let label = self.plan.labels.get(found.flag as usize);
        let fragment = self.plan.fragments.get(profile, self.run_of(found));
        if profile == Profile::Edge && label.is_some() {
            body.extend_from_slice(fragment);
            return;
        }
        let impression = label.map_or(Impression::Absent, |label| label.impression);
        if found.code != OFF {
            let absent: &[u8] = match impression {
                Impression::Is(_) => return body.extend_from_slice(fragment),
                Impression::Null => b",\"impressionData\":null},",
                Impression::Absent => b"},",
            };
            body.extend_from_slice(fragment.strip_suffix(absent).unwrap_or(fragment));
            body.extend_from_slice(b",\"impressionData\":false},");
            return;
        }
        render_off(name, impression == Impression::Is(true), profile, body);
    }

    /// The fragment of a flag that was found; none of one that was not.
    fn run_of(&self, found: Named) -> Run {
        match found.flag {
            NOBODY => Run { first: 0, end: 0 },
            flag => self.plan.run_of(flag, found.code),
        }
    }
}

/// A flag that is off, or that nobody knows, as an answer to its name.
fn render_off(name: &str, impression: bool, profile: Profile, body: &mut Vec<u8>) {
    let variant: &[u8] = match profile {
        Profile::Proxy => {
            br#","enabled":false,"variant":{"name":"disabled","enabled":false,"feature_enabled":false,"featureEnabled":false},"#
        }
        Profile::Edge => {
            br#","enabled":false,"variant":{"name":"disabled","enabled":false,"payload":null},"impression_data":"#
        }
    };
    let impression: &[u8] = if impression { b"true" } else { b"false" };
    body.extend_from_slice(b"{\"name\":");
    write_quoted(name, body);
    body.extend_from_slice(variant);
    if profile == Profile::Edge {
        body.extend_from_slice(impression);
        body.push(b',');
    }
    body.extend_from_slice(b"\"impressionData\":");
    body.extend_from_slice(impression);
    body.extend_from_slice(b"},");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Context, Features, Host, Projects, Scratch, compile};

    #[test]
    fn an_answer_is_no_longer_than_was_said() {
        let value = "v".repeat(5_000);
        let json = format!(
            r#"{{"features":[{{"name":"a","enabled":true,"strategies":[{{"name":"default"}}],
                "variants":[{{"name":"v","weight":1000,"payload":
                {{"type":"string","value":"{value}"}}}}]}},{{"name":"b","enabled":false}}]}}"#
        );
        let (features, _) = Features::parse(json.as_bytes()).unwrap();
        let (plan, _) = compile(&features, &Projects::All, &Host::default());
        let (mut context, mut scratch) = (Context::new(), Scratch::new());
        context.start(&plan, 0, 1).top("userId", "7");
        let names = ["a", "b", "\u{1}\u{1}", "a"].map(str::to_owned);
        for profile in [Profile::Proxy, Profile::Edge] {
            for names in [&names[..], &names[..1], &names[2..3]] {
                let answer = plan.evaluate_named(&context, &mut scratch, names);
                let (at_most, mut body) = (answer.bytes_at_most(profile), Vec::new());
                answer.render_into(profile, &mut body);
                assert!(body.len() <= at_most, "{} of {at_most}", body.len());
            }
            let answer = plan.evaluate_all(&context, &mut scratch, Show::All);
            let (at_most, mut body) = (answer.bytes_at_most(profile), Vec::new());
            answer.render_into(profile, &mut body);
            assert!(body.len() <= at_most, "{} of {at_most}", body.len());
        }
    }
}
