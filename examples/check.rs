//! Checks the shipped 8-bit model from code, and says what it found.
//!
//!     cargo run --release --example check

use parallax::{CheckRequest, Event, Observer, check};

/// Prints the phases of a run.
struct Phases;

impl Observer for Phases {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Phase(phase) = event {
            eprintln!("{phase} …");
        }
    }
}

fn main() -> Result<(), parallax::Error> {
    let request = CheckRequest::new("models/parallax-mini", "models/parallax-mini-mlx-8bit")
        .corpus(["models/corpus.txt"])
        .limit(200);

    let report = check(&request, &mut Phases)?;

    println!("{}: {} rows, {} tokens", report.verdict, report.corpus.rows, report.corpus.tokens);
    for reason in &report.reasons {
        println!("  {}: {}", reason.code, reason.message);
    }
    let layers = report.measurements.iter().filter(|m| m.metric == "relative_l2");
    for layer in layers.filter(|m| m.arm.to_string() == "quantization") {
        println!("  {:<12} p99 {:.4}", layer.tap.to_string(), layer.p99.unwrap_or(f64::NAN));
    }
    std::process::exit(report.exit_code.into());
}
