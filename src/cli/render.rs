//! `parallax render`.

use std::path::Path;

use parallax::fault::Fault;
use parallax::report::{OutputDir, RENDERERS, Report};

use super::arguments::RenderArguments;
use super::failure::Failure;
use super::product;

/// The report saved in a file.
pub(super) fn saved(path: &Path) -> Result<Report, Failure> {
    let bad = |e: String| Failure::new(Fault::BadInput, format!("{}: {e}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    Report::from_json(&bytes).map_err(|e| bad(e.to_string()))
}

pub(super) fn run(a: &RenderArguments) -> Result<u8, Failure> {
    let report = saved(&a.report)?;
    let renderer = RENDERERS.iter().find(|r| r.id == a.to);
    let Some(renderer) = renderer else {
        return Err(Failure::new(Fault::Usage, format!("there is no format `{}`", a.to)));
    };
    let rendered = (renderer.render)(&report).map_err(parallax::Error::from)?;
    match &a.output {
        Some(file) => {
            let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let Some(name) = file.file_name().and_then(|n| n.to_str()) else {
                return Err(Failure::new(Fault::Usage, format!("{} names no file", file.display())));
            };
            OutputDir::probe(folder).and_then(|dir| dir.write(name, &rendered)).map_err(parallax::Error::from)?;
        }
        None => product(&String::from_utf8_lossy(&rendered))?,
    }
    Ok(0)
}
