//! Judges a saved report by other limits. Nothing is run.
//!
//!     cargo run --release --example judge -- report.json policy.toml

use parallax::{Date, Policy, Report, recheck};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(policy)) = (arguments.next(), arguments.next()) else {
        return Err("usage: judge REPORT.json POLICY".into());
    };
    // A report that was edited, or whose verdict contradicts its numbers, is an error here.
    let report = Report::from_json(&std::fs::read(file)?)?;
    let policy = Policy::load(&policy)?;

    let again = recheck(&report, &policy, Date::today(), None);

    println!("{} by {}, {} by {}", report.verdict, report.provenance.policy.name, again.verdict, policy.name);
    for reason in &again.reasons {
        println!("  {}: {}", reason.code, reason.message);
    }
    std::process::exit(again.exit_code.into());
}
