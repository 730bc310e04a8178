//! What upstream defined, told on as it was told us: for SDKs and proxies that evaluate themselves.

use ahash::AHashSet;

use super::{Feature, Features, Segment, Told};
use crate::engine::Projects;

const START: &[u8] = br#"{"version":2,"features":["#;
const MIDDLE: &[u8] = br#"],"segments":["#;
const END: &[u8] = b"]}";

// === impl Features ===

impl Features {
    /// The features of `projects` and the segments they need, as one JSON document:
    /// `{"version":2,"features":[…],"segments":[…]}`.
    ///
    /// Features stand in the order of their names, segments in that of their ids; each is the very
    /// text that upstream sent. Who sees every project gets every segment; anybody else those that
    /// a feature of theirs names, for a segment may tell of other projects' users
    /// (`spec/unleash-proxy.md` 1.12 and 9.2: the original leaves segments out).
    ///
    /// Returns `None` where the texts were not kept: see [`Features::parse_as`].
    pub fn definitions(&self, projects: &Projects) -> Option<Vec<u8>> {
        if self.told() == Told::Answers {
            return None;
        }
        let features: Vec<&Feature> = self
            .features
            .values()
            .map(|feature| &**feature)
            .filter(|feature| projects.contains(&feature.project))
            .collect();
        let needed: Option<AHashSet<i64>> = match projects {
            Projects::All => None,
            Projects::Only(_) => {
                let strategies = features.iter().flat_map(|feature| &feature.strategies);
                Some(strategies.flat_map(|strategy| strategy.segments.iter().copied()).collect())
            }
        };
        let segments: Vec<&Segment> = self
            .segments
            .values()
            .map(|segment| &**segment)
            .filter(|segment| needed.as_ref().is_none_or(|needed| needed.contains(&segment.id)))
            .collect();
        let texts = || {
            let features = features.iter().map(|feature| &*feature.raw);
            features.chain(segments.iter().map(|segment| &*segment.raw))
        };
        // A comma each; to the byte, so that the document takes up no more than it holds.
        let bytes: usize = texts().map(|text| text.len() + 1).sum();
        let mut document = Vec::with_capacity(START.len() + MIDDLE.len() + END.len() + bytes);
        document.extend_from_slice(START);
        list(&mut document, features.iter().map(|feature| &*feature.raw));
        document.extend_from_slice(MIDDLE);
        list(&mut document, segments.iter().map(|segment| &*segment.raw));
        document.extend_from_slice(END);
        Some(document)
    }
}

fn list<'t>(document: &mut Vec<u8>, texts: impl Iterator<Item = &'t str>) {
    for (at, text) in texts.enumerate() {
        if at > 0 {
            document.push(b',');
        }
        document.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Delta;

    const PAYLOAD: &str = r#"{"version":2,"features":[
        {"name":"b", "project":"x","enabled":true,"strategies":[{"name":"default","segments":[7]}],"unknown":1.50},
        {"name":"a","enabled":true,"strategies":[],"x":"é\u00e9"},
        {"enabled":true},
        {"name":"é","enabled":"what","project":"x"}],
        "segments":[{"id":9,"constraints":[]},{"id": 7,"constraints":[],"name":"seven"}],
        "query":{},"meta":{"revisionId":3}}"#;
    const A: &str = r#"{"name":"a","enabled":true,"strategies":[],"x":"é\u00e9"}"#;
    const B: &str = r#"{"name":"b", "project":"x","enabled":true,"strategies":[{"name":"default","segments":[7]}],"unknown":1.50}"#;
    const E: &str = r#"{"name":"é","enabled":"what","project":"x"}"#;
    const SEVEN: &str = r#"{"id": 7,"constraints":[],"name":"seven"}"#;
    const NINE: &str = r#"{"id":9,"constraints":[]}"#;

    fn features() -> Features {
        Features::parse(PAYLOAD.as_bytes()).unwrap().0
    }

    fn document(features: &Features, projects: &Projects) -> String {
        String::from_utf8(features.definitions(projects).unwrap()).unwrap()
    }

    fn of(features: &[&str], segments: &[&str]) -> String {
        let (features, segments) = (features.join(","), segments.join(","));
        format!(r#"{{"version":2,"features":[{features}],"segments":[{segments}]}}"#)
    }

    #[test]
    fn every_part_is_told_on_byte_for_byte_in_order() {
        let document = document(&features(), &Projects::All);
        assert_eq!(document, of(&[A, B, E], &[SEVEN, NINE]));
    }

    #[test]
    fn the_document_is_allocated_once() {
        let document = features().definitions(&Projects::All).unwrap();
        assert!(document.capacity() - document.len() <= 2, "a comma less for each list");
    }

    #[test]
    fn who_sees_some_projects_sees_their_features_and_the_segments_of_those() {
        let only = |name: &str| Projects::Only(Box::new([name.into()]));
        assert_eq!(document(&features(), &only("x")), of(&[B, E], &[SEVEN]));
        assert_eq!(document(&features(), &only("default")), of(&[A], &[]));
        assert_eq!(document(&features(), &only("nobody's")), of(&[], &[]));
    }

    #[test]
    fn a_delta_changes_what_is_told_on_and_nothing_else() {
        let mut features = features();
        let new = r#"{"name":"a","enabled":false ,"strategies":[]}"#;
        let events = format!(
            r#"{{"events":[
                {{"type":"feature-updated","eventId":4,"feature":{new}}},
                {{"type":"feature-removed","eventId":5,"featureName":"é","project":"x"}},
                {{"type":"segment-removed","eventId":6,"segmentId":9}}]}}"#
        );
        features.apply(&Delta::parse(events.as_bytes()).unwrap());
        assert_eq!(document(&features, &Projects::All), of(&[new, B], &[SEVEN]));
    }

    #[test]
    fn what_is_told_on_reads_as_what_was_told_us() {
        let features = features();
        let (again, _) = Features::parse(&features.definitions(&Projects::All).unwrap()).unwrap();
        assert_eq!(again.definitions(&Projects::All), features.definitions(&Projects::All));
        assert_eq!(again.len(), features.len());
    }
}
