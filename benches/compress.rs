//! What each coding and level costs and gains on an answer: `cargo bench --bench compress`. The
//! levels in `src/http/compress.rs` are chosen by this table.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_debug_implementations,
    reason = "a bench fails by panicking"
)]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/payload.rs"]
mod payload;
#[path = "support/rounds.rs"]
mod rounds;

use std::{hint::black_box, io::Write as _};

use engines::{Fields, Ours};
use flate2::{Compress, Compression, FlushCompress};
use offleash::engine::{Profile, Show};
use rounds::Contender;

// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 42;
const SIZES: [usize; 3] = [20, 200, 1_000];
/// Answers in turn, so that no encoder profits from having just seen the same.
const ANSWERS: usize = 50;

fn main() {
    if !rounds::measuring() {
        return;
    }
    println!("one answer, medians of {} rounds, on {}", rounds::ROUNDS, rounds::machine());
    println!(
        "{:>6} {:<8} {:>6} {:>9} {:>9} {:>8}",
        "flags", "coding", "level", "µs", "bytes", "of plain"
    );
    for flags in SIZES {
        let answers = answers(flags);
        for level in [-7, -5, -3, -1, 1, 2, 3] {
            let mut encoder = zstd::bulk::Compressor::new(level).unwrap();
            row(flags, "zstd", level, &answers, |plain| encoder.compress(plain).unwrap());
        }
        for level in [1, 2, 3, 6] {
            let mut encoder = Compress::new(Compression::new(level), true);
            row(flags, "deflate", level as i32, &answers, |plain| {
                let mut encoded = Vec::with_capacity(plain.len() + 64);
                encoder.reset();
                encoder.compress_vec(plain, &mut encoded, FlushCompress::Finish).unwrap();
                encoded
            });
        }
        for level in [0, 1, 2, 3, 4] {
            row(flags, "br", level, &answers, |plain| {
                let mut encoded = Vec::with_capacity(plain.len());
                let mut writer =
                    brotli::CompressorWriter::new(&mut encoded, plain.len(), level as u32, 18);
                writer.write_all(plain).unwrap();
                drop(writer);
                encoded
            });
        }
    }
}

fn answers(flags: usize) -> Vec<Vec<u8>> {
    let mut ours = Ours::new(&payload::payload(flags, SEED));
    let contexts = payload::contexts(ANSWERS, SEED);
    let answer = |context| {
        ours.answer(&Fields::new(context), Show::Enabled, Profile::Edge);
        ours.body.clone()
    };
    contexts.iter().map(answer).collect()
}

fn row(
    flags: usize,
    coding: &str,
    level: i32,
    answers: &[Vec<u8>],
    mut encode: impl FnMut(&[u8]) -> Vec<u8>,
) {
    let plain: usize = answers.iter().map(Vec::len).sum();
    let encoded: usize = answers.iter().map(|answer| encode(answer).len()).sum();
    let [nanos] = rounds::medians([Contender::new(|at| {
        black_box(encode(&answers[at % ANSWERS]));
    })]);
    println!(
        "{flags:>6} {coding:<8} {level:>6} {:>9.1} {:>9} {:>8.3}",
        nanos / 1e3,
        encoded / ANSWERS,
        encoded as f64 / plain as f64,
    );
}
