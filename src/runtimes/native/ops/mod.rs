//! The arithmetic of an encoder, one function per file. f32 data; what is summed over a row is summed
//! in f64 or by the matrix multiply.

mod attention;
mod gelu;
mod layer_norm;
mod linear;
mod softmax;

pub use attention::attention;
pub use gelu::{ACTIVATIONS, Activation, erf, gelu_erf, gelu_tanh, relu, silu};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use softmax::softmax;
