//! The cross-match: every tap of the reference against every tap of the candidate. Only equal points are alike, so only
//! the diagonal is dark.

use super::{INK, at, label, open};
use crate::align::CrossMatchReport;
use crate::figures::number;

/// Largest side of the whole.
const SIDE: f64 = 560.0;
/// Largest side of a cell.
const CELL: f64 = 34.0;
const MARGIN: f64 = 92.0;
/// Stops of the Cividis palette (Nuñez, Anderton and Renslow, PLOS ONE 2018): read alike with and without colour
/// blindness, and in print. Alike is dark.
const PALETTE: [[f64; 3]; 5] =
    [[0.0, 34.0, 78.0], [65.0, 77.0, 107.0], [124.0, 123.0, 120.0], [188.0, 174.0, 108.0], [254.0, 232.0, 56.0]];
/// Two unrelated states are so far apart.
const UNRELATED: f64 = 1.414;

/// The map; none where it was not measured.
pub(in crate::report) fn heatmap(section: &CrossMatchReport) -> Option<String> {
    let (rows, columns) = (section.reference_taps.len(), section.candidate_taps.len());
    let all = || section.relative_l2.iter().flatten().copied();
    let least = all().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
    all().next()?;
    // From the most alike to what is not alike at all; beyond that there is nothing to tell apart.
    let share = |value: f64| {
        let share = if value > least { (value / least).ln() / (UNRELATED / least.min(0.1)).ln() } else { 0.0 };
        (!value.is_nan()).then_some(share)
    };
    let cell = (SIDE / rows.max(columns) as f64).min(CELL);
    let (width, height) = (MARGIN + cell * columns as f64 + 8.0, MARGIN + cell * rows as f64 + 44.0);
    let mut out = open("cross", width.max(420.0), height, "Cross-match of taps", &described(section));
    out.push_str(&label(MARGIN, 14.0, "start", "ink", INK, "columns: candidate, rows: reference"));
    for (j, tap) in section.candidate_taps.iter().enumerate() {
        let (x, y) = (at(MARGIN + (j as f64 + 0.6) * cell), at(MARGIN - 6.0));
        out.push_str(&format!("<text x=\"{x}\" y=\"{y}\" class=\"ink\" fill=\"{INK}\" font-size=\"11\" transform=\"rotate(-60 {x} {y})\">{tap}</text>\n"));
    }
    for (i, (tap, row)) in section.reference_taps.iter().zip(&section.relative_l2).enumerate() {
        let y = MARGIN + i as f64 * cell;
        out.push_str(&label(MARGIN - 6.0, y + cell / 2.0 + 4.0, "end", "ink", INK, &tap.to_string()));
        let own = section.candidate_taps.iter().position(|t| t == tap);
        let alike = own.and_then(|j| row.get(j)).copied().unwrap_or(f64::NAN);
        for (j, value) in row.iter().enumerate() {
            let x = MARGIN + j as f64 * cell;
            // Two taps may be one point (the last layer and `final` of a post-norm model): as alike as its own is no fault.
            let odd = if own == Some(j) { alike.is_nan() } else { *value < alike };
            let own = own == Some(j) || *value == alike;
            let edge = match (odd, own) {
                (true, _) => " class=\"odd\" stroke=\"#b00020\" stroke-width=\"3\"",
                (_, true) => " class=\"own\" stroke=\"#ffffff\" stroke-width=\"1.5\"",
                _ => "",
            };
            let inset = if edge.is_empty() { 0.5 } else { 1.5 };
            out.push_str(&format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"{edge}><title>{} against {}: {}</title></rect>\n",
                at(x + inset), at(y + inset), at(cell - 2.0 * inset), at(cell - 2.0 * inset),
                colour(share(*value)),
                tap, section.candidate_taps.get(j).map_or_else(String::new, ToString::to_string), number(*value)
            ));
        }
    }
    let (x, y) = (MARGIN, height - 22.0);
    for i in 0..40 {
        let share = f64::from(i) / 39.0;
        out.push_str(&format!(
            "<rect x=\"{}\" y=\"{}\" width=\"5\" height=\"10\" fill=\"{}\"/>",
            at(x + 60.0 + 4.0 * f64::from(i)),
            at(y),
            colour(Some(share))
        ));
    }
    out.push_str(&label(x + 54.0, y + 10.0, "end", "ink", INK, "alike"));
    out.push_str(&label(x + 230.0, y + 10.0, "start", "ink", INK, "unrelated"));
    out.push_str("</svg>\n");
    Some(out)
}

fn described(section: &CrossMatchReport) -> String {
    let odd: Vec<String> = section
        .reference_taps
        .iter()
        .zip(&section.relative_l2)
        .filter_map(|(tap, row)| {
            let best = row.iter().zip(&section.candidate_taps).min_by(|a, b| a.0.total_cmp(b.0))?;
            let own = row.iter().zip(&section.candidate_taps).find(|(_, t)| *t == tap)?;
            (best.1 != tap && best.0 != own.0).then(|| format!("reference {tap} is most like candidate {}", best.1))
        })
        .collect();
    match odd.as_slice() {
        [] => "Every tap of the reference is most like the candidate's tap of the same name.".to_owned(),
        odd => format!("Not every tap is most like its own: {}.", odd.join("; ")),
    }
}

/// A share of the axis as a colour; what is no number stands out.
fn colour(share: Option<f64>) -> String {
    let Some(share) = share else { return "#ff00ff".to_owned() };
    let place = share.clamp(0.0, 1.0) * (PALETTE.len() - 1) as f64;
    let i = (place.floor() as usize).min(PALETTE.len() - 2);
    let mix = |k: usize| (PALETTE[i][k] + (place - i as f64) * (PALETTE[i + 1][k] - PALETTE[i][k])).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_tap_that_is_most_like_another_is_marked_and_told() {
        let mut section = sample::passing().alignment.cross_match;
        let svg = heatmap(&section).unwrap();
        assert!(svg.matches("class=\"own\"").count() == 2 && !svg.contains("class=\"odd\""), "{svg}");
        section.relative_l2 = vec![vec![0.01, 0.01], vec![0.01, 0.01]];
        assert!(!heatmap(&section).unwrap().contains("class=\"odd\""), "two taps of one point");
        section.relative_l2 = vec![vec![0.5, 0.01], vec![0.9, f64::NAN]];
        let svg = heatmap(&section).unwrap();
        assert!(
            svg.matches("class=\"odd\"").count() >= 2
                && svg.contains("reference layer.0 is most like candidate layer.1"),
            "{svg}"
        );
        assert!(svg.contains("#ff00ff"), "a NaN stands out");
    }

    #[test]
    fn the_palette_runs_from_dark_to_light() {
        assert_eq!([colour(Some(0.0)), colour(Some(1.0)), colour(Some(2.0))], ["#00224e", "#fee838", "#fee838"]);
    }
}
