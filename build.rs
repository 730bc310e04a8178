//! Packs the files of Swagger UI that the documentation page needs: three out of the hundreds in
//! the vendored archive, each as a gzip file that can be sent as it is.

use std::{
    env,
    error::Error,
    fs,
    io::{Cursor, Read},
    path::Path,
};

use zip::{CompressionMethod, ZipArchive};

const FILES: [&str; 3] =
    ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"];
/// Magic number, deflate, no flags, no time, no extra flags, unknown system (RFC 1952).
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR")?;
    let mut archive =
        ZipArchive::new(Cursor::new(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED))?;
    for file in FILES {
        let end = format!("/dist/{file}");
        let at = archive.file_names().position(|name| name.is_ok_and(|name| name.ends_with(&end)));
        let at = at.ok_or_else(|| format!("Swagger UI's archive has no `{end}`"))?;
        fs::write(Path::new(&out).join(format!("{file}.gz")), gzip(&mut archive, at)?)?;
    }
    Ok(())
}

/// The entry as a gzip file: both formats hold the same deflated bytes, so none is packed anew.
fn gzip(archive: &mut ZipArchive<Cursor<&[u8]>>, at: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut entry = archive.by_index_raw(at)?;
    if entry.compression() != CompressionMethod::DEFLATE {
        return Err("Swagger UI's archive is not deflated".into());
    }
    let (crc, size) = (entry.crc32(), u32::try_from(entry.size())?);
    let mut file = GZIP_HEAD.to_vec();
    entry.read_to_end(&mut file)?;
    file.extend_from_slice(&crc.to_le_bytes());
    file.extend_from_slice(&size.to_le_bytes());
    Ok(file)
}
