//! The official client specification: where it is, and what its cases say.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::context::{Decision, TestContext, Variant};

/// Names the folder that holds `index.json` and the files it lists.
const FOLDER: &str = "CLIENT_SPECIFICATION";
/// When set, a missing suite is a failure.
const REQUIRED: &str = "OFFLEASH_REQUIRE_SPEC";
/// Where the suite is looked for when nobody names a folder.
const PLACES: [&str; 2] = [
    "target/client-specification",
    "e2e/node_modules/@unleash/client-specification/specifications",
];

/// One file: a state and what it must answer.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) file: String,
    pub(crate) state: Value,
    pub(crate) cases: Vec<Case>,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) description: String,
    pub(crate) flag: String,
    pub(crate) context: TestContext,
    /// The context as it stands in the file.
    pub(crate) context_json: Value,
    pub(crate) expected: Expected,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    Enabled(bool),
    /// What a variant test says, and whether the flag is on.
    Variant(Decision),
}

/// Every file of the suite, or `None` when it is not on this machine and nobody requires it.
///
/// # Panics
///
/// Panics when the suite is required and missing, or cannot be read.
pub(crate) fn load() -> Option<Vec<Suite>> {
    let Some(folder) = find() else {
        assert!(
            env::var_os(REQUIRED).is_none(),
            "{REQUIRED} is set, but the client specification is in none of {PLACES:?}: set {FOLDER}",
        );
        println!(
            "NOT RUN: the client specification is not on this machine; `scripts/test` fetches it, \
             or set {FOLDER}"
        );
        return None;
    };
    let index = read(&folder.join("index.json"));
    let files = index.as_array().unwrap().iter();
    Some(files.map(|file| Suite::read(&folder, file.as_str().unwrap())).collect())
}

/// An environment variable decides alone: a folder it names must be there.
fn find() -> Option<PathBuf> {
    if let Some(folder) = env::var_os(FOLDER) {
        return Some(PathBuf::from(folder));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    PLACES.iter().map(|place| root.join(place)).find(|folder| folder.join("index.json").exists())
}

fn read(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|err| panic!("`{}`: {err}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|err| panic!("`{}`: {err}", path.display()))
}

// === impl Suite ===

impl Suite {
    fn read(folder: &Path, file: &str) -> Self {
        let mut json = read(&folder.join(file));
        let tests = json["tests"].as_array().into_iter().flatten();
        let variant_tests = json["variantTests"].as_array().into_iter().flatten();
        let cases = tests.chain(variant_tests).map(Case::read).collect();
        Self { file: file.to_owned(), state: json["state"].take(), cases }
    }

    pub(crate) fn is_delta(&self) -> bool {
        self.state["events"].is_array()
    }
}

// === impl Case ===

impl Case {
    fn read(json: &Value) -> Self {
        Self {
            description: json["description"].as_str().unwrap_or_default().to_owned(),
            flag: json["toggleName"].as_str().unwrap().to_owned(),
            context: TestContext::from_json(&json["context"]),
            context_json: json["context"].clone(),
            expected: Expected::read(&json["expectedResult"]),
        }
    }

    /// Fails with everything one needs to know unless `decision` is what the case expects.
    pub(crate) fn assert(&self, suite: &Suite, decision: &Decision) {
        let is_as_expected = match &self.expected {
            Expected::Enabled(enabled) => decision.enabled == *enabled,
            Expected::Variant(expected) => decision == expected,
        };
        assert!(
            is_as_expected,
            "{}: {}\nflag: {}\ncontext: {}\nexpected: {:?}\ngot: {decision:?}",
            suite.file, self.description, self.flag, self.context_json, self.expected,
        );
    }
}

// === impl Expected ===

impl Expected {
    fn read(json: &Value) -> Self {
        if let Value::Bool(enabled) = json {
            return Self::Enabled(*enabled);
        }
        let variant = (json["enabled"] == json!(true)).then(|| Variant {
            name: json["name"].as_str().unwrap().to_owned(),
            payload: json.get("payload").cloned(),
        });
        if variant.is_none() {
            assert_eq!(json["name"], "disabled", "a variant that is off has another name");
        }
        Self::Variant(Decision { enabled: json["feature_enabled"] == json!(true), variant })
    }
}
