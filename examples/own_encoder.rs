//! Puts an encoder of one's own in the place of the built-in one: here one that forgets its last layer's output, so the
//! check must not pass.
//!
//!     cargo run --release --example own_encoder

use parallax::{CheckRequest, Encoder, HiddenStates, RunError, Silent, Tap, TokenBatch, Verdict, check_encoder};

/// Gives another encoder's states, and the embeddings in place of the last hidden states.
struct Forgetful(Box<dyn Encoder>);

impl Encoder for Forgetful {
    fn describe(&self) -> String {
        format!("forgetful, {}", self.0.describe())
    }

    fn taps(&self) -> &[Tap] {
        self.0.taps()
    }

    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        let states = self.0.encode(batch)?;
        let mut out = HiddenStates::new();
        for (tap, of_tap) in states.iter() {
            let from = if tap == Tap::Final { Tap::Embeddings } else { tap };
            out.insert(tap, states.get(from).unwrap_or(of_tap).clone());
        }
        Ok(out)
    }
}

fn main() -> Result<(), parallax::Error> {
    let request = CheckRequest::new("models/parallax-mini", "models/parallax-mini-mlx-8bit")
        .corpus(["models/corpus.txt"])
        .limit(200);

    let report = check_encoder(&request, &mut Silent, |built_in| Box::new(Forgetful(built_in)))?;

    println!("{}", report.verdict);
    for reason in report.reasons.iter().take(3) {
        println!("  {}", reason.message);
    }
    assert_ne!(report.verdict, Verdict::Pass);
    Ok(())
}
