//! Charts as inline SVG: legible as they are (colours and sizes are attributes), restyled by a page that can.
//!
//! Series differ by colour (Okabe and Ito's palette, told apart by colour-blind readers), by dash and by mark; each is
//! named at its end. Every chart has a title and a description for those who do not see it, and a table beside it.

mod curve;
mod heatmap;
mod histogram;
mod log;
mod weights;

pub(super) use curve::curve;
pub(super) use heatmap::heatmap;
pub(super) use histogram::histogram;
pub(super) use weights::{bar, theory};

/// Start of a chart `width` by `height`: shrinks with its page, never grows.
fn open(id: &str, width: f64, height: f64, title: &str, description: &str) -> String {
    let (title, description) = (super::escape::html(title), super::escape::html(description));
    format!(
        "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-labelledby=\"{id}-t {id}-d\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\
         <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>\n"
    )
}

/// A coordinate: a tenth of a pixel is enough.
fn at(v: f64) -> String {
    let text = format!("{v:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A line of text.
fn label(x: f64, y: f64, anchor: &str, class: &str, fill: &str, text: &str) -> String {
    let text = super::escape::html(text);
    format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" class=\"{class}\" fill=\"{fill}\">{text}</text>\n",
        at(x),
        at(y)
    )
}

/// A straight line.
fn line([x1, y1]: [f64; 2], [x2, y2]: [f64; 2], class: &str, stroke: &str, more: &str) -> String {
    let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(at);
    format!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" class=\"{class}\" stroke=\"{stroke}\"{more}/>\n")
}

/// Ink of axes and labels where no style is applied.
const INK: &str = "#33363b";
/// Of grids.
const GRID: &str = "#d9dbde";
