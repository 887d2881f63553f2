//! This module is what a test double of libEGL.so.1 shares with the library.

pub const abi = @import("src/egl/abi.zig");
pub const drm_format = @import("src/core/drm_format.zig");
