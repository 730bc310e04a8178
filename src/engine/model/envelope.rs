//! Reads a payload of which nothing is known yet in one pass: each element where it stands.
//!
//! Who knows a payload cuts the next one into the texts of its elements first, and reads those that
//! are new. At a start all are, and the cut would be a pass over everything for nothing.

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Feature, Features, Segment, Told, Warning, cursor::Cursor, revision};

// === impl Features ===

impl Features {
    /// As [`Features::parse_as`] where there is nothing `previous`. Returns `None` for what is not as
    /// upstream writes it: whether that is a fault, and which, the other way of reading tells.
    pub(super) fn read_at_once(
        told: Told,
        json: &[u8],
        between: fn(),
    ) -> Option<(Self, Vec<Warning>)> {
        let mut cursor = Cursor::new(std::str::from_utf8(json).ok()?);
        let mut read = Self { told, ..Self::default() };
        let (mut features, mut segments, mut meta) = (None, None, None);
        cursor.step(b'{')?;
        loop {
            let key = cursor.text()?;
            cursor.step(b':')?;
            match &*key {
                "features" if features.is_none() => {
                    let warnings = features.insert(Vec::new());
                    cursor.elements(|value, text| {
                        between();
                        match Feature::of(&value, text, told) {
                            Ok(feature) => read.insert(feature.into(), warnings),
                            Err(warning) => warnings.push(warning),
                        }
                    })?;
                }
                "segments" if segments.is_none() => {
                    let warnings = segments.insert(Vec::new());
                    cursor.elements(|value, text| match Segment::of(&value, text, told) {
                        Ok(segment) => {
                            read.segments.insert(segment.id, segment.into());
                        }
                        Err(warning) => warnings.push(warning),
                    })?;
                }
                "meta" if meta.is_none() => meta = Some(cursor.value::<&RawValue>()?.0),
                "features" | "segments" | "meta" => return None,
                _ => {
                    cursor.value::<IgnoredAny>()?;
                }
            }
            if cursor.step(b',').is_none() {
                break;
            }
        }
        cursor.step(b'}')?;
        if !cursor.is_at_end() {
            return None;
        }
        read.revision = meta.and_then(revision);
        let mut warnings = features?;
        warnings.extend(segments.unwrap_or_default());
        Some((read, warnings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = r#"{"name":"a","enabled":true,"x":"é\u00e9 ]}",
        "strategies":[{"name":"default","segments":[7]}]}"#;
    const SEVEN: &str = r#"{"id": 7,"constraints":[]}"#;

    fn both(json: &str) -> [Option<String>; 2] {
        let at_once = Features::read_at_once(Told::Definitions, json.as_bytes(), || {});
        let cut =
            Features::parse_cut(Told::Definitions, json.as_bytes(), &Features::default(), || {});
        [at_once, cut.ok()].map(|read| read.map(|read| format!("{read:#?}")))
    }

    #[test]
    fn what_upstream_writes_is_read_alike_in_one_pass() {
        let payloads = [
            format!(
                r#"{{"version":2,"features":[{A}],"segments":[{SEVEN}],"meta":{{"revisionId":3}}}}"#
            ),
            format!(
                "\n{{ \"segments\" :\t[ {SEVEN} , {{}} ] ,\r\n\"features\": [ {A} , 7 ,{A}\n] }} \n"
            ),
            r#"{"features":[]}"#.to_owned(),
            r#"{"features":[{}],"segments":[],"meta":7,"query":[1.5e3,{"a":"\""}],"é":null}"#
                .to_owned(),
            r#"{"featur\u0065s":[{"name":"b","name":"c"},{"name":""},null,true,"x",-0.0]}"#
                .to_owned(),
        ];
        for payload in &payloads {
            let [at_once, cut] = both(payload);
            assert!(cut.is_some(), "{payload}");
            assert_eq!(at_once, cut, "{payload}");
        }
    }

    #[test]
    fn what_else_there_is_is_left_to_the_other_way() {
        let left = [
            "",
            "{}",
            "[]",
            "7",
            "{",
            r#"{"features":[]"#,
            r#"{"features":[]}x"#,
            r#"{"features":[],}"#,
            r#"{"features":[,]}"#,
            r#"{"features":[1,]}"#,
            r#"{"features":[1 2]}"#,
            r#"{"features":{}}"#,
            r#"{"features":[],"segments":null}"#,
            r#"{"features":[],"features":[]}"#,
            r#"{features:[]}"#,
            r#"{"features":[] "segments":[]}"#,
            r#"{"features" []}"#,
            r#"{"features":[{"name":"\ud800"}]}"#,
            "{\"features\":[]}\u{a0}",
            "{\"features\":[\u{a0}]}",
            r#"{"features":[{"name":1e999}]}"#,
        ];
        for payload in left {
            assert_eq!(both(payload)[0], None, "{payload}");
        }
        assert!(
            Features::read_at_once(Told::Answers, b"{\"features\":[\"\xff\"]}", || {}).is_none()
        );
    }

    #[test]
    fn whatever_is_cut_off_or_spoilt_is_read_alike_or_left() {
        let whole =
            format!(r#"{{"version":2,"features":[{A}, {A}],"segments":[{SEVEN}],"meta":{{}}}}"#);
        let mut spoilt: Vec<String> = Vec::new();
        for at in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            spoilt.push(whole[..at].to_owned());
            for instead in ["", ",", "]", "}", "\"", "\\", "0", " "] {
                let rest = whole[at..].chars().as_str();
                let next = rest.chars().next().map_or(0, char::len_utf8);
                spoilt.push(format!("{}{instead}{}", &whole[..at], &rest[next..]));
            }
        }
        for payload in &spoilt {
            let [at_once, cut] = both(payload);
            assert!(at_once.is_none() || at_once == cut, "{payload}");
        }
    }
}
