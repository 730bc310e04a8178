//! Answers: what an evaluation picked, tagged and written.

use super::{
    model::Impression,
    plan::{Kind, OFF, Plan, Profile, fragment::write_quoted},
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
    pub(super) picked: &'a [Picked],
    pub(super) form: Form<'a>,
    pub(super) by_chance: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'a> {
    List(Show),
    /// Answers to names, which stand beside `picked`.
    Named(&'a [String]),
}

/// Fragments that make a part of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picked {
    pub(super) first: u32,
    pub(super) end: u32,
    /// The flag, for answers by name. [`NOBODY`]: there is none of that name.
    pub(super) flag: u32,
}

// === impl Answer ===

impl Answer<'_> {
    /// A hash of what the answer says, made without writing it.
    ///
    /// Equal outcomes of equal flags give equal tags, on every replica and after every restart;
    /// another profile, listing or outcome gives another.
    pub fn tag(&self, profile: Profile) -> u128 {
        let salt = match (profile, self.form) {
            (Profile::Proxy, Form::List(Show::Enabled)) => 1u128,
            (Profile::Proxy, Form::List(Show::All)) => 2,
            (Profile::Proxy, Form::Named(_)) => 3,
            (Profile::Edge, Form::List(Show::Enabled)) => 4,
            (Profile::Edge, Form::List(Show::All)) => 5,
            (Profile::Edge, Form::Named(_)) => 6,
        };
        // A list has one order, so a sum over it is enough; an answer by name has the caller's.
        let ordered = matches!(self.form, Form::Named(_));
        let mut tag = salt;
        for (at, picked) in self.picked.iter().enumerate() {
            let mut sum = self.plan.fragments.hash_sum(picked.first, picked.end);
            if let (NOBODY, Form::Named(names)) = (picked.flag, self.form) {
                let name = names.get(at).map_or("", String::as_str);
                sum = !xxhash_rust::xxh3::xxh3_128(name.as_bytes());
            }
            if ordered {
                tag = tag.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
            }
            tag = tag.wrapping_add(sum);
        }
        tag
    }

    /// Whether a random draw had a hand in it: the same question may be answered otherwise.
    pub fn is_by_chance(&self) -> bool {
        self.by_chance
    }

    /// What [`Answer::render_into`] appends is no longer than this, in bytes.
    pub fn bytes_at_most(&self, profile: Profile) -> usize {
        let names: usize = match self.form {
            Form::List(_) => 0,
            // JSON spells one byte with six at most.
            Form::Named(names) => names.iter().map(|name| 6 * name.len() + OFF_BYTES).sum(),
        };
        let fragments = self.picked.iter();
        let fragments = fragments
            .map(|picked| self.plan.fragments.get(profile, picked.first, picked.end).len())
            .sum::<usize>();
        LIST_BYTES + names + fragments
    }

    /// Whether each flag that was asked for by name is on, in the order of the names. Nothing for a
    /// list.
    pub fn named(&self) -> impl Iterator<Item = (&str, bool)> {
        let names = match self.form {
            Form::List(_) => &[],
            Form::Named(names) => names,
        };
        names.iter().zip(self.picked).map(|(name, picked)| (name.as_str(), self.is_on(*picked)))
    }

    fn is_on(&self, picked: Picked) -> bool {
        self.plan.flags.get(picked.flag as usize).is_some_and(|flag| match flag.kind {
            Kind::Folded(code) => code != OFF,
            Kind::Live => picked.first != flag.fragment,
        })
    }

    /// Appends `{"toggles":[…]}` in the spelling of `profile`.
    pub fn render_into(&self, profile: Profile, body: &mut Vec<u8>) {
        body.extend_from_slice(b"{\"toggles\":[");
        match self.form {
            Form::List(_) => {
                for picked in self.picked {
                    let bytes = self.plan.fragments.get(profile, picked.first, picked.end);
                    body.extend_from_slice(bytes);
                }
            }
            Form::Named(names) => {
                for (picked, name) in self.picked.iter().zip(names) {
                    self.render_named(*picked, name, profile, body);
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
    fn render_named(&self, picked: Picked, name: &str, profile: Profile, body: &mut Vec<u8>) {
        let flag = self.plan.flags.get(picked.flag as usize);
        let fragment = self.plan.fragments.get(profile, picked.first, picked.end);
        if profile == Profile::Edge && flag.is_some() {
            body.extend_from_slice(fragment);
            return;
        }
        let impression = flag.map_or(Impression::Absent, |flag| flag.impression);
        if self.is_on(picked) {
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
