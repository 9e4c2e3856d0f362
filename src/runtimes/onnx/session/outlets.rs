//! Which tensors a session is asked for: the taps, and every output that the untouched graph declares.

use ort::session::Session;
use ort::value::{TensorElementType, ValueType};

use crate::hidden_states::Tap;
use crate::runtimes::onnx::error::OnnxError;
use crate::runtimes::onnx::graph::Graph;
use crate::runtimes::onnx::taps::TapEntry;

/// One output that the untouched graph declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredOutput {
    /// Its name.
    pub name: String,
    /// What there is to compare.
    pub carries: Carries,
}

/// What a declared output holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carries {
    /// It is the very tensor of a tap: the last of them, where it is several.
    Tap(Tap),
    /// Float values of its own, returned with every batch.
    Values {
        /// Stored as float16.
        half: bool,
    },
    /// One of the graph's inputs, handed through as it came in.
    Input(String),
    /// Neither a hidden state nor one vector per row: its type.
    Other(String),
}

/// The outputs a graph declares, each with the input that it hands through, where it does nothing else.
pub(crate) fn declared<'m>(graph: &Graph<'m>) -> impl Iterator<Item = (&'m str, Option<&'m str>)> {
    let through = |output: &str| {
        let mut tensor = graph.find(output)?;
        // As many steps as there are nodes: a circle ends.
        for _ in 0..=graph.len() {
            let Some(node) = graph.producer(tensor) else { break };
            tensor = graph.input(node, 0).filter(|_| graph.op(node) == "Identity")?;
        }
        graph.inputs().iter().map(|input| input.name.as_str()).find(|name| *name == graph.name(tensor))
    };
    graph.outputs().iter().map(|o| o.name.as_str()).map(|name| (name, through(name))).collect::<Vec<_>>().into_iter()
}

/// The tensors of a session, each asked for once.
#[derive(Clone, Debug)]
pub(crate) struct Outlets {
    /// The taps' tensors, then the outputs that are none.
    pub(crate) tensors: Vec<String>,
    pub(crate) taps: Vec<Tap>,
    /// Which of `tensors` carries each tap.
    pub(crate) carrier: Vec<usize>,
    /// How many of `tensors` are the taps'.
    pub(crate) tapped: usize,
    pub(crate) declared: Vec<DeclaredOutput>,
    /// Width of a hidden state, where the graph states it.
    pub(crate) hidden: Option<usize>,
}

impl Outlets {
    /// The tensors of some taps.
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a TapEntry>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|e| e.tap);
        let mut tensors: Vec<String> = Vec::new();
        let mut carrier = Vec::new();
        for e in &entries {
            carrier.push(tensors.iter().position(|t| *t == e.tensor).unwrap_or_else(|| {
                tensors.push(e.tensor.clone());
                tensors.len() - 1
            }));
        }
        let taps = entries.iter().map(|e| e.tap).collect();
        Self { tapped: tensors.len(), tensors, taps, carrier, declared: Vec::new(), hidden: None }
    }

    /// Learns the taps' width from the opened session.
    pub(crate) fn check(&mut self, session: &Session, file: &str) -> Result<(), OnnxError> {
        for name in &self.tensors[..self.tapped] {
            let outlet = session.outputs().iter().find(|o| o.name() == name);
            let bad = |found: String| OnnxError::Tensor {
                file: file.to_owned(),
                tensor: name.clone(),
                expected: "float32 [rows, tokens, hidden]".to_owned(),
                found,
            };
            match outlet.map(|o| o.dtype()) {
                Some(ValueType::Tensor {
                    ty: TensorElementType::Float32 | TensorElementType::Float16, shape, ..
                }) if shape.len() == 3 || shape.is_empty() => {
                    let width = shape.last().and_then(|&d| usize::try_from(d).ok());
                    if width.is_some() && self.hidden.is_some() && width != self.hidden {
                        return Err(bad(format!("width {width:?} where other taps have {:?}", self.hidden)));
                    }
                    self.hidden = width.or(self.hidden);
                }
                Some(other) => return Err(bad(other.to_string())),
                None => return Err(bad("nothing".to_owned())),
            }
        }
        Ok(())
    }

    /// Adds the outputs that the graph declares: those that are taps are known already, and the others are asked for
    /// where they can be hidden states or vectors of rows.
    pub(crate) fn declare<'a>(
        &mut self,
        session: &Session,
        names: impl Iterator<Item = (&'a str, Option<&'a str>)>,
        hidden: usize,
    ) {
        for (name, input) in names {
            let carries = match (self.tensors[..self.tapped].iter().position(|t| t == name), input) {
                (None, Some(input)) => Carries::Input(input.to_owned()),
                (Some(i), _) => {
                    let taps = self.taps.iter().zip(&self.carrier).filter(|(_, c)| **c == i);
                    taps.map(|(tap, _)| *tap).max().map_or(Carries::Other("nothing".to_owned()), Carries::Tap)
                }
                (None, None) => carries(session, name, hidden),
            };
            if matches!(carries, Carries::Values { .. }) && !self.tensors.iter().any(|t| t == name) {
                self.tensors.push(name.to_owned());
            }
            self.declared.push(DeclaredOutput { name: name.to_owned(), carries });
        }
    }
}

fn carries(session: &Session, name: &str, hidden: usize) -> Carries {
    let Some(outlet) = session.outputs().iter().find(|o| o.name() == name) else {
        return Carries::Other("nothing".to_owned());
    };
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else { return Carries::Other(outlet.dtype().to_string()) };
    let half = match ty {
        TensorElementType::Float32 => false,
        TensorElementType::Float16 => true,
        _ => return Carries::Other(outlet.dtype().to_string()),
    };
    // A head over the vocabulary is not computed at all: its values may need gigabytes.
    let width = shape.last().and_then(|&d| usize::try_from(d).ok());
    match shape.len() {
        0 | 2 => Carries::Values { half },
        3 if width.is_none_or(|w| w == hidden) => Carries::Values { half },
        _ => Carries::Other(outlet.dtype().to_string()),
    }
}
