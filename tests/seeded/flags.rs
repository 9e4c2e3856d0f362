//! What is asked for so that nothing can fail: flags and policies below sense.

use super::models::ONE;
use super::{Fault, Plant};

const fn fault(id: &'static str, what: &'static str, plant: Plant, says: &'static [&'static str]) -> Fault {
    Fault { id, hazard: "G12", what, plant, on: ONE, exit: 2, says }
}

pub(crate) const FAULTS: &[Fault] = &[
    fault(
        "one-dimension-kept",
        "--dim 1: any two vectors agree",
        Plant::Request(|r| r.dim = Some(1)),
        &["--dim 1", "at least 8"],
    ),
    fault(
        "more-dimensions-than-there-are",
        "--dim 4096 of vectors of 128",
        Plant::Request(|r| r.dim = Some(4096)),
        &["--dim 4096"],
    ),
    fault(
        "evidence-of-no-rows",
        "a policy that asks for no rows",
        Plant::Policy(
            "schema = 1\n[evidence]\nmin_rows = 0\nmin_tokens = 0\n[[gate]]\non = \"final\"\narm = \"total\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = 0.5\n",
        ),
        &["min_rows = 0 is below 30"],
    ),
    fault(
        "evidence-of-few-tokens",
        "a policy that asks for one token",
        Plant::Policy(
            "schema = 1\n[evidence]\nmin_rows = 100\nmin_tokens = 1\n[[gate]]\non = \"final\"\narm = \"total\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = 0.5\n",
        ),
        &["min_tokens = 1 is below"],
    ),
    fault(
        "rows-of-no-words",
        "--max-length 2: every row is its two special tokens",
        Plant::Request(|r| r.max_length = Some(2)),
        &["a length limit of 2 tokens leaves no room"],
    ),
    fault(
        "limits-that-nothing-exceeds",
        "a policy whose limit no two vectors can exceed",
        Plant::Policy(
            "schema = 1\n[[gate]]\non = \"sentence\"\narm = \"total\"\nmetric = \"cosine_distance\"\nstat = \"p99\"\nmax = 2.5\n",
        ),
        &["cosine_distance", "2.5"],
    ),
    fault(
        "an-engine-that-may-differ",
        "a policy that lets the control differ from the reference by a half",
        Plant::Policy(
            "schema = 1\n[[gate]]\non = \"*\"\narm = \"engine\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = 0.5\n",
        ),
        &["on the engine arm", "shows nothing"],
    ),
];
