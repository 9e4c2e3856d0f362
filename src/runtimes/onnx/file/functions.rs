//! Model-local functions, put in the place of their calls.
//!
//! ONNX Runtime inlines them too, under names of its own, so a tensor inside one can only be looked at
//! in a model that has been inlined here. The untouched session still runs the file as it is, which makes
//! [`observer_effect`](crate::runtimes::onnx::observer_effect) the proof that both mean the same
//! (format: github.com/onnx/onnx, `docs/IR.md`, "Functions").

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message;

use super::limits::{DOMAINS, MAX_BYTES, MAX_NODES};
use super::proto::ModelProto;
use super::raw::{AttributeHead, OperatorSetId, RawFunction, RawNode};
use super::rewrite::{Edit, Level, put, rewrite};
use crate::runtimes::onnx::error::OnnxError;

/// Deepest nesting of calls.
const MAX_DEPTH: usize = 32;
/// Most bytes of names in inlined nodes; formal inputs and the like count one each.
const MAX_NAMES: usize = 1 << 28;
/// `GraphProto.node`, `ModelProto.functions`, `ModelProto.opset_import`.
const NODE: u64 = 1;
const FUNCTIONS: u64 = 25;
const OPSETS: u64 = 8;
/// An attribute name as a field of its message.
const ATTRIBUTE_NAME: u64 = 1;

/// Domain, name and overload.
type Key = (String, String, String);

/// The standard domain has two spellings.
fn domain(d: &str) -> &str {
    if d == "ai.onnx" { "" } else { d }
}

fn key(d: &str, name: &str, overload: &str) -> Key {
    (domain(d).to_owned(), name.to_owned(), overload.to_owned())
}

/// A function and its attributes' defaults by name.
struct Function {
    body: RawFunction,
    defaults: HashMap<String, Bytes>,
}

/// What the names and attributes of a body stand for in one call.
struct Scope {
    prefix: String,
    names: HashMap<String, String>,
    attributes: HashMap<String, Bytes>,
}

impl Scope {
    fn name(&self, inner: &str) -> String {
        match self.names.get(inner) {
            Some(name) => name.clone(),
            None if inner.is_empty() => String::new(),
            None => format!("{}{inner}", self.prefix),
        }
    }
}

struct Inliner<'m> {
    file: &'m str,
    functions: HashMap<Key, Function>,
    /// Versions of the operator sets the model imports, and of those that bodies add.
    opsets: HashMap<String, i64>,
    added: Vec<OperatorSetId>,
    /// What every inlined name begins with; no name of the file does.
    mark: String,
    calls: usize,
    nodes: usize,
    names: usize,
    bytes: u64,
}

/// The model's bytes with every call replaced by its body; none when it has no functions.
/// `proto` is what the bytes decode to.
pub(crate) fn inline(file: &str, bytes: &Bytes, proto: &ModelProto) -> Result<Option<Bytes>, OnnxError> {
    if proto.functions.is_empty() {
        return Ok(None);
    }
    let mut inliner = Inliner::new(file, proto)?;
    let mut out = rewrite(bytes, &mut |level, number, payload| match (level, number) {
        (Level::Model, FUNCTIONS) => Ok(Edit::Replace(Vec::new())),
        (Level::Graph, NODE) => inliner.top(payload),
        _ => Ok(Edit::Keep),
    })?;
    for opset in &inliner.added {
        put(OPSETS, &opset.encode_to_vec(), &mut out);
    }
    Ok(Some(out.into()))
}

impl<'m> Inliner<'m> {
    fn new(file: &'m str, proto: &ModelProto) -> Result<Self, OnnxError> {
        let malformed = |reason: String| OnnxError::Malformed { file: file.to_owned(), reason };
        let mut functions = HashMap::new();
        for body in &proto.functions {
            let mut defaults = HashMap::new();
            for attribute in &body.default {
                let head = head(attribute).map_err(malformed)?;
                defaults.insert(head.name, attribute.clone());
            }
            let name = format!("{}:{}", body.domain, body.name);
            let key = key(&body.domain, &body.name, &body.overload);
            if functions.insert(key, Function { body: body.clone(), defaults }).is_some() {
                return Err(malformed(format!("function `{name}` is defined twice")));
            }
        }
        let mut opsets = HashMap::new();
        for o in &proto.opset_import {
            // As `OnnxModel::opset`: the highest of one domain.
            let version = opsets.entry(domain(&o.domain).to_owned()).or_insert(o.version);
            *version = o.version.max(*version);
        }
        let graph = proto.graph.iter();
        let taken: HashSet<&str> = graph
            .flat_map(|g| {
                let nodes = g.node.iter().flat_map(|n| n.input.iter().chain(&n.output).chain([&n.name]));
                let stored = g.initializer.iter().map(|t| &t.name);
                nodes.chain(stored).chain(g.input.iter().map(|i| &i.name))
            })
            .map(String::as_str)
            .collect();
        let alike = |t: &&str| {
            let plain = t.trim_start_matches('_');
            plain.starts_with("inlined.").then(|| t.len() - plain.len() + 1)
        };
        let mark = format!("{}inlined.", "_".repeat(taken.iter().filter_map(alike).max().unwrap_or(0)));
        let added = Vec::new();
        Ok(Self { file, functions, opsets, added, mark, calls: 0, nodes: 0, names: 0, bytes: 0 })
    }

    /// A node of the graph itself: kept byte for byte unless it is a call.
    fn top(&mut self, payload: Bytes) -> Result<Edit, OnnxError> {
        let malformed =
            |e: prost::DecodeError| OnnxError::Malformed { file: self.file.to_owned(), reason: e.to_string() };
        let node = RawNode::decode(payload).map_err(malformed)?;
        let called = key(&node.domain, &node.op_type, &node.overload);
        if !self.functions.contains_key(&called) {
            self.nodes += 1;
            return Ok(Edit::Keep);
        }
        let mut out = Vec::new();
        self.call(&node, called, &mut Vec::new(), &mut out)?;
        Ok(Edit::Replace(out))
    }

    /// Appends the encoded nodes of a call, whose own names and attributes are the graph's by now.
    fn call(
        &mut self,
        node: &RawNode,
        called: Key,
        open: &mut Vec<Key>,
        out: &mut Vec<Vec<u8>>,
    ) -> Result<(), OnnxError> {
        let wrong = |reason: String| OnnxError::Function {
            file: self.file.to_owned(),
            function: format!("{}:{}", called.0, called.1),
            reason: format!("{reason} (call `{}`)", node.name),
        };
        if DOMAINS.contains(&called.0.as_str()) {
            return Err(wrong("it may shadow a standard operator: give it a domain of its own".to_owned()));
        }
        if open.contains(&called) {
            return Err(wrong("it calls itself: export the encoder without recursion".to_owned()));
        }
        if open.len() >= MAX_DEPTH {
            return Err(wrong(format!("calls nested deeper than {MAX_DEPTH}: inline them (onnx.inliner)")));
        }
        let Some((called, function)) = self.functions.remove_entry(&called) else {
            return Err(wrong("it is not defined".to_owned()));
        };
        // Out of the map while it is open: a body cannot call itself, and needs no copy.
        open.push(called.clone());
        let done = self.body(node, &function, open, out);
        open.pop();
        self.functions.insert(called, function);
        done
    }

    fn body(
        &mut self,
        node: &RawNode,
        function: &Function,
        open: &mut Vec<Key>,
        out: &mut Vec<Vec<u8>>,
    ) -> Result<(), OnnxError> {
        let body = &function.body;
        let file = self.file;
        let wrong = |reason: String| OnnxError::Function {
            file: file.to_owned(),
            function: format!("{}:{}", body.domain, body.name),
            reason: format!("{reason} (call `{}`)", node.name),
        };
        for (kind, given, formal) in [("inputs", &node.input, &body.input), ("outputs", &node.output, &body.output)] {
            if given.len() > formal.len() {
                return Err(wrong(format!("at most {} {kind} expected, found {}", formal.len(), given.len())));
            }
        }
        self.calls += 1;
        self.names += body.input.len() + body.output.len() + function.defaults.len() + node.attribute.len();
        self.limit()?;
        let inputs: HashSet<&String> = body.input.iter().collect();
        if let Some(shadow) = body.node.iter().flat_map(|n| &n.output).find(|&o| inputs.contains(o) && !o.is_empty()) {
            return Err(wrong(format!("its body makes its input `{shadow}`")));
        }
        let mut scope = self.scope(node, function).map_err(&wrong)?;
        let mut copies = Vec::new();
        for (i, formal) in body.output.iter().enumerate() {
            let Some(outer) = node.output.get(i).filter(|o| !o.is_empty()) else { continue };
            // An input handed through, or one value under two names.
            if scope.names.contains_key(formal) {
                copies.push((formal, outer));
            } else {
                scope.names.insert(formal.clone(), outer.clone());
            }
        }
        for (i, inner) in body.node.iter().enumerate() {
            let mut moved = RawNode {
                input: inner.input.iter().map(|n| scope.name(n)).collect(),
                output: inner.output.iter().map(|n| scope.name(n)).collect(),
                // ONNX Runtime refuses two nodes of one name.
                name: format!("{}{i}.{}", scope.prefix, inner.name),
                attribute: Vec::with_capacity(inner.attribute.len()),
                metadata: inner.metadata.clone(),
                op_type: inner.op_type.clone(),
                domain: inner.domain.clone(),
                overload: inner.overload.clone(),
            };
            for attribute in &inner.attribute {
                moved.attribute.extend(moved_attribute(attribute, &scope).map_err(&wrong)?);
            }
            let called = key(&inner.domain, &inner.op_type, &inner.overload);
            if self.functions.contains_key(&called) || open.contains(&called) {
                self.call(&moved, called, open, out)?;
            } else {
                self.import(body, &inner.domain).map_err(&wrong)?;
                self.emit(moved, out)?;
            }
        }
        for (n, (formal, outer)) in copies.into_iter().enumerate() {
            let copy = RawNode {
                input: vec![scope.name(formal)],
                output: vec![outer.clone()],
                name: format!("{}copy.{n}", scope.prefix),
                op_type: "Identity".to_owned(),
                ..RawNode::default()
            };
            self.emit(copy, out)?;
        }
        Ok(())
    }

    fn scope(&self, node: &RawNode, function: &Function) -> Result<Scope, String> {
        let label: String = if node.name.is_empty() { &node.op_type } else { &node.name }
            .trim_start_matches(&self.mark)
            .chars()
            .take(48)
            .collect();
        // The number comes first: no two calls can make one name.
        let prefix = format!("{}{}.{label}/", self.mark, self.calls);
        let mut names = HashMap::new();
        for (i, formal) in function.body.input.iter().enumerate() {
            let outer = node.input.get(i).cloned().unwrap_or_default();
            if names.insert(formal.clone(), outer).is_some() {
                return Err(format!("input `{formal}` twice"));
            }
        }
        let mut attributes = function.defaults.clone();
        for attribute in &node.attribute {
            attributes.insert(head(attribute)?.name, attribute.clone());
        }
        Ok(Scope { prefix, names, attributes })
    }

    /// The operator set a body uses must be the model's, or new to it.
    fn import(&mut self, body: &RawFunction, used: &str) -> Result<(), String> {
        let used = domain(used);
        let versions = body.opset_import.iter().filter(|o| domain(&o.domain) == used).map(|o| o.version);
        let shown = if used.is_empty() { "ai.onnx" } else { used };
        let version = versions.max().ok_or_else(|| format!("it imports no version of operator set `{shown}`"))?;
        match self.opsets.get(used) {
            Some(&own) if own == version => Ok(()),
            Some(own) => Err(format!(
                "it uses version {version} of operator set `{shown}`, the model version {own}: \
                 export both with one opset_version"
            )),
            None => {
                self.opsets.insert(used.to_owned(), version);
                self.added.push(OperatorSetId { domain: used.to_owned(), version });
                Ok(())
            }
        }
    }

    fn emit(&mut self, node: RawNode, out: &mut Vec<Vec<u8>>) -> Result<(), OnnxError> {
        self.nodes += 1;
        self.names += node.name.len() + node.input.iter().chain(&node.output).map(String::len).sum::<usize>();
        self.bytes += node.encoded_len() as u64;
        self.limit()?;
        out.push(node.encode_to_vec());
        Ok(())
    }

    /// Calls count as nodes: bodies without nodes can call each other for ever.
    fn limit(&self) -> Result<(), OnnxError> {
        let too_large = |what: &str, limit: u64| OnnxError::TooLarge {
            file: self.file.to_owned(),
            what: format!("more {what} after its functions are inlined"),
            limit,
        };
        if self.nodes + self.calls > MAX_NODES {
            return Err(too_large("nodes", MAX_NODES as u64));
        }
        if self.names > MAX_NAMES || self.bytes > MAX_BYTES {
            return Err(too_large("bytes", MAX_BYTES));
        }
        Ok(())
    }
}

fn head(attribute: &Bytes) -> Result<AttributeHead, String> {
    AttributeHead::decode(attribute.clone()).map_err(|e| e.to_string())
}

/// An attribute of a body in one call: itself, the call's, the default, or nothing where none was given.
fn moved_attribute(attribute: &Bytes, scope: &Scope) -> Result<Option<Bytes>, String> {
    let own = head(attribute)?;
    if own.graph.is_some() || !own.graphs.is_empty() {
        return Err("control flow in a function is not supported: export the encoder without it".to_owned());
    }
    if own.reference.is_empty() {
        return Ok(Some(attribute.clone()));
    }
    let Some(value) = scope.attributes.get(&own.reference) else { return Ok(None) };
    let kind = head(value)?.kind;
    if own.kind != 0 && kind != 0 && own.kind != kind {
        return Err(format!(
            "attribute `{}` has type {kind}, its use as `{}` type {}",
            own.reference, own.name, own.kind
        ));
    }
    // The later of two names wins, so the value itself is not touched.
    let mut renamed = value.to_vec();
    put(ATTRIBUTE_NAME, own.name.as_bytes(), &mut renamed);
    Ok(Some(renamed.into()))
}

#[cfg(test)]
#[path = "functions_tests.rs"]
mod tests;
