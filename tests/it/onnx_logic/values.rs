//! Values bend in known formulas and choose nothing.

use parallax::hidden_states::Tap;
use parallax::runtimes::onnx::Graph;

use super::graph::{self, Edited, cast, node, with};
use super::{EXPORTS, fixtures, planted};

#[test]
fn values_choose_nothing() {
    for export in EXPORTS {
        let at = |e: &Edited| e.map.tensor(Tap::Layer(0)).unwrap().to_owned();
        planted(
            export,
            "a condition",
            &|e| {
                let end = at(e);
                e.floats("high", &[], &[4.0]);
                e.floats("nil", &[], &[0.0]);
                let nodes =
                    vec![node("Greater", &[&end, "high"], "is"), node("Where", &["is", "nil", &end], "planted")];
                e.behind(&end, nodes);
            },
            "planted_is",
            false,
        );
        planted(
            export,
            "a bound",
            &|e| {
                let end = at(e);
                e.floats("low", &[], &[-4.0]);
                e.floats("high", &[], &[4.0]);
                e.behind(&end, vec![node("Clip", &[&end, "low", "high"], "planted")]);
            },
            "planted_planted",
            true,
        );
        planted(
            export,
            "a threshold",
            &|e| {
                let end = at(e);
                e.floats("high", &[], &[-4.0]);
                let nodes = vec![
                    node("Add", &[&end, "high"], "moved"),
                    node("Relu", &["moved"], "over"),
                    node("Add", &[&end, "over"], "planted"),
                ];
                e.behind(&end, nodes);
            },
            "planted_moved",
            false,
        );
        planted(
            export,
            "a power",
            &|e| {
                let end = at(e);
                e.floats("power", &[], &[16.0]);
                let nodes = vec![node("Pow", &[&end, "power"], "high"), node("Add", &[&end, "high"], "planted")];
                e.behind(&end, nodes);
            },
            "planted_high",
            false,
        );
        planted(
            export,
            "squares of squares",
            &|e| {
                let end = at(e);
                e.ints("same", &[3], &[0, 0, 0]);
                let nodes = vec![
                    node("Reshape", &[&end, "same"], "copy"),
                    node("Mul", &[&end, "copy"], "high"),
                    node("Add", &[&end, "high"], "planted"),
                ];
                e.behind(&end, nodes);
            },
            "planted_high",
            false,
        );
        planted(
            export,
            "a scale",
            &|e| {
                let end = at(e);
                e.floats("scale", &[], &[1.5]);
                let nodes = vec![node("Mul", &[&end, "scale"], "scaled"), node("Identity", &["scaled"], "planted")];
                e.behind(&end, nodes);
            },
            &scaled(export),
            false,
        );
        planted(
            export,
            "noise",
            &|e| {
                let end = at(e);
                let nodes = vec![node("RandomNormalLike", &[&end], "noise"), node("Add", &[&end, "noise"], "planted")];
                e.behind(&end, nodes);
            },
            "planted_noise",
            true,
        );
        planted(
            export,
            "whole numbers",
            &|e| {
                let end = at(e);
                e.behind(&end, vec![cast(&end, 7, "whole"), cast("whole", 1, "planted")]);
            },
            "planted_whole",
            true,
        );
        planted(
            export,
            "an argmax",
            &|e| {
                let end = at(e);
                let nodes = vec![
                    with(with(node("ArgMax", &[&end], "most"), "axis", -1), "keepdims", 1),
                    cast("most", 1, "float"),
                    node("Add", &[&end, "float"], "planted"),
                ];
                e.behind(&end, nodes);
            },
            "planted_most",
            false,
        );
    }
}

/// The node that reads a scaled state first.
fn scaled(export: &str) -> String {
    let edited = graph::open(&fixtures().join(export));
    let model = edited.model();
    let g = Graph::new(&model).unwrap();
    let end = g.find(edited.map.tensor(Tap::Layer(0)).unwrap()).unwrap();
    let first = g.consumers(end).iter().find(|&&k| g.op(k) != "Shape").unwrap();
    g.node(*first).name.clone()
}

/// A factor that another takes back, and what lies between is beyond float32 for some texts.
#[test]
fn no_factor_leads_near_the_end_of_float32() {
    let export = "zoo/tiny-bert/dyn18.onnx";
    planted(
        export,
        "queries times a factor, keys divided by it",
        &|e| {
            let [queries, keys] = [0, 1].map(|side| e.maker("matmul").input[side].clone());
            e.floats("large", &[], &[1e37]);
            e.floats("small", &[], &[1e-37]);
            e.before("MatMul", &queries, vec![node("Mul", &[&queries, "large"], "planted")]);
            e.graph().node.push(node("Mul", &[&keys, "small"], "less"));
        },
        "planted_planted",
        false,
    );
    planted(
        export,
        "scores times a factor",
        &|e| {
            e.floats("large", &[], &[1e37]);
            e.behind("matmul", vec![node("Mul", &["matmul", "large"], "planted")]);
        },
        "planted_planted",
        false,
    );
    planted(
        "zoo/tiny-bert/sentence_dyn18.onnx",
        "tokens counted many times over in the mean",
        &|e| {
            e.floats("large", &[], &[6e35]);
            e.behind("_to_copy_1", vec![node("Mul", &["_to_copy_1", "large"], "planted")]);
        },
        "node_mul_39",
        false,
    );
}
