//! What the list of a dynamic library's functions determines.

const std = @import("std");

/// Of declarations that have a `name`, `parameters`, and the `Pointer()` that the library keeps.
pub fn FunctionTable(comptime declarations: anytype) type {
    return struct {
        /// The functions' names, one tag each, in the list's order.
        pub const Function = @Enum(u8, .exhaustive, &function_names, &std.simd.iota(u8, declarations.len));

        /// Pointers to all of them, one field each.
        pub const Pointers = @Struct(.auto, null, &function_names, &pointer_types, &@splat(.{}));

        const function_names = names: {
            var names: [declarations.len][]const u8 = undefined;
            for (declarations, &names) |declaration, *name| name.* = declaration.name;
            break :names names;
        };

        const pointer_types = types: {
            var types: [declarations.len]type = undefined;
            for (declarations, &types) |declaration, *each| each.* = declaration.Pointer();
            break :types types;
        };

        pub fn declarationOf(comptime function: Function) @TypeOf(declarations[0]) {
            return declarations[@intFromEnum(function)];
        }

        pub fn Arguments(comptime function: Function) type {
            return @Tuple(declarationOf(function).parameters);
        }
    };
}
