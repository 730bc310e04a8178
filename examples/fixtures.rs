//! Writes the payloads and contexts that load tests use: `cargo run --example fixtures [folder]`.
//!
//! By default into `loadtest/fixtures`. The same files come out on every machine.

use std::{env, error::Error, fs, path::PathBuf};

#[path = "../benches/support/payload.rs"]
mod payload;

const SEED: u64 = 1;
const SIZES: [usize; 4] = [50, 200, 1_000, 5_000];
const CONTEXTS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args().nth(1).unwrap_or("loadtest/fixtures".to_owned()));
    fs::create_dir_all(&folder)?;
    for flags in SIZES {
        let path = folder.join(format!("flags-{flags}.json"));
        fs::write(path, serde_json::to_vec(&payload::payload(flags, SEED))?)?;
    }
    let contexts = serde_json::to_vec(&payload::contexts(CONTEXTS, SEED))?;
    fs::write(folder.join("contexts.json"), contexts)?;
    Ok(())
}
