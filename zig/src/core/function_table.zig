//! This file derives, from the list of a dynamic library's functions, how each is called and the table of pointers to
//! them.

const std = @import("std");

/// A function of a library that is opened at run time.
pub const Declaration = struct {
    /// The exported symbol, version suffix and all: it names one ABI for ever.
    name: [:0]const u8,
    parameters: []const type,
    result: type,
    /// Whether this library works without it: its pointer may be null.
    optional: bool = false,
    /// The first version of the library that has it, in the library's own numbers; 0 where nobody asks.
    since: u16 = 0,

    pub fn Type(comptime declaration: Declaration) type {
        return @Fn(declaration.parameters, &@splat(.{}), declaration.result, .{ .@"callconv" = .c });
    }

    pub fn Pointer(comptime declaration: Declaration) type {
        return if (declaration.optional) ?*const declaration.Type() else *const declaration.Type();
    }
};

/// The types that belong to a list of functions.
pub fn FunctionTable(comptime declarations: []const Declaration) type {
    std.debug.assert(declarations.len > 0);
    return struct {
        /// The functions' names, one tag each, in the list's order.
        pub const Function = @Enum(u8, .exhaustive, &function_names, &std.simd.iota(u8, declarations.len));

        /// Pointers to all of them, one field each. Those of optional functions may be null.
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

        pub fn declarationOf(comptime function: Function) Declaration {
            return declarations[@intFromEnum(function)];
        }

        pub fn Arguments(comptime function: Function) type {
            return @Tuple(declarationOf(function).parameters);
        }
    };
}
