//! This is the root of the program that writes what other languages see of the C ABI. It stands above src/ because a
//! module's files lie beside its root or below it, and in src/ there is one root, the library's.

pub const main = @import("src/bindings/main.zig").main;

test {
    _ = @import("src/bindings/source.zig");
}
