//! What a test double of libEGL.so.1 shares with the library.

pub const abi = @import("egl/abi.zig");
pub const drm_format = @import("image/drm_format.zig");
