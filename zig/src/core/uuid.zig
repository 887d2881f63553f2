//! A device is named across processes by the UUID that the CUDA driver gives it.

/// Bytes of a UUID.
pub const size = 16;
/// Bytes of a device's name as text, NUL-padded: its number, or "GPU-" and its UUID in the driver's notation.
pub const name_size = 48;
