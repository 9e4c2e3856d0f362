//! Gates, waivers, evidence, baselines, planted faults, recordings.

use crate::finding::code::codes;

codes! {
    GATE_EXCEEDED: Failure "gate.exceeded"
        "A quantity is beyond its limit."
        "Run with --explain to find the layers and tensors responsible, or use more bits." .of_limits();
    GATE_NON_FINITE: Failure "gate.non_finite"
        "The candidate gives NaN or infinity."
        "Look at the tap named first: a weight or scale is broken, or the type overflows." .of_limits();
    GATE_ENGINE: Refusal "gate.engine"
        "The control does not reproduce the reference, so the candidate is not judged."
        "Check that graph, original and config.json belong together; `parallax inspect` shows what was found.";
    GATE_NOT_MEASURED: Refusal "gate.not_measured"
        "A gate of the policy matches nothing that was measured."
        "Correct the gate's place or metric, or give what it needs (--recording, --compute, --baseline)." .of_what_is_missing();
    GATE_WAIVED: Warning "gate.waived"
        "A limit is exceeded and waived by the policy."
        "Fix the model before the waiver's last day." .caveat("waived") .by_limits();
    POLICY_NO_GATES: Refusal "policy.no_gates"
        "The policy judged nothing."
        "Add gates: `parallax policy show standard` is a start." .of_what_is_missing();
    POLICY_BLIND_GATE: Warning "policy.blind_gate"
        "A limit is above what the wrong layer or another sentence would measure."
        "Tighten that limit." .by_limits();
    WAIVER_NO_GATE: Refusal "waiver.no_gate"
        "A waiver names a limit that the policy does not have."
        "Correct or remove the waiver." .of_what_is_missing() .by_limits();
    WAIVER_EXPIRED: Failure "waiver.expired"
        "A waiver is past its last day."
        "Fix the model, or extend the waiver with a new reason." .of_limits() .by_limits();
    WAIVER_UNUSED: Note "waiver.unused"
        "The waived limit is met."
        "Remove the waiver." .by_limits();
    EVIDENCE_ROWS: Refusal "evidence.rows"
        "Too few different rows were compared."
        "Give a larger corpus." .of_what_is_missing();
    EVIDENCE_TOKENS: Refusal "evidence.tokens"
        "Too few tokens were compared."
        "Give a larger corpus." .of_what_is_missing();
    EVIDENCE_VOCABULARY: Refusal "evidence.vocabulary"
        "Too few different tokens were compared."
        "Give a more varied corpus." .of_what_is_missing();
    BASELINE_NOT_COMPARABLE: Refusal "baseline.not_comparable"
        "The earlier report is of another reference, corpus or format."
        "Give the report of the last run of this check." .of_what_is_missing() .by_limits();
    BASELINE_OTHER_FORMAT: Warning "baseline.other_format"
        "The earlier report's candidate is stored in another format."
        "Nothing: --baseline-other-format asked for it." .caveat("waived") .by_limits();
    CANARY_UNSEEN: Refusal "canary.unseen"
        "A fault planted in a copy of the candidate would have passed."
        "Tighten the policy where the message says, or give more rows." .of_what_is_missing() .by_limits();
    CANARY_BLIND: Warning "canary.blind"
        "The policy's own limits miss planted faults that only the built-in checks see."
        "Tighten the policy where the message says." .caveat("blind") .by_limits();
    CANARY_NONE: Warning "canary.none"
        "No faults were planted, because of --no-canaries."
        "Leave the flag out." .caveat("waived") .by_limits();
    CANARY_NONE_PLANTED: Refusal "canary.none_planted"
        "No fault could be planted in this model, so nothing shows that the gates can see one."
        "Give a corpus with more rows." .of_what_is_missing() .by_limits();
    COMPUTE_NON_FINITE: Failure "compute.non_finite"
        "In half precision the candidate overflows."
        "Deploy in bfloat16 or float32." .of_states();
    RECORDING_COMPARED: Note "recording.compared"
        "The recorded states were compared with the candidate's."
        "Nothing.";
    RECORDING_NON_FINITE: Failure "recording.non_finite"
        "The recording holds NaN or infinity."
        "Find out why the recorded runtime overflows.";
    RECORDING_NOT_ANOTHER_RUNTIME: Refusal "recording.not_another_runtime"
        "The recorded states are parallax's own, so they show nothing of a device."
        "Record with the runtime that is to be checked.";
    RECORDING_UNSTATED: Refusal "recording.unstated"
        "The recording does not state its producer, version, type or weights."
        "Record again with scripts/record_mlx.py.";
    RECORDING_WEIGHTS: Refusal "recording.weights"
        "The recording was made from other weights than the candidate's."
        "Record this candidate.";
    RECORDING_UNJUDGED: Refusal "recording.unjudged"
        "The recording holds tensors that nothing judges."
        "Leave out what the candidate has no tap for.";
    RECORDING_COMPUTE: Refusal "recording.compute"
        "The recorded values are not numbers of the type that the recording states."
        "State the type that the runtime computed in.";
    RECORDING_IDS: Refusal "recording.ids"
        "The recording's token ids are not the candidate's."
        "Record with the same tokenizer and corpus.";
    RECORDING_MISSING_ROWS: Note "recording.missing_rows"
        "Rows of the corpus are not in the recording."
        "Nothing, or record the whole corpus.";
    RECORDING_OTHER_ROWS: Warning "recording.other_rows"
        "Rows of the recording are not in the corpus, so nothing judged them."
        "Give the corpus that was recorded.";
    RECORDING_ROUNDED: Warning "recording.rounded"
        "The recorded states were rounded when they were saved."
        "Save them in float32.";
    RECORDING_EVIDENCE: Refusal "recording.*"
        "The recording holds too few rows, tokens or different tokens for a verdict."
        "Record more of the corpus." .by_limits();
}
