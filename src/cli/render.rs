//! `parallax render`.

use std::path::Path;

use parallax::fault::Fault;
use parallax::report::{OutputDir, RENDERERS, Report};

use super::arguments::RenderArguments;
use super::failure::Failure;
use super::product;

pub(super) fn run(a: &RenderArguments) -> Result<u8, Failure> {
    let shown = a.report.display();
    let bytes = std::fs::read(&a.report).map_err(|e| Failure::new(Fault::BadInput, format!("{shown}: {e}")))?;
    let report = Report::from_json(&bytes).map_err(|e| Failure::new(Fault::BadInput, format!("{shown}: {e}")))?;
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

/// `parallax schema`.
pub(super) fn schema() -> Result<u8, Failure> {
    product(&format!("{:#}\n", parallax::report::schema()))?;
    Ok(0)
}
