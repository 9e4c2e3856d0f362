//! Small models with functions, built by hand and inlined.

use super::*;
use crate::runtimes::onnx::file::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};

const FLOAT: i32 = 1;
const INT: i32 = 2;

/// An attribute as bytes: name, integer, reference, kind.
fn attribute(name: &str, i: i64, reference: &str, kind: i32) -> Bytes {
    let mut bytes = AttributeProto { name: name.to_owned(), i, ..AttributeProto::default() }.encode_to_vec();
    AttributeHead { kind, reference: reference.to_owned(), ..AttributeHead::default() }.encode(&mut bytes).unwrap();
    bytes.into()
}

fn words(s: &str) -> Vec<String> {
    s.split(' ').map(|w| if w == "-" { "" } else { w }.to_owned()).collect()
}

/// `Op a b > c d`, `-` being an omitted name; an operator in capitals is a call.
fn node(text: &str, attributes: &[Bytes]) -> RawNode {
    let (left, output) = text.split_once(" > ").unwrap();
    let (op, input) = left.split_once(' ').unwrap();
    let domain = if op.chars().all(char::is_uppercase) { "own" } else { "" };
    RawNode {
        input: words(input),
        output: words(output),
        op_type: op.to_owned(),
        domain: domain.to_owned(),
        attribute: attributes.to_vec(),
        ..RawNode::default()
    }
}

/// `F a b > c`.
fn function(text: &str, body: Vec<RawNode>) -> RawFunction {
    let head = node(text, &[]);
    RawFunction {
        name: head.op_type,
        input: head.input,
        output: head.output,
        node: body,
        domain: "own".to_owned(),
        opset_import: vec![OperatorSetId { domain: "ai.onnx".to_owned(), version: 18 }],
        ..RawFunction::default()
    }
}

fn model(nodes: Vec<RawNode>, functions: Vec<RawFunction>) -> Bytes {
    let input = vec![ValueInfoProto { name: "x".to_owned(), r#type: None }];
    let mut graph = GraphProto { input, ..GraphProto::default() }.encode_to_vec();
    nodes.iter().for_each(|n| put(NODE, &n.encode_to_vec(), &mut graph));
    // A field nobody here knows.
    put(77, b"unknown", &mut graph);
    let opset_import = vec![OperatorSetId { domain: String::new(), version: 18 }];
    let mut bytes = ModelProto { opset_import, functions, ..ModelProto::default() }.encode_to_vec();
    put(7, &graph, &mut bytes);
    bytes.into()
}

fn inlined(nodes: Vec<RawNode>, functions: Vec<RawFunction>) -> Result<ModelProto, String> {
    let bytes = model(nodes, functions);
    let proto = ModelProto::decode(bytes.clone()).unwrap();
    let inlined = inline("f.onnx", &bytes, &proto).map_err(|e| e.to_string())?.unwrap();
    assert!(inlined.windows(7).any(|w| w == b"unknown"));
    Ok(ModelProto::decode(inlined).unwrap())
}

/// The nodes as text, `inlined.N.label/` shortened to `N/`.
fn shown(proto: &ModelProto) -> Vec<String> {
    let short = |n: &String| match n.strip_prefix("inlined.").and_then(|n| n.rsplit_once('/')) {
        Some((head, name)) => format!("{}/{name}", head.split('.').next().unwrap()),
        None if n.is_empty() => "-".to_owned(),
        None => n.clone(),
    };
    let list = |names: &[String]| names.iter().map(short).collect::<Vec<_>>().join(" ");
    let nodes = &proto.graph.as_ref().unwrap().node;
    nodes.iter().map(|n: &NodeProto| format!("{} {} > {}", n.op_type, list(&n.input), list(&n.output))).collect()
}

fn refused(nodes: Vec<RawNode>, functions: Vec<RawFunction>) -> String {
    let message = inlined(nodes, functions).unwrap_err();
    assert!(message.starts_with("f.onnx: ") && !message.contains('\n'), "{message}");
    message
}

#[test]
fn calls_within_calls_have_names_of_their_own() {
    let inner = function("G a > b", vec![node("Neg a > t", &[]), node("Exp t > b", &[])]);
    let outer = function("F a > b", vec![node("G a > t", &[]), node("G t > b", &[])]);
    let calls = vec![node("F x > y", &[]), node("Abs y > t", &[]), node("F t > z", &[])];
    let proto = inlined(calls, vec![outer, inner]).unwrap();
    let expected = [
        "Neg x > 2/t",
        "Exp 2/t > 1/t",
        "Neg 1/t > 3/t",
        "Exp 3/t > y",
        "Abs y > t",
        "Neg t > 5/t",
        "Exp 5/t > 4/t",
        "Neg 4/t > 6/t",
        "Exp 6/t > z",
    ];
    assert_eq!(shown(&proto), expected);
    assert!(proto.functions.is_empty());
    let names: HashSet<_> = proto.graph.iter().flat_map(|g| &g.node).map(|n| &n.name).collect();
    // The one node that was no call has no name.
    assert!(names.len() == 9 && names.contains(&String::new()));
}

#[test]
fn omitted_inputs_and_outputs_stay_omitted() {
    let f = function("F a b c > d e", vec![node("Clip a b c > d", &[]), node("Neg d > e", &[])]);
    let proto = inlined(vec![node("F x - x > y", &[]), node("F x > - z", &[])], vec![f]).unwrap();
    assert_eq!(shown(&proto), ["Clip x - x > y", "Neg y > 1/e", "Clip x - - > 2/d", "Neg 2/d > z"]);
}

#[test]
fn a_value_handed_through_is_copied() {
    let f = function("F a > a b b", vec![node("Neg a > b", &[])]);
    let proto = inlined(vec![node("F x > p q r", &[])], vec![f]).unwrap();
    assert_eq!(shown(&proto), ["Neg x > q", "Identity x > p", "Identity q > r"]);
}

#[test]
fn attributes_are_the_calls_the_defaults_or_none() {
    let uses = [("own", 3, "", INT), ("given", 0, "g", INT), ("usual", 0, "d", INT), ("none", 0, "n", INT)];
    let uses: Vec<Bytes> = uses.iter().map(|(n, i, r, k)| attribute(n, *i, r, *k)).collect();
    let mut inner = function("G a > b", vec![node("Op a > b", &uses)]);
    inner.default = vec![attribute("d", 5, "", INT), attribute("g", 6, "", INT)];
    let pass = [attribute("g", 0, "h", INT)];
    let outer = function("F a > b", vec![node("G a > b", &pass)]);
    let calls = vec![node("F x > y", &[attribute("h", 9, "", INT)]), node("F x > z", &[])];
    let proto = inlined(calls, vec![inner, outer]).unwrap();
    let seen: Vec<Vec<(&str, i64)>> = proto
        .graph
        .iter()
        .flat_map(|g| &g.node)
        .map(|n| n.attribute.iter().map(|a| (a.name.as_str(), a.i)).collect())
        .collect();
    // Where the outer call gives nothing, the inner default holds.
    assert_eq!(seen, [[("own", 3), ("given", 9), ("usual", 5)], [("own", 3), ("given", 6), ("usual", 5)]]);
}

#[test]
fn an_attribute_of_another_kind_is_refused() {
    let f = function("F a > b", vec![node("Op a > b", &[attribute("axis", 0, "v", INT)])]);
    let message = refused(vec![node("F x > y", &[attribute("v", 1, "", FLOAT)])], vec![f]);
    assert!(message.contains("attribute `v` has type 1"), "{message}");
}

#[test]
fn overloads_are_told_apart() {
    let one = function("F a > b", vec![node("Neg a > b", &[])]);
    let two = RawFunction { overload: "2".to_owned(), ..function("F a > b", vec![node("Abs a > b", &[])]) };
    let call = RawNode { overload: "2".to_owned(), ..node("F x > z", &[]) };
    let proto = inlined(vec![node("F x > y", &[]), call], vec![one.clone(), two]).unwrap();
    assert_eq!(shown(&proto), ["Neg x > y", "Abs x > z"]);
    assert!(refused(vec![node("F x > y", &[])], vec![one.clone(), one]).contains("defined twice"));
}

#[test]
fn names_of_the_file_that_look_inlined_are_left_alone() {
    let f = function("F a > b", vec![node("Neg a > t", &[]), node("Abs t > b", &[])]);
    let calls = vec![node("Neg x > inlined.1.F/t", &[]), node("F x > __inlined.", &[])];
    let proto = inlined(calls, vec![f]).unwrap();
    let made: Vec<_> = proto.graph.iter().flat_map(|g| &g.node).map(|n| n.output[0].as_str()).collect();
    assert_eq!(made, ["inlined.1.F/t", "___inlined.1.F/t", "__inlined."]);
}

#[test]
fn recursion_is_refused_and_depth_is_bounded() {
    let f = function("F a > b", vec![node("G a > b", &[])]);
    let g = function("G a > b", vec![node("F a > b", &[])]);
    assert!(refused(vec![node("F x > y", &[])], vec![f, g]).contains("`own:F`: it calls itself"));
    let name = |k: usize| "A".repeat(k + 1);
    let chain = |n: usize| {
        let next = |k| if k + 1 == n { "Neg a > b".to_owned() } else { format!("{} a > b", name(k + 1)) };
        (0..n).map(|k| function(&format!("{} a > b", name(k)), vec![node(&next(k), &[])])).collect::<Vec<_>>()
    };
    assert_eq!(shown(&inlined(vec![node("A x > y", &[])], chain(MAX_DEPTH)).unwrap()), ["Neg x > y"]);
    assert!(refused(vec![node("A x > y", &[])], chain(MAX_DEPTH + 1)).contains("deeper than 32"));
}

#[test]
fn doubling_at_every_level_is_refused_in_time_even_without_nodes() {
    let name = |k: usize| "A".repeat(k + 1);
    for last in [vec![node("Neg a > b", &[])], Vec::new()] {
        let mut functions = vec![function(&format!("{} a > b", name(25)), last)];
        for k in 0..25 {
            let next = name(k + 1);
            let calls = [format!("{next} a > b"), format!("{next} a > c")].map(|c| node(&c, &[]));
            functions.push(function(&format!("{} a > b", name(k)), calls.to_vec()));
        }
        let message = refused(vec![node("A x > y", &[])], functions);
        assert!(message.contains("more nodes after its functions are inlined, the limit is 200000"), "{message}");
    }
}

#[test]
fn long_names_do_not_multiply_without_bound() {
    let long = "n".repeat(1 << 20);
    let body = (0..100).map(|_| node(&format!("Neg a > {long}"), &[])).collect();
    let calls = (0..100).map(|k| node(&format!("F x > y{k}"), &[])).collect();
    assert!(refused(calls, vec![function("F a > b", body)]).contains("more bytes after"));
}

#[test]
fn operator_sets_are_merged_or_refused() {
    let with = |domain: &str, version: i64, body: RawNode| {
        let mut f = function("F a > b", vec![body]);
        f.opset_import = vec![OperatorSetId { domain: domain.to_owned(), version }];
        inlined(vec![node("F x > y", &[])], vec![f])
    };
    let message = with("", 17, node("Neg a > b", &[])).unwrap_err();
    assert!(message.contains("version 17 of operator set `ai.onnx`, the model version 18"), "{message}");
    assert!(with("other", 1, node("Neg a > b", &[])).unwrap_err().contains("imports no version"));
    let gelu = RawNode { domain: "com.microsoft".to_owned(), ..node("Gelu a > b", &[]) };
    let proto = with("com.microsoft", 1, gelu).unwrap();
    let opsets: Vec<_> = proto.opset_import.iter().map(|o| (o.domain.as_str(), o.version)).collect();
    assert_eq!(opsets, [("", 18), ("com.microsoft", 1)]);
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let f = || function("F a > b", vec![node("Neg a > b", &[])]);
    assert!(refused(vec![node("F x x > y", &[])], vec![f()]).contains("at most 1 inputs expected, found 2"));
    assert!(refused(vec![node("F x > y z", &[])], vec![f()]).contains("at most 1 outputs expected, found 2"));
    let twice = function("F a a > b", vec![node("Neg a > b", &[])]);
    assert!(refused(vec![node("F x > y", &[])], vec![twice]).contains("input `a` twice"));
    let shadow = function("F a > b", vec![node("Neg b > a", &[])]);
    assert!(refused(vec![node("F x > y", &[])], vec![shadow]).contains("makes its input `a`"));
    let standard = RawFunction { domain: "ai.onnx".to_owned(), ..function("Neg a > b", vec![node("Abs a > b", &[])]) };
    assert!(refused(vec![node("Neg x > y", &[])], vec![standard]).contains("may shadow"));
    let mut branch = attribute("then_branch", 0, "", 5).to_vec();
    put(6, b"", &mut branch);
    let control = function("F a > b", vec![node("If a > b", &[branch.into()])]);
    assert!(refused(vec![node("F x > y", &[])], vec![control]).contains("control flow"));
}
