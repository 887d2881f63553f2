//! This module is what a test double of libEGL.so.1 shares with the library.

pub const abi = @import("src/egl/mod.zig").abi;
pub const drm_format = @import("src/core/mod.zig").drm_format;
