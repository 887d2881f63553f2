//! A device's UUID, as the CUDA driver has it.

pub const size = 16;
