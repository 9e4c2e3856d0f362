//! A graph as an index: tensors and nodes by number, who makes what, who reads what, what is constant.

pub(crate) mod cut;
pub(crate) mod operators;
pub(crate) mod regions;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::error::OnnxError;
use super::file::model::OnnxModel;
use super::file::proto::{AttributeProto, NodeProto, TensorProto, ValueInfoProto};

/// A tensor's number within its graph.
pub type TensorId = usize;
/// A node's number within its graph, in topological order.
pub type NodeId = usize;

/// An indexed graph.
#[derive(Debug)]
pub struct Graph<'m> {
    model: &'m OnnxModel,
    nodes: Vec<&'m NodeProto>,
    reads: Vec<Vec<Option<TensorId>>>,
    makes: Vec<Vec<Option<TensorId>>>,
    names: Vec<&'m str>,
    ids: HashMap<&'m str, TensorId>,
    producer: Vec<Option<NodeId>>,
    consumers: Vec<Vec<NodeId>>,
    stored: Vec<Option<&'m TensorProto>>,
    constant: Vec<bool>,
    inputs: Vec<&'m ValueInfoProto>,
    outputs: Vec<&'m ValueInfoProto>,
}

impl<'m> Graph<'m> {
    /// Indexes the model's graph; a cycle, a tensor made twice or read but never made is refused.
    pub fn new(model: &'m OnnxModel) -> Result<Self, OnnxError> {
        let malformed = |reason: String| OnnxError::Malformed { file: model.name().to_owned(), reason };
        let Some(proto) = &model.proto().graph else {
            return Err(malformed("it holds no graph".to_owned()));
        };
        let mut g = Self {
            model,
            nodes: topological(&proto.node).ok_or_else(|| malformed("its graph has a cycle".to_owned()))?,
            reads: Vec::new(),
            makes: Vec::new(),
            names: Vec::new(),
            ids: HashMap::new(),
            producer: Vec::new(),
            consumers: Vec::new(),
            stored: Vec::new(),
            constant: Vec::new(),
            inputs: Vec::new(),
            outputs: proto.output.iter().collect(),
        };
        let mut known = Vec::new();
        for tensor in &proto.initializer {
            let id = g.intern(&tensor.name);
            g.stored[id] = Some(tensor);
            g.constant[id] = true;
            known.push(id);
        }
        for input in &proto.input {
            let id = g.intern(&input.name);
            known.push(id);
            if g.stored[id].is_none() {
                g.inputs.push(input);
            }
        }
        let mut made = vec![false; g.names.len()];
        known.into_iter().for_each(|id| made[id] = true);
        for k in 0..g.nodes.len() {
            let node = g.nodes[k];
            let reads: Vec<_> = node.input.iter().map(|n| (!n.is_empty()).then(|| g.intern(n))).collect();
            let makes: Vec<_> = node.output.iter().map(|n| (!n.is_empty()).then(|| g.intern(n))).collect();
            made.resize(g.names.len(), false);
            for &id in reads.iter().flatten() {
                if !made[id] {
                    return Err(malformed(format!(
                        "node `{}` reads `{}`, which nothing makes",
                        node.name, g.names[id]
                    )));
                }
                if g.consumers[id].last() != Some(&k) {
                    g.consumers[id].push(k);
                }
            }
            let constant = !node.op_type.starts_with("Random") && reads.iter().flatten().all(|&id| g.constant[id]);
            for &id in makes.iter().flatten() {
                if std::mem::replace(&mut made[id], true) {
                    return Err(malformed(format!("tensor `{}` is made twice", g.names[id])));
                }
                g.producer[id] = Some(k);
                g.constant[id] = constant;
            }
            g.reads.push(reads);
            g.makes.push(makes);
        }
        for output in &g.outputs {
            if !g.ids.get(output.name.as_str()).is_some_and(|&id| made[id]) {
                return Err(malformed(format!("graph output `{}` is made by nothing", output.name)));
            }
        }
        Ok(g)
    }

    fn intern(&mut self, name: &'m str) -> TensorId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = self.names.len();
        self.ids.insert(name, id);
        self.names.push(name);
        self.producer.push(None);
        self.consumers.push(Vec::new());
        self.stored.push(None);
        self.constant.push(false);
        id
    }

    /// The model.
    pub fn model(&self) -> &'m OnnxModel {
        self.model
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True without nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of tensors.
    pub fn tensors(&self) -> usize {
        self.names.len()
    }

    /// A node.
    pub fn node(&self, k: NodeId) -> &'m NodeProto {
        self.nodes[k]
    }

    /// A node's operator.
    pub fn op(&self, k: NodeId) -> &'m str {
        &self.nodes[k].op_type
    }

    /// Tensors a node reads.
    pub fn reads(&self, k: NodeId) -> impl Iterator<Item = TensorId> {
        self.reads[k].iter().flatten().copied()
    }

    /// Tensors a node makes.
    pub fn makes(&self, k: NodeId) -> impl Iterator<Item = TensorId> {
        self.makes[k].iter().flatten().copied()
    }

    /// The tensor at input `i`, if given.
    pub fn input(&self, k: NodeId, i: usize) -> Option<TensorId> {
        self.reads[k].get(i).copied().flatten()
    }

    /// The tensor at output `i`, if wired.
    pub fn output(&self, k: NodeId, i: usize) -> Option<TensorId> {
        self.makes[k].get(i).copied().flatten()
    }

    /// A tensor's name.
    pub fn name(&self, t: TensorId) -> &'m str {
        self.names[t]
    }

    /// A tensor by name.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.ids.get(name).copied()
    }

    /// The node that makes a tensor.
    pub fn producer(&self, t: TensorId) -> Option<NodeId> {
        self.producer[t]
    }

    /// The nodes that read a tensor.
    pub fn consumers(&self, t: TensorId) -> &[NodeId] {
        &self.consumers[t]
    }

    /// The initializer behind a tensor, if it is one.
    pub fn stored(&self, t: TensorId) -> Option<&'m TensorProto> {
        self.stored[t]
    }

    /// True when a tensor depends on no graph input.
    pub fn is_constant(&self, t: TensorId) -> bool {
        self.constant[t]
    }

    /// Graph inputs that are not initializers.
    pub fn inputs(&self) -> &[&'m ValueInfoProto] {
        &self.inputs
    }

    /// Graph outputs.
    pub fn outputs(&self) -> &[&'m ValueInfoProto] {
        &self.outputs
    }

    /// A node's attribute.
    pub fn attribute(&self, k: NodeId, name: &str) -> Option<&'m AttributeProto> {
        self.nodes[k].attribute.iter().find(|a| a.name == name)
    }

    /// Nodes that a tensor depends on.
    pub(crate) fn ancestors(&self, t: TensorId) -> Vec<bool> {
        let mut above = vec![false; self.len()];
        let mut open = vec![t];
        while let Some(t) = open.pop() {
            if let Some(k) = self.producer(t).filter(|&k| !above[k]) {
                above[k] = true;
                open.extend(self.reads(k));
            }
        }
        above
    }
}

/// The nodes in a stable topological order (some tools write them in another); none with a cycle.
fn topological(nodes: &[NodeProto]) -> Option<Vec<&NodeProto>> {
    let mut made = HashMap::new();
    for (k, node) in nodes.iter().enumerate() {
        node.output.iter().filter(|o| !o.is_empty()).for_each(|o| _ = made.insert(o.as_str(), k));
    }
    let mut users = vec![Vec::new(); nodes.len()];
    let mut waits = vec![0usize; nodes.len()];
    for (k, node) in nodes.iter().enumerate() {
        for &d in node.input.iter().filter_map(|i| made.get(i.as_str())) {
            users[d].push(k);
            waits[k] += 1;
        }
    }
    let mut ready: BinaryHeap<_> = (0..nodes.len()).filter(|&k| waits[k] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(k)) = ready.pop() {
        order.push(&nodes[k]);
        for &u in &users[k] {
            waits[u] -= 1;
            if waits[u] == 0 {
                ready.push(Reverse(u));
            }
        }
    }
    (order.len() == nodes.len()).then_some(order)
}
