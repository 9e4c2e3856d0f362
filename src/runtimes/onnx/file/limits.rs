//! What a graph may be.

/// Largest file read: protobuf's own limit.
pub(crate) const MAX_BYTES: u64 = 1 << 31;
/// Most nodes accepted; the largest encoder exports seen have a few thousand.
pub(crate) const MAX_NODES: usize = 200_000;
/// Operator domains whose meaning is public.
pub(crate) const DOMAINS: &[&str] = &["", "ai.onnx", "com.microsoft", "ai.onnx.ml"];
