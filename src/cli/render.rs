//! `parallax render`.

use std::path::Path;

use parallax::check::contradiction;
use parallax::fault::Fault;
use parallax::report::{OutputDir, Report, escape, renderer};

use super::arguments::RenderArguments;
use super::failure::Failure;
use super::product;

/// The report saved in a file.
pub(super) fn saved(path: &Path) -> Result<Report, Failure> {
    let bad = |e: String| Failure::new(Fault::BadInput, format!("{}: {e}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    let report = Report::from_json(&bytes).map_err(|e| bad(e.to_string()))?;
    match contradiction(&report) {
        Some(what) => Err(bad(format!("the report contradicts itself: {}", escape::plain(&what, 400)))),
        None => Ok(report),
    }
}

pub(super) fn run(a: &RenderArguments) -> Result<u8, Failure> {
    let report = saved(&a.report)?;
    match &a.output {
        Some(file) => write_format(&report, &a.to, file)?,
        None => product(&rendered(&report, &a.to)?)?,
    }
    Ok(0)
}

/// The report in the format called `id`.
pub(super) fn rendered(report: &Report, id: &str) -> Result<String, Failure> {
    let Some(renderer) = renderer(id) else {
        return Err(Failure::new(Fault::Usage, format!("there is no format `{id}`")));
    };
    let bytes = (renderer.render)(report).map_err(parallax::Error::from)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The same in a file, whole or not at all.
pub(super) fn write_format(report: &Report, id: &str, file: &Path) -> Result<(), Failure> {
    let text = rendered(report, id)?;
    let (folder, name) = place(file)?;
    folder.write(name, text.as_bytes()).map_err(parallax::Error::from)?;
    Ok(())
}

/// The folder of a file that is to be written, seen to be writable, and its name there.
pub(super) fn place(file: &Path) -> Result<(OutputDir, &str), Failure> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = file.file_name().and_then(|n| n.to_str()) else {
        return Err(Failure::new(Fault::Usage, format!("{} names no file", file.display())));
    };
    Ok((OutputDir::probe(folder).map_err(parallax::Error::from)?, name))
}

/// `parallax schema`.
pub(super) fn schema() -> Result<u8, Failure> {
    product(&format!("{:#}\n", parallax::report::schema()))?;
    Ok(0)
}
